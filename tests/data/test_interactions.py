import hashlib
import random
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Interactions

USERS = [3, 1, 3]
ITEMS = ["b", "a", "a"]
RATINGS = [5.0, 3.5, 1.0]
TIMES = [100, 300, 200]
TABLE = {"user_id": USERS, "item_id": ITEMS, "rating": RATINGS, "timestamp": TIMES}


def from_csv_text(folder: Path, text: str | bytes, **options: object) -> Interactions:
    path = folder / "ratings.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Interactions.from_csv(path, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "read",
    [
        lambda folder: Interactions.from_polars(pl.DataFrame(TABLE)),
        lambda folder: Interactions.from_pandas(pd.DataFrame(TABLE, index=[7, 7, 7])),
        lambda folder: Interactions.from_pandas(
            pd.DataFrame(TABLE).astype({"item_id": "category"})
        ),
        lambda folder: Interactions.from_arrow(pa.table(TABLE)),
        lambda folder: Interactions.from_arrow(pa.table(TABLE).to_batches()[0]),
        lambda folder: Interactions.from_arrays(USERS, ITEMS, rating=RATINGS, timestamp=TIMES),
        lambda folder: Interactions.from_arrays(
            np.array(USERS, np.uint16), np.array(ITEMS), rating=np.array(RATINGS), timestamp=TIMES
        ),
        lambda folder: from_csv_text(folder, pd.DataFrame(TABLE).to_csv(index=False)),
        lambda folder: from_csv_text(
            folder, pd.DataFrame(TABLE).to_csv(index=False, sep=";"), separator=";"
        ),
        lambda folder: (
            pl.DataFrame(TABLE).write_parquet(folder / "r.parquet"),
            Interactions.from_parquet(folder / "r.parquet"),
        )[1],
    ],
)
def test_every_kind_of_table_gives_the_same(read: object, tmp_path: Path) -> None:
    interactions = read(tmp_path)  # type: ignore[operator]
    assert interactions.frame.schema == {
        "user_id": pl.Int64,
        "item_id": pl.String,
        "rating": pl.Float32,
        "timestamp": pl.Int64,
    }
    assert interactions.frame.to_dict(as_series=False) == TABLE
    assert interactions.user_ids.tolist() == [1, 3]
    assert interactions.item_ids.tolist() == ["a", "b"]
    assert len(interactions) == 3


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1)
    | st.lists(st.text(min_size=1), min_size=1)
)
def test_ids_come_back_as_they_came(ids: list[int] | list[str]) -> None:
    try:
        interactions = Interactions.from_arrays(ids, ids)
    except DataError:
        assert any("\ud800" <= letter <= "\udfff" for id_ in ids for letter in str(id_))
        return
    assert interactions.frame["user_id"].to_list() == ids
    assert interactions.frame["item_id"].to_list() == ids


def test_columns_may_have_other_names_and_others_are_left_out() -> None:
    frame = pl.DataFrame({"viewer": [1], "film": [2], "stars": [4], "device": ["tv"]})
    names = {"user_id": "viewer", "item_id": "film", "rating": "stars"}
    interactions = Interactions.from_polars(frame, columns=names)
    assert interactions.frame.to_dict(as_series=False) == {
        "user_id": [1],
        "item_id": [2],
        "rating": [4.0],
    }


def test_a_byte_order_mark_crlf_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbfuser_id,item_id,rating\r\n1,7,5\r\n\r\n2,8,4\r\n\r\n"
    interactions = from_csv_text(tmp_path, text)
    assert interactions.frame.rows() == [(1, 7, 5.0), (2, 8, 4.0)]


def test_columns_that_pandas_numbers_have_their_numbers_as_names() -> None:
    frame = pd.DataFrame([[1, 7], [2, 8]])
    read = Interactions.from_pandas(frame, columns={"user_id": 0, "item_id": "1"})  # type: ignore[dict-item]
    assert read.frame.rows() == [(1, 7), (2, 8)]


