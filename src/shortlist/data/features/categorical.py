"""Categories: by vocabulary or by hash, and crosses of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import prod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.errors import DataError
from shortlist.data.features.feature import ColumnFeature, Feature, Output, check_whole, learnt
from shortlist.data.vocabulary import Vocabulary

_LARGEST_PRODUCT = 1_000_000
_MASK, _MULTIPLIER = 2**64 - 1, 0x9E3779B97F4A7C15  # a multiplicative hash (Knuth)


@dataclass(frozen=True)
class Category(ColumnFeature):
    """The index of a value in a vocabulary; 0 for a value that is unknown or missing.

    Attributes:
        column: The column it reads: integers, text or booleans.
        least: How often a value must occur to be known.
        most: How many values to know, the most frequent; None for all.
        vocabulary: The values. Learnt where not given.

    Example:
        >>> colour = Category("colour").adapt(pl.Series("colour", ["red", "blue", "red"]))
        >>> colour.encode(pl.Series("colour", ["red", "green", None])).tolist()
        [2, 0, 0]
    """

    kind: ClassVar[str] = "category"
    learned: ClassVar[tuple[str, ...]] = ("vocabulary",)

    least: int = 1
    most: int | None = None
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        check_whole("least", self.least, 1)
        if self.most is not None:
            check_whole("most", self.most, 1)

    def adapt(self, column: pl.Series) -> Self:
        """Learn the vocabulary."""
        if self.vocabulary is not None:
            return self
        return self._learn(vocabulary=frequent(category_values(column), self.least, self.most))

    def encode(self, column: pl.Series) -> npt.NDArray[Any]:
        """Return int32 (n,)."""
        return learnt(self.vocabulary).encode(category_values(column)).astype(np.int32)

    def encode_one(self, value: Any) -> int:
        """Return one index."""
        return learnt(self.vocabulary).index_of(category_value(value))

    @property
    def output(self) -> Output:
        """An index."""
        return Output("index", size=learnt(self.vocabulary).size)

    def describe(self) -> str:
        """Say how many values it knows."""
        return f"category, {len(learnt(self.vocabulary)):,} values of {self.column}"


@dataclass(frozen=True)
class Hash(ColumnFeature):
    """The index of a value by hash: no vocabulary, but values may share an index; 0 if missing.

    Attributes:
        column: The column it reads: integers, text or booleans.
        size: How many indices, 0 included.

    Example:
        >>> Hash("city", size=100).encode(pl.Series("city", ["Oslo", "Oslo", None])).tolist()
        [1, 1, 0]
    """

    kind: ClassVar[str] = "hash"

    size: int = 1000

    def __post_init__(self) -> None:
        check_whole("size", self.size, 2)

    def adapt(self, column: pl.Series) -> Self:  # noqa: ARG002
        """Nothing is learnt."""
        return self

    def encode(self, column: pl.Series) -> npt.NDArray[Any]:
        """Return int32 (n,)."""
        values = category_values(column)
        different = values.unique()
        index = pl.Series([self.encode_one(value) for value in different], dtype=pl.Int32)
        return values.replace_strict(different, index, return_dtype=pl.Int32).to_numpy()

    def encode_one(self, value: Any) -> int:
        """Return one index."""
        value = category_value(value)
        if value is None or value == "":
            return 0
        digest = blake2b(str(value).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") % (self.size - 1) + 1

    @property
    def output(self) -> Output:
        """An index."""
        return Output("index", size=self.size)

    def describe(self) -> str:
        """Say how many indices there are."""
        return f"hash of {self.column} into {self.size:,}"


@dataclass(frozen=True)
class Cross(Feature):
    """The combination of several features of the same spec, each of which is an index.

    Attributes:
        of: The names of the features.
        size: Hash the combinations into so many indices; None to give each its own.
        sizes: Learnt: the sizes of the features crossed.

    Example:
        >>> both = Cross(of=("gender", "age")).adapt([3, 4])
        >>> both.encode([np.array([1, 2]), np.array([2, 3])]).tolist()
        [6, 11]
    """

    kind: ClassVar[str] = "cross"
    learned: ClassVar[tuple[str, ...]] = ("sizes",)

    of: tuple[str, ...] = ()
    size: int | None = None
    sizes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.of) < 2 or isinstance(self.of, str):
            raise DataError(f"`of` must name at least two features, got {self.of!r}.")
        if self.size is not None:
            check_whole("size", self.size, 2)

    def adapt(self, sizes: Sequence[int]) -> Self:
        """Learn the sizes of the features crossed."""
        product = prod(sizes)
        if self.size is None and product > _LARGEST_PRODUCT:
            raise DataError(
                f"{' x '.join(map(str, sizes))} combinations are too many to each have an index; "
                "give `size` to hash them."
            )
        return self._learn(sizes=tuple(sizes))

    def encode(self, indices: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Return int32 (n,) for the arrays of the features crossed."""
        index = np.zeros(len(indices[0]), np.uint64)
        for part, size in zip(indices, learnt(self.sizes), strict=True):
            index = index * np.uint64(size) + part.astype(np.uint64)
        if self.size is not None:
            mixed = (index ^ index >> np.uint64(31)) * np.uint64(_MULTIPLIER)
            mixed = (mixed ^ mixed >> np.uint64(29)) % np.uint64(self.size - 1) + np.uint64(1)
            index = np.where(index == 0, np.uint64(0), mixed)
        return index.astype(np.int32)

    def encode_one(self, indices: Sequence[int]) -> int:
        """Return one index for those of the features crossed."""
        index = 0
        for part, size in zip(indices, learnt(self.sizes), strict=True):
            index = (index * size + part) & _MASK
        if self.size is not None:
            mixed = ((index ^ index >> 31) * _MULTIPLIER) & _MASK
            index = (mixed ^ mixed >> 29) % (self.size - 1) + 1 if index else 0
        return index

    @property
    def output(self) -> Output:
        """An index."""
        return Output("index", size=self.size or prod(learnt(self.sizes)))

    def describe(self) -> str:
        """Say what is crossed."""
        how = "hashed into" if self.size else "in all"
        return f"cross of {' x '.join(self.of)}, {how} {self.output.size:,}"


