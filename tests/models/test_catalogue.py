import keras
import numpy as np
import pytest

from shortlist.models.catalogue import Catalogue, UserBatches
from shortlist.models.inputs import HISTORY, Columns, Histories

LISTS = [np.zeros(0, int), np.array([1, 2, 3, 4]), np.zeros(0, int), np.array([5, 6])]


def batches(seed: int = 0, history: bool = True, **options: float) -> UserBatches:
    users = Columns({"user": np.arange(4)})
    return UserBatches(Histories(LISTS), users, history, Catalogue(**options), 8, seed)


def test_the_loss_is_the_multinomial_likelihood_of_the_hidden_items() -> None:
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(2, 3)), rng.normal(size=(5, 3))
    known = np.array([[1, 0], [0, 0]], np.int32)
    hidden = np.array([[0, 2, 5], [4, 0, 0]], np.int32)
    scores = queries @ candidates.T / 0.5
    scores[0, 0] = -np.inf  # known
    logarithms = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    expected = -(logarithms[0, 1] + logarithms[0, 4] + logarithms[1, 3]) / 3
    loss = Catalogue(temperature=0.5)(
        keras.ops.cast(queries, "float32"),
        keras.ops.cast(candidates, "float32"),
        {"known": known, "hidden": hidden},
    )
    np.testing.assert_allclose(float(loss), expected, rtol=1e-5)


def test_each_item_is_either_known_or_to_be_found() -> None:
    (batch,) = batches()[0]
    for known, hidden in zip(batch["known"], batch["hidden"], strict=True):
        both = sorted([*known[known > 0], *hidden[hidden > 0]])
        assert both in ([1, 2, 3, 4], [5, 6])
    np.testing.assert_array_equal(batch["query"][HISTORY], batch["known"])


def test_users_without_items_teach_nothing() -> None:
    (batch,) = batches(unknown_users=0.0)[0]
    assert sorted(batch["query"]["user"]) == [1, 3]


def test_unknown_users_keep_their_history() -> None:
    drawn = [batches(seed, unknown_users=1.0)[0][0]["query"] for seed in range(20)]
    assert all(query["user"].tolist() == [0, 0] for query in drawn)
    assert any(query[HISTORY].any() for query in drawn)


def test_unknown_users_come_with_fewer_items() -> None:
    known, unknown = (
        sum((batches(seed, unknown_users=share)[0][0]["known"] > 0).sum() for seed in range(100))
        for share in (0.0, 1.0)
    )
    assert unknown < 0.8 * known


def test_a_tower_without_history_gets_none() -> None:
    (batch,) = batches(history=False)[0]
    assert list(batch["query"]) == ["user"]


def test_items_are_parted_anew_and_the_seed_decides() -> None:
    first, again = batches(), batches()
    parts = [first[0][0]["known"].tolist() for _ in range(8)]
    assert parts == [again[0][0]["known"].tolist() for _ in range(8)]
    assert any(part != parts[0] for part in parts)


def test_only_the_last_items_of_a_long_history_count() -> None:
    (batch,) = batches(max_history=2)[0]
    assert sorted((batch["known"] + batch["hidden"]).ravel()) == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 1.0}, "`hidden` must be between 0 and 1, got 1.0"),
        ({"unknown_users": 2.0}, "`unknown_users` must be from 0 to 1, got 2.0"),
        ({"max_history": 1}, "`max_history` must be at least 2, got 1"),
        ({"temperature": 0.0}, "`temperature` must be above 0, got 0.0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Catalogue(**options)
