"""Tables as they come, checked and converted to the columns of `Interactions`."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy.typing as npt
import polars as pl

from shortlist.data.columns import Source, as_series, first, number_column
from shortlist.data.errors import DataError, nearest
from shortlist.data.files import Files, read_features
from shortlist.data.id_columns import id_columns
from shortlist.data.id_rows import GrowingIds, IdRows
from shortlist.data.storage import Growing
from shortlist.data.times import Times, TimeUnit

Duplicates = Literal["keep", "merge", "error"]


class Tables(NamedTuple):
    """Interactions, and what is known of users and of items: what `Interactions` is made of."""

    user: IdRows
    item: IdRows
    values: dict[str, npt.NDArray[Any]]
    users: pl.DataFrame | None
    items: pl.DataFrame | None


TITLE = "title"  # what people see of an item

COLUMNS = ("user_id", "item_id", "rating", "timestamp", "weight")
VALUES: dict[str, Any] = {"rating": pl.Float32, "timestamp": pl.Int64, "weight": pl.Float32}


def read_tables(table: Any, source: Source, **options: Any) -> Tables:
    """Check and convert one table; arguments as in `Interactions.from_file`."""
    return read_parts([(table, source)], **options)


def read_parts(
    parts: Iterable[tuple[Any, Source]],
    *,
    users: Any = None,
    items: Any = None,
    columns: Mapping[str, str] | None = None,
    duplicates: Duplicates = "keep",
    text_ids: bool = False,
    time_unit: TimeUnit | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> Tables:
    """Check and convert a table that comes part by part; one part at a time is in memory.

    The arguments after the parts are as in `Interactions.from_file`.
    """
    if duplicates not in ("keep", "merge", "error"):
        raise DataError(f"`duplicates` must be 'keep', 'merge' or 'error', got {duplicates!r}.")
    names = {ours: str(theirs) for ours, theirs in (columns or {}).items()}
    given = {"user_id": users, "item_id": items}
    reading = _Reading(names, given, Times(time_unit), text_ids, separator, encoding)
    source = Source("the table")
    for table, source in parts:
        reading.append(table, source)
    return _duplicates(reading.whole(source), source, duplicates)


class _Reading:
    """Columns and tables of features as they are after the parts that were read."""

    def __init__(
        self,
        names: Mapping[str, str],
        about: Mapping[str, Any],
        times: Times,
        text_ids: bool,
        separator: str | None,
        encoding: str | None,
    ) -> None:
        self._names = names
        self._given = about  # users and items, as they were given
        self._times = times
        self._text_ids = text_ids
        self._separator, self._encoding = separator, encoding
        self._taken: dict[str, str] = {}
        self._begun = Source("")
        self._ids = {"user_id": GrowingIds(), "item_id": GrowingIds()}
        self._values: dict[str, Growing] = {}
        self._about: dict[str, tuple[Any, Source, str, pl.Series]] = {}

    def append(self, table: Any, source: Source) -> None:
        """Read the next part."""
        table, given = _with_names(table, source)
        self._check_columns(_taken(self._names, given, source), source)
        if isinstance(table, Files):
            table = table.read(list(self._taken.values()))
        user, item = self._taken["user_id"], self._taken["item_id"]
        if not source.typed and table.schema[user] == pl.String:
            _check_header(table, user, item, source)
        if not len(table[user]):
            return
        for ours, theirs in self._taken.items():
            if ours in VALUES:
                series = as_series(table[theirs], theirs, source)
                if ours == "timestamp":
                    series = self._times.read(series, source)
                else:
                    series = number_column(series, source, minimum=0 if ours == "weight" else None)
                array = series.to_numpy()
                self._values.setdefault(ours, Growing(array.dtype)).append(array)
        for key, growing in self._ids.items():
            columns = [(table[self._taken[key]], self._taken[key], source)]
            if self._given[key] is None or key in self._about:
                (ids,) = id_columns(columns, text_ids=self._text_ids)
            else:  # the first part decides with the table of features what ids are
                opened = _opened(
                    self._given[key],
                    key,
                    self._names,
                    f"{key[:-3]}s",
                    self._separator,
                    self._encoding,
                )
                features, theirs_source, theirs = opened
                columns.append((features[theirs], theirs, theirs_source))
                ids, of_features = id_columns(columns, text_ids=self._text_ids)
                self._about[key] = (*opened, of_features)
            growing.append(ids)

    def whole(self, source: Source) -> Tables:
        """Return all that was read; `source` is where the last part came from."""
        user, item = self._ids["user_id"].whole(), self._ids["item_id"].whole()
        if not len(user):
            raise DataError(f"there are no rows in {source.name}.")
        features = {
            key: _features(*self._about[key], key, column)
            for key, column in (("user_id", user), ("item_id", item))
            if key in self._about
        }
        values = {name: growing.whole() for name, growing in self._values.items()}
        return Tables(user, item, values, features.get("user_id"), features.get("item_id"))

    def _check_columns(self, here: dict[str, str], source: Source) -> None:
        """Refuse a part that has fewer or more of our columns than the first."""
        if not self._taken:
            self._taken, self._begun = here, source
        for ours in {**self._taken, **here}:
            if ours not in here:
                raise _missing(source, self._taken[ours], self._begun)
            if ours not in self._taken:
                raise _missing(self._begun, here[ours], source)


def _missing(source: Source, column: str, other: Source) -> DataError:
    return DataError(f"{source.name} has no column {column!r}, and {other.name} has.")


def _taken(names: Mapping[str, str], given: Sequence[str], source: Source) -> dict[str, str]:
    """Return what the columns that are read are called, by our names."""
    for ours, theirs in names.items():
        if ours not in COLUMNS:
            raise DataError(f"`columns` has an unknown key {ours!r}{nearest(ours, COLUMNS)}")
        _check_column(theirs, given, source)
    for needed in ("user_id", "item_id"):
        if needed not in names:
            _check_column(needed, given, source, remedy=("columns", {needed: "NAME"}))
    for theirs in names.values():
        if list(names.values()).count(theirs) > 1:
            raise DataError(f"`columns` names the column {theirs!r} more than once.")
    taken = {ours: names.get(ours, ours) for ours in COLUMNS if ours in names or ours in given}
    for theirs in taken.values():
        if theirs in source.repeated:
            raise DataError(f"{source.name} has more than one column {theirs!r}; rename one.")
    return taken


def as_frame(table: Any, source: Source) -> pl.DataFrame:
    """Return any table with named columns as a Polars frame, its values as they are.

    Args:
        table: A Polars, pandas or Arrow table, or a mapping of columns.
        source: The table in error messages.

    Raises:
        DataError: It is no table, or has columns of several lengths.
    """
    table, names = _with_names(table, source)
    columns = {name: as_series(table[name], name, source) for name in names}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"{source.name} has columns of different lengths: {lengths}.")
    return pl.DataFrame(columns)


def _check_column(
    name: str, given: Sequence[str], source: Source, remedy: tuple[str, object] | None = None
) -> None:
    if name in given:
        return
    if len(given) == 1 and not source.typed and (other := re.search(r"[^\w.-]", given[0])):
        remedy = ("separator", other[0])
    raise DataError(f"{source.name} has no column {name!r}{nearest(name, given)}", remedy=remedy)


def _check_header(table: pl.DataFrame, user: str, item: str, source: Source) -> None:
    """Refuse files put one after the other with their headers."""
    again = (table[user].str.strip_chars() == user) & (table[item].cast(pl.String) == item)
    if again.any():
        raise source.error(user, first(again), user, "expected an id, and the header stands again")


def _with_names(table: Any, source: Source) -> tuple[Any, list[str]]:
    """Return a table with the names of its columns, all of them text and different."""
    if isinstance(table, pl.LazyFrame):
        table = table.collect()
    if isinstance(table, Files):
        return table, table.columns
    if isinstance(table, Mapping):
        return table, list(table)
    names = table.column_names if hasattr(table, "column_names") else None
    names = getattr(table, "columns", None) if names is None else names
    if names is None:
        raise DataError(
            f"{source.name}: expected a table with named columns, got {type(table).__name__}."
        )
    given = [str(name) for name in names]
    if repeated := [name for name in given if given.count(name) > 1]:
        raise DataError(f"{source.name} has more than one column {repeated[0]!r}; rename one.")
    if given != list(names):  # pandas numbers columns without a header
        table = table.set_axis(given, axis=1)
    return table, given


def _duplicates(tables: Tables, source: Source, duplicates: Duplicates) -> Tables:
    if duplicates == "keep":
        return tables
    pair = ["user", "item"]
    frame = pl.DataFrame({"user": tables.user.rows, "item": tables.item.rows, **tables.values})
    if duplicates == "error":
        repeated = frame.select(~pl.struct(pair).is_first_distinct()).to_series()
        if repeated.any():
            row = repeated.arg_max() or 0
            user, item = (
                each.values(slice(row, row + 1))[0] for each in (tables.user, tables.item)
            )
            problem = (
                f"user {user!r} chose this item before (duplicates='merge' or 'keep' allow it)"
            )
            raise source.error("item_id", row, item, problem)
        return tables
    latest = pl.col("timestamp" if "timestamp" in frame.columns else "row").rank("ordinal")
    merged = frame.with_row_index("row").with_columns(latest.alias("order")).sort("order")
    rest = [pl.col(name).last() for name in tables.values if name != "weight"]
    if "weight" in frame.columns:
        rest.append(pl.col("weight").sum())
    kept = (
        merged.group_by(pair, maintain_order=True)
        .agg(*rest, pl.col("row").last())
        .sort("row")
        .select(frame.columns)
    )
    return tables._replace(
        user=IdRows(tables.user.ids, kept["user"].to_numpy()),
        item=IdRows(tables.item.ids, kept["item"].to_numpy()),
        values={name: kept[name].to_numpy() for name in tables.values},
    )


def _opened(
    table: Any,
    key: str,
    names: Mapping[str, str],
    argument: str,
    separator: str | None,
    encoding: str | None,
) -> tuple[Any, Source, str]:
    """Return a table of features, its source, and the name of its column of ids."""
    source = Source(f"`{argument}`")
    mapped = names.get(key, key)
    if isinstance(table, (str, Path)):
        table, source = read_features(
            table, (mapped, key), TITLE, separator=separator, encoding=encoding
        )
    table, given = _with_names(table, source)
    theirs = mapped if mapped in given else key
    _check_column(theirs, given, source)
    if source.repeated:
        raise DataError(
            f"{source.name} has more than one column {source.repeated[0]!r}; rename one."
        )
    return table, source, theirs


def _features(
    table: Any, source: Source, theirs: str, ids: pl.Series, key: str, known: IdRows
) -> pl.DataFrame:
    """Return a feature table with `key` first; a column of the user's called so is `own_…`."""
    if (repeated := ~ids.is_first_distinct()).any():
        row = first(repeated)
        raise source.error(theirs, row, ids[row], "each id may stand here once")
    if len(ids) and not ids.is_in(known.ids.implode()).any():
        raise DataError(
            f"{source.name}, column {theirs!r}: none of its ids is one of the interactions; they "
            f"are as {ids[0]!r}, those of the interactions as {known.values(slice(1))[0]!r}."
        )
    features: dict[str, pl.Series] = {}
    for name in _with_names(table, source)[1]:
        if name != theirs:
            series = as_series(table[name], name, source)
            ours = own_name(key) if name == key else name
            if ours in features:
                raise DataError(f"{source.name} has more than one column {ours!r}; rename one.")
            features[ours] = (
                as_text(series, source) if name == TITLE and key == "item_id" else series
            )
    return pl.DataFrame({key: ids, **features})


def own_name(key: str) -> str:
    """Return what a column of the user's is called here if its own name is that of our ids."""
    return f"own_{key}"


def as_text(series: pl.Series, source: Source) -> pl.Series:
    """Return any column that can be read by people as text.

    Raises:
        DataError: A column of lists, structures or bytes.
    """
    if series.dtype == pl.String:
        return series
    if series.dtype.is_nested() or series.dtype in (pl.Binary, pl.Object):
        raise DataError(
            f"{source.name}, column {series.name!r}: expected text, got {series.dtype}."
        )
    return series.cast(pl.String)
