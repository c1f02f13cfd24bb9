import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shortlist.data import DataError, Histories, Interactions, hold_out
from shortlist.data.files import read_table
from shortlist.data.splits import Manner

FRAME = pl.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"]})
ROWS = [(1, "a"), (2, "b")]


def lines(frame: pl.DataFrame) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in frame.to_dicts()).encode()


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("views.parquet", FRAME.write_parquet),
        ("views.pq", FRAME.write_parquet),
        ("views", FRAME.write_parquet),
        ("views.feather", FRAME.write_ipc),
        ("views.arrow", FRAME.write_ipc),
        ("views.ipc", FRAME.write_ipc),
        ("views.jsonl", lambda path: path.write_bytes(lines(FRAME))),
        ("views.ndjson.gz", lambda path: path.write_bytes(gzip.compress(lines(FRAME)))),
        ("views.json", lambda path: path.write_text(json.dumps(FRAME.to_dicts()))),
        ("views.csv", FRAME.write_csv),
        ("VIEWS.CSV", FRAME.write_csv),
        ("views.tsv", lambda path: FRAME.write_csv(path, separator="\t")),
        ("views.csv.gz", lambda path: path.write_bytes(gzip.compress(FRAME.write_csv().encode()))),
        ("views.log", FRAME.write_csv),
    ],
)
def test_a_file_is_what_its_name_or_its_first_bytes_say(name: str, write, tmp_path: Path) -> None:
    write(tmp_path / name)
    assert Interactions.from_file(tmp_path / name).frame.rows() == ROWS


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    FRAME[1:].write_parquet(tmp_path / "part-1.parquet")
    FRAME[:1].write_parquet(tmp_path / "part-0.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    (tmp_path / ".part-0.parquet.crc").write_text("x")
    (tmp_path / "README.md").write_text("x")
    assert Interactions.from_parquet(tmp_path).frame.rows() == ROWS
    assert Interactions.from_file(f"{tmp_path}/*.parquet").frame.rows() == ROWS
    assert Interactions.from_file(f"{tmp_path}/part-[1-9].parquet").frame.rows() == ROWS[1:]


def test_folders_of_partitions_become_columns(tmp_path: Path) -> None:
    for item, day in (("a", "2020-01-02"), ("b%2Fc", "2020-01-03")):
        folder = tmp_path / f"item_id={item}" / f"day={day}"
        folder.mkdir(parents=True)
        pl.DataFrame({"user_id": [1]}).write_parquet(folder / "part-0.parquet")
    read = Interactions.from_file(tmp_path, columns={"timestamp": "day"})
    assert read.frame.rows() == [(1, "a", 1_577_923_200), (1, "b/c", 1_578_009_600)]
    both = Interactions.from_file(f"{tmp_path}/item_id=*", columns={"timestamp": "day"})
    assert both.frame.equals(read.frame)


def test_partitions_that_are_all_numbers_are_integers(tmp_path: Path) -> None:
    for item in (7, 12):
        (tmp_path / f"item_id={item}").mkdir()
        FRAME.select("user_id").write_parquet(tmp_path / f"item_id={item}" / "0.parquet")
    assert Interactions.from_file(tmp_path).item_ids.tolist() == [7, 12]


def test_ids_of_all_files_of_a_folder_are_of_one_type(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id\n1,7\n")
    (tmp_path / "b.csv").write_text("user_id,item_id\n2,007\n")
    assert Interactions.from_file(tmp_path).frame.rows() == [(1, "7"), (2, "007")]


def test_an_error_in_one_of_several_files_names_the_file_and_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user_id,item_id,rating\n1,7,3\n2,7,3\n")
    (tmp_path / "b.csv").write_text("rating,user_id,item_id\n3,1,7\nx,2,7\n")
    with pytest.raises(DataError, match=r"^b\.csv, column 'rating', line 3: .* got 'x'"):
        Interactions.from_file(tmp_path)
    (tmp_path / "b.csv").write_text("user_id,item_id\n1,7\n")
    with pytest.raises(DataError, match=r"^b\.csv, column 'rating', line 2: .* got None"):
        Interactions.from_file(tmp_path)


def test_files_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.with_columns(user_id=pl.lit("x")).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"'user_id' is Int64 in a.parquet and String in b.parquet"):
        Interactions.from_file(tmp_path)
    (tmp_path / "c.csv").write_text("user_id,item_id\n1,7\n")
    with pytest.raises(DataError, match=r"several kinds: CSV, Parquet; name those of one"):
        Interactions.from_file(tmp_path)


@pytest.mark.parametrize("name", ["none.csv", "none-*.csv", "none/a.parquet"])
def test_what_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_table(tmp_path / name)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the folder .* holds no table"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("v.parquet", "Parquet"), ("v.arrow", "Arrow"), ("v.jsonl", "JSON lines"), ("v.json", "JSON")],
)
def test_a_file_that_is_not_what_it_is_called_is_named(name: str, kind: str, tmp_path) -> None:
    (tmp_path / name).write_text("user_id,item_id\n1,2\n")
    with pytest.raises(DataError, match=f"{name} cannot be read as {kind}"):
        read_table(tmp_path / name)


