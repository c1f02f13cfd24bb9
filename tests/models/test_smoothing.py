import numpy as np
import pytest

from shortlist.evaluation.baselines.least_squares import Choices
from shortlist.models import smoothing
from shortlist.models.smoothing import smoothed

RNG = np.random.default_rng(0)
CHOSEN = RNG.random((20, 12)) < 0.2
CHOSEN[3] = False
LISTS = [np.flatnonzero(row) for row in CHOSEN]


def filtered(chosen: np.ndarray, graph: np.ndarray, power: float) -> np.ndarray:
    """The filter by whole matrices, 0 where chosen."""
    degrees = np.maximum(chosen.sum(axis=0), 1)
    lengths = np.maximum(graph.sum(axis=1), 1)
    links = (graph / lengths[:, None]).T @ graph
    links = degrees[:, None] ** -0.5 * links * degrees**-power
    return np.where(chosen, 0, chosen @ links)


@pytest.mark.parametrize("power", [0.0, 0.5])
@pytest.mark.parametrize("block", [smoothing.BLOCK, 3])
def test_candidates_are_those_of_the_filter(
    power: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smoothing, "BLOCK", block)
    result = smoothed(Choices.from_lists(LISTS, 12), 3, weight=0.4, power=power)
    scores = filtered(CHOSEN, CHOSEN.astype(float), power)
    assert result.weights is not None
    for user, own in enumerate(LISTS):
        these = slice(result.offsets[user], result.offsets[user + 1])
        columns, weights = result.columns[these], result.weights[these]
        np.testing.assert_array_equal(columns[: len(own)], own)
        assert (weights[: len(own)] == 1).all()
        best = np.sort(scores[user])[::-1][:3]
        best = best[best > 0]
        expected = 0.4 * best / best.max(initial=1e-30)
        np.testing.assert_allclose(np.sort(weights[len(own) :])[::-1], expected, rtol=1e-5)
        np.testing.assert_allclose(
            np.sort(scores[user, columns[len(own) :]])[::-1], best, rtol=1e-5
        )


def test_users_of_most_items_are_left_out_where_memory_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = CHOSEN.sum(axis=1)
    few = lengths < lengths.max()
    monkeypatch.setattr(smoothing, "MOST_PAIRS", (np.maximum(lengths, 1)[few] ** 2).sum())
    result = smoothed(Choices.from_lists(LISTS, 12), 12, weight=1.0, power=0.5)
    scores = filtered(CHOSEN, CHOSEN * few[:, None].astype(float), 0.5)
    found = [(scores[user] > 0).sum() for user in range(20)]
    np.testing.assert_array_equal(result.lengths - lengths, found)
