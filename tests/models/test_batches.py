import numpy as np
import pytest

from shortlist.data import Histories, Interactions
from shortlist.models import Catalogue, TwoTower
from shortlist.models.batches import PairBatches, UserBatches
from shortlist.models.inputs import HISTORY, Columns, indices_only

LISTS = Histories.from_lists([[], [1, 2, 3, 4], [], [5, 6]])
COLUMNS = {"user": np.arange(10), "candidate": 10 * np.arange(10)}


def batches_of(batch_size: int, seed: int | None) -> PairBatches:
    return PairBatches(COLUMNS, indices_only, indices_only, batch_size, seed)


def epoch(batches: PairBatches) -> list[list[int]]:
    return [batches[at][0]["query_inputs"].tolist() for at in range(len(batches))]


def test_every_row_comes_once_an_epoch_and_the_last_batch_may_be_short() -> None:
    rows = epoch(batches_of(4, seed=0))
    assert [len(batch) for batch in rows] == [4, 4, 2]
    assert sorted(row for batch in rows for row in batch) == list(range(10))


def test_columns_stay_together() -> None:
    (batch,) = batches_of(10, seed=0)[0]
    np.testing.assert_array_equal(batch["candidate"], 10 * batch["query_inputs"])


def test_each_epoch_has_an_order_of_its_own_that_the_seed_decides() -> None:
    batches, again = batches_of(4, seed=0), batches_of(4, seed=0)
    first = epoch(batches)
    assert first == epoch(again)
    batches.start(1)
    second = epoch(batches)
    assert second != first
    again.start(1)
    assert epoch(again) == second
    batches.start(0)
    assert epoch(batches) == first


def test_an_epoch_goes_on_after_the_batches_that_are_done() -> None:
    for batches in (batches_of(3, seed=0), parted(batch_size=1)):
        batches.start(2)
        whole = [str(batches[at]) for at in range(len(batches))]
        batches.start(2, done=1)
        assert [str(batches[at]) for at in range(len(batches))] == whole[1:]


