"""A loss and its gradients by the engine's kernels, which each Keras backend can differentiate.

The kernels find the gradients on the way to the loss. So they are made with it, where anyone wants
them, and only multiplied afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.layers.host import call_on_host

Array = NDArray[Any]

# Given outputs to fill and inputs. The first output is the loss, of shape (); the others, where
# there are any, are its gradients by the first inputs.
Fill = Callable[..., None]


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


def host_loss(fill: Fill, learnt: Sequence[Any], given: Sequence[Any]) -> Any:
    """Returns a scalar loss that can be differentiated.

    Args:
        fill: Computes it.
        learnt: float32 tensors to differentiate by: the first inputs of `fill`.
        given: Tensors of which the loss is no function to be differentiated: its other inputs.
    """
    makers = {"jax": _for_jax, "tensorflow": _in_tensorflow, "torch": _for_torch}
    make = makers[keras.backend.backend()]
    return make(fill, learnt, given)


def _for_jax(fill: Fill, learnt: Sequence[Any], given: Sequence[Any]) -> Any:
    return _jax_function()(fill, len(learnt), *learnt, *given)


@cache
def _jax_function() -> Any:
    import jax

    scalar = jax.ShapeDtypeStruct((), "float32")

    @partial(jax.custom_vjp, nondiff_argnums=(0, 1))
    def loss(fill: Fill, count: int, *tensors: Any) -> Any:
        del count
        return call_on_host(fill, [scalar], *tensors)[0]

    def forward(fill: Fill, count: int, *tensors: Any) -> Any:
        shapes = [jax.ShapeDtypeStruct(tensor.shape, "float32") for tensor in tensors[:count]]
        value, *gradients = call_on_host(fill, [scalar, *shapes], *tensors)
        return value, (gradients, tensors[count:])

    def backward(fill: Fill, count: int, kept: Any, slope: Any) -> Any:
        del fill, count
        gradients, given = kept
        return (*(slope * gradient for gradient in gradients), *map(nothing, given))

    def nothing(tensor: Any) -> Any:
        if jax.numpy.issubdtype(tensor.dtype, jax.numpy.floating):
            return jax.numpy.zeros_like(tensor)
        return np.zeros(tensor.shape, jax.dtypes.float0)

    loss.defvjp(forward, backward)
    return loss


def _in_tensorflow(fill: Fill, learnt: Sequence[Any], given: Sequence[Any]) -> Any:
    import tensorflow as tf

    def run(*arrays: Array) -> list[Array]:
        outputs = [np.empty((), np.float32), *map(np.empty_like, arrays[: len(learnt)])]
        fill(outputs, *arrays)
        return outputs

    @tf.custom_gradient
    def loss(*learnt: Any) -> Any:
        kinds = [tf.float32] * (1 + len(learnt))
        value, *gradients = tf.numpy_function(run, [*learnt, *given], kinds)
        value.set_shape(())
        for gradient, tensor in zip(gradients, learnt, strict=True):
            gradient.set_shape(tensor.shape)
        return value, lambda slope: [slope * gradient for gradient in gradients]

    return loss(*map(tf.convert_to_tensor, learnt))


def _for_torch(fill: Fill, learnt: Sequence[Any], given: Sequence[Any]) -> Any:
    return _torch_function().apply(fill, len(learnt), *learnt, *given)


@cache
def _torch_function() -> Any:
    import torch

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, fill: Fill, count: int, *tensors: Any) -> Any:
            arrays = [tensor.detach().numpy() for tensor in tensors]
            wanted = any(context.needs_input_grad)
            gradients = [np.empty(array.shape, np.float32) for array in arrays[: wanted * count]]
            value = np.empty((), np.float32)
            fill([value, *gradients], *arrays)
            context.others = len(tensors) - count
            context.save_for_backward(*map(torch.from_numpy, gradients))
            return torch.from_numpy(value)

        @staticmethod
        def backward(context: Any, slope: Any) -> Any:
            gradients = (slope * gradient for gradient in context.saved_tensors)
            return (None, None, *gradients, *[None] * context.others)

    return Loss
