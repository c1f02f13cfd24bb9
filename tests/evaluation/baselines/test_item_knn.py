import numpy as np
import pytest

from shortlist.data import Interactions
from shortlist.evaluation.baselines import ItemKNN

TRAIN = Interactions.from_arrays([1, 1, 2, 2, 2, 3, 3, 4], [0, 1, 0, 1, 2, 1, 2, 0])


def test_scores_are_sums_of_cosines() -> None:
    result = ItemKNN(TRAIN).recommend([4], k=2)
    assert result.ids.tolist() == [[1, 2]]
    np.testing.assert_allclose(result.scores, [[2 / 3, 1 / np.sqrt(6)]], rtol=1e-6)


def test_only_the_nearest_neighbours_count() -> None:
    # 2 is nearer to 1 (cosine 0.816) than to 0 (0.408), so it has nothing from 0.
    result = ItemKNN(TRAIN, neighbors=1).recommend([1], k=1)
    np.testing.assert_allclose(result.scores, [[2 / np.sqrt(6)]], rtol=1e-6)


def test_no_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="`neighbors` must be at least 1, got 0"):
        ItemKNN(TRAIN, neighbors=0)
    with pytest.raises(ValueError, match="`neighbors` must be an integer, got 2"):
        ItemKNN(TRAIN, neighbors=2.5)
