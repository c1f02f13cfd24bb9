"""A query tower as an ONNX graph, written from its Keras layers: no framework takes part.

Keras can export ONNX itself, but needs another package for each backend (jax2onnx, tf2onnx,
onnxscript), and TensorFlow for some. The layers a tower is made of are few, so they are written
here; a tower with any other layer goes through `keras.Model.export`.
"""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from shortlist.bundle.manifest import BundleError

_OPSET = 17
_IR_VERSION = 9  # read by ONNX Runtime 1.16 and newer


def to_onnx(model: keras.Model | keras.layers.Layer) -> bytes:
    """Export a built tower.

    Args:
        model: From int indices of users, of shape (n,) or (n, 1), or from a dict of inputs by
            name, to embeddings of shape (n, d).

    Returns:
        The serialised ONNX model. Its one input is `user`, or its inputs have the names of the
        dict; integers are int64, and n, and the length of a list, may be any.

    Raises:
        BundleError: A layer can neither be written here nor exported by Keras.

    Example:
        >>> import keras, onnx
        >>> tower = keras.Sequential([keras.Input((), dtype="int32"), keras.layers.Embedding(5, 2)])
        >>> [node.op_type for node in onnx.load_from_string(to_onnx(tower)).graph.node]
        ['Gather', 'Identity']
    """
    try:
        return _Graph().write(model)
    except _Unwritten as unwritten:
        return _exported_by_keras(model, str(unwritten))


class _Unwritten(Exception):  # noqa: N818  (no error: Keras' own exporter is tried next)
    """A layer or operation this module does not write."""


