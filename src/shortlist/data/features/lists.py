"""Several categories for one example: words of a text, genres, a history."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.errors import DataError
from shortlist.data.features.categorical import category_value, category_values, frequent
from shortlist.data.features.feature import ColumnFeature, Output, check_whole, learnt
from shortlist.data.vocabulary import Vocabulary

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Categories(ColumnFeature):
    """The indices of several values in a vocabulary, in their order; unknown ones are left out.

    Attributes:
        column: The column it reads: lists, or text where `separator` is given.
        separator: What stands between values in a text.
        length: How many indices at most, the first ones; learnt where not given: as many as occur.
        least: How often a value must occur to be known.
        most: How many values to know, the most frequent; None for all.
        vocabulary: The values. Learnt where not given.

    Example:
        >>> genres = pl.Series("genres", ["War|Drama", "Drama", ""])
        >>> Categories("genres", separator="|").adapt(genres).encode(genres).tolist()
        [[2, 1], [1, 0], [0, 0]]
    """

    kind: ClassVar[str] = "categories"
    learned: ClassVar[tuple[str, ...]] = ("length", "vocabulary")

    separator: str | None = None
    length: int | None = None
    least: int = 1
    most: int | None = None
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        check_whole("least", self.least, 1)
        for argument in ("length", "most"):
            if getattr(self, argument) is not None:
                check_whole(argument, getattr(self, argument), 1)

    def adapt(self, column: pl.Series) -> Self:
        """Learn the length and the vocabulary."""
        lists = self._lists(column)
        vocabulary = self.vocabulary
        if vocabulary is None:
            vocabulary = frequent(_values(lists), self.least, self.most)
        longest = lists.list.len().max()
        length = max(1, longest) if isinstance(longest, int) else 1
        return self._learn(length=length, vocabulary=vocabulary)

    def encode(self, column: pl.Series) -> npt.NDArray[Any]:
        """Return int32 (n, length), padded with 0 at the end."""
        lists = self._lists(column)
        lengths = lists.list.len().fill_null(0).to_numpy()
        rows = np.repeat(np.arange(len(lists)), lengths)
        indices = learnt(self.vocabulary).encode(_values(lists))
        rows, indices = rows[indices > 0], indices[indices > 0]
        places = np.arange(len(rows)) - np.searchsorted(rows, rows)
        out = np.zeros((len(lists), learnt(self.length)), np.int32)
        first = places < out.shape[1]
        out[rows[first], places[first]] = indices[first]
        return out

    def encode_one(self, value: Any) -> list[int]:
        """Return one list of indices, padded with 0."""
        index_of, length = learnt(self.vocabulary).index_of, learnt(self.length)
        found: list[int] = []
        for one in self._list(value):
            if index := index_of(category_value(one)):
                found.append(index)
                if len(found) == length:
                    return found
        return found + [0] * (length - len(found))

    def _lists(self, column: pl.Series) -> pl.Series:
        if column.dtype == pl.String and self.separator is not None:
            return column.str.split(self.separator)
        if column.dtype == pl.Null:
            return column.cast(pl.List(pl.Int64))
        if not isinstance(column.dtype, (pl.List, pl.Array)):
            raise DataError(
                f"column {column.name!r} must hold lists, or text with a `separator`, "
                f"got {column.dtype}."
            )
        if isinstance(column.dtype, pl.Array):
            return column.arr.to_list()
        return column

    def _list(self, value: Any) -> Iterable[Any]:
        if value is None:
            return ()
        if isinstance(value, str):
            if self.separator is None:
                raise DataError(f"{self.column!r} must be a list, got {value!r}.")
            return value.split(self.separator)
        if not isinstance(value, Iterable):
            raise DataError(f"{self.column!r} must be a list, got {value!r}.")
        return value

    @property
    def output(self) -> Output:
        """Indices."""
        return Output("indices", width=learnt(self.length), size=learnt(self.vocabulary).size)

    def describe(self) -> str:
        """Say how many values it knows and takes."""
        return (
            f"up to {self.length} of {len(learnt(self.vocabulary)):,} {self._values_are} "
            f"of {self.column}"
        )

    @property
    def _values_are(self) -> str:
        return "values"


@dataclass(frozen=True)
class Text(Categories):
    """The indices of the words of a text; letters and digits in lower case, nothing else.

    Attributes:
        column: The column it reads.
        separator: Not used.
        length: How many words at most; learnt where not given: as many as occur.
        least: How often a word must occur to be known.
        most: How many words to know, the most frequent; None for all.
        vocabulary: The words. Learnt where not given.

    Example:
        >>> titles = pl.Series("title", ["Alien", "Aliens: The Alien"])
        >>> Text("title").adapt(titles).encode(titles).tolist()
        [[1, 0, 0], [2, 3, 1]]
    """

    kind: ClassVar[str] = "text"

    def _lists(self, column: pl.Series) -> pl.Series:
        if column.dtype not in (pl.String, pl.Null):
            raise DataError(f"column {column.name!r} must hold text, got {column.dtype}.")
        return pl.Series(
            column.name, [self._list(text) for text in column], dtype=pl.List(pl.String)
        )

    def _list(self, value: Any) -> list[str]:
        if value is None:
            return []
        if not isinstance(value, str):
            raise DataError(f"{self.column!r} must be text, got {value!r}.")
        return _WORD.findall(value.lower())

    @property
    def _values_are(self) -> str:
        return "words"


@dataclass(frozen=True)
class History(Categories):
    """The items a user chose before, most recent first, the older ones beyond `length` left out.

    `example_table` and `query_table` make the column, so that it holds nothing of the interaction
    to be predicted. Give the vocabulary of the candidates to share their embedding.

    Attributes:
        column: The column it reads: lists of item ids, most recent first.
        separator: What stands between ids in a text.
        length: How many items at most.
        least: How often an item must occur to be known.
        most: How many items to know, the most frequent; None for all.
        vocabulary: The items. Learnt where not given.

    Example:
        >>> past = pl.Series("history", [[7, 9, 7], []])
        >>> History("history", length=2).adapt(past).encode(past).tolist()
        [[1, 2], [0, 0]]
    """

    kind: ClassVar[str] = "history"

    length: int | None = 20

    @property
    def _values_are(self) -> str:
        return "items"


def _values(lists: pl.Series) -> pl.Series:
    """Return the values of all lists, one after another."""
    filled = lists.filter(lists.list.len() > 0)
    return category_values(filled.explode() if len(filled) else filled.list.explode())
