import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data.id_rows import GrowingIds, IdRows


@given(
    st.lists(st.lists(st.integers(-5, 5), max_size=6), min_size=1)
    | st.lists(st.lists(st.sampled_from(["", "a", "B", "é", "10", "9"]), max_size=6), min_size=1)
)
def test_ids_read_in_parts_are_those_read_at_once(parts: list[list]) -> None:
    dtype = pl.String if any(isinstance(id_, str) for part in parts for id_ in part) else pl.Int64
    growing = GrowingIds()
    for part in parts:
        growing.append(pl.Series(part, dtype=dtype))
    read = growing.whole()
    together = [id_ for part in parts for id_ in part]
    assert read.ids.to_list() == sorted(set(together))
    assert read.values().to_list() == together
    assert read.rows.dtype == np.int32


def test_some_of_the_ids_keep_only_their_own() -> None:
    column = IdRows.of(pl.Series(["b", "a", "c", "b"]))
    part = column.take(np.array([3, 0, 2]))
    assert (part.ids.to_list(), part.values().to_list()) == (["b", "c"], ["b", "b", "c"])
    assert column.take(np.array([False, True, False, False])).values().to_list() == ["a"]


def test_ids_of_another_type_are_sorted_as_that_type() -> None:
    column = IdRows.of(pl.Series([10, 9, 10])).cast(pl.String)
    assert (column.ids.to_list(), column.values().to_list()) == (["10", "9"], ["10", "9", "10"])


@pytest.mark.parametrize("other", [["a", "d"], []])
def test_rows_in_another_column_are_minus_one_for_ids_it_has_not(other: list[str]) -> None:
    column = IdRows.of(pl.Series(["d", "b", "a"]))
    expected = [other.index(id_) if id_ in other else -1 for id_ in ("a", "b", "d")]
    assert column.rows_in(IdRows.of(pl.Series(other, dtype=pl.String))).tolist() == expected
