import uuid
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Interactions

UUID = uuid.UUID(int=7)


def from_text(folder: Path, ids: list[str], **options: object) -> list[object]:
    path = folder / "views.csv"
    path.write_text("user_id,item_id\n" + "".join(f"1,{item}\n" for item in ids))
    return Interactions.from_csv(path, **options).frame["item_id"].to_list()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["7", "-1", "0"], [7, -1, 0]),
        (["031108", "147763"], ["031108", "147763"]),
        (["147763", "031108"], ["147763", "031108"]),
        (["1001", "A-17"], ["1001", "A-17"]),
        (["7.0", "8"], ["7.0", "8"]),
        (["+7", "8"], ["+7", "8"]),
        (["1e3", "8"], ["1e3", "8"]),
        ([str(2**63), "1"], [str(2**63), "1"]),
        ([" 7", "8 "], [7, 8]),
        ([" a", "b "], ["a", "b"]),
        (["NA", "b"], ["NA", "b"]),
    ],
)
def test_ids_in_text_are_integers_where_all_are_plain_ones(ids, expected, tmp_path) -> None:
    assert from_text(tmp_path, ids) == expected


@pytest.mark.parametrize("missing", ["NULL", "null", "NA", "nan", "None", "\\N", "<NA>"])
def test_what_other_programs_write_for_a_missing_integer_is_missing(missing, tmp_path) -> None:
    with pytest.raises(DataError, match=r"line 3: the id is missing, got .*Pass text_ids=True"):
        from_text(tmp_path, ["7", missing])
    assert from_text(tmp_path, ["7", missing], text_ids=True) == ["7", missing]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integers_come_back_from_text_as_they_were(ids: list[int]) -> None:
    from shortlist.data.columns import Source
    from shortlist.data.id_columns import id_columns

    column = pl.Series("item_id", list(map(str, ids)))
    (read,) = id_columns([(column, "item_id", Source("views.csv", typed=False))])
    assert read.to_list() == ids


@pytest.mark.parametrize(
    ("films", "expected"),
    [("7\n8\n", [7, 8]), ("7\nX9\n8\n", ["7", "8"]), ("007\n7\n8\n", ["7", "8"])],
)
def test_interactions_and_items_in_text_agree_on_the_type(films, expected, tmp_path) -> None:
    (tmp_path / "films.csv").write_text("item_id\n" + films)
    (tmp_path / "views.csv").write_text("user_id,item_id\n1,7\n1,8\n")
    read = Interactions.from_csv(tmp_path / "views.csv", items=tmp_path / "films.csv")
    assert read.item_ids.tolist() == expected
    assert read.items is not None
    assert set(read.items["item_id"]) >= set(expected)


def test_text_beside_a_typed_table_takes_its_type(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("user_id,item_id\n1,7\n1,8\n")
    for ids, expected in (([7, 8], [7, 8]), (["7", "8"], ["7", "8"])):
        items = pl.DataFrame({"item_id": ids})
        read = Interactions.from_csv(tmp_path / "views.csv", items=items)
        assert read.item_ids.tolist() == expected


def test_tables_with_ids_of_different_types_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("user_id,item_id\n1,7\n1,x8\n")
    items = pl.DataFrame({"item_id": [7]})
    with pytest.raises(
        DataError,
        match=r"views\.csv, .* line 3: the ids of `items` are integers, got 'x8'",
    ):
        Interactions.from_csv(tmp_path / "views.csv", items=items)
    with pytest.raises(DataError, match=r"`items`, .* row 0: the ids of the interactions are text"):
        Interactions.from_arrays([1], ["7"], items=items)
    read = Interactions.from_arrays([1], ["7"], items=items, text_ids=True)
    assert read.items is not None
    assert read.items["item_id"].to_list() == ["7"]


def test_a_table_that_knows_none_of_the_ids_is_refused(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("user_id,item_id\n1,7.0\n")
    (tmp_path / "films.csv").write_text("item_id,title\n7,Alien\n")
    with pytest.raises(DataError, match=r"films.csv.* none of its ids .* as '7', .* as '7.0'"):
        Interactions.from_csv(tmp_path / "views.csv", items=tmp_path / "films.csv")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([b"a", b"b"], ["a", "b"]),
        (np.array([b"a", b"b"]), ["a", "b"]),
        (pl.Series([b"a", b"b"]), ["a", "b"]),
        ([UUID], [str(UUID)]),
        (pl.Series([UUID], dtype=pl.Object), [str(UUID)]),
        (pd.Series([7, 8], index=[3, 5]), [7, 8]),
        (pd.Series(["a"], dtype="string"), ["a"]),
        (pd.Series([7], dtype="Int64"), [7]),
        (pd.Series(["a"], dtype="category"), ["a"]),
        (pa.array([7, 2**62]), [7, 2**62]),
        (pa.array(["a"]).dictionary_encode(), ["a"]),
        (pa.chunked_array([["a"], ["b"]]), ["a", "b"]),
        (pl.Series(["a"], dtype=pl.Enum(["a"])), ["a"]),
        (np.array([2**40], np.uint64), [2**40]),
        (pl.Series([7], dtype=pl.UInt8), [7]),
        ([-1, 7], [-1, 7]),
    ],
)
def test_ids_come_in_whatever_holds_them(ids: object, expected: list[object]) -> None:
    items = range(len(expected))
    assert Interactions.from_arrays(ids, items).frame["user_id"].to_list() == expected


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (pd.Series([1.0, None]), "row 1: the id is missing"),
        (pd.Series([1, None], dtype="Int64"), "row 1: the id is missing"),
        (pl.Series([1, None]), "row 1: the id is missing"),
        (["a", ""], "row 1: the id is missing, got ''"),
        (pl.Series([1.5]), r"row 0: ids must be integers or strings; convert them first \(Float64"),
        (pl.Series([[1]]), "ids must be integers or strings"),
        (pl.Series([2**63], dtype=pl.UInt64), "row 0: an integer id must fit in 64 bits"),
        ([1.7], "must be integers or text, got the float 1.7"),
        ([b"\xff"], "given as bytes must be UTF-8"),
        ([1, b"a"], "all integers or all text"),
    ],
)
def test_what_is_no_id_is_named(ids: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Interactions.from_arrays(ids, range(len(ids)))  # type: ignore[arg-type]
