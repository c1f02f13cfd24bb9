import numpy as np
import pytest

from shortlist.evaluation import recall_at_k
from shortlist.index import Index, IndexConfig


def test_it_is_the_share_of_the_exact_top_k_that_came_back() -> None:
    assert recall_at_k([[1, 2], [3, 4]], [[2, 9], [4, 3]]) == 0.75


def test_the_order_of_the_answer_does_not_matter() -> None:
    assert recall_at_k([[1, 2, 3]], [[3, 2, 1]]) == 1.0


def test_what_pads_a_search_result_is_neither_wanted_nor_found() -> None:
    few = Index.build(np.eye(2, dtype="float32"), config=IndexConfig(exact=True))
    one = Index.build(np.eye(2, dtype="float32")[:1], config=IndexConfig(exact=True))
    wanted, found = (index.search(np.eye(2, dtype="float32"), k=4) for index in (few, one))
    assert recall_at_k(wanted, found) == 0.5
    assert recall_at_k(found, wanted) == 1.0


def test_an_id_is_never_padding() -> None:
    assert recall_at_k([[-1, 7]], [[7, 8]]) == 0.5
    assert recall_at_k([["", "a"]], [["a", "b"]]) == 0.5
    index = Index.build(np.eye(2, dtype="float32"), [-1, 7], config=IndexConfig(exact=True))
    everything = index.search(np.eye(2, dtype="float32"), k=2)
    assert recall_at_k(everything, [[-1, 8], [-1, 9]]) == 0.5


def test_lists_may_have_several_lengths() -> None:
    assert recall_at_k([[1, 2], [3]], [[2], [3, 4, 5]]) == pytest.approx(2 / 3)
    assert recall_at_k([["a"], []], [[b"a"], ["b"]]) == 1.0


def test_an_id_twice_for_one_query_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got -1 twice for query 1.* give their scores"):
        recall_at_k([[1, 2, 3], [1, -1, -1]], [[1], [1]])


def test_ids_of_two_types_are_refused() -> None:
    with pytest.raises(ValueError, match="`approximate` must be integers, as the ids of `exact`"):
        recall_at_k([[1, 2]], [["1", "2"]])


def test_search_results_can_be_given() -> None:
    index = Index.build(np.eye(4, dtype="float32"), config=IndexConfig(exact=True))
    result = index.search(np.eye(4, dtype="float32"), k=1)
    assert recall_at_k(result, result) == 1.0


def test_rows_must_match() -> None:
    with pytest.raises(ValueError, match="one row for each query, got 2 and 1 rows"):
        recall_at_k([[1], [2]], [[1]])


def test_nothing_at_all_is_no_truth() -> None:
    with pytest.raises(ValueError, match="at least one result"):
        recall_at_k([[]], [[3]])
