"""Numbers: scaled, or put into buckets."""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.errors import DataError
from shortlist.data.features.feature import (
    ColumnFeature,
    Output,
    check_whole,
    learnt,
    number,
    numbers,
)


@dataclass(frozen=True)
class Number(ColumnFeature):
    """A number for a dense layer; a missing one counts as the mean.

    Attributes:
        column: The column it reads.
        scale: `"standard"` (mean 0, deviation 1), `"range"` (0 to 1 over the data adapted to), or
            `"none"`.
        mean: Learnt: the mean.
        offset: Learnt: what is taken away.
        factor: Learnt: what the rest is divided by.

    Example:
        >>> age = Number("age").adapt(pl.Series("age", [20, 40]))
        >>> age.encode(pl.Series("age", [20, None, 50])).tolist()
        [-1.0, 0.0, 2.0]
    """

    kind: ClassVar[str] = "number"
    learned: ClassVar[tuple[str, ...]] = ("mean", "offset", "factor")

    scale: str = "standard"
    mean: float | None = None
    offset: float | None = None
    factor: float | None = None

    def __post_init__(self) -> None:
        if self.scale not in ("standard", "range", "none"):
            raise DataError(f"`scale` must be 'standard', 'range' or 'none', got {self.scale!r}.")

    def adapt(self, column: pl.Series) -> Self:
        """Learn the mean, and the deviation or the range."""
        values = numbers(column)
        values = values[~np.isnan(values)]
        if not len(values):
            raise DataError(f"column {self.column!r} has no numbers to learn from.")
        mean, low, high = float(values.mean()), float(values.min()), float(values.max())
        offset, factor = {
            "standard": (mean, float(values.std())),
            "range": (low, high - low),
            "none": (0.0, 1.0),
        }[self.scale]
        return self._learn(mean=mean, offset=offset, factor=factor or 1.0)

    def encode(self, column: pl.Series) -> npt.NDArray[Any]:
        """Return float32 (n,)."""
        values = numbers(column)
        values = np.where(np.isnan(values), learnt(self.mean), values)
        return ((values - learnt(self.offset)) / learnt(self.factor)).astype(np.float32)

    def encode_one(self, value: Any) -> float:
        """Return one number."""
        given = number(value, self.column)
        if given != given:
            given = learnt(self.mean)
        return (given - learnt(self.offset)) / learnt(self.factor)

    @property
    def output(self) -> Output:
        """A number."""
        return Output("number")

    def describe(self) -> str:
        """Say how it is scaled."""
        return f"number ({self.column} - {self.offset:.4g}) / {self.factor:.4g}"


@dataclass(frozen=True)
class Bucket(ColumnFeature):
    """Which range a number falls into; 0 where it is missing.

    Attributes:
        column: The column it reads.
        count: How many buckets, of about as many examples each, where no boundaries are given.
        boundaries: Where buckets meet, ascending; a number on a boundary belongs above it.
            Learnt where not given.

    Example:
        >>> age = Bucket("age", boundaries=(18.0, 65.0))
        >>> age.encode(pl.Series("age", [10, 18, 70, None])).tolist()
        [1, 2, 3, 0]
    """

    kind: ClassVar[str] = "bucket"
    learned: ClassVar[tuple[str, ...]] = ("boundaries",)

    count: int = 10
    boundaries: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_whole("count", self.count, 2)
        if self.boundaries is not None:
            if not all(isinstance(b, (int, float)) for b in self.boundaries):
                raise DataError(f"`boundaries` must be numbers, got {list(self.boundaries)!r}.")
            if any(not low < high for low, high in pairwise(self.boundaries)):
                raise DataError(f"`boundaries` must ascend, got {list(self.boundaries)!r}.")

    def adapt(self, column: pl.Series) -> Self:
        """Learn the boundaries: quantiles, each once."""
        values = numbers(column)
        values = values[~np.isnan(values)]
        if not len(values):
            raise DataError(f"column {self.column!r} has no numbers to learn from.")
        quantiles = np.quantile(values, np.arange(1, self.count) / self.count)
        inner = np.unique(quantiles[quantiles > values.min()])
        return self._learn(boundaries=tuple(float(b) for b in inner))

    def encode(self, column: pl.Series) -> npt.NDArray[Any]:
        """Return int32 (n,)."""
        values = numbers(column)
        index = np.searchsorted(np.array(learnt(self.boundaries)), values, side="right") + 1
        return np.where(np.isnan(values), 0, index).astype(np.int32)

    def encode_one(self, value: Any) -> int:
        """Return one index."""
        given = number(value, self.column)
        return 0 if given != given else bisect_right(learnt(self.boundaries), given) + 1

    @property
    def output(self) -> Output:
        """An index."""
        return Output("index", size=len(learnt(self.boundaries)) + 2)

    def describe(self) -> str:
        """Say where the buckets meet."""
        meet = ", ".join(f"{b:.4g}" for b in learnt(self.boundaries))
        return f"{len(learnt(self.boundaries)) + 1} buckets of {self.column}, meeting at {meet}"
