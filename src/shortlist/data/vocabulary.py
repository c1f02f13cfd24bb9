"""Ids to contiguous indices and back."""

from collections.abc import Mapping, Set
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.columns import as_array, id_series
from shortlist.data.errors import DataError, nearest

_FEW = 64  # up to here a dictionary is faster than a join


class Vocabulary:
    """The ids a model knows, each with an index; index 0 stands for every id it does not know.

    Args:
        ids: The known ids, all different, all integers or all strings. The first gets index 1.

    Raises:
        DataError: Repeated, missing or mixed ids.

    Example:
        >>> films = Vocabulary(["alien", "brazil"])
        >>> films.encode(["brazil", "jaws", "alien"])
        array([2, 0, 1])
        >>> films.decode([2, 1]).tolist()
        ['brazil', 'alien']
    """

    def __init__(self, ids: Any) -> None:
        self._ids = id_series(ids, "ids").alias("id")
        if self._ids.n_unique() != len(self._ids):
            repeated = self._ids.filter(self._ids.is_duplicated())[0]
            raise DataError(f"`ids` must all be different; {repeated!r} stands there twice.")

    @classmethod
    def from_ids(cls, ids: Any) -> "Vocabulary":
        """Return the vocabulary of the different ids in `ids`, sorted.

        Args:
            ids: Ids, integers or strings, repeated or not, in any order.

        Returns:
            The same vocabulary for the same set of ids.

        Example:
            >>> Vocabulary.from_ids([30, 10, 30]).ids
            array([10, 30])
        """
        return cls(id_series(list(ids) if isinstance(ids, Set) else ids, "ids").unique().sort())

    def __len__(self) -> int:
        """Return how many ids are known (the index 0 is not counted)."""
        return len(self._ids)

    @property
    def size(self) -> int:
        """How many indices there are: one more than ids; the rows an embedding needs."""
        return len(self._ids) + 1

    @property
    def id_type(self) -> type[int] | type[str]:
        """The type of the ids: `int` or `str`."""
        return str if self._ids.dtype == pl.String else int

    @cached_property
    def ids(self) -> npt.NDArray[Any]:
        """The known ids by index: `ids[i - 1]` has index i. int64, or object (str)."""
        return as_array(self._ids)

    def encode(self, ids: Any) -> npt.NDArray[np.int64]:
        """Return the index of each id; 0 for one that is not known or missing.

        Args:
            ids: Ids of the vocabulary's type; an array keeps its shape.

        Returns:
            int64 array of the shape of `ids`.

        Raises:
            DataError: Ids of another type than the vocabulary's.
        """
        if isinstance(ids, np.ndarray) and ids.ndim != 1:
            return self.encode(ids.reshape(-1)).reshape(ids.shape)
        series = id_series(ids, "ids", missing=True)
        if series.dtype != self._ids.dtype and series.null_count() < len(series):
            expected = "strings" if self.id_type is str else "integers"
            series = series.drop_nulls()
            raise DataError(
                f"`ids` must be {expected}, as the ids of this vocabulary are, got {series[0]!r}."
            )
        if len(series) <= _FEW:
            index = self._index
            return np.array([index.get(i, 0) for i in series], dtype=np.int64)
        indices = pl.DataFrame({"id": series.cast(self._ids.dtype)}).join(
            self._table, on="id", how="left", maintain_order="left"
        )["index"]
        return indices.fill_null(0).to_numpy()

    def index_of(self, id_: Any) -> int:
        """Return the index of one id; 0 for one that is not known or missing (None).

        Raises:
            DataError: An id of another type than the vocabulary's.
        """
        try:
            index = self._index.get(id_, 0)
        except TypeError:  # a list or an object, as a request may hold
            raise DataError(
                f"an id of this vocabulary must be {self.id_type.__name__}, got {id_!r}."
            ) from None
        if not index and id_ is not None and isinstance(id_, str) != (self.id_type is str):
            raise DataError(
                f"an id of this vocabulary must be {self.id_type.__name__}, got {id_!r}."
            )
        return index

    def decode(self, indices: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the id of each index; for index 0, -1 or the empty string.

        Args:
            indices: Integers from 0 to `len(self)`; any shape.

        Returns:
            Array of the shape of `indices`: int64, or object (str).

        Raises:
            DataError: An index that is no integer or out of range.
        """
        array = np.asarray(indices)
        if array.size == 0:
            array = array.astype(np.int64)
        if array.dtype.kind not in "iu":
            raise DataError(f"`indices` must be integers, got {array.dtype}.")
        if array.size and (array.min() < 0 or array.max() > len(self)):
            bad = array[(array < 0) | (array > len(self))].flat[0]
            raise DataError(f"`indices` must be from 0 to {len(self)}, got {bad}.")
        decoded: npt.NDArray[Any] = self._ids_and_unknown[array]
        return decoded

    @cached_property
    def _ids_and_unknown(self) -> npt.NDArray[Any]:
        return np.concatenate(
            [np.array(["" if self.id_type is str else -1], self.ids.dtype), self.ids]
        )

    @cached_property
    def _index(self) -> dict[Any, int]:
        return {known: index for index, known in enumerate(self._ids, start=1)}

    @cached_property
    def _table(self) -> pl.DataFrame:
        return pl.DataFrame({"id": self._ids, "index": np.arange(1, self.size, dtype=np.int64)})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._ids.equals(other._ids, check_dtypes=True)

    def __hash__(self) -> int:
        return hash((len(self), self.id_type))

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} ids, {self.id_type.__name__})"

    def to_dict(self) -> dict[str, Any]:
        """Return the vocabulary as plain data, fit for JSON.

        Example:
            >>> Vocabulary([7, 9]).to_dict()
            {'type': 'int', 'ids': [7, 9]}
        """
        return {"type": self.id_type.__name__, "ids": self._ids.to_list()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Vocabulary":
        """Return the vocabulary that `to_dict` described.

        Raises:
            DataError: A key that is missing or unknown, or ids that do not fit the type.
        """
        if not isinstance(data, Mapping):
            raise DataError(f"a vocabulary is a table with `type` and `ids`, got {data!r}.")
        for key in data:
            if key not in ("type", "ids"):
                raise DataError(
                    f"unknown key {key!r} in a vocabulary{nearest(key, ['type', 'ids'])}"
                )
        if missing := {"type", "ids"} - set(data):
            raise DataError(f"a vocabulary needs the key {min(missing)!r}.")
        dtypes = {"int": pl.Int64, "str": pl.String}
        if data["type"] not in dtypes:
            raise DataError(
                f"the type of a vocabulary must be 'int' or 'str', got {data['type']!r}."
            )
        if not isinstance(data["ids"], list | tuple):
            raise DataError(f"the `ids` of a vocabulary must be a list, got {data['ids']!r}.")
        ids = data["ids"] if len(data["ids"]) else pl.Series(dtype=dtypes[data["type"]])
        vocabulary = cls(ids)
        if vocabulary.id_type.__name__ != data["type"]:
            raise DataError(f"the ids of this vocabulary are not of its type, {data['type']!r}.")
        return vocabulary
