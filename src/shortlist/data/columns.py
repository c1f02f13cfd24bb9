"""One column at a time: to the type this project keeps, or an error that says where and what."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from shortlist.data.errors import DataError

_MILLISECONDS_FROM = 100_000_000_000  # as seconds this is the year 5138


@dataclass(frozen=True)
class Source:
    """Where a table came from, for error messages.

    Attributes:
        name: A file name, or what kind of table it was.
        lines: For a file, the line of each row; without it rows are counted from 0.
    """

    name: str
    lines: np.ndarray[Any, np.dtype[np.int64]] | None = field(default=None, repr=False)

    def error(self, column: str, row: int, value: object, problem: str) -> DataError:
        """Return the error for one value."""
        place = f"row {row}" if self.lines is None else f"line {self.lines[row]}"
        return DataError(f"{self.name}, column {column!r}, {place}: {problem}, got {value!r}.")


def as_series(values: Any, column: str, source: Source) -> pl.Series:
    """Return any one-dimensional sequence as a Polars series, mixed types refused.

    Args:
        values: A Polars, pandas or Arrow column, an array, or a sequence.
        column: Its name in error messages.
        source: Its table in error messages.

    Raises:
        DataError: Values of different types, more than one dimension, or an unknown type.
    """
    if isinstance(values, pl.Series):
        series = values
    elif isinstance(values, np.ndarray) and values.ndim != 1:
        raise DataError(
            f"{source.name}, column {column!r}: expected one dimension, got shape {values.shape}."
        )
    elif isinstance(values, np.ndarray) and values.dtype.kind in "iufbM":
        series = pl.Series(values)
    elif _library(values) in ("pandas", "pyarrow"):
        series = _foreign_series(values, column, source)
    else:
        series = _series_of_one_type(values, column, source)
    if series.dtype == pl.Object:
        series = _series_of_objects(series.to_list(), column, source)
    return series.alias(column)


def _library(values: object) -> str:
    return type(values).__module__.partition(".")[0]


def _foreign_series(values: Any, column: str, source: Source) -> pl.Series:
    if str(getattr(values, "dtype", "")) == "object":
        return _series_of_one_type(values.tolist(), column, source)
    converted = pl.from_pandas(values) if _library(values) == "pandas" else pl.from_arrow(values)
    if not isinstance(converted, pl.Series):
        raise DataError(f"{source.name}, column {column!r}: expected one column, got a table.")
    return converted


def _series_of_one_type(values: Any, column: str, source: Source) -> pl.Series:
    """Return a sequence of one type at once; anything else value by value."""
    try:
        return pl.Series(values if isinstance(values, np.ndarray) else list(values))
    except (TypeError, pl.exceptions.PolarsError):
        return _series_of_objects(list(values), column, source)


def _series_of_objects(values: list[Any], column: str, source: Source) -> pl.Series:
    """Return a list as a series: all integers, all strings, all numbers, or an error."""
    plain = [None if isinstance(v, float) and math.isnan(v) else v for v in values]
    kinds = {str if isinstance(v, str) else type(v) for v in plain if v is not None}
    if len(kinds) > 1 and str in kinds:
        first = next(v for v in plain if v is not None)
        for row, value in enumerate(plain):
            if value is not None and isinstance(value, str) != isinstance(first, str):
                raise source.error(
                    column,
                    row,
                    value,
                    f"values must be of one type; the first is {type(first).__name__} {first!r}",
                )
    try:
        return pl.Series(column, [str(v) if isinstance(v, str) else v for v in plain], strict=False)
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{source.name}, column {column!r}: {error}") from error


def id_column(
    series: pl.Series, source: Source, *, from_text: bool = False, missing: bool = False
) -> pl.Series:
    """Return ids as Int64 or String, just as they came.

    Args:
        series: The column.
        source: Its table in error messages.
        from_text: True where every value was read as text (a CSV file): ids that are all whole
            numbers, written plainly, become integers; `"007"` and `"u7"` stay text.
        missing: True where ids may be missing (null or the empty string).

    Raises:
        DataError: A missing id, some ids numbers and others not, or a type that is neither.
    """
    column = series.name
    if isinstance(series.dtype, (pl.Categorical, pl.Enum)):
        series = series.cast(pl.String)
    if series.dtype.is_float():
        series = series.fill_nan(None)
    if series.null_count() and not missing:
        row = _first(series.is_null())
        raise source.error(column, row, None, "the id is missing")
    if series.dtype == pl.String:
        if not missing and (empty := series == "").any():
            raise source.error(column, _first(empty), "", "the id is missing")
        return _ids_from_text(series, source) if from_text else series
    if series.dtype.is_integer():
        try:
            return series.cast(pl.Int64)
        except pl.exceptions.InvalidOperationError as error:
            row = _first(series > np.iinfo(np.int64).max)
            problem = "an integer id must fit in 64 bits"
            raise source.error(column, row, series[row], problem) from error
    if series.dtype == pl.Null:
        return series.cast(pl.Int64)
    remedy = "ids must be integers or strings; convert them first"
    if series.is_empty():
        raise DataError(f"{source.name}, column {column!r}: {remedy}, got {series.dtype}.")
    raise source.error(column, 0, series[0], f"{remedy} ({series.dtype})")


def _ids_from_text(series: pl.Series, source: Source) -> pl.Series:
    numbers = series.cast(pl.Int64, strict=False)
    plain = (numbers.cast(pl.String) == series).fill_null(False)
    if plain.all():
        return numbers
    if plain.any():
        row = _first(plain != plain[0])
        raise source.error(
            series.name,
            row,
            series[row],
            f"ids must be of one type; the first is {series[0]!r} and some are numbers, some are "
            "not (pass text_ids=True to read them all as text)",
        )
    return series


def number_column(series: pl.Series, source: Source, *, minimum: float | None = None) -> pl.Series:
    """Return numbers as Float32, all finite.

    Args:
        series: The column; text is parsed.
        source: Its table in error messages.
        minimum: The least value allowed.

    Raises:
        DataError: A value that is missing, no number, NaN, infinite or below `minimum`.
    """
    numbers = _parsed(series, pl.Float64, "a number", source).cast(pl.Float32)
    bad = ~numbers.is_finite()
    if bad.any():
        row = _first(bad)
        raise source.error(series.name, row, series[row], "expected a finite number")
    if minimum is not None and (low := numbers < minimum).any():
        row = _first(low)
        raise source.error(series.name, row, series[row], f"must be at least {minimum:g}")
    return numbers


def whole_column(series: pl.Series, source: Source) -> pl.Series:
    """Return whole numbers as Int64; text is parsed, and what is none is an error."""
    return _parsed(series, pl.Int64, "a whole number", source)


def time_column(series: pl.Series, source: Source) -> pl.Series:
    """Return times as Int64 seconds since 1970-01-01 UTC.

    Args:
        series: Seconds since 1970 (whole or not), dates, date-times, or ISO 8601 text.
        source: Its table in error messages.

    Raises:
        DataError: A missing value, text that is no time, or numbers that look like milliseconds.
    """
    if series.dtype == pl.String:
        numbers = series.str.strip_chars().cast(pl.Float64, strict=False)
        if numbers.is_null().any() and numbers.null_count() == len(series):
            series = _from_iso(series, source)
        else:
            series = _parsed(series, pl.Float64, "seconds since 1970", source)
    if isinstance(series.dtype, (pl.Datetime, pl.Date)):
        seconds = series.dt.epoch("s")
    else:
        seconds = _parsed(series, pl.Float64, "seconds since 1970 or a date", source)
        if (bad := ~seconds.is_finite()).any():
            row = _first(bad)
            raise source.error(series.name, row, series[row], "expected a finite number")
        if (late := seconds.abs() >= _MILLISECONDS_FROM).any():
            row = _first(late)
            raise source.error(
                series.name,
                row,
                series[row],
                "expected seconds since 1970, and this looks like milliseconds or finer "
                "(divide first)",
            )
        seconds = seconds.floor()
    if seconds.null_count():
        raise source.error(series.name, _first(seconds.is_null()), None, "the time is missing")
    return seconds.cast(pl.Int64)


def _from_iso(series: pl.Series, source: Source) -> pl.Series:
    times = pl.select(
        pl.coalesce(
            series.str.to_datetime("%+", strict=False, time_unit="us", time_zone="UTC"),
            *(
                series.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")
                for form in (
                    "%Y-%m-%d %H:%M:%S%.f",
                    "%Y-%m-%dT%H:%M:%S%.f",
                    "%Y-%m-%d %H:%M",
                    "%Y-%m-%dT%H:%M",
                )
            ),
            series.str.to_date("%Y-%m-%d", strict=False)
            .cast(pl.Datetime("us"))
            .dt.replace_time_zone("UTC"),
        ).alias(series.name)
    ).to_series()
    if times.null_count():
        row = _first(times.is_null())
        problem = "expected seconds since 1970 or a time like 2024-05-31T18:30:00Z"
        raise source.error(series.name, row, series[row], problem)
    return times


def _parsed(series: pl.Series, dtype: Any, expected: str, source: Source) -> pl.Series:
    """Return the series as numbers; the first value that is none is an error."""
    text = series.dtype == pl.String
    if not (text or series.dtype.is_numeric() or series.dtype in (pl.Null, pl.Decimal)):
        raise DataError(
            f"{source.name}, column {series.name!r}: expected {expected}, got {series.dtype}."
        )
    numbers = (series.str.strip_chars() if text else series).cast(dtype, strict=False)
    if numbers.null_count():
        row = _first(numbers.is_null())
        raise source.error(series.name, row, series[row], f"expected {expected}")
    return numbers


def _first(mask: pl.Series) -> int:
    row = mask.arg_max()
    return 0 if row is None else row


def unique_ids(ids: pl.Series) -> np.ndarray[Any, np.dtype[Any]]:
    """Return the different ids, sorted: int64, or an object array of str."""
    return as_array(ids.unique().sort())


def as_array(ids: pl.Series) -> np.ndarray[Any, np.dtype[Any]]:
    """Return ids as an int64 array, or an object array of str."""
    if ids.dtype == pl.String:
        out = np.empty(len(ids), dtype=object)
        out[:] = ids.to_list()
        return out
    return ids.to_numpy()


def id_series(ids: Any, argument: str, *, missing: bool = False) -> pl.Series:
    """Return ids given as an argument as Int64 or String.

    Args:
        ids: A sequence, an array or a column.
        argument: The name of the argument in error messages.
        missing: True where ids may be missing (null or the empty string).

    Raises:
        DataError: Ids that are missing, of mixed type, or neither integers nor strings.
    """
    source = Source(f"`{argument}`")
    if isinstance(ids, (str, bytes)) or not isinstance(ids, (Sequence, np.ndarray, pl.Series)):
        if isinstance(ids, (str, bytes)) or not hasattr(ids, "__iter__"):
            raise DataError(f"`{argument}` must be a sequence of ids, got {ids!r}.")
        if _library(ids) not in ("pandas", "pyarrow"):
            ids = list(ids)
    return id_column(as_series(ids, "id", source), source, missing=missing)
