"""Every metric is its plain definition, averaged over all orders of tied candidates."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.evaluation.metrics import METRICS
from shortlist.evaluation.ranking import Ranking


def plain(metric: str, relevant: list[bool], total: int, k: int) -> float:
    """The textbook definition on one strictly ordered list."""
    top = relevant[:k]
    if metric in ("hit_rate", "recall"):
        return sum(top) / total
    if metric == "precision":
        return sum(top) / k
    if metric == "mrr":
        return next((1 / rank for rank, hit in enumerate(top, 1) if hit), 0.0)
    if metric == "map":
        return sum(sum(top[:rank]) / rank for rank, hit in enumerate(top, 1) if hit) / total
    gain = sum(hit / math.log2(rank + 1) for rank, hit in enumerate(top, 1))
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(total, k) + 1))


def orders(scores: list[int], relevant: list[bool]) -> list[list[bool]]:
    """The relevance of every list in which the scores descend."""
    groups = [
        list(itertools.permutations([hit for score, hit in pairs]))
        for _, pairs in itertools.groupby(zip(scores, relevant, strict=True), key=lambda p: p[0])
    ]
    return [list(itertools.chain(*parts)) for parts in itertools.product(*groups)]


@st.composite
def lists(draw: st.DrawFn) -> tuple[list[int], list[bool], int, int]:
    size = draw(st.integers(1, 6))
    scores = sorted(draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)), reverse=True)
    relevant = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    missed = draw(st.integers(0, 2))
    return scores, relevant, max(sum(relevant) + missed, 1), draw(st.integers(1, size))


@pytest.mark.parametrize("metric", METRICS)
@given(case=lists())
def test_a_metric_is_its_expectation_over_all_orders_of_ties(
    metric: str, case: tuple[list[int], list[bool], int, int]
) -> None:
    scores, relevant, total, k = case
    ranking = Ranking.from_scores(
        np.array([scores], float), np.array([relevant]), np.array([total]), k
    )
    numerator, denominator = METRICS[metric](ranking, k)
    expected = np.mean([plain(metric, order, total, k) for order in orders(scores, relevant)])
    assert numerator[0] / denominator[0] == pytest.approx(expected, abs=1e-12)


def test_a_constant_scorer_gets_what_chance_gives() -> None:
    relevant = np.zeros((1, 200), bool)
    relevant[0, 0] = True  # first in the list, which must not help
    ranking = Ranking.from_scores(np.zeros((1, 200)), relevant, np.array([1]), 10)
    assert ranking.hits(10)[0] == pytest.approx(10 / 200)


def test_ranks_beyond_k_are_dropped_but_their_ties_count() -> None:
    ranking = Ranking.from_scores(
        np.array([[3.0, 1.0, 1.0, 1.0]]), np.array([[False, False, False, True]]), np.array([1]), 2
    )
    np.testing.assert_allclose(ranking.probability, [[0.0, 1 / 3]])
