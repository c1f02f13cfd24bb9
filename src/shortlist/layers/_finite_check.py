"""Queries that are not finite, refused wherever that can be done."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.layers._host import HostFunction, finite_rows, is_concrete

Array = NDArray[Any]


class FiniteCheck:
    """Refuses queries that are not finite.

    It raises a ValueError eagerly, in what PyTorch compiles and in what Keras compiles; in your own
    functions of TensorFlow an InvalidArgumentError and of JAX a JaxRuntimeError, of the same words.
    TensorFlow's XLA checks nothing.
    """

    def __init__(self) -> None:
        self._on_host = HostFunction(self._require, lambda _: ((1, "bool"),))

    def __call__(self, queries: Any) -> Any:
        """Returns (b, d) queries, checked before they are used."""
        backend = keras.backend.backend()
        if is_concrete(queries):
            require_finite(finite_rows(keras.ops.convert_to_numpy(queries)))
        elif backend == "jax":
            self._in_jax(queries)
        elif backend == "tensorflow" and not _keras_asks_host():
            import tensorflow as tf

            # An operation that XLA takes, and leaves out.
            return tf.debugging.check_numerics(queries, "`queries` must be finite")
        else:
            is_finite = keras.ops.all(keras.ops.isfinite(queries), axis=1, keepdims=True)
            # Using what the host returns keeps compilers from leaving the check out.
            return keras.ops.where(self._on_host(1, is_finite)[0], queries, 0.0)
        return queries

    def _in_jax(self, queries: Any) -> None:
        import jax

        from shortlist.layers._jax_errors import errors_of_model

        errors = errors_of_model()

        def require(is_finite: Array) -> None:
            try:
                require_finite(np.asarray(is_finite))
            except ValueError as error:
                if errors is None or not errors.keep(error):
                    raise

        is_finite = jax.numpy.isfinite(jax.lax.stop_gradient(queries)).all(axis=1, keepdims=True)
        # Of JAX's callbacks, this is the one that all its transformations take.
        jax.lax.cond(is_finite.all(), lambda: None, lambda: jax.debug.callback(require, is_finite))

    def _require(self, _: int, is_finite: Array) -> tuple[Array]:
        require_finite(is_finite)
        return (is_finite,)


def require_finite(is_finite: Array) -> None:
    """Raises a ValueError unless each of (b, 1) rows of queries is finite."""
    if not is_finite.all():
        row = int(np.argmin(is_finite))
        raise ValueError(
            f"`queries` must be finite, got NaN or infinity in row {row} of the batch."
        )


def _keras_asks_host() -> bool:
    """Whether a function of Keras is compiled by TensorFlow, and not by XLA."""
    from shortlist.layers._tensorflow_errors import errors_of_model

    return errors_of_model() is not None
