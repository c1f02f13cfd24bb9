"""How each Keras layer and operation of a tower is written as ONNX nodes."""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper


class Unwritten(Exception):  # noqa: N818  (no error: Keras' own exporter is tried next)
    """A layer or operation this module does not write."""


class Nodes:
    """Nodes and constants of a graph, as they are added.

    Attributes:
        nodes: The nodes, in order.
        constants: The constants they take.
    """

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._numbers = itertools.count()

    def constant(self, value: Any, dtype: npt.DTypeLike = np.float32) -> str:
        """Add an array or a weight; its name."""
        name = f"c{next(self._numbers)}"
        array = _values(value).astype(dtype)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; the name of that."""
        name = f"v{next(self._numbers)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name


def _values(weight: Any) -> npt.NDArray[Any]:
    tensor = weight.value if isinstance(weight, keras.Variable) else weight
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _same(_graph: Nodes, _operation: Any, x: str, *_: Any) -> str:
    return x


def _embedding(graph: Nodes, layer: Any, x: str) -> str:
    return graph.node("Gather", graph.constant(layer.embeddings), x)


def _embedding_bag(graph: Nodes, layer: Any, x: str) -> str:
    # Padding, index 0, must add nothing: its row is written as zeros.
    table = _values(layer.embeddings).copy()
    table[0] = 0
    axis = graph.constant([1], np.int64)
    total = graph.node(
        "ReduceSum", graph.node("Gather", graph.constant(table), x), axis, keepdims=0
    )
    if layer.pooling == "sum":
        return total
    given = graph.node("Cast", graph.node("Cast", x, to=TensorProto.BOOL), to=TensorProto.FLOAT)
    number = graph.node("ReduceSum", given, axis, keepdims=1)
    number = graph.node("Max", number, graph.constant(1.0))
    return graph.node(
        "Div", total, graph.node("Sqrt", number) if layer.pooling == "sqrt" else number
    )


def _feature_cross(graph: Nodes, layer: Any, x0: str, x: str | None = None) -> str:
    x = x or x0
    low = x if layer.projection_dim is None else _dense(graph, layer.down_proj_dense, x)
    high = _dense(graph, layer.dense, low)
    if layer.diag_scale:
        scaled = graph.node("Mul", x, graph.constant(layer.diag_scale))
        high = graph.node("Add", high, scaled)
    return graph.node("Add", graph.node("Mul", x0, high), x)


def _sum(graph: Nodes, operation: Any, x: str) -> str:
    if operation.axis is None:
        raise Unwritten("sum over every axis")
    axes = graph.constant(np.atleast_1d(np.asarray(operation.axis)), np.int64)
    return graph.node("ReduceSum", x, axes, keepdims=int(operation.keepdims))


def _dense(graph: Nodes, layer: Any, x: str) -> str:
    x = graph.node("MatMul", x, graph.constant(layer.kernel))
    if layer.use_bias:
        x = graph.node("Add", x, graph.constant(layer.bias))
    return _activation(graph, layer, x)


def _activation(graph: Nodes, layer: Any, x: str) -> str:
    name = getattr(layer.activation, "__name__", "")
    if name == "linear":
        return x
    if name not in _ACTIVATIONS:
        raise Unwritten(f"the activation {name or layer.activation!r} ({layer.name})")
    return graph.node(_ACTIVATIONS[name], x)


def _relu(graph: Nodes, layer: Any, x: str) -> str:
    if getattr(layer, "max_value", None) is not None or any(
        getattr(layer, name, 0.0) for name in ("negative_slope", "threshold")
    ):
        raise Unwritten(f"a bent or capped ReLU ({layer.name})")
    return graph.node("Relu", x)


def _concatenate(graph: Nodes, layer: Any, xs: list[str]) -> str:
    return graph.node("Concat", *xs, axis=layer.axis)


def _layer_normalization(graph: Nodes, layer: Any, x: str) -> str:
    if tuple(layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]) not in [
        (-1,),
        (1,),
    ]:
        raise Unwritten(f"LayerNormalization over the axes {layer.axis} ({layer.name})")
    d = layer.gamma.shape if layer.scale else layer.beta.shape
    scale = graph.constant(layer.gamma if layer.scale else np.ones(d))
    shift = graph.constant(layer.beta if layer.center else np.zeros(d))
    return graph.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=layer.epsilon)


def _batch_normalization(graph: Nodes, layer: Any, x: str) -> str:
    scale = 1 / np.sqrt(_values(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * _values(layer.gamma)
    shift = -_values(layer.moving_mean) * scale
    if layer.center:
        shift = shift + _values(layer.beta)
    return graph.node("Add", graph.node("Mul", x, graph.constant(scale)), graph.constant(shift))


def _unit_normalization(graph: Nodes, layer: Any, x: str) -> str:
    if layer.axis not in (-1, [-1], (-1,)):
        raise Unwritten(f"UnitNormalization over the axes {layer.axis} ({layer.name})")
    return _divided_by_norm(graph, x, 1e-6)


def _normalize(graph: Nodes, operation: Any, x: str) -> str:
    if operation.axis != -1 or operation.order != 2:
        raise Unwritten(f"normalize over axis {operation.axis} of order {operation.order}")
    return _divided_by_norm(graph, x, operation.epsilon or keras.config.epsilon())


def _divided_by_norm(graph: Nodes, x: str, least: float) -> str:
    norm = graph.node("ReduceL2", x, axes=[-1], keepdims=1)
    return graph.node("Div", x, graph.node("Max", norm, graph.constant(least)))


def _flatten(graph: Nodes, _layer: Any, x: str) -> str:
    return graph.node("Flatten", x, axis=1)


def _reshape(graph: Nodes, layer: Any, x: str) -> str:
    # Opset 17 cannot leave out a size; of the batch 0 says "as it is".
    if any(size is None for size in layer.target_shape):
        raise Unwritten(f"Reshape to {layer.target_shape} ({layer.name})")
    return graph.node("Reshape", x, graph.constant([0, *layer.target_shape], np.int64))


def _single(*kinds: str) -> Callable[..., str]:
    def write(graph: Nodes, _operation: Any, x: str) -> str:
        for kind in kinds:
            x = graph.node(kind, *([x, x] if kind == "Mul" else [x]))
        return x

    return write


def _squeeze(graph: Nodes, operation: Any, x: str) -> str:
    if operation.axis is None:
        raise Unwritten("squeeze of every axis")
    axes = np.atleast_1d(np.asarray(operation.axis))
    return graph.node("Squeeze", x, graph.constant(axes, np.int64))


def _arithmetic(kind: str) -> Callable[..., str]:
    def write(graph: Nodes, _operation: Any, *values: Any) -> str:
        if len(values) == 1 and isinstance(values[0], list | tuple):  # the layers take one list
            values = tuple(values[0])
        names = [value if isinstance(value, str) else graph.constant(value) for value in values]
        while len(names) > 1:
            names[:2] = [graph.node(kind, names[0], names[1])]
        return names[0]

    return write


KNOWN = ("keras", "keras_rs", "shortlist")  # whose layers the writers below are for
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus"}

WRITERS: dict[str, Callable[..., str]] = {
    "ConvertToTensor": _same,
    "Identity": _same,
    "Dropout": _same,
    "Embedding": _embedding,
    "EmbeddingTable": _embedding,
    "EmbeddingBag": _embedding_bag,
    "FeatureCross": _feature_cross,
    "Sum": _sum,
    "Square": _single("Mul"),
    "Sqrt": _single("Sqrt"),
    "Rsqrt": _single("Sqrt", "Reciprocal"),
    "Reshape": _reshape,
    "Dense": _dense,
    "Activation": _activation,
    "ReLU": _relu,
    "Relu": _relu,
    "Concatenate": _concatenate,
    "LayerNormalization": _layer_normalization,
    "BatchNormalization": _batch_normalization,
    "UnitNormalization": _unit_normalization,
    "Normalize": _normalize,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Add": _arithmetic("Add"),
    "Subtract": _arithmetic("Sub"),
    "Multiply": _arithmetic("Mul"),
    "Divide": _arithmetic("Div"),
    "TrueDivide": _arithmetic("Div"),
}
