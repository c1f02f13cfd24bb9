"""Ids that a user gives, as rows of the candidates."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.ids import as_ids, check_kind
from shortlist.layers._candidate_ids import NO_ID, CandidateIds, tensor_dtype


def as_rows(
    values: Any, argument: str, ids: CandidateIds, layer: str, ragged: bool = False
) -> NDArray[np.int64]:
    """Returns the rows of ids, -1 for ids of no candidate.

    Args:
        values: Ids as `as_ids` takes them, of any shape.
        argument: The name of the argument in error messages.
        ids: The ids of the candidates.
        layer: The layer's name.
        ragged: Whether `values` is one sequence a query, of any lengths; the rows are then (b, e),
            padded with -1, and ids in one dimension are those of one query.

    Raises:
        ValueError: They are no ids, of another kind than those of the candidates, or in tensors
            that may have cut them.
    """
    if not ids.are_strings and not ids.fit_tensors and _in_tensors(values):
        raise ValueError(
            f"`{argument}` must not be in tensors here: JAX cuts ids in tensors to 32 bits, and "
            f"some candidates of layer '{layer}' have longer ones. Give lists or NumPy arrays, or "
            "set jax_enable_x64."
        )
    if not ragged:
        return _rows(as_ids(values, argument, ndim=None), argument, ids, layer)
    if hasattr(values, "to_list") and type(values).__module__.startswith("tensorflow"):
        values = values.to_list()  # A RaggedTensor.
    is_list = isinstance(values, list | tuple) or (
        isinstance(values, np.ndarray) and values.dtype.kind == "O"
    )
    if not (is_list and len(values) and all(map(_is_sequence, values))):
        array = as_ids(values, argument, ndim=None)
        width = array.shape[-1] if array.ndim else 1
        array = array.reshape(array.size // width if width else len(array), width)
        return _with_a_column(_rows(array, argument, ids, layer))
    parts = [
        as_ids(list(part) if isinstance(part, set | frozenset) else part, argument, ndim=None)
        for part in values
    ]
    parts = [part.ravel() for part in parts]
    padded = np.full((len(parts), max(map(len, parts))), NO_ID, dtype=np.int64)
    for row, part in zip(padded, parts, strict=True):
        row[: len(part)] = _rows(part, argument, ids, layer)
    return _with_a_column(padded)


def check_dtype(argument: str, values: Any) -> None:
    """Refuses tensors of ids that would change on the way to the dtype of ids in tensors."""
    dtype = keras.backend.standardize_dtype(values.dtype)
    if not keras.backend.is_int_dtype(dtype) or not np.can_cast(dtype, tensor_dtype()):
        raise ValueError(
            f"`{argument}` must be integers that fit {tensor_dtype()}, got dtype {dtype}."
        )


def _in_tensors(values: Any) -> bool:
    """Whether ids, or those of any query, are in a tensor of the backend."""
    parts = values if isinstance(values, list | tuple) else [values]
    return any(map(ops.is_tensor, parts))


def _rows(values: NDArray[Any], argument: str, ids: CandidateIds, layer: str) -> NDArray[np.int64]:
    check_kind(values, ids.are_strings, argument, f"layer '{layer}'")
    return ids.rows(values.ravel().tolist()).reshape(values.shape)


def _with_a_column(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """At least one column, because XLA knows no empty ones in places."""
    return rows if rows.shape[1] else np.full((len(rows), 1), NO_ID, dtype=np.int64)


def _is_sequence(part: Any) -> bool:
    is_scalar = getattr(part, "shape", None) == () or isinstance(part, str | bytes)
    return isinstance(part, Iterable) and not is_scalar