def test_a_lazy_frame_is_collected() -> None:
    lazy = pl.LazyFrame({"user_id": [1], "item_id": [7]})
    assert Interactions.from_polars(lazy, items=lazy).frame.rows() == [(1, 7)]  # type: ignore[arg-type]


def test_another_encoding_may_be_said(tmp_path: Path) -> None:
    text = "user_id,item_id\nZoë,7\n".encode("latin-1")
    assert from_csv_text(tmp_path, text, encoding="latin-1").user_ids.tolist() == ["Zoë"]


def test_numbers_that_are_not_written_plainly_stay_text(tmp_path: Path) -> None:
    interactions = from_csv_text(tmp_path, "user_id,item_id\n007,1\n042,2\n")
    assert interactions.user_ids.tolist() == ["007", "042"]
    assert interactions.item_ids.tolist() == [1, 2]


def test_ids_may_be_read_as_text(tmp_path: Path) -> None:
    interactions = from_csv_text(tmp_path, "user_id,item_id\n1,b1\n2,17\n", text_ids=True)
    assert interactions.user_ids.tolist() == ["1", "2"]
    assert interactions.item_ids.tolist() == ["17", "b1"]


@pytest.mark.parametrize(
    "times",
    [
        [86_400, 90_061],
        [86_400.7, 90_061.2],
        [datetime(1970, 1, 2, tzinfo=UTC), datetime(1970, 1, 2, 1, 1, 1, tzinfo=UTC)],
        ["1970-01-02", "1970-01-02T01:01:01Z"],
        ["1970-01-02T01:00:00+01:00", "1970-01-02 01:01:01"],
        ["86400", "90061"],
        np.array(["1970-01-02T00:00:00", "1970-01-02T01:01:01"], "datetime64[ms]"),
        pd.DatetimeIndex(["1970-01-02T00:00:00", "1970-01-02T01:01:01"]).to_series(),
    ],
)
def test_times_become_whole_seconds(times: object) -> None:
    interactions = Interactions.from_arrays([1, 2], [7, 8], timestamp=times)
    assert interactions.frame["timestamp"].to_list() == [86_400, 90_061]


def test_a_time_needs_no_seconds() -> None:
    interactions = Interactions.from_arrays(
        [1, 2], [7, 8], timestamp=["1970-01-02 01:01", "1970-01-02T01:02"]
    )
    assert interactions.frame["timestamp"].to_list() == [90_060, 90_120]


def test_duplicates_are_kept_unless_said_otherwise() -> None:
    assert len(Interactions.from_arrays([1, 1], [7, 7])) == 2


def test_duplicates_merge_into_the_latest_and_weights_add_up() -> None:
    merged = Interactions.from_arrays(
        [1, 2, 1, 1],
        [7, 7, 7, 7],
        rating=[5, 2, 4, 3],
        timestamp=[30, 5, 40, 10],
        weight=[1, 1, 2, 4],
        duplicates="merge",
    )
    assert merged.frame.rows() == [(2, 7, 2.0, 5, 1.0), (1, 7, 4.0, 40, 7.0)]


