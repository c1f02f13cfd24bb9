import numpy as np

from shortlist.models.inputs import indices_only
from shortlist.models.training import Batches

COLUMNS = {"user": np.arange(10), "candidate": 10 * np.arange(10)}


def batches_of(batch_size: int, seed: int | None) -> Batches:
    return Batches(COLUMNS, lambda users, _: users, indices_only, batch_size, seed)


def epoch(batches: Batches) -> list[list[int]]:
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
    batches.on_epoch_end()
    assert epoch(batches) != first


def test_without_a_seed_the_rows_keep_their_order() -> None:
    assert epoch(batches_of(5, seed=None)) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
