"""The ids of a layer's candidates, and what a backend's tensors can hold of them."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.ids import are_text, as_ids, first_repeated

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
        ids: Integers or text, as `shortlist.ids.as_ids` takes them; `None` numbers the rows.
        num_rows: How many there must be.
    """

    def __init__(self, ids: Any, num_rows: int) -> None:
        if ids is None:
            values = np.arange(num_rows, dtype=np.int64)
        else:
            values = as_ids(ids, "candidate_ids", ndim=None)
            if values.shape != (num_rows,):
                raise ValueError(
                    f"`candidate_ids` must have shape ({num_rows},), one id a row of "
                    f"`candidate_embeddings`, got {values.shape}."
                )
            _refuse_repeated(values)
        # The last entry is what row -1 finds.
        self._table = with_padding(values)
        self.values = self._table[:-1]
        # Then they need not be looked up.
        self.are_rows = ids is None or np.array_equal(values, np.arange(num_rows))

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def row_of(self) -> dict[Any, int]:
        """The row of each id."""
        return {value: row for row, value in enumerate(self.values.tolist())}

    @property
    def are_strings(self) -> bool:
        """Whether the ids are str."""
        return are_text(self.values)

    def rows(self, ids: Sequence[Any]) -> NDArray[np.int64]:
        """The row of each id in `ids`, -1 where there is none."""
        return np.array([self.row_of.get(value, NO_ID) for value in ids], dtype=np.int64)

    def lookup(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The id of each row in `rows`; -1 or "" for row -1."""
        if self.are_rows:
            return checked_rows(rows, len(self))
        return self.take(self._table, rows)

    @staticmethod
    def take(table: NDArray[Any], rows: NDArray[Any]) -> NDArray[Any]:
        """What a table of `with_padding` holds for each row in `rows`."""
        values: NDArray[Any] = table[checked_rows(rows, len(table) - 1)]
        return values

    @property
    def fit_tensors(self) -> bool:
        """Whether the backend's tensors can hold the ids."""
        return self._misfit is None

    def for_tensors(self) -> NDArray[Any]:
        """The ids in the dtype of `tensor_dtype`.

        Raises:
            ValueError: An id does not fit.
        """
        if self._misfit is not None:
            row, why = self._misfit
            raise ValueError(
                f"`candidate_ids` must fit the tensors of Keras on {keras.backend.backend()}, "
                f"which hold integers of {tensor_dtype()}; id {self.values.tolist()[row]!r} "
                f"(row {row}) is {why}. Construct the layer with `return_rows=True` and map "
                "the rows it returns with `layer.lookup(rows)`."
            )
        return self.values.astype(tensor_dtype())

    @cached_property
    def _misfit(self) -> tuple[int, str] | None:
        """The first row whose id does not fit tensors, and why."""
        if self.are_strings:
            return 0, "a str"
        limits = np.iinfo(tensor_dtype())
        outside = (self.values < limits.min) | (self.values > limits.max)
        return (int(np.argmax(outside)), f"beyond {tensor_dtype()}") if outside.any() else None


def with_padding(values: NDArray[Any]) -> NDArray[Any]:
    """Values with one more at the end, for row -1: -1 or ""."""
    return np.append(values, np.array("" if are_text(values) else NO_ID, values.dtype))


def checked_rows(rows: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Rows as int64, refused unless they are integers between -1 and `count` - 1."""
    if rows.size and rows.dtype.kind not in "iu":
        raise ValueError(f"`rows` must be integers, got dtype {rows.dtype}.")
    if rows.size and not (rows.min() >= NO_ID and rows.max() < count):
        raise ValueError(f"`rows` must lie between -1 and {count - 1}.")
    return rows.astype(np.int64)


def _refuse_repeated(values: NDArray[Any]) -> None:
    again = first_repeated(values)
    if again is not None:
        repeated = values.tolist()[again]
        raise ValueError(
            f"`candidate_ids` must be unique, got {repeated!r} more than once (rows "
            f"{int(np.flatnonzero(values == repeated)[0])} and {again}). Titles and other labels "
            "may repeat, ids may not: give ids that do not, or none, and map the rows that "
            "the layer returns with `return_rows=True` by `layer.lookup(rows, labels=titles)`."
        )
