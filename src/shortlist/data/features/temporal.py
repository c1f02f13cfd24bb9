"""Times: the hour, the day of the week, and how old something is."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from math import floor, log1p
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.columns import Source
from shortlist.data.errors import DataError
from shortlist.data.features.feature import ColumnFeature, Output, learnt, number, numbers
from shortlist.data.times import second, time_column

_HOUR, _DAY, _YEAR = 3_600, 86_400, 31_556_952
_PARTS = {"hour": (_HOUR, 24, 0), "weekday": (_DAY, 7, 3)}  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Time(ColumnFeature):
    """The hour (UTC) or the weekday of a time, counted from 1; 0 where it is missing.

    Attributes:
        column: The column it reads: seconds since 1970, dates, date-times or ISO 8601 text.
        part: `"hour"` (1 is midnight to one o'clock) or `"weekday"` (1 is Monday).

    Example:
        >>> Time("seen", part="weekday").encode(pl.Series("seen", ["2024-01-01", None])).tolist()
        [1, 0]
    """

    kind: ClassVar[str] = "time"

    part: str = "hour"

    def __post_init__(self) -> None:
        if self.part not in _PARTS:
            raise DataError(f"`part` must be 'hour' or 'weekday', got {self.part!r}.")

    def adapt(self, column: pl.Series) -> Self:  # noqa: ARG002
        """Nothing is learnt."""
        return self

    def encode(self, column: pl.Series) -> npt.NDArray[Any]:
        """Return int32 (n,)."""
        length, count, shift = _PARTS[self.part]
        seconds = _seconds(column)
        part = (np.floor(seconds / length) + shift) % count + 1
        return np.where(np.isnan(part), 0, part).astype(np.int32)

    def encode_one(self, value: Any) -> int:
        """Return one index."""
        length, count, shift = _PARTS[self.part]
        seconds = _second(value, self.column)
        return 0 if seconds != seconds else (floor(seconds / length) + shift) % count + 1

    @property
    def output(self) -> Output:
        """An index."""
        return Output("index", size=_PARTS[self.part][1] + 1)

    def describe(self) -> str:
        """Say which part of the time it is."""
        return f"{self.part} of {self.column}"


@dataclass(frozen=True)
class Age(ColumnFeature):
    """How old something is: log(1 + years), never below 0; a missing one counts as the mean.

    Attributes:
        column: The column it reads: a time as for `Time`, or a year.
        unit: What numbers in the column are: `"seconds"` since 1970, or `"years"`.
        now: The moment ages are taken at, in that unit. Learnt where not given: the latest in the
            data adapted to.
        mean: Learnt: the mean of the feature.

    Example:
        >>> year = pl.Series("year", [2020, 1920])
        >>> Age("year", unit="years").adapt(year).encode(year).round(2).tolist()
        [0.0, 4.619999885559082]
    """

    kind: ClassVar[str] = "age"
    learned: ClassVar[tuple[str, ...]] = ("now", "mean")

    unit: str = "seconds"
    now: float | None = None
    mean: float | None = None

    def __post_init__(self) -> None:
        if self.unit not in ("seconds", "years"):
            raise DataError(f"`unit` must be 'seconds' or 'years', got {self.unit!r}.")

    def adapt(self, column: pl.Series) -> Self:
        """Learn the present and the mean age."""
        times = self._times(column)
        times = times[~np.isnan(times)]
        if not len(times):
            raise DataError(f"column {self.column!r} has no times to learn from.")
        dated = self._learn(now=float(times.max()))
        return dated._learn(mean=float(dated._ages(times).mean()))

    def encode(self, column: pl.Series) -> npt.NDArray[Any]:
        """Return float32 (n,)."""
        ages = self._ages(self._times(column))
        return np.where(np.isnan(ages), learnt(self.mean), ages).astype(np.float32)

    def encode_one(self, value: Any) -> float:
        """Return one number."""
        read = number if self.unit == "years" else _second
        time = read(value, self.column)
        if time != time:
            return learnt(self.mean)
        return log1p(max((learnt(self.now) - time) / self._year, 0.0))

    @property
    def _year(self) -> float:
        return 1.0 if self.unit == "years" else float(_YEAR)

    def _times(self, column: pl.Series) -> npt.NDArray[np.float64]:
        return numbers(column) if self.unit == "years" else _seconds(column)

    def _ages(self, times: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        ages: npt.NDArray[np.float64] = np.maximum((learnt(self.now) - times) / self._year, 0.0)
        return np.log1p(ages)

    @property
    def output(self) -> Output:
        """A number."""
        return Output("number")

    def describe(self) -> str:
        """Say at which moment ages are taken."""
        return f"log(1 + years) from {self.column} to {self.now:.10g} ({self.unit})"


def _seconds(column: pl.Series) -> npt.NDArray[np.float64]:
    """Return times as seconds since 1970, NaN where one is missing."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
    seconds = np.full(len(column), np.nan)
    given = column.is_not_null()
    seconds[given.to_numpy()] = time_column(
        column.filter(given), Source("the table", options=False)
    ).to_numpy()
    return seconds


def _second(value: Any, column: str | None) -> float:
    """Return one time as seconds since 1970, NaN where it is missing."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise DataError(f"{column!r} must be a time, got {value!r}.") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        return floor((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp())
    seconds = number(value, column)
    return seconds if seconds != seconds else second(seconds)
