import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError
from shortlist.data.storage import Growing, blocks, column, counts, gathered, grouped, taken

VALUES = np.arange(100, 123)


@pytest.mark.usefixtures("on_disk")
def test_a_large_column_is_a_file_without_a_name(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    values = column(23, np.int64)
    values[:] = VALUES
    for block in blocks(23, values):
        values[block] += 1
    assert values.tolist() == (VALUES + 1).tolist()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("on_disk")
def test_a_column_without_room_names_the_folder(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DataError, match=rf"GB needs a file in {tmp_path}: .* TMPDIR"):
        column(2**58, np.int64)


@given(st.lists(st.lists(st.integers(-9, 9), max_size=5)))
def test_a_growing_column_holds_all_in_order(parts: list[list[int]]) -> None:
    growing = Growing(np.int32)
    for part in parts:
        growing.append(np.array(part, np.int32))
    assert growing.whole().tolist() == [value for part in parts for value in part]
    assert growing.whole().dtype == np.int32


@pytest.mark.usefixtures("on_disk")
def test_blocks_cover_every_row_once() -> None:
    assert np.concatenate([VALUES[block] for block in blocks(23)]).tolist() == VALUES.tolist()
    assert max(len(VALUES[block]) for block in blocks(23)) == 5


@pytest.mark.usefixtures("on_disk")
def test_passes_in_blocks_equal_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    rows, mask = rng.integers(0, 23, 60), rng.random(23) < 0.5
    assert np.array_equal(taken(VALUES, rows), VALUES[rows])
    assert np.array_equal(taken(VALUES, mask), VALUES[mask])
    assert np.array_equal(gathered(VALUES, rows), VALUES[rows])
    assert np.array_equal(counts(rows, 30), np.bincount(rows, minlength=30))


@pytest.mark.usefixtures("on_disk")
def test_rows_of_a_group_stand_together_in_the_order_they_had(monkeypatch) -> None:
    monkeypatch.setattr("shortlist.data.storage.BLOCK", 1_000)
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 2_500).astype(np.uint8)
    values, letters = rng.integers(0, 99, 2_500), rng.random(2_500).astype(np.float32)
    (sorted_values, sorted_letters), starts = grouped([values, letters], groups, 5)
    order = np.argsort(groups, kind="stable")
    assert np.array_equal(sorted_values, values[order])
    assert np.array_equal(sorted_letters, letters[order])
    assert starts.tolist() == [*np.searchsorted(groups[order], range(5)).tolist(), 2_500]
