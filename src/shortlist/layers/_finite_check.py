"""Queries that are not finite, refused wherever that can be done."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.layers._host import HostFunction, finite_rows, is_concrete

Array = NDArray[Any]


class FiniteCheck:
    """Refuses queries that are not finite.

    Eagerly, in what PyTorch compiles and in Keras's own functions on JAX it raises a ValueError; in
    TensorFlow's graphs an InvalidArgumentError, and in functions that the user compiles with JAX a
    JaxRuntimeError, of the same words. TensorFlow's XLA checks nothing.
    """

    def __init__(self) -> None:
        self._on_host = HostFunction(self._require, lambda _: ((1, "bool"),))

    def __call__(self, queries: Any) -> Any:
        """Returns (b, d) queries, checked before they are used."""
        backend = keras.backend.backend()
        if is_concrete(queries):
            self._require(1, finite_rows(keras.ops.convert_to_numpy(queries)))
        elif backend == "tensorflow":
            import tensorflow as tf

            return tf.debugging.check_numerics(queries, "`queries` must be finite")
        elif backend == "torch":
            is_finite = keras.ops.all(keras.ops.isfinite(queries), axis=1, keepdims=True)
            # Using what the host returns keeps compilers from leaving the check out.
            return keras.ops.where(self._on_host(1, is_finite)[0], queries, 0.0)
        else:
            self._in_jax(queries)
        return queries

    def _in_jax(self, queries: Any) -> None:
        import jax

        from shortlist.layers._jax_errors import errors_of_model

        errors = errors_of_model()

        def require(is_finite: Array) -> None:
            try:
                self._require(1, np.asarray(is_finite))
            except ValueError as error:
                if errors is None or not errors.keep(error):
                    raise

        is_finite = jax.numpy.isfinite(jax.lax.stop_gradient(queries)).all(axis=1, keepdims=True)
        # Of JAX's callbacks, this is the one that all its transformations take.
        jax.lax.cond(is_finite.all(), lambda: None, lambda: jax.debug.callback(require, is_finite))

    def _require(self, _: int, is_finite: Array) -> tuple[Array]:
        if not is_finite.all():
            row = int(np.argmin(is_finite))
            raise ValueError(
                f"`queries` must be finite, got NaN or infinity in row {row} of the batch."
            )
        return (is_finite,)
