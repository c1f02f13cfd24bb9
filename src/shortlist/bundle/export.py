"""A query tower as an ONNX graph, written from its Keras layers: no framework takes part.

`keras.Model.export` needs another package for each backend (jax2onnx, tf2onnx or onnxscript), and
on JAX it cannot export a tower with a history: jax2onnx 0.17 must know the size of the batch there.
So the few layers that towers are made of are written here, and a tower with any other layer goes
through `keras.Model.export`.
"""

import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
from onnx import TensorProto, helper

from shortlist.bundle.layers import KNOWN, WRITERS, Nodes, Unwritten
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
    except Unwritten as unwritten:
        return _exported_by_keras(model, str(unwritten))


class _Graph(Nodes):
    """The nodes of a whole tower, collected on the way through its layers."""

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

    def add(self, operation: Any, *inputs: Any) -> str:
        """Write one layer or operation; a model inside the tower is written layer by layer."""
        if isinstance(operation, keras.Model):
            if len(operation.inputs) > 1:
                raise Unwritten(f"a model of several inputs inside it ({operation.name})")
            shape = operation.input_shape
            symbol = keras.Input(batch_shape=shape, dtype=operation.inputs[0].dtype)
            return self.follow(operation, symbol, *inputs)
        writer = WRITERS.get(type(operation).__name__)
        if writer is None or type(operation).__module__.partition(".")[0] not in KNOWN:
            raise Unwritten(f"{type(operation).__name__} ({operation.name})")
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
