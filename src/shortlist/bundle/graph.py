"""An ONNX graph of a tower at work, by ONNX Runtime."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from shortlist.bundle.manifest import BundleError

_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(float)": np.float32}


class Graph:
    """A tower's graph: arrays by name in, embeddings out.

    Args:
        graph: A serialised ONNX model with inputs of integers or float32, and one output of shape
            (n, d).
        what: What it is, for error messages.

    Attributes:
        inputs: The names of the inputs.
        ndims: Of each its number of dimensions.
        described: Inputs and outputs as people read them.

    Raises:
        BundleError: ONNX Runtime cannot run it, or its inputs or outputs are not these.
    """

    def __init__(self, graph: bytes, what: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._what = what
        try:
            # From bytes, so that the graph cannot name a file outside itself.
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise BundleError(f"the {what} cannot be loaded: {_first_line(error)}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        self._inputs: dict[str, Any] = {i.name: _TYPES.get(i.type) for i in inputs}
        self.ndims = {i.name: len(i.shape) for i in inputs}
        self.described = (
            f"inputs {[(i.name, i.type) for i in inputs]} and outputs {[o.name for o in outputs]}"
        )
        if len(outputs) != 1 or None in self._inputs.values():
            raise BundleError(
                f"the {what} must have inputs of integers or float32 and one output; it has "
                f"{self.described}."
            )

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return list(self._inputs)

    def run(self, given: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
        """Return the embeddings of what is given.

        Args:
            given: An array for each input, and others, which are not looked at.

        Returns:
            float32 array of shape (n, d).

        Raises:
            BundleError: The graph fails on them.
        """
        fitting = {name: given[name].astype(dtype) for name, dtype in self._inputs.items()}
        try:
            (embeddings,) = self._session.run(None, fitting)
        except Exception as error:  # as above
            raise BundleError(f"the {self._what} fails: {_first_line(error)}") from None
        array = np.ascontiguousarray(embeddings, dtype=np.float32)
        return array.reshape(len(array), int(np.prod(array.shape[1:])))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") + "."
