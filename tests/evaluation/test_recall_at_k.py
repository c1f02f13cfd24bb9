import numpy as np
import pytest

from shortlist.evaluation import recall_at_k
from shortlist.index import Index, IndexConfig


def test_it_is_the_share_of_the_exact_top_k_that_came_back() -> None:
    assert recall_at_k([[1, 2], [3, 4]], [[2, 9], [4, 3]]) == 0.75


def test_the_order_of_the_answer_does_not_matter() -> None:
    assert recall_at_k([[1, 2, 3]], [[3, 2, 1]]) == 1.0


def test_padding_is_neither_wanted_nor_found() -> None:
    assert recall_at_k([[1, -1]], [[1, -1]]) == 1.0
    assert recall_at_k([["a", ""]], [["", "b"]]) == 0.0


def test_search_results_can_be_given() -> None:
    index = Index.build(np.eye(4, dtype="float32"), config=IndexConfig(exact=True))
    result = index.search(np.eye(4, dtype="float32"), k=1)
    assert recall_at_k(result, result) == 1.0


def test_rows_must_match() -> None:
    with pytest.raises(
        ValueError, match=r"one row for each query, got shapes \(2, 1\) and \(1, 1\)"
    ):
        recall_at_k([[1], [2]], [[1]])


def test_only_padding_is_no_truth() -> None:
    with pytest.raises(ValueError, match="at least one result"):
        recall_at_k([[-1]], [[3]])
