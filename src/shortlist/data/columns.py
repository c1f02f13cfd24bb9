"""One column at a time: to the type this project keeps, or an error that says where and what."""

from collections.abc import Callable, KeysView, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from shortlist._extras import needs
from shortlist.data.errors import DataError
from shortlist.ids import as_ids


@dataclass(frozen=True)
class Source:
    """Where a table came from, for error messages.

    Attributes:
        name: A file name, or what kind of table it was.
        line: For a text file, the line on which a value begins, as an editor counts it, by row and
            column; without it rows are counted from 0.
        typed: False where every value was read as text, as from a CSV file.
        decimal_comma: Whether a comma in a number may be its decimal point.
        repeated: Columns whose name stands in the header more than once.
        options: Whether the reader takes options such as `time_unit`.
        parts: For a table of several files, each file with its first row.
        start: For a part of a file, the row of the file that it begins with.
    """

    name: str
    line: Callable[[int, str], int] | None = field(default=None, repr=False)
    typed: bool = True
    decimal_comma: bool = False
    repeated: tuple[str, ...] = ()
    options: bool = True
    parts: tuple[tuple[int, "Source"], ...] = field(default=(), repr=False)
    start: int = 0

    def error(
        self,
        column: str,
        row: int,
        value: object,
        problem: str,
        remedy: tuple[str, object] | None = None,
    ) -> DataError:
        """Return the error for one value."""
        for first, part in reversed(self.parts):
            if row >= first:
                return part.error(column, row - first, value, problem, remedy)
        place = f"row {self.start + row}" if self.line is None else f"line {self.line(row, column)}"
        return DataError(
            f"{self.name}, column {column!r}, {place}: {problem}, got {value!r}.",
            remedy=remedy if self.options else None,
        )


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
        series = pl.Series(_in_known_unit(values))
    elif _library(values) in ("pandas", "pyarrow"):
        series = _foreign_series(values, column, source)
    else:
        series = _series_of_one_type(values, column, source)
    if series.dtype == pl.Object:
        series = _series_of_objects(series.to_list(), column, source)
    return series.alias(column)


def _library(values: object) -> str:
    return type(values).__module__.partition(".")[0]


def _in_known_unit(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return times of NumPy in a unit that Polars takes."""
    if values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] not in (
        "D",
        "ms",
        "us",
        "ns",
    ):
        return values.astype("datetime64[ms]")
    return values


def _foreign_series(values: Any, column: str, source: Source) -> pl.Series:
    if str(getattr(values, "dtype", "")) == "object":
        return _series_of_one_type(values.tolist(), column, source)
    with needs("Reading pandas and Arrow tables", "pandas"):  # Polars may read them by pyarrow
        pandas = _library(values) == "pandas"
        converted = pl.from_pandas(values) if pandas else pl.from_arrow(values)
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
    plain = [None if isinstance(v, float) and v != v else v for v in values]
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


def number_column(series: pl.Series, source: Source, *, minimum: float | None = None) -> pl.Series:
    """Return numbers as Float32, all finite.

    Args:
        series: The column; text is parsed.
        source: Its table in error messages.
        minimum: The least value allowed.

    Raises:
        DataError: A value that is missing, no number, NaN, infinite or below `minimum`.
    """
    read = decimal_points(series) if source.decimal_comma else series
    numbers = parsed(read, pl.Float64, "a number", source).cast(pl.Float32)
    bad = ~numbers.is_finite()
    if bad.any():
        row = first(bad)
        raise source.error(series.name, row, series[row], "expected a finite number")
    if minimum is not None and (low := numbers < minimum).any():
        row = first(low)
        raise source.error(series.name, row, series[row], f"must be at least {minimum:g}")
    return numbers


def decimal_points(series: pl.Series) -> pl.Series:
    """Return text whose commas are decimal points with points; none is, where a point stands."""
    if series.dtype != pl.String or series.str.contains(".", literal=True).any():
        return series
    return series.str.replace(",", ".", literal=True)


def whole_column(series: pl.Series, source: Source) -> pl.Series:
    """Return whole numbers as Int64; text is parsed, and what is none is an error."""
    return parsed(series, pl.Int64, "a whole number", source)


def parsed(
    series: pl.Series,
    dtype: Any,
    expected: str,
    source: Source,
    remedy: tuple[str, object] | None = None,
) -> pl.Series:
    """Return the series as numbers; the first value that is none is an error."""
    text = series.dtype == pl.String
    if not (text or series.dtype.is_numeric() or series.dtype in (pl.Null, pl.Decimal)):
        raise DataError(
            f"{source.name}, column {series.name!r}: expected {expected}, got {series.dtype}."
        )
    numbers = (series.str.strip_chars() if text else series).cast(dtype, strict=False)
    if numbers.null_count():
        row = first(numbers.is_null())
        raise source.error(series.name, row, series[row], f"expected {expected}", remedy)
    return numbers


def first(mask: pl.Series) -> int:
    """Return the row of the first True; 0 where there is none."""
    row = mask.arg_max()
    return 0 if row is None else row


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
        ids: Whatever `shortlist.ids.as_ids` takes.
        argument: The name of the argument in error messages.
        missing: True where ids may be missing (null); they stay null.

    Raises:
        DataError: Ids that are missing, of mixed type, or neither integers nor strings.
    """
    if isinstance(ids, pl.Series):
        series = ids.cast(pl.String) if ids.dtype in (pl.Categorical, pl.Enum) else ids
        if series.dtype in (pl.String, pl.Int64) and (missing or not series.null_count()):
            return series
    elif isinstance(ids, KeysView):  # of a dictionary, in its order
        ids = list(ids)
    if missing:
        return _with_missing(ids, argument)
    try:
        return _of_array(as_ids(ids, argument))
    except ValueError as error:
        raise DataError(str(error)) from None


def _of_array(ids: np.ndarray[Any, Any]) -> pl.Series:
    return pl.Series(ids.tolist(), dtype=pl.String) if ids.dtype == object else pl.Series(ids)


def _with_missing(ids: Any, argument: str) -> pl.Series:
    """Return ids with null where one is missing."""
    try:
        return _of_array(as_ids(ids, argument))
    except ValueError as error:
        if not isinstance(ids, (Sequence, np.ndarray, pl.Series)) or isinstance(ids, (str, bytes)):
            raise DataError(str(error)) from None
    there = pl.Series([one is not None and one == one for one in ids], dtype=pl.Boolean)
    if there.all():
        return id_series(ids, argument)
    known = id_series([one for one in ids if one is not None and one == one], argument)
    rows = pl.Series(np.cumsum(there.to_numpy()) - 1)
    return known.gather(rows.set(~there, None))
