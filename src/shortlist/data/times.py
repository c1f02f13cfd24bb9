"""Times in the spellings and units people have, to whole seconds since 1970."""

from datetime import datetime
from math import floor
from typing import Literal, get_args

import polars as pl

from shortlist.data.columns import Source, first, parsed
from shortlist.data.errors import DataError

TimeUnit = Literal["s", "ms", "us", "ns"]
UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_SECONDS_BELOW = 1e11  # as seconds this is the year 5138; as milliseconds 1973
_SURELY_EPOCH = 300_000_000  # in 1979: relative times seldom get there
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_FORMS = (
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
)
_ZONED = tuple(f"{form}%#z" for form in _FORMS[:4])
_EXPECTED = "expected seconds since 1970 or a time like 2024-05-31T18:30:00Z"


Manner = TimeUnit | Literal["date"]


class Times:
    """A column of times that is read part by part, all of them written in one manner.

    Args:
        unit: Of numbers, as in `time_column`.
    """

    def __init__(self, unit: TimeUnit | None = None) -> None:
        self._unit = unit
        self._manner: Manner | None = None
        self._shown: object = None

    def read(self, series: pl.Series, source: Source) -> pl.Series:
        """Return the next part as seconds since 1970; see `time_column`.

        Raises:
            DataError: As there; and numbers in another unit than those before.
        """
        seconds, manner = _read_times(series, source, self._unit)
        if manner is not None:
            if self._manner is None:
                self._manner, self._shown = manner, series[0]
            elif manner != self._manner:
                problem = (
                    f"expected {_NAMES[self._manner]} as {self._shown!r} in the rows before, and "
                    f"this looks like {_NAMES[manner]}"
                )
                remedy = None if self._manner == "date" else ("time_unit", self._manner)
                raise source.error(series.name, 0, series[0], problem, remedy)
        return seconds


def time_column(series: pl.Series, source: Source, unit: TimeUnit | None = None) -> pl.Series:
    """Return times as Int64 seconds since 1970-01-01 UTC, fractions of a second dropped.

    Args:
        series: Dates, date-times, numbers since 1970, or text of either; a time without a zone is
            UTC. Numbers that are all calendar dates, as 20240531, 202405311830 or 20240531183000,
            are dates.
        source: Its table in error messages.
        unit: Of numbers. Without it their size tells: seconds below 1e11, then milliseconds,
            microseconds and nanoseconds, each 1,000 times more.

    Raises:
        DataError: A missing value, text that is no time, or numbers of different units.
    """
    return _read_times(series, source, unit)[0]


def _read_times(
    series: pl.Series, source: Source, unit: TimeUnit | None
) -> tuple[pl.Series, Manner | None]:
    """Return the seconds, and what numbers were found to be; None for no numbers or only 0."""
    if unit is not None and unit not in UNITS:
        raise DataError(f"`time_unit` must be 's', 'ms', 'us' or 'ns', got {unit!r}.")
    if series.dtype.is_float():
        series = series.fill_nan(None)
    if series.null_count():
        raise source.error(series.name, first(series.is_null()), None, "the time is missing")
    if isinstance(series.dtype, (pl.Datetime, pl.Date)):
        return series.dt.epoch("s").cast(pl.Int64), None
    if series.dtype != pl.String:
        return _of_numbers(series, source, unit)
    text = series.str.strip_chars()
    numbers = text.cast(pl.Float64, strict=False)
    if unit is None and numbers.null_count() == len(series):
        return _of_text(series, text, source), None
    if unit is None and numbers[0] is None:
        row = first(numbers.is_not_null())
        problem = f"expected a time written as the first, {series[0]!r}"
        raise source.error(series.name, row, series[row], problem)
    return _of_numbers(series, source, unit)


def _of_numbers(
    series: pl.Series, source: Source, unit: TimeUnit | None
) -> tuple[pl.Series, Manner | None]:
    expected = "seconds since 1970 or a date" if unit is None else f"a number of {unit} since 1970"
    if series.dtype.is_integer():
        numbers = series.cast(pl.Int64)
    elif series.dtype != pl.String and not series.dtype.is_numeric():
        numbers = parsed(series, pl.Float64, expected, source)  # says what it is
    else:
        whole = series.str.strip_chars() if series.dtype == pl.String else series
        numbers = whole.cast(pl.Int64, strict=False)
        if numbers.null_count() or series.dtype.is_float():
            numbers = parsed(series, pl.Float64, expected, source)
            if (bad := ~numbers.is_finite()).any():
                row = first(bad)
                raise source.error(series.name, row, series[row], "expected a finite number")
    if unit is None:
        if numbers.dtype == pl.Float64 and (numbers.floor() == numbers).all():
            numbers = numbers.cast(pl.Int64, strict=False).fill_null(0)
        dates = _compact(numbers, series, source)
        if dates is not None:
            return dates, "date"
        found = _unit_of(numbers, series, source)
    else:
        found = unit
    per_second = _PER_SECOND[found or "s"]
    if numbers.dtype == pl.Int64:
        return numbers // per_second, found
    return (numbers / per_second).floor().cast(pl.Int64), found


