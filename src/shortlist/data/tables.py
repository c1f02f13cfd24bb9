"""Tables as they come, checked and converted to the columns of `Interactions`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl

from shortlist.data.columns import Source, as_series, id_column, number_column, time_column
from shortlist.data.errors import DataError, nearest
from shortlist.data.files import read_csv, read_parquet

Duplicates = Literal["keep", "merge", "error"]

# Interactions, and what is known of users and of items.
Tables = tuple[pl.DataFrame, pl.DataFrame | None, pl.DataFrame | None]

COLUMNS = ("user_id", "item_id", "rating", "timestamp", "weight")


def read_tables(
    table: Any,
    source: Source,
    *,
    users: Any = None,
    items: Any = None,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "keep",
    text_ids: bool = True,
) -> Tables:
    """Check and convert tables; arguments as in `Interactions.from_csv`."""
    if duplicates not in ("keep", "merge", "error"):
        raise DataError(f"`duplicates` must be 'keep', 'merge' or 'error', got {duplicates!r}.")
    names = dict(columns or {})
    given = _columns_of(table)
    for ours, theirs in names.items():
        if ours not in COLUMNS:
            raise DataError(f"`columns` has an unknown key {ours!r}{nearest(ours, COLUMNS)}")
        if theirs not in given:
            raise DataError(f"{source.name} has no column {theirs!r}{nearest(theirs, given)}")
    for needed in ("user_id", "item_id"):
        if needed not in names and needed not in given:
            raise DataError(
                f"{source.name} has no column {needed!r}{nearest(needed, given)} "
                f"Say columns={{{needed!r}: …}}."
            )
    taken = {
        ours: as_series(table[names.get(ours, ours)], names.get(ours, ours), source)
        for ours in COLUMNS
        if ours in names or ours in given
    }
    if not len(taken["user_id"]):
        raise DataError(f"{source.name} has no rows.")
    out: dict[str, pl.Series] = {}
    for ours, series in taken.items():
        if ours in ("user_id", "item_id"):
            out[ours] = id_column(series, source, from_text=not text_ids)
        elif ours == "timestamp":
            out[ours] = time_column(series, source)
        else:
            out[ours] = number_column(series, source, minimum=0 if ours == "weight" else None)
    frame = _duplicates(pl.DataFrame(out), source, duplicates)
    return (
        frame,
        _features(users, "user_id", names, frame, "users"),
        _features(items, "item_id", names, frame, "items"),
    )


def _columns_of(table: Any) -> list[str]:
    if isinstance(table, Mapping):
        return list(table)
    names = (
        table.column_names if hasattr(table, "column_names") else getattr(table, "columns", None)
    )
    if names is None:
        raise DataError(f"expected a table with named columns, got {type(table).__name__}.")
    return [str(name) for name in names]


def _duplicates(frame: pl.DataFrame, source: Source, duplicates: Duplicates) -> pl.DataFrame:
    pair = ["user_id", "item_id"]
    if duplicates == "keep":
        return frame
    if duplicates == "error":
        repeated = frame.select(~pl.struct(pair).is_first_distinct()).to_series()
        if repeated.any():
            row = repeated.arg_max() or 0
            user, item = frame.select(pair).row(row)
            problem = (
                f"user {user!r} chose this item before (duplicates='merge' or 'keep' allow it)"
            )
            raise source.error("item_id", row, item, problem)
        return frame
    latest = pl.col("timestamp" if "timestamp" in frame.columns else "row").rank("ordinal")
    merged = frame.with_row_index("row").with_columns(latest.alias("order")).sort("order")
    rest = [pl.col(name).last() for name in frame.columns if name not in (*pair, "weight")]
    if "weight" in frame.columns:
        rest.append(pl.col("weight").sum())
    return (
        merged.group_by(pair, maintain_order=True)
        .agg(*rest, pl.col("row").last())
        .sort("row")
        .select(frame.columns)
    )


def _features(
    table: Any, key: str, names: Mapping[str, str], frame: pl.DataFrame, argument: str
) -> pl.DataFrame | None:
    """Return a feature table with `key` first, of the type of the ids in `frame`."""
    if table is None:
        return None
    source, from_file = Source(f"`{argument}`"), False
    if isinstance(table, (str, Path)):
        path = Path(table)
        from_file = path.suffix.lower() != ".parquet"
        ids_in = (key, names.get(key, key))
        table, source = read_csv(path, text=ids_in) if from_file else read_parquet(path)
    given = _columns_of(table)
    theirs = names.get(key, key) if names.get(key, key) in given else key
    if theirs not in given:
        raise DataError(f"{source.name} has no column {theirs!r}{nearest(theirs, given)}")
    features = {name: as_series(table[name], name, source) for name in given if name != theirs}
    ids = as_series(table[theirs], theirs, source)
    ids = id_column(ids, source, from_text=from_file and frame[key].dtype == pl.Int64)
    if ids.dtype != frame[key].dtype and len(ids):
        expected = "strings" if frame[key].dtype == pl.String else "integers"
        raise source.error(theirs, 0, ids[0], f"the ids of the interactions are {expected}")
    if (repeated := ~ids.is_first_distinct()).any():
        row = repeated.arg_max() or 0
        raise source.error(theirs, row, ids[row], "each id may stand here once")
    return pl.DataFrame({key: ids, **features})
