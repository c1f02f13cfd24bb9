"""What every feature is: declared, adapted to data, applied, described, kept as plain data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args, get_origin

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.columns import Source, as_series
from shortlist.data.errors import DataError, nearest
from shortlist.data.vocabulary import Vocabulary

T = TypeVar("T")


@dataclass(frozen=True)
class Output:
    """What a feature becomes.

    Attributes:
        kind: `"number"`: float32, for a dense layer; `"index"`: int32, the row of an embedding,
            0 for what is missing or unknown; `"indices"`: int32, rows of an embedding to average,
            where 0 is padding and does not count.
        width: Values per example: 1, or the length of `"indices"`.
        size: Rows the embedding needs: indices lie in [0, size); None for a number.

    Example:
        >>> Output("indices", width=3, size=100).shape
        (3,)
    """

    kind: Literal["number", "index", "indices"]
    width: int = 1
    size: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: `()`, or `(width,)` of `"indices"`."""
        return (self.width,) if self.kind == "indices" else ()

    @property
    def dtype(self) -> str:
        """The type of the array: `"float32"` or `"int32"`."""
        return "float32" if self.kind == "number" else "int32"


@dataclass(frozen=True)
class Feature(ABC):
    """Something made of the columns of a table, as data that never changes.

    Adapting gives another feature that has learnt what it needs (a mean, boundaries, a
    vocabulary) in the fields named by `learned`; what was declared already stays as it is.

    Example:
        >>> from shortlist.data.features import Number
        >>> age = Number("age")
        >>> isinstance(age, Feature), age.is_adapted
        (True, False)
        >>> age.adapt(pl.Series("age", [20, 40])).is_adapted
        True
    """

    kind: ClassVar[str]
    learned: ClassVar[tuple[str, ...]] = ()

    @property
    def is_adapted(self) -> bool:
        """Whether nothing is left to learn."""
        return all(getattr(self, name) is not None for name in self.learned)

    @property
    @abstractmethod
    def output(self) -> Output:
        """What it becomes, once adapted."""

    @abstractmethod
    def describe(self) -> str:
        """Say in a few words what it became."""

    def to_dict(self) -> dict[str, Any]:
        """Return the feature as plain data, fit for JSON."""
        data: dict[str, Any] = {"kind": self.kind}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Vocabulary):
                value = value.to_dict()
            elif isinstance(value, tuple):
                value = list(value)
            if value is not None:
                data[field.name] = value
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the feature that `to_dict` described; `kind` is not looked at.

        Raises:
            DataError: A key that is not a field, or a value that the field does not take.
        """
        known = {field.name: field.type for field in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in data.items():
            if key == "kind":
                continue
            if key not in known:
                raise DataError(f"unknown key {key!r}{nearest(key, known)}")
            if key == "vocabulary" and isinstance(value, Mapping):
                value = Vocabulary.from_dict(value)
            values[key] = tuple(value) if isinstance(value, list) else value
            if not _fits(values[key], known[key]):
                kind = getattr(known[key], "__name__", known[key])
                raise DataError(f"`{key}` must be of the type {kind}, got {value!r}.")
        return cls(**values)

    def _learn(self, **values: Any) -> Self:
        """Return the feature with these fields, where they were not declared."""
        return replace(self, **{k: v for k, v in values.items() if getattr(self, k) is None})


@dataclass(frozen=True)
class ColumnFeature(Feature):
    """A feature made of one column.

    Attributes:
        column: The column it reads; None for the column named like the feature.
    """

    column: str | None = None

    @abstractmethod
    def adapt(self, column: pl.Series) -> Self:
        """Return the feature with what it learns from its column."""

    @abstractmethod
    def encode(self, column: pl.Series) -> npt.NDArray[Any]:
        """Return the array of the feature for its column, as `output` says."""

    @abstractmethod
    def encode_one(self, value: Any) -> Any:
        """Return what `encode` gives for one value, as a number or a list."""


def _fits(value: object, kind: Any) -> bool:
    """Whether a value is of the type that a field declares."""
    if isinstance(kind, UnionType):
        return any(_fits(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(_fits(one, get_args(kind)[0]) for one in value)
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(
        value, bool
    )


def learnt(value: T | None) -> T:
    """Return what a feature learnt.

    Raises:
        DataError: It has not learnt it yet.
    """
    if value is None:
        raise DataError("the feature has not learnt from data yet; call adapt first.")
    return value


def numbers(column: pl.Series) -> npt.NDArray[np.float64]:
    """Return numbers as float64, NaN where one is missing.

    Raises:
        DataError: Text, or an infinite value.
    """
    if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
        raise DataError(f"column {column.name!r} must hold numbers, got {column.dtype}.")
    values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if np.isinf(values).any():
        row = int(np.isinf(values).argmax())
        raise DataError(f"column {column.name!r}, row {row}: must be finite, got {values[row]}.")
    return values


def number(value: Any, column: str | None) -> float:
    """Return one number as a float, NaN where it is missing."""
    if value is None:
        return float("nan")
    try:
        result = float(value) if not isinstance(value, (str, bytes)) else None
    except (TypeError, ValueError):
        result = None
    if result is None or result in (float("inf"), float("-inf")):
        raise DataError(f"{column!r} must be a finite number, got {value!r}.")
    return result


def check_whole(argument: str, value: Any, least: int) -> None:
    """Raise an error unless a value is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DataError(f"`{argument}` must be a whole number of at least {least}, got {value!r}.")


def column_of(table: Any, name: str) -> pl.Series:
    """Return a column of a table of any kind, by name.

    Raises:
        DataError: No such column; the nearest is named.
    """
    names = getattr(table, "column_names", None) or list(
        table if isinstance(table, Mapping) else table.columns
    )
    if name not in names:
        raise DataError(f"the table has no column {name!r}{nearest(name, names)}")
    return as_series(table[name], name, Source("the table"))
