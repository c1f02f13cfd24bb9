"""Queries that are not finite, refused wherever that can be done."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.layers.host import HostFunction, finite_rows, is_concrete

Array = NDArray[Any]


class FiniteCheck:
    """Refuses queries that are not finite.

    Eagerly and in what PyTorch compiles it raises a ValueError; in functions that JAX and
    TensorFlow compile their own error, of the same words. TensorFlow's XLA can raise nothing.
    """

    def __init__(self) -> None:
        self._on_host = HostFunction(_require, _one_bool)

    def __call__(self, queries: Any) -> Any:
        """Returns (b, d) queries, checked before they are used."""
        if is_concrete(queries):
            require_finite(finite_rows(keras.ops.convert_to_numpy(queries)))
            return queries
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # An operation that XLA takes, and leaves out.
            return tf.debugging.check_numerics(queries, "`queries` must be finite")
        is_finite = keras.ops.isfinite(keras.ops.stop_gradient(queries))
        is_finite = keras.ops.all(is_finite, axis=1, keepdims=True)
        # Using what the host returns keeps compilers from leaving the check out.
        if keras.backend.backend() == "jax":
            import jax

            # So a device asks the host only when something is wrong.
            is_finite = jax.lax.cond(
                is_finite.all(),
                lambda finite: finite,
                lambda finite: self._on_host(1, finite)[0],
                is_finite,
            )
        else:
            (is_finite,) = self._on_host(1, is_finite)
        return keras.ops.where(is_finite, queries, 0.0)


def require_finite(is_finite: Array) -> None:
    """Raises a ValueError unless each of (b, 1) rows of queries is finite."""
    if not is_finite.all():
        row = int(np.argmin(is_finite))
        raise ValueError(
            f"`queries` must be finite, got NaN or infinity in row {row} of the batch."
        )


def _require(_: int, is_finite: Array) -> tuple[Array]:
    require_finite(is_finite)
    return (is_finite,)


def _one_bool(_: int) -> tuple[tuple[int, str]]:
    return ((1, "bool"),)
