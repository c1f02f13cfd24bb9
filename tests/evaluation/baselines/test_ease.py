import numpy as np
import pytest

from shortlist.data import Interactions
from shortlist.evaluation.baselines import EASE

USERS = [1, 1, 2, 2, 2, 3, 3, 4]
ITEMS = [0, 1, 0, 1, 2, 1, 2, 3]


def test_weights_solve_the_constrained_least_squares() -> None:
    chosen = np.zeros((4, 4))
    chosen[np.array(USERS) - 1, ITEMS] = 1
    weights = np.zeros((4, 4))
    for item in range(4):  # ridge regression of each item on all others
        others = [other for other in range(4) if other != item]
        x = chosen[:, others]
        weights[others, item] = np.linalg.solve(x.T @ x + 0.5 * np.eye(3), x.T @ chosen[:, item])
    result = EASE(Interactions.from_arrays(USERS, ITEMS), l2=0.5).recommend(
        [1, 2, 3, 4], k=4, exclude_seen=False
    )
    scores = np.take_along_axis(result.scores, np.argsort(result.ids, axis=1), axis=1)
    np.testing.assert_allclose(scores, chosen @ weights, atol=1e-6)


def test_a_penalty_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="`l2` must be above 0, got 0"):
        EASE(Interactions.from_arrays(USERS, ITEMS), l2=0)
