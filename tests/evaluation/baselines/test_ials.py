import numpy as np
import pytest

from shortlist.data import Interactions
from shortlist.evaluation.baselines import IALS

USERS = np.repeat(np.arange(30), 5)
ITEMS = (USERS % 3) * 10 + np.random.default_rng(0).permuted(
    np.tile(np.arange(10), (30, 1)), axis=1
)[:, :5].ravel()
TRAIN = Interactions.from_arrays(USERS, ITEMS)


def test_the_items_of_ones_own_kind_come_first() -> None:
    result = IALS(TRAIN, factors=4).recommend(np.arange(30), k=3)
    np.testing.assert_array_equal(result.ids // 10, np.repeat(np.arange(30) % 3, 3).reshape(30, 3))


def test_user_factors_minimise_the_weighted_squares() -> None:
    model = IALS(TRAIN, factors=4, unobserved_weight=0.3, l2=0.05)
    items, (user,) = model._item_factors, model._embed(model._rows([ITEMS[:5]]))
    chosen = np.zeros(len(items))
    chosen[model._items.encode(ITEMS[:5]) - 1] = 1
    error = items @ user
    gradient = items.T @ (0.3 * error + chosen * (error - 1)) + 0.05 * (5 + 0.3 * 30) * user
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_the_seed_decides() -> None:
    first, same = (IALS(TRAIN, seed=3).recommend([0], k=5) for _ in range(2))
    np.testing.assert_array_equal(first.scores, same.scores)


def test_factors_must_be_there() -> None:
    with pytest.raises(ValueError, match="`factors` must be above 0, got 0"):
        IALS(TRAIN, factors=0)