def test_without_times_duplicates_merge_into_the_last_row() -> None:
    merged = Interactions.from_arrays([1, 1], [7, 7], rating=[5, 2], duplicates="merge")
    assert merged.frame.rows() == [(1, 7, 2.0)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_merging_leaves_every_pair_once(pairs: list[tuple[int, int]]) -> None:
    users, items = zip(*pairs, strict=True)
    merged = Interactions.from_arrays(users, items, duplicates="merge")
    assert sorted(merged.frame.rows()) == sorted(set(pairs))


def test_features_of_users_and_items_come_along(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("title,item_id\nAlien,7\nBrazil,8\n")
    interactions = Interactions.from_arrays(
        [1, 2], [7, 8], users=pd.DataFrame({"user_id": [2, 1], "age": [40, None]}),
        items=tmp_path / "films.csv",
    )  # fmt: skip
    assert interactions.users is not None
    assert interactions.users.rows() == [(2, 40.0), (1, None)]
    assert interactions.items is not None
    assert interactions.items.rows() == [(7, "Alien"), (8, "Brazil")]


def test_features_from_a_file_follow_text_ids(tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("film,title,year\n007,Alien,1979\n")
    (tmp_path / "views.csv").write_text("user_id,film\n1,007\n")
    interactions = Interactions.from_csv(
        tmp_path / "views.csv", items=tmp_path / "films.csv", columns={"item_id": "film"}
    )
    assert interactions.item_ids.tolist() == ["007"]
    assert interactions.items is not None
    assert interactions.items.rows() == [("007", "Alien", 1979)]


def test_rows_may_be_taken_by_number_or_mask() -> None:
    whole = Interactions.from_arrays([1, 2, 3], [7, 8, 9])
    assert whole.take([2, 0]).frame["user_id"].to_list() == [3, 1]
    assert whole.take([True, False, True]).frame["user_id"].to_list() == [1, 3]


HEAD = "user_id,item_id,rating,timestamp,weight\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ratings.csv is empty"),
        ("user_id,item_id\n", "there are no rows in ratings.csv"),
        (
            "user_id,item_id\n1,2\nuser_id,item_id\n3,4\n",
            "'user_id', line 3: expected an id, and the header stands again, got 'user_id'",
        ),
        ("userId,item_id\n1,2\n", "no column 'user_id'; did you mean 'userId'"),
        ("user_id,item_id\n1,2,3\n", "ratings.csv, line 2: 3 values, and the header has 2 columns"),
        ("user_id,item_id\n1,\n", "column 'item_id', line 2: the id is missing"),
        (HEAD + "1,2,5,0,1\n1,3,good,0,1\n", "'rating', line 3: expected a number, got 'good'"),
        (HEAD + "1,2,5,0,1\n1,3,,0,1\n", "'rating', line 3: expected a number, got None"),
        (HEAD + "1,2,nan,0,1\n", "'rating', line 2: expected a finite number, got 'nan'"),
        (HEAD + "1,2,inf,0,1\n", "'rating', line 2: expected a finite number, got 'inf'"),
        (HEAD + "1,2,5,soon,1\n", "'timestamp', line 2: .* got 'soon'"),
        (HEAD + "1,2,5,0,1\n1,2,5,soon,1\n", "'timestamp', line 3: .* got 'soon'"),
        (
            HEAD + "1,2,5,1700000000,1\n1,2,5,1700000000000,1\n",
            "'timestamp', line 3: expected seconds .* looks like milliseconds, got '1700000000000'",
        ),
        (HEAD + "1,2,5,0,-1\n", "'weight', line 2: must be at least 0, got '-1'"),
        (
            b"user_id,item_id\n\xe9,2\n",
            r"line 2: the byte 0xe9 is no text in utf-8\. Pass encoding='cp1252'",
        ),
    ],
)
def test_an_error_names_file_column_line_and_value(
    text: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        from_csv_text(tmp_path, text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Interactions.from_pandas(
                pd.DataFrame({"user_id": [1, "a"], "item_id": [1, 2]})
            ),
            "the pandas frame: `user_id` must be all .* got 1 at position 0 and 'a' at position 1",
        ),
        (
            lambda: Interactions.from_pandas(
                pd.DataFrame({"user_id": [1, None], "item_id": [1, 2]})
            ),
            "column 'user_id', row 1: the id is missing",
        ),
        (
            lambda: Interactions.from_arrays(["a", 1], [1, 2]),
            "the arrays: `user_id` must be all .* got 'a' at position 0 and 1 at position 1",
        ),
        (lambda: Interactions.from_arrays([True], [1]), "integers or text, got the bool True at"),
        (lambda: Interactions.from_arrays([1.0], [1]), "integers or text, got the float 1.0 at"),
        (lambda: Interactions.from_arrays([1, 2], [1]), "as long as `user_ids`, 2, got 1"),
        (lambda: Interactions.from_arrays([[1]], [[1]]), "`user_id` must have one dimension"),
        (lambda: Interactions.from_arrays(np.ones((1, 2), int), [1]), r"got shape \(1, 2\)"),
        (lambda: Interactions.from_arrays([], []), "there are no rows in the arrays"),
        (
            lambda: Interactions.from_arrays([2**63], [1]),
            "`user_id` must fit in 64 bits, got 9223372036854775808 at position 0",
        ),
        (
            lambda: Interactions.from_arrays([1, 1], [2, 2], duplicates="error"),
            "column 'item_id', row 1: user 1 chose this item before .* got 2",
        ),
        (
            lambda: Interactions.from_arrays([1], [2], duplicates="drop"),  # type: ignore[arg-type]
            "'keep', 'merge' or 'error', got 'drop'",
        ),
        (
            lambda: Interactions.from_arrays([1], [2], rating=[None]),
            "column 'rating', row 0: expected a number, got None",
        ),
        (
            lambda: Interactions.from_polars(pl.DataFrame({"user_id": [1]}), columns={"user": "u"}),
            "unknown key 'user'; did you mean 'user_id'",
        ),
        (
            lambda: Interactions.from_polars(pl.DataFrame({"u": [1]}), columns={"user_id": "U"}),
            "no column 'U'; did you mean 'u'",
        ),
        (
            lambda: Interactions.from_arrays([1], [2], items={"item_id": [2, 2]}),
            "`items`, column 'item_id', row 1: each id may stand here once, got 2",
        ),
        (
            lambda: Interactions.from_arrays([1], [2], users={"user_id": ["1"]}),
            "`users`, column 'user_id', row 0: the ids of the interactions are integers, got '1'",
        ),
        (
            lambda: Interactions.from_arrays([1], [2], users={"user": [1]}),
            "`users` has no column 'user_id'; did you mean 'user'",
        ),
        (
            lambda: Interactions.from_pandas(pd.DataFrame([[1, 2, 3]], columns=[*"aab"])),
            "the pandas frame has more than one column 'a'",
        ),
        (
            lambda: Interactions.from_arrow(pa.table([pa.array([1])] * 2, names=["a", "a"])),
            "the Arrow table has more than one column 'a'",
        ),
        (
            lambda: Interactions.from_polars(
                pl.DataFrame({"u": [1]}), columns={"user_id": "u", "item_id": "u"}
            ),
            "`columns` names the column 'u' more than once",
        ),
        (lambda: Interactions.from_polars([1]), "a table with named columns, got list"),  # type: ignore[arg-type]
    ],
)
def test_what_is_wrong_with_a_table_is_named(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]