def test_without_a_seed_the_rows_keep_their_order() -> None:
    assert epoch(batches_of(5, seed=None)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_a_thread_makes_the_batches_in_the_order_that_one_would() -> None:
    batches = batches_of(2, seed=0)
    expected = [batches._make(at)["candidate"].tolist() for at in range(5)]
    assert [batches[at][0]["candidate"].tolist() for at in (0, 1, 2, 3, 4)] == expected
    assert [batches[at][0]["candidate"].tolist() for at in (3, 0, 4, 3)] == [
        expected[at] for at in (3, 0, 4, 3)
    ]


def test_an_error_in_a_batch_is_raised_where_the_batch_is_asked_for() -> None:
    def fail(indices: np.ndarray) -> np.ndarray:
        if 5 in indices:
            raise ValueError("no user 5")
        return indices

    batches = PairBatches(COLUMNS, fail, indices_only, 5, seed=None)
    assert len(batches[0][0]["candidate"]) == 5
    with pytest.raises(ValueError, match="no user 5"):
        batches[1]


def test_columns_in_files_give_the_batches_that_columns_in_memory_give(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 9, 60), rng.integers(0, 7, 60)
    times, weights = rng.integers(0, 20, 60), rng.random(60)

    def drawn() -> list[str]:
        views = Interactions.from_arrays(users, items, timestamp=times, weight=weights)
        model = TwoTower.from_interactions(views, embedding_dim=2, history=True)
        model.seen = Histories.from_interactions(views)
        batches = model._pairs(views, 16, seed=0)
        return [str(batches[at]) for at in range(len(batches))]

    in_memory = drawn()
    monkeypatch.setattr("shortlist.data.storage.LARGE", 1)
    assert drawn() == in_memory


def parted(
    seed: int = 0, history: bool = True, batch_size: int = 8, **options: float
) -> UserBatches:
    users = Columns({"user": np.arange(4)})
    return UserBatches(LISTS, users, history, Catalogue(**options), batch_size, seed)


def test_each_item_is_either_known_or_to_be_found() -> None:
    (batch,) = parted()[0]
    for known, hidden in zip(batch["known"], batch["hidden"], strict=True):
        both = sorted([*known[known > 0], *hidden[hidden > 0]])
        assert both in ([1, 2, 3, 4], [5, 6])
    np.testing.assert_array_equal(batch["query_inputs"][HISTORY], batch["known"])


def test_users_without_items_teach_nothing() -> None:
    (batch,) = parted(unknown_users=0.0)[0]
    assert sorted(batch["query_inputs"]["user"]) == [1, 3]


def test_unknown_users_keep_their_history() -> None:
    drawn = [parted(seed, unknown_users=1.0)[0][0]["query_inputs"] for seed in range(20)]
    assert all(query["user"].tolist() == [0, 0] for query in drawn)
    assert any(query[HISTORY].any() for query in drawn)


def test_unknown_users_come_with_fewer_items() -> None:
    known, unknown = (
        sum((parted(seed, unknown_users=share)[0][0]["known"] > 0).sum() for seed in range(100))
        for share in (0.0, 1.0)
    )
    assert unknown < 0.8 * known


def test_a_tower_without_history_gets_none() -> None:
    (batch,) = parted(history=False)[0]
    assert list(batch["query_inputs"]) == ["user"]


def test_items_are_parted_anew_and_the_seed_decides() -> None:
    def parts() -> list[list[list[int]]]:
        batches, drawn = parted(), []
        for epoch in range(8):
            batches.start(epoch)
            drawn.append(np.sort(batches[0][0]["known"], axis=0).tolist())
        return drawn

    assert parts() == parts()
    assert any(part != parts()[0] for part in parts())


def test_only_the_last_items_of_a_long_history_count() -> None:
    (batch,) = parted(max_history=2)[0]
    assert sorted((batch["known"] + batch["hidden"]).ravel()) == [3, 4, 5, 6]


def test_moments_go_with_their_rows() -> None:
    moments = {"hour": 100 * np.arange(10)}
    users = Columns({"user": np.arange(10)})
    batches = PairBatches(COLUMNS, users, indices_only, 10, seed=0, moments=moments)
    (batch,) = batches[0]
    np.testing.assert_array_equal(
        batch["query_inputs"]["hour"], 100 * batch["query_inputs"]["user"]
    )


def with_further(size: int, uniform: int, before: int, seed: int | None = 0) -> PairBatches:
    rng = np.random.default_rng(3)
    candidates = rng.integers(1, 30, 40).astype(np.int32)
    columns = {"user": np.arange(40, dtype=np.int32), "candidate": candidates}
    shares = (np.bincount(candidates, minlength=51) / 40).astype(np.float32)
    further = uniform, before
    return PairBatches(
        columns, indices_only, indices_only, size, seed, shares=shares, further=further
    )


def test_candidates_of_the_interactions_before_come_after_those_of_the_batch() -> None:
    plain, more = with_further(8, 0, 0), with_further(8, 0, 13)
    order = np.concatenate([plain[at][0]["candidate"] for at in range(5)])
    for at in range(5):
        (batch,) = more[at]
        before = np.take(order, np.arange(8 * at - 13, 8 * at), mode="wrap")
        np.testing.assert_array_equal(batch["candidate"][:8], order[8 * at :][:8])
        np.testing.assert_array_equal(batch["candidate"][8:], before)
        np.testing.assert_array_equal(batch["candidate_inputs"], batch["candidate"])
        np.testing.assert_array_equal(batch["probability"][:8], plain[at][0]["probability"])


def test_no_interaction_is_a_negative_of_its_own_batch() -> None:
    (batch,) = with_further(30, 0, 100)[1]
    assert len(batch["candidate"]) == 10 + 10


def test_uniform_negatives_are_any_candidates_and_change_the_chance_of_all() -> None:
    plain, mixed = with_further(8, 0, 0), with_further(8, 24, 0)
    drawn = []
    for at in range(5):
        (batch,) = mixed[at]
        assert batch["weight"].shape == (8,)
        counts = np.bincount(with_further(40, 0, 0)[0][0]["candidate"], minlength=51) / 40
        # A candidate's expected number in the pool of 32: 8 by choice, 24 evenly from 50.
        expected = (8 * counts[batch["candidate"]] + 24 / 50) / 32
        np.testing.assert_allclose(batch["probability"], expected, rtol=1e-6)
        np.testing.assert_array_equal(batch["candidate"][:8], plain[at][0]["candidate"])
        drawn.append(batch["candidate"][8:])
    assert np.min(drawn) >= 1
    assert np.max(drawn) > 30  # one that no interaction chose
    again = with_further(8, 24, 0)[0][0]["candidate"][8:]
    np.testing.assert_array_equal(again, drawn[0])
    assert not np.array_equal(again, drawn[1])


def test_what_is_measured_has_no_further_negatives() -> None:
    (batch,) = with_further(8, 5, 5, seed=None)[0]
    assert len(batch["candidate"]) == 8