def frequent(values: pl.Series, least: int, most: int | None) -> Vocabulary:
    """Return the vocabulary of the values that occur often enough, sorted."""
    values = values.drop_nulls()
    if values.dtype == pl.String:
        values = values.filter(values != "")
    counts = values.alias("value").value_counts().filter(pl.col("count") >= least)
    counts = counts.sort(["count", "value"], descending=[True, False])
    if most is not None:
        counts = counts.head(most)
    return Vocabulary(counts["value"].sort())


def category_values(column: pl.Series) -> pl.Series:
    """Return categories as Int64 or String, null where one is missing.

    Raises:
        DataError: Values that are neither whole numbers, text nor booleans.
    """
    if isinstance(column.dtype, (pl.Categorical, pl.Enum)) or column.dtype in (
        pl.Boolean,
        pl.String,
    ):
        return column.cast(pl.String)
    if column.dtype.is_integer() or column.dtype == pl.Null:
        return column.cast(pl.Int64)
    if column.dtype.is_float():
        whole = column.fill_nan(None)
        if (whole.drop_nulls() == whole.drop_nulls().round()).all():
            return whole.cast(pl.Int64)
    raise DataError(
        f"column {column.name!r} must hold whole numbers, text or booleans, got {column.dtype}."
    )


def category_value(value: Any) -> Any:
    """Return one category as `category_values` does."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        if value != value:
            return None
        if value == round(value):
            return int(value)
        raise DataError(f"must be a whole number, text or a boolean, got {value!r}.")
    return value