def test_a_table_of_features_may_have_another_separator(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("user_id;item_id\n1;7\n")
    (tmp_path / "films.tsv").write_text("item_id\ttitle\n7\tAlien\n")
    read = Interactions.from_csv(
        tmp_path / "views.csv", separator=";", items=tmp_path / "films.tsv"
    )
    assert read.items is not None
    assert read.items.rows() == [(7, "Alien")]


def test_a_folder_of_features_is_read(tmp_path: Path) -> None:
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.csv").write_text("item_id,year\n7,1979\n")
    (tmp_path / "films" / "b.csv").write_text("item_id,year\n8,\n")
    read = Interactions.from_arrays([1, 1], [7, 8], items=tmp_path / "films")
    assert read.items is not None
    assert read.items.rows() == [(7, 1979), (8, None)]


def many(count: int, seed: int = 0) -> pl.DataFrame:
    """Interactions of few users and items, each second that has any with several."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "user_id": rng.choice(["u10", "u9", "é", "b"], count),
            "item_id": rng.integers(-3, 9, count),
            "rating": rng.integers(1, 6, count).astype(np.float64),
            "timestamp": rng.integers(1_700_000_000, 1_700_000_030, count),
        }
    )


def written(folder: Path, frame: pl.DataFrame, sizes: list[int]) -> Path:
    """A folder of files of these sizes, each in a compression and an encoding of its own."""
    folder.mkdir()
    kinds = ("zstd", "snappy", "uncompressed", "gzip")
    start = 0
    for number, size in enumerate(sizes):
        part = frame[start : start + size]
        if number % 2:
            part = part.with_columns(
                pl.col("user_id").cast(pl.Categorical), pl.col("item_id").cast(pl.Int32)
            )
        path = folder / f"part-{number:02}.parquet"
        part.write_parquet(path, compression=kinds[number % 4], row_group_size=3)  # type: ignore[arg-type]
        start += size
    return folder


def test_a_folder_read_in_parts_equals_the_table_in_memory(request, tmp_path: Path) -> None:
    frame = many(47)
    whole = Interactions.from_polars(frame)
    request.getfixturevalue("on_disk")
    read = Interactions.from_parquet(written(tmp_path / "views", frame, [13, 0, 2, 1, 1, 30]))
    assert read.frame.equals(whole.frame)
    assert read.user_ids.tolist() == sorted(set(frame["user_id"]))
    assert read.user.rows.tolist() == whole.user.rows.tolist()
    assert read.fingerprint() == whole.fingerprint()
    assert Histories.from_interactions(read) == Histories.from_interactions(whole)


@pytest.mark.parametrize("how", ["random", "time", "last"])
def test_a_folder_is_split_as_the_table_in_memory(how: Manner, request, tmp_path: Path) -> None:
    frame = many(47)
    expected = hold_out(Interactions.from_polars(frame), how)
    histories = Histories.from_interactions(expected.train)
    leakage = expected.leakage()
    request.getfixturevalue("on_disk")
    split = hold_out(Interactions.from_parquet(written(tmp_path / "views", frame, [47])), how)
    assert split.train.frame.equals(expected.train.frame)
    assert split.test.frame.equals(expected.test.frame)
    assert split.leakage() == leakage
    assert Histories.from_interactions(split.train) == histories


@pytest.mark.usefixtures("on_disk")
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda part: part.cast({"user_id": pl.Categorical}).rename({"item_id": "item"}),
            "item_id",
        ),
        (lambda part: part.drop("timestamp"), "timestamp"),
        (lambda part: part.cast({"item_id": pl.String}), "'item_id' is Int64 in part-00.* String"),
        (lambda part: part.with_columns(pl.col("item_id").implode().over("item_id")), "List"),
        (lambda part: part.with_columns(user_id=None), "the id is missing, got None"),
        (lambda part: part.with_columns(pl.col("timestamp") * 1000), "looks like milliseconds"),
        (lambda part: part.with_columns(rating=pl.lit(float("nan"))), "row 0: expected a finite"),
        (lambda part: part.with_columns(rating=pl.lit("five")), "Float64 in part-00.* String"),
    ],
)
def test_a_file_that_differs_from_those_before_is_named(change, problem, tmp_path: Path) -> None:
    folder = written(tmp_path / "views", many(30), [10, 10, 10])
    changed = change(pl.read_parquet(folder / "part-01.parquet"))
    changed.write_parquet(folder / "part-01.parquet")
    with pytest.raises(DataError, match=problem) as error:
        Interactions.from_parquet(folder)
    assert "part-01.parquet" in str(error.value)


@pytest.mark.usefixtures("on_disk")
def test_a_damaged_file_in_the_middle_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path / "views", many(60), [20, 20, 20])
    sound = (folder / "part-01.parquet").read_bytes()
    for damaged in (b"", b"PAR1", sound[:500], sound[:4] + bytes(200) + sound[204:], b"text"):
        (folder / "part-01.parquet").write_bytes(damaged)
        with pytest.raises(DataError, match=r"part-01\.parquet cannot be read as Parquet"):
            Interactions.from_parquet(folder)


@pytest.mark.usefixtures("on_disk")
def test_a_row_of_a_large_file_is_counted_from_its_start(tmp_path: Path) -> None:
    frame = many(23).with_columns(rating=pl.when(pl.int_range(23) != 17).then(4.0))
    frame.write_parquet(tmp_path / "a.parquet")
    for path in (tmp_path, tmp_path / "a.parquet"):
        with pytest.raises(DataError, match=r"^a\.parquet, column 'rating', row 17: "):
            Interactions.from_parquet(path)


@pytest.mark.usefixtures("on_disk")
def test_a_folder_of_empty_tables_has_no_rows(tmp_path: Path) -> None:
    many(3)[:0].write_parquet(tmp_path / "a.parquet")
    many(3)[:0].write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="there are no rows in"):
        Interactions.from_parquet(tmp_path)


@pytest.mark.usefixtures("on_disk")
def test_ids_of_features_are_those_of_all_files(tmp_path: Path) -> None:
    folder = written(tmp_path / "views", many(30), [10, 10, 10])
    films = pl.DataFrame({"item_id": list(range(-3, 9)), "title": ["A"] * 12})
    films.write_parquet(tmp_path / "films.parquet")
    read = Interactions.from_parquet(folder, items=tmp_path / "films.parquet")
    assert read.items is not None
    assert read.items.equals(films)
    with pytest.raises(DataError, match="the ids of the interactions are integers"):
        Interactions.from_parquet(folder, items=films.cast({"item_id": pl.String}))


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt32, pl.UInt64])
def test_integers_of_every_width_are_the_same_ids(dtype: Any, tmp_path: Path) -> None:
    large = 2**62 + 1  # no float
    pl.DataFrame({"user_id": [large], "item_id": [7]}).write_parquet(tmp_path / "a.parquet")
    narrow = pl.DataFrame({"user_id": [2], "item_id": [7]}).cast(dtype)
    narrow.write_parquet(tmp_path / "b.parquet")
    read = Interactions.from_parquet(tmp_path)
    assert read.user_ids.tolist() == [2, large]
    assert read.item_ids.tolist() == [7]