class _Graph:
    """Nodes and constants, as they are collected on the way through the layers."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._numbers = itertools.count()

    def write(self, model: Any) -> bytes:
        inputs = _inputs(model)
        if isinstance(inputs, dict):
            output = self.follow(model, inputs, {name: name for name in inputs})
        else:
            output = self.follow(model, inputs, "user")
            inputs = {"user": inputs}
        self.nodes.append(helper.make_node("Identity", [output], ["embedding"]))
        graph = helper.make_graph(
            self.nodes,
            "query_tower",
            [_declared(name, symbol) for name, symbol in inputs.items()],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", None])],
            self.constants,
        )
        opset = helper.make_opsetid("", _OPSET)
        onnx_model = helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)
        onnx.checker.check_model(onnx_model, full_check=True)
        serialized: bytes = onnx_model.SerializeToString()
        return serialized

    def follow(self, model: Any, symbols: Any, names: Any) -> str:
        """Call a model on symbols, which shows its layers, and write them one after the other."""
        function = keras.Function(symbols, model.call(symbols))
        output: str = function._run_through_graph(  # hands names on where tensors would go
            names, operation_fn=lambda operation: lambda *args, **_: self.add(operation, *args)
        )
        return output

    def constant(self, value: Any, dtype: npt.DTypeLike = np.float32) -> str:
        name = f"c{next(self._numbers)}"
        array = _values(value).astype(dtype)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{next(self._numbers)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def add(self, operation: Any, *inputs: Any) -> str:
        """Write one layer or operation; a model inside the tower is written layer by layer."""
        if isinstance(operation, keras.Model):
            shape = operation.input_shape
            symbol = keras.Input(batch_shape=shape, dtype=operation.inputs[0].dtype)
            return self.follow(operation, symbol, *inputs)
        writer = _WRITERS.get(type(operation).__name__)
        if writer is None or type(operation).__module__.partition(".")[0] not in _KNOWN:
            raise _Unwritten(f"{type(operation).__name__} ({operation.name})")
        return writer(self, operation, *inputs)


def _inputs(model: Any) -> Any:
    """Return symbols for the inputs of a model: a dict of them if it takes one, or one."""
    given = getattr(model, "_inputs_struct", None)
    if isinstance(given, dict):
        return {
            name: keras.Input(batch_shape=symbol.shape, dtype=symbol.dtype, name=name)
            for name, symbol in given.items()
        }
    return keras.Input(batch_shape=(None, *_row_shape(model)), dtype="int32", name="user")


def _declared(name: str, symbol: Any) -> onnx.ValueInfoProto:
    integers = "int" in symbol.dtype
    shape = [f"{name}_{axis}" if size is None else size for axis, size in enumerate(symbol.shape)]
    kind = TensorProto.INT64 if integers else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, ["n", *shape[1:]])


def _row_shape(model: Any) -> tuple[int, ...]:
    return tuple(getattr(model, "input_shape", None) or (None,))[1:]


def _exported_by_keras(model: Any, unwritten: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tower.onnx"
        try:
            if not isinstance(_inputs(model), dict):
                model(np.zeros((1, *_row_shape(model)), np.int32))  # Keras exports what was called
            model.export(path, format="onnx", verbose=False)
        except Exception as error:  # whatever the backend's exporter raises
            raise BundleError(
                f"the query tower has {unwritten}, which Shortlist cannot write as ONNX, and Keras "
                f"on {keras.config.backend()} could not export it either: "
                f"{type(error).__name__}: {error}"
            ) from error
        return path.read_bytes()


def _values(weight: Any) -> npt.NDArray[Any]:
    tensor = weight.value if isinstance(weight, keras.Variable) else weight
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def _same(_graph: _Graph, _operation: Any, x: str, *_: Any) -> str:
    return x


def _embedding(graph: _Graph, layer: Any, x: str) -> str:
    return graph.node("Gather", graph.constant(layer.embeddings), x)


def _embedding_bag(graph: _Graph, layer: Any, x: str) -> str:
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


def _feature_cross(graph: _Graph, layer: Any, x0: str, x: str | None = None) -> str:
    x = x or x0
    low = x if layer.projection_dim is None else _dense(graph, layer.down_proj_dense, x)
    high = _dense(graph, layer.dense, low)
    if layer.diag_scale:
        scaled = graph.node("Mul", x, graph.constant(layer.diag_scale))
        high = graph.node("Add", high, scaled)
    return graph.node("Add", graph.node("Mul", x0, high), x)


def _sum(graph: _Graph, operation: Any, x: str) -> str:
    if operation.axis is None:
        raise _Unwritten("sum over every axis")
    axes = graph.constant(np.atleast_1d(np.asarray(operation.axis)), np.int64)
    return graph.node("ReduceSum", x, axes, keepdims=int(operation.keepdims))


def _dense(graph: _Graph, layer: Any, x: str) -> str:
    x = graph.node("MatMul", x, graph.constant(layer.kernel))
    if layer.use_bias:
        x = graph.node("Add", x, graph.constant(layer.bias))
    return _activation(graph, layer, x)


def _activation(graph: _Graph, layer: Any, x: str) -> str:
    name = getattr(layer.activation, "__name__", "")
    if name == "linear":
        return x
    if name not in _ACTIVATIONS:
        raise _Unwritten(f"the activation {name or layer.activation!r} ({layer.name})")
    return graph.node(_ACTIVATIONS[name], x)


def _relu(graph: _Graph, layer: Any, x: str) -> str:
    if getattr(layer, "max_value", None) is not None or any(
        getattr(layer, name, 0.0) for name in ("negative_slope", "threshold")
    ):
        raise _Unwritten(f"a bent or capped ReLU ({layer.name})")
    return graph.node("Relu", x)


def _concatenate(graph: _Graph, layer: Any, xs: list[str]) -> str:
    return graph.node("Concat", *xs, axis=layer.axis)


def _layer_normalization(graph: _Graph, layer: Any, x: str) -> str:
    if tuple(layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]) not in [
        (-1,),
        (1,),
    ]:
        raise _Unwritten(f"LayerNormalization over the axes {layer.axis} ({layer.name})")
    d = layer.gamma.shape if layer.scale else layer.beta.shape
    scale = graph.constant(layer.gamma if layer.scale else np.ones(d))
    shift = graph.constant(layer.beta if layer.center else np.zeros(d))
    return graph.node("LayerNormalization", x, scale, shift, axis=-1, epsilon=layer.epsilon)


def _batch_normalization(graph: _Graph, layer: Any, x: str) -> str:
    scale = 1 / np.sqrt(_values(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * _values(layer.gamma)
    shift = -_values(layer.moving_mean) * scale
    if layer.center:
        shift = shift + _values(layer.beta)
    return graph.node("Add", graph.node("Mul", x, graph.constant(scale)), graph.constant(shift))


def _unit_normalization(graph: _Graph, layer: Any, x: str) -> str:
    if layer.axis not in (-1, [-1], (-1,)):
        raise _Unwritten(f"UnitNormalization over the axes {layer.axis} ({layer.name})")
    return _divided_by_norm(graph, x, 1e-6)


def _normalize(graph: _Graph, operation: Any, x: str) -> str:
    if operation.axis != -1 or operation.order != 2:
        raise _Unwritten(f"normalize over axis {operation.axis} of order {operation.order}")
    return _divided_by_norm(graph, x, operation.epsilon or keras.config.epsilon())


def _divided_by_norm(graph: _Graph, x: str, least: float) -> str:
    norm = graph.node("ReduceL2", x, axes=[-1], keepdims=1)
    return graph.node("Div", x, graph.node("Max", norm, graph.constant(least)))


def _flatten(graph: _Graph, _layer: Any, x: str) -> str:
    return graph.node("Flatten", x, axis=1)


def _reshape(graph: _Graph, layer: Any, x: str) -> str:
    # Opset 17 cannot leave out a size; of the batch 0 says "as it is".
    if any(size is None for size in layer.target_shape):
        raise _Unwritten(f"Reshape to {layer.target_shape} ({layer.name})")
    return graph.node("Reshape", x, graph.constant([0, *layer.target_shape], np.int64))


def _single(*kinds: str) -> Callable[..., str]:
    def write(graph: _Graph, _operation: Any, x: str) -> str:
        for kind in kinds:
            x = graph.node(kind, *([x, x] if kind == "Mul" else [x]))
        return x

    return write


def _squeeze(graph: _Graph, operation: Any, x: str) -> str:
    if operation.axis is None:
        raise _Unwritten("squeeze of every axis")
    axes = np.atleast_1d(np.asarray(operation.axis))
    return graph.node("Squeeze", x, graph.constant(axes, np.int64))


def _arithmetic(kind: str) -> Callable[..., str]:
    def write(graph: _Graph, _operation: Any, *values: Any) -> str:
        if len(values) == 1 and isinstance(values[0], list | tuple):  # the layers take one list
            values = tuple(values[0])
        names = [value if isinstance(value, str) else graph.constant(value) for value in values]
        while len(names) > 1:
            names[:2] = [graph.node(kind, names[0], names[1])]
        return names[0]

    return write


_KNOWN = ("keras", "keras_rs", "shortlist")  # whose layers the writers below are for
_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softplus": "Softplus"}

_WRITERS: dict[str, Callable[..., str]] = {
    "ConvertToTensor": _same,
    "Identity": _same,
    "Dropout": _same,
    "Embedding": _embedding,
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
