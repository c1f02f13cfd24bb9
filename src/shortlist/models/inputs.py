"""What a tower is fed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data import UserItems, Vocabulary
from shortlist.data.features import FeatureSpec, Output

Arrays = Mapping[str, npt.NDArray[Any]]

# From indices to the inputs of a tower: those of a tower of one table are the indices themselves.
Inputs = Callable[[npt.NDArray[np.int64]], Any]

HISTORY = "history"


def indices_only(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    """Returns the inputs of a tower that takes nothing but indices: (n,) int32."""
    return indices.astype(np.int32)


@dataclass(frozen=True, eq=False)
class Columns:
    """The inputs of a tower of features.

    Attributes:
        arrays: For each feature an array with a row per index of the vocabulary; row 0 is what an
            unknown id has.
        features: What made them of a table, to make them of one request's values; None for ids.

    Example:
        >>> Columns({"age": np.array([0.0, 0.5, 1.5])})(np.array([2, 0]))
        {'age': array([1.5, 0. ])}
    """

    arrays: Arrays
    features: FeatureSpec | None = None

    def __call__(self, indices: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """Returns the rows of (n,) indices, by feature."""
        return {name: array[indices] for name, array in self.arrays.items()}


def id_columns(vocabulary: Vocabulary, name: str) -> Columns:
    """Returns the inputs of a tower whose only feature, `name`, is the id."""
    return Columns({name: np.arange(vocabulary.size, dtype=np.int32)})


def feature_columns(
    spec: FeatureSpec, table: pl.DataFrame | None, vocabulary: Vocabulary, key: str
) -> tuple[FeatureSpec, Columns]:
    """Returns the features of every id of a vocabulary.

    Args:
        spec: Over the columns of `table`, `key` among them.
        table: A row per id, or None where `key` is all that is known.
        vocabulary: The ids.
        key: The column of the ids in `table`, `"user_id"` or `"item_id"`.

    Returns:
        The spec, adapted to the ids of the vocabulary if it was not, and arrays with a row per
        index; an id that is not in the table has every other column missing.
    """
    rows = pl.DataFrame({key: pl.Series([None, *vocabulary.ids.tolist()])})
    if table is not None:
        rows = rows.join(table, on=key, how="left", maintain_order="left")
    if not spec.is_adapted:
        spec = spec.adapt(rows[1:])
    return spec, Columns(spec.transform(rows), spec)


def id_output(vocabulary: Vocabulary) -> Output:
    """Returns what an id becomes: its index."""
    return Output("index", size=vocabulary.size)


def history_output(items: Vocabulary) -> Output:
    """Returns what a history becomes: the indices of its items."""
    return Output("indices", size=items.size)


class Histories:
    """The items of each user, as indices.

    Args:
        lists: (n,) int indices of the items of each user, oldest first, for users 0, 1, …; of an
            item that is unknown (0) nothing is kept.

    Example:
        >>> histories = Histories([np.array([], int), np.array([5, 0, 7, 6])])
        >>> histories.padded(np.array([1, 0]), most=2)
        array([[7, 6],
               [0, 0]], dtype=int32)
    """

    def __init__(self, lists: Sequence[npt.NDArray[np.int64]]) -> None:
        known = [items[items > 0] for items in lists]
        self._lengths = np.array([len(items) for items in known], dtype=np.int64)
        self._items = np.concatenate([*known, np.zeros(0, np.int64)]).astype(np.int32)
        self._ends = np.cumsum(self._lengths)

    @classmethod
    def of_users(cls, seen: UserItems, users: Vocabulary, items: Vocabulary) -> Histories:
        """Returns the history of every user of a vocabulary; that of the unknown user is empty."""
        nothing = np.zeros(0, np.int64)
        lists = [items.encode(own) if len(own) else nothing for own in seen(users.ids)]
        return cls([nothing, *lists])

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(n,) int64, the number of items of each user."""
        return self._lengths

    def longest(self, most: int) -> int:
        """Returns the length of the longest history, of which the last `most` items count."""
        return min(int(self._lengths.max(initial=1)), most)

    def padded(
        self, users: npt.NDArray[np.int64], most: int, width: int | None = None
    ) -> npt.NDArray[np.int32]:
        """Returns histories padded with 0 at the end.

        Args:
            users: (b,) numbers of users.
            most: How many items to keep, the last ones.
            width: Columns to return, at least the longest kept; None for just those.

        Returns:
            (b, width) int32.
        """
        lengths = np.minimum(self._lengths[users], most)
        width = max(1, int(lengths.max(initial=0))) if width is None else width
        places = np.arange(width) < lengths[:, None]
        out = np.zeros(places.shape, np.int32)
        first = self._ends[users] - lengths
        out[places] = self._items[
            np.repeat(first - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
        ]
        return out