def _unit_of(numbers: pl.Series, series: pl.Series, source: Source) -> TimeUnit | None:
    """Return the unit that the size of the numbers tells; None where all are 0."""
    size = numbers.abs().cast(pl.Float64)
    known = size.filter(size > 0)
    if known.is_empty():
        return None
    unit = _unit(float(known[0]))
    low, high = _range(unit)
    other = (size > 0) & ((size < low) | (size >= high))
    if other.any():
        row = first(other)
        problem = (
            f"expected {_NAMES[unit]} since 1970 as in the first rows, and this looks like "
            f"{_NAMES[_unit(float(size[row]))]}"
        )
        raise source.error(series.name, row, series[row], problem, ("time_unit", unit))
    if (late := size >= _range("ns")[1]).any():
        row = first(late)
        raise source.error(series.name, row, series[row], "expected a time before the year 5138")
    return unit


_NAMES: dict[Manner, str] = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "date": "dates such as 20240531",
}


def _unit(size: float) -> TimeUnit:
    return next((unit for unit in UNITS if size < _range(unit)[1]), "ns")


def _range(unit: TimeUnit) -> tuple[float, float]:
    low = 0.0 if unit == "s" else _SECONDS_BELOW * _PER_SECOND[unit] / 1_000
    return low, _SECONDS_BELOW * _PER_SECOND[unit]


def _compact(numbers: pl.Series, series: pl.Series, source: Source) -> pl.Series | None:
    """Return the seconds of numbers that are calendar dates, such as 20240531; else None.

    Dates are known by all being valid: of other numbers of 8 digits one in 25 is. A few among the
    others, or a few others among dates, are an error.
    """
    if numbers.is_empty() or numbers.dtype != pl.Int64:
        return None
    digits = max(_COMPACT, key=lambda count: int(_of_digits(numbers, count).sum()))
    able = _of_digits(numbers, digits)
    if not able.any():
        return None
    text = numbers.cast(pl.String) + "0" * (14 - digits)
    times = text.str.to_datetime("%Y%m%d%H%M%S", strict=False, time_unit="us")
    dates = able & times.is_not_null()
    if dates.all():
        return times.dt.epoch("s").alias(numbers.name)
    others = numbers.filter(~dates)
    if 2 * int(dates.sum()) >= len(dates):
        row, problem = first(~dates), f"expected a date such as {numbers[first(dates)]}"
    elif dates.any() and (others.abs() >= _SURELY_EPOCH).all():
        row, problem = first(dates), f"expected a time such as {others[0]}, not a date"
    else:
        return None
    raise source.error(series.name, row, series[row], problem, ("time_unit", "s"))


def _of_digits(numbers: pl.Series, digits: int) -> pl.Series:
    year = 10 ** (digits - 4)
    return numbers.is_between(1900 * year, 2100 * year)


def _of_text(series: pl.Series, text: pl.Series, source: Source) -> pl.Series:
    """Return the seconds of ISO 8601 text; most often all of it is spelled as its first value."""
    forms = sorted((*_FORMS, *_ZONED), key=lambda form: _read(text[:1], form).null_count())
    times = _read(text, forms[0])
    if times.null_count():
        rest = times.is_null()
        spelled = text.filter(rest).str.replace(r"(?i)(?:\s*utc|z)$", "+00:00")
        spelled = spelled.str.replace(r"^(\d{4})/(\d\d?)/(\d\d?)", "$1-$2-$3")
        read = pl.select(pl.coalesce(_read(spelled, form) for form in forms)).to_series()
        times = times.scatter(rest.arg_true(), read)
    if times.null_count():
        row = first(times.is_null())
        raise source.error(series.name, row, series[row], _EXPECTED)
    return times.dt.epoch("s").alias(series.name)


def _read(text: pl.Series, form: str) -> pl.Series:
    return text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC")


def second(value: float) -> int:
    """Return one number as whole seconds since 1970; as in a column, its size tells its unit.

    Example:
        >>> second(1_700_000_000_000), second(20231114)
        (1700000000, 1699920000)
    """
    digits = str(int(value)) if float(value).is_integer() else ""
    if len(digits) in _COMPACT and "1900" <= digits[:4] < "2100":
        try:
            moment = datetime.strptime(f"{digits}+0000", f"{_COMPACT[len(digits)]}%z")
        except ValueError:
            pass
        else:
            return int(moment.timestamp())
    return floor(value / _PER_SECOND[_unit(abs(value))])
