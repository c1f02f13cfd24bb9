from collections import Counter

import numpy as np
import pytest

from shortlist.data.shuffle import Shuffled

COLUMNS = {"row": np.arange(23), "half": np.arange(23) / 2}


def order(seed: int, step: int = 4) -> list[int]:
    rows = Shuffled(COLUMNS, [seed])
    parts = [rows.read(start, start + step) for start in range(0, len(rows), step)]
    for part in parts:
        assert np.array_equal(part["half"], part["row"] / 2)
    return [row for part in parts for row in part["row"].tolist()]


@pytest.fixture(params=[1_000, 5])
def at_once(request, monkeypatch) -> int:
    """Rows shuffled in memory: all of them, or fewer."""
    monkeypatch.setattr("shortlist.data.shuffle.AT_ONCE", request.param)
    return request.param


def test_every_row_comes_once_and_the_seed_decides_when(at_once: int) -> None:
    assert sorted(order(0)) == list(range(23))
    assert order(0) == order(0) == order(0, step=7) == order(0, step=23)
    assert order(0) != order(1)


def test_rows_are_as_likely_at_every_place(at_once: int) -> None:
    # Of 2,300 orders each row stands 100 times at each place, give or take 10.
    places = np.zeros((23, 23))
    neighbours: Counter[int] = Counter()
    for seed in range(2_300):
        drawn = order(seed, step=23)
        places[np.arange(23), drawn] += 1
        neighbours.update([drawn.index(1) - drawn.index(0)])
    assert abs(places - 100).max() < 50
    # Rows 0 and 1 are neighbours in 2 of 23 orders: 200, give or take 14.
    assert 140 < neighbours[1] + neighbours[-1] < 260


@pytest.mark.usefixtures("on_disk")
def test_columns_in_files_are_shuffled_too(at_once: int) -> None:
    drawn = order(3)
    assert sorted(drawn) == list(range(23))
    assert drawn == order(3, step=7)


def test_an_order_in_memory_is_that_of_numpy() -> None:
    assert order(3) == np.random.default_rng([3]).permutation(23).tolist()
