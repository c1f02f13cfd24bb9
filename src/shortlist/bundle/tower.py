"""The query tower as it is served: raw user ids in, embeddings out, by ONNX Runtime."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from shortlist.bundle.ids import id_series, unknown
from shortlist.bundle.manifest import BundleError
from shortlist.data import Vocabulary

_TYPES = {"tensor(int32)": np.int32, "tensor(int64)": np.int64, "tensor(float)": np.float32}


class QueryTower:
    """Users to embeddings, without Keras.

    Args:
        graph: A serialised ONNX model with one input, the index of each user in `users`, of shape
            (n,) or (n, 1), and one output of shape (n, d).
        users: The users the model knows.

    Raises:
        BundleError: ONNX Runtime cannot run the graph, or its inputs or outputs are not these.
    """

    def __init__(self, graph: bytes, users: Vocabulary) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            # From bytes, so that the graph cannot name a file outside itself.
            self._session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise BundleError(f"the query tower cannot be loaded: {_first_line(error)}") from None
        self.users = users
        self.user_ids = id_series(users.ids)
        self._known = {user: index for index, user in enumerate(self.user_ids, start=1)}
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type not in _TYPES:
            raise BundleError(
                "the query tower must have one input of integers and one output, it has inputs "
                f"{[(i.name, i.type) for i in inputs]} and outputs {[o.name for o in outputs]}."
            )
        self._input: str = inputs[0].name
        self._dtype = _TYPES[inputs[0].type]
        self._column = len(inputs[0].shape) == 2

    def embed(self, users: Sequence[int | str]) -> npt.NDArray[np.float32]:
        """Return the embedding of each user.

        Args:
            users: Known user ids.

        Returns:
            float32 array of shape (n, d).

        Raises:
            UnknownUserError: A user that the tower was not trained on.
        """
        try:
            indices = np.array([self._known[user] for user in users], dtype=np.int64)
        except KeyError as missing:
            raise UnknownUserError(self.unknown(missing.args[0])) from None
        return self.run(indices)

    def __contains__(self, user: object) -> bool:
        return user in self._known

    def unknown(self, user: object) -> str:
        """Return the sentence that says a user is not known, and which are."""
        return unknown("user", user, self.user_ids)

    def run(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the embeddings of users given by their vocabulary index.

        Args:
            indices: Shape (n,).

        Returns:
            float32 array of shape (n, d).

        Raises:
            BundleError: The graph fails on them.
        """
        rows = indices.astype(self._dtype)
        try:
            (embeddings,) = self._session.run(
                None, {self._input: rows[:, None] if self._column else rows}
            )
        except Exception as error:  # as above
            raise BundleError(f"the query tower fails: {_first_line(error)}") from None
        array = np.ascontiguousarray(embeddings, dtype=np.float32)
        return array.reshape(len(indices), -1)


class UnknownUserError(ValueError):
    """A user that is not in the bundle."""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") + "."
