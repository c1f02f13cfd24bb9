"""The ids of a layer's candidates, and what a backend's tensors can hold of them."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

NO_ID = -1


def tensor_dtype() -> str:
    """The dtype of ids in tensors: int64, or int32 on JAX, which has no int64 unless told to."""
    if keras.backend.backend() == "jax":
        import jax

        return "int64" if jax.config.jax_enable_x64 else "int32"
    return "int64"


class CandidateIds:
    """One id a row: int64 or str, no two alike.

    Args:
        ids: Integers or strings; `None` numbers the rows.
        num_rows: How many there must be.
    """

    def __init__(self, ids: Any, num_rows: int) -> None:
        values = _as_ids(ids, num_rows)
        if ids is not None:
            _refuse_duplicates(values)
        # The last entry is what row -1 finds.
        self._table = np.append(
            values, np.array("" if values.dtype == object else NO_ID, values.dtype)
        )
        self.values = self._table[:-1]
        # Then they need not be looked up.
        self._are_rows = ids is None or np.array_equal(values, np.arange(num_rows))

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def row_of(self) -> dict[Any, int]:
        """The row of each id."""
        return {value: row for row, value in enumerate(self.values.tolist())}

    @property
    def are_strings(self) -> bool:
        """Whether the ids are str."""
        return self.values.dtype == object

    def rows(self, ids: Sequence[Any]) -> NDArray[np.int64]:
        """The row of each id in `ids`, -1 where there is none."""
        return np.array([self.row_of.get(value, NO_ID) for value in ids], dtype=np.int64)

    def lookup(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The id of each row in `rows`; -1 or "" for row -1."""
        if rows.size and not (rows.min() >= NO_ID and rows.max() < len(self)):
            raise ValueError(f"`rows` must lie between -1 and {len(self) - 1}.")
        ids: NDArray[Any] = rows.astype(np.int64) if self._are_rows else self._table[rows]
        return ids

    def for_tensors(self) -> NDArray[Any]:
        """The ids in the dtype of `tensor_dtype`.

        Raises:
            ValueError: An id does not fit.
        """
        dtype = tensor_dtype()
        misfit = None
        if self.are_strings:
            misfit, why = 0, "a str"
        else:
            limits = np.iinfo(dtype)
            outside = (self.values < limits.min) | (self.values > limits.max)
            if outside.any():
                misfit, why = int(np.argmax(outside)), f"beyond {dtype}"
        if misfit is not None:
            raise ValueError(
                f"`candidate_ids` must fit the tensors of Keras on {keras.backend.backend()}, "
                f"which hold integers of {dtype}; id {self.values.tolist()[misfit]!r} "
                f"(row {misfit}) is {why}. Construct the layer with `return_rows=True` and map "
                "the rows it returns with `layer.lookup(rows)`."
            )
        return self.values.astype(dtype)


def _as_ids(ids: Any, num_rows: int) -> NDArray[Any]:
    if ids is None:
        return np.arange(num_rows, dtype=np.int64)
    if keras.ops.is_tensor(ids) or isinstance(ids, keras.Variable):
        ids = keras.ops.convert_to_numpy(ids)
    array = np.asarray(ids)
    if array.shape != (num_rows,):
        raise ValueError(
            f"`candidate_ids` must have shape ({num_rows},), one id a row of "
            f"`candidate_embeddings`, got {array.shape}."
        )
    if array.dtype.kind in "iu":
        if array.dtype == np.uint64 and num_rows and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"`candidate_ids` must fit int64, got {array.max()}.")
        return array.astype(np.int64)
    if array.dtype.kind in "UTO" and all(isinstance(value, str) for value in array.tolist()):
        return array.astype(object)
    raise TypeError(f"`candidate_ids` must be integers or str, got dtype {array.dtype}.")


def _refuse_duplicates(values: NDArray[Any]) -> None:
    in_order = np.sort(values)
    repeated = np.flatnonzero(in_order[1:] == in_order[:-1])
    if repeated.size:
        first = in_order.tolist()[repeated[0]]
        raise ValueError(f"`candidate_ids` must be unique, got {first!r} more than once.")