def test_the_place_of_an_error_is_right_wherever_it_is(tmp_path: Path) -> None:
    rng = random.Random(0)
    for _ in range(20):
        bad = rng.randrange(50)
        rows = [f"{i},{i},{'x' if i == bad else i}" for i in range(50)]
        with pytest.raises(DataError, match=f"line {bad + 2}: expected a number, got 'x'"):
            from_csv_text(tmp_path, "user_id,item_id,rating\n" + "\n".join(rows))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for read in (Interactions.from_csv, Interactions.from_parquet):
        with pytest.raises(FileNotFoundError, match=r"no file .*none\.csv"):
            read(tmp_path / "none.csv")


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "r.parquet").write_text("user_id,item_id\n1,2\n")
    with pytest.raises(DataError, match=r"r\.parquet cannot be read as Parquet"):
        Interactions.from_parquet(tmp_path / "r.parquet")


def test_a_fingerprint_tells_data_apart() -> None:
    views = Interactions.from_arrays([1, 1, 2, 2], [7, 8, 7, 9], timestamp=[1, 2, 3, 4])
    same = Interactions.from_arrays([1, 1, 2, 2], [7, 8, 7, 9])
    other = Interactions.from_arrays([1, 1, 2, 2], [7, 8, 9, 7])
    assert views.fingerprint() == same.fingerprint() != other.fingerprint()


def test_the_fingerprint_is_that_of_all_users_and_then_all_items() -> None:
    views = Interactions.from_arrays([3, 1, 3], ["b", "é", "a"])
    assert views.fingerprint() == hashlib.sha256("3\n1\n3b\né\na".encode()).hexdigest()
    assert views.fingerprint() != views.take([0, 2, 1]).fingerprint()
