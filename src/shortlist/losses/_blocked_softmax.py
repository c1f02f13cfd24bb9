"""The losses of the in-batch softmax in blocks, by the engine's kernels, for each Keras backend.

The matrix of scores is never made: a batch of 8,192 would need 256 MB of it, several times over.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist import _native

Array = NDArray[Any]


def is_supported(*tensors: Any) -> bool:
    """Whether tensors lie where the kernels run: in the memory of the processor, with values."""
    if any(isinstance(tensor, keras.KerasTensor) for tensor in tensors):
        return False
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return bool(jax.default_backend() == "cpu" and jax.device_count() == 1)
    if backend == "tensorflow":
        import tensorflow as tf

        return not tf.config.list_logical_devices("GPU")
    import torch

    on_cpu = all(tensor.device.type == "cpu" for tensor in tensors)
    return on_cpu and not torch.compiler.is_compiling()


def blocked_softmax(queries: Any, candidates: Any, bias: Any, keys: Any, temperature: float) -> Any:
    """Returns log(exp(s_ii) + sum of exp(s_ij) over the negatives j of query i) - s_ii.

    s_ij is <query i, candidate j> / temperature - bias j. Candidate j is a negative of query i
    unless their keys are equal. The losses can be differentiated by queries and candidates.

    Args:
        queries: (b, d) float32.
        candidates: (m, d) float32, m >= b; row i is what query i chose.
        bias: (m,) float32.
        keys: (m,) int32 or int64: equal keys are the same candidate.
        temperature: Above 0.

    Returns:
        (b,) float32 losses.
    """
    function = _functions()[keras.backend.backend()]
    return function(queries, candidates, bias, keys, float(temperature))


def _losses(
    temperature: float, queries: Array, candidates: Array, bias: Array, keys: Array
) -> tuple[Array, Array]:
    """Losses, and the log sums that gradients need, on the host."""
    losses, log_sums = np.empty((2, len(queries)), np.float32)
    queries, candidates, bias = map(_contiguous, (queries, candidates, bias))
    _native.softmax_losses(
        queries, candidates, bias, _as_int32(keys), temperature, losses, log_sums
    )
    return losses, log_sums


def _gradients(
    temperature: float,
    queries: Array,
    candidates: Array,
    bias: Array,
    keys: Array,
    log_sums: Array,
    weights: Array,
) -> tuple[Array, Array]:
    """Gradients of the weighted sum of the losses, on the host."""
    queries, candidates, bias = map(_contiguous, (queries, candidates, bias))
    of_queries, of_candidates = np.empty_like(queries), np.empty_like(candidates)
    _native.softmax_gradients(
        queries,
        candidates,
        bias,
        _as_int32(keys),
        temperature,
        _contiguous(log_sums),
        _contiguous(weights),
        of_queries,
        of_candidates,
    )
    return of_queries, of_candidates


def _contiguous(array: Array) -> Array:
    return np.ascontiguousarray(array, np.float32)


def _as_int32(keys: Array) -> Array:
    """Numbers that are equal where the keys are."""
    if keys.dtype == np.int32:
        return keys
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)


@cache
def _functions() -> dict[str, Any]:
    backend = keras.backend.backend()
    make = {"jax": _for_jax, "tensorflow": _for_tensorflow, "torch": _for_torch}[backend]
    return {backend: make()}


def _for_jax() -> Any:
    import jax

    def on_host(function: Any, shapes: Any, *arrays: Any) -> tuple[Any, ...]:
        def run(*values: Any) -> tuple[Array, ...]:
            return tuple(function(*(np.asarray(value) for value in values)))

        return tuple(jax.pure_callback(run, shapes, *arrays, vmap_method="sequential"))

    def shape(*sizes: int) -> Any:
        return jax.ShapeDtypeStruct(sizes, "float32")

    def forward(queries: Any, candidates: Any, bias: Any, keys: Any, temperature: float) -> Any:
        count = queries.shape[0]
        arrays = queries, candidates, bias, keys
        shapes = shape(count), shape(count)
        losses, log_sums = on_host(partial(_losses, temperature), shapes, *arrays)
        return losses, (*arrays, log_sums)

    def backward(temperature: float, kept: Any, weights: Any) -> Any:
        queries, candidates, bias, keys, _ = kept
        shapes = shape(*queries.shape), shape(*candidates.shape)
        gradients = on_host(partial(_gradients, temperature), shapes, *kept, weights)
        no_gradient = np.zeros(keys.shape, jax.dtypes.float0)
        return (*gradients, jax.numpy.zeros_like(bias), no_gradient)

    @partial(jax.custom_vjp, nondiff_argnums=(4,))
    def losses(queries: Any, candidates: Any, bias: Any, keys: Any, temperature: float) -> Any:
        return forward(queries, candidates, bias, keys, temperature)[0]

    losses.defvjp(forward, backward)
    return losses


def _for_tensorflow() -> Any:
    import tensorflow as tf

    def losses(queries: Any, candidates: Any, bias: Any, keys: Any, temperature: float) -> Any:
        @tf.custom_gradient
        def function(queries: Any, candidates: Any) -> Any:
            arrays = queries, candidates, bias, keys
            floats = [tf.float32, tf.float32]
            found, log_sums = tf.numpy_function(partial(_losses, temperature), arrays, floats)
            found.set_shape((queries.shape[0],))

            def backward(weights: Any) -> Any:
                run = partial(_gradients, temperature)
                gradients = tf.numpy_function(run, (*arrays, log_sums, weights), floats)
                for gradient, of in zip(gradients, (queries, candidates), strict=True):
                    gradient.set_shape(of.shape)
                return gradients

            return found, backward

        return function(queries, candidates)

    return losses


def _for_torch() -> Any:
    import torch

    class Softmax(torch.autograd.Function):
        @staticmethod
        def forward(
            context: Any, queries: Any, candidates: Any, bias: Any, keys: Any, temperature: float
        ) -> Any:
            arrays = [tensor.detach().numpy() for tensor in (queries, candidates, bias, keys)]
            losses, log_sums = _losses(temperature, *arrays)
            context.kept = temperature, *arrays, log_sums
            return torch.from_numpy(losses)

        @staticmethod
        def backward(context: Any, weights: Any) -> Any:
            kept = (*context.kept, weights.detach().numpy())
            gradients = _gradients(*kept)
            return (*map(torch.from_numpy, gradients), None, None, None)

    return Softmax.apply
