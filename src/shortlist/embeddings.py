"""Embeddings: whatever holds real numbers comes in, float32 goes out.

Every room that takes embeddings or queries from a user takes them through `as_embeddings`. Shapes
and whether values are finite are checked where they are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST = np.finfo(np.float32).max


def as_embeddings(values: Any, argument: str = "embeddings") -> NDArray[np.float32]:
    """Returns embeddings as an array of float32 in C order.

    Args:
        values: Real numbers in a NumPy array of any type, order and layout (bfloat16 and the float8
            types of `ml_dtypes` too), nested sequences, a tensor or variable of JAX, TensorFlow,
            PyTorch or Keras, a pandas or Polars frame whose columns are the dimensions, or a
            column of pandas, Polars or Arrow whose values are lists of one length.
        argument: The name of the argument in error messages.

    Returns:
        An array of the shape of `values`. It shares memory where that holds float32 in C order.

    Raises:
        ValueError: It holds something else than real numbers, or rows of different lengths, or
            nothing where a number belongs, or a number beyond float32.

    Example:
        >>> as_embeddings([[1, 2], [3, 4]])
        array([[1., 2.],
               [3., 4.]], dtype=float32)
        >>> as_embeddings([["a", "b"]])
        Traceback (most recent call last):
        ValueError: `embeddings` must hold real numbers, got the str 'a' in row 0.
    """
    array = as_array(values, argument)
    if array.dtype == np.float32:
        return np.asarray(array, np.float32, order="C")
    narrow = array.dtype.type.__module__.startswith("ml_dtypes")
    if array.dtype.kind not in "fiu" and not narrow:
        raise ValueError(f"`{argument}` must hold real numbers, got dtype {array.dtype}.")
    with np.errstate(over="ignore", invalid="ignore"):
        floats: NDArray[np.float32] = np.asarray(array, np.float32, order="C")
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        _check_range(array, floats, argument)
    return floats


def _check_range(array: NDArray[Any], floats: NDArray[np.float32], argument: str) -> None:
    """Says so where the first number that is not finite was made so by float32."""
    finite = np.isfinite(floats)
    if finite.all():
        return
    at = tuple(int(place) for place in np.argwhere(~finite)[0])
    if np.isfinite(array[at]):
        row = at[0] if len(at) > 1 else 0
        raise ValueError(
            f"`{argument}` must fit float32, whose largest number is {_LARGEST:.2g}; "
            f"got {array[at]:.3g} in row {row}."
        )


def as_array(values: Any, argument: str) -> NDArray[Any]:
    """Returns an array of whatever holds numbers or booleans, of the type they have.

    Args:
        values: As for `as_embeddings`.
        argument: The name of the argument in error messages.

    Raises:
        ValueError: It is nothing of the kind.

    Example:
        >>> as_array([True, False], "mask").dtype
        dtype('bool')
    """
    library = type(values).__module__.partition(".")[0]
    if isinstance(values, np.ndarray):
        if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
            raise _missing(argument, int(np.argwhere(np.ma.getmaskarray(values))[0][0]))
        array: NDArray[Any] = values
    elif library == "torch":
        array = _of_torch(values, argument)
    elif library == "pyarrow":
        array = _of_arrow(values, argument)
    elif library in ("tensorflow", "keras"):
        if not hasattr(values, "numpy"):
            raise ValueError(f"`{argument}` must hold values, got the symbolic {values!r}.")
        array = np.asarray(values.numpy())
    elif hasattr(values, "toarray"):  # scipy.sparse
        raise ValueError(f"`{argument}` must be dense, got a sparse array: give its .toarray().")
    elif isinstance(values, str | bytes | Set | Mapping):
        raise ValueError(f"`{argument}` must be an array, got a {type(values).__name__}.")
    elif hasattr(values, "to_numpy"):
        array = values.to_numpy()
    elif hasattr(values, "__array__") or isinstance(values, Real):
        array = np.asarray(values)
    elif isinstance(values, Iterable):
        return _of_sequence(list(values), argument)
    else:
        raise ValueError(f"`{argument}` must be an array, got {type(values).__name__}.")
    return _of_objects(array, argument) if array.dtype == object else array


def _of_sequence(values: list[Any], argument: str, within: int | None = None) -> NDArray[Any]:
    """A list as an array; its members may be sequences or arrays themselves.

    `within` is the row that holds the list, where it is itself a member of one.
    """

    def row_of(position: int) -> int:
        return position if within is None else within

    for position, value in enumerate(values):
        if isinstance(value, str | bytes):
            raise _not_a_number(argument, value, row_of(position))
        if _is_missing(value):
            raise _missing(argument, row_of(position))
    if all(isinstance(value, Real | np.generic) for value in values):
        array = np.array(values)
        return _of_objects(array, argument) if array.dtype == object else array
    rows = [
        _of_sequence(list(value), argument, row_of(position))
        if isinstance(value, list | tuple)
        else as_array(value, argument)
        for position, value in enumerate(values)
    ]
    for position, row in enumerate(rows):
        if row.shape != rows[0].shape:
            raise ValueError(
                f"`{argument}` must have rows of one length, got {rows[0].shape} in row 0 and "
                f"{row.shape} in row {position}."
            )
    return np.stack(rows)


def _of_objects(array: NDArray[Any], argument: str) -> NDArray[Any]:
    """An array of Python objects: of numbers, or of rows."""
    values = array.ravel().tolist()
    if all(isinstance(value, Real) and not isinstance(value, bool) for value in values):
        try:
            return array.astype(np.float64)
        except OverflowError:
            raise ValueError(
                f"`{argument}` must fit float32, whose largest number is {_LARGEST:.2g}; got an "
                "integer beyond float64."
            ) from None
    if all(isinstance(value, bool) for value in values):
        return array.astype(bool)
    if array.ndim == 1 and any(isinstance(value, Iterable) for value in values):
        return _of_sequence(values, argument)
    position, value = next(
        (i, v) for i, v in enumerate(values) if not isinstance(v, Real) or isinstance(v, bool)
    )
    row = position * len(array) // len(values) if array.ndim else 0
    if _is_missing(value):
        raise _missing(argument, row)
    raise _not_a_number(argument, value, row)


def _of_torch(tensor: Any, argument: str) -> NDArray[Any]:
    if tensor.is_meta:
        raise ValueError(f"`{argument}` must hold values, got a tensor on the device meta.")
    if str(tensor.layout) != "torch.strided":
        raise ValueError(f"`{argument}` must be dense, got a sparse tensor: give its .to_dense().")
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point() and tensor.element_size() < 4:  # NumPy has no bfloat16
        tensor = tensor.float()
    array: NDArray[Any] = tensor.numpy()
    return array


def _of_arrow(values: Any, argument: str) -> NDArray[Any]:
    """A column of numbers or of lists, or a table whose columns are the dimensions."""
    if hasattr(values, "column_names"):
        return np.stack([_of_arrow(column, argument) for column in values.columns], axis=1)
    if hasattr(values, "combine_chunks"):  # a column of several chunks
        values = values.combine_chunks()
    if values.null_count:
        raise _missing(argument, values.is_null().index(True).as_py())
    if not str(values.type).partition("<")[0].endswith("list"):
        array: NDArray[Any] = values.to_numpy(zero_copy_only=False)
        return array
    flat = values.flatten()
    size = getattr(values.type, "list_size", None)
    if size is None:
        lengths = values.value_lengths().to_numpy()
        size = int(lengths[0]) if len(lengths) else 0
        if (lengths != size).any():
            row = int(np.argmax(lengths != size))
            raise ValueError(
                f"`{argument}` must have rows of one length, got {size} in row 0 and "
                f"{lengths[row]} in row {row}."
            )
    if flat.null_count:
        raise _missing(argument, flat.is_null().index(True).as_py() // size)
    return _of_arrow(flat, argument).reshape(len(values), size)


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType"  # of pandas, which may be absent


def _missing(argument: str, row: int) -> ValueError:
    return ValueError(f"`{argument}` must have no missing values, got one in row {row}.")


def _not_a_number(argument: str, value: Any, row: int) -> ValueError:
    return ValueError(
        f"`{argument}` must hold real numbers, got the {type(value).__name__} {value!r} in row "
        f"{row}."
    )
