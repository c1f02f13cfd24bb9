"""The ids of a batch, as tensors can hold and compare them."""

from typing import Any

import keras
import numpy as np
from keras import ops

from shortlist.ids import as_ids


def distinguishable(candidate_ids: Any) -> Any:
    """Returns a tensor whose values are equal where the ids are.

    Tensors come back as they are, of integers or of TensorFlow's strings. Other ids are numbered,
    because tensors hold no text, and those of JAX no more than 32 bits.

    Raises:
        ValueError: They are no ids.
    """
    if is_tensor(candidate_ids):
        if keras.backend.standardize_dtype(candidate_ids.dtype) != "string":
            check_integers("candidate_ids", candidate_ids)
        return candidate_ids
    ids = as_ids(candidate_ids, "candidate_ids", ndim=None)
    numbers = np.unique(ids, return_inverse=True)[1].reshape(ids.shape)
    return ops.convert_to_tensor(numbers.astype("int32"))


def is_tensor(values: Any) -> bool:
    """Whether it is a tensor of the backend, with values or in a graph."""
    return ops.is_tensor(values) or isinstance(values, (keras.KerasTensor, keras.Variable))


def check_integers(argument: str, tensor: Any) -> None:
    """Refuses tensors of anything but integers, which would be rounded on the way."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if not keras.backend.is_int_dtype(dtype):
        raise ValueError(f"`{argument}` must hold integers in a tensor, got dtype {dtype}.")
