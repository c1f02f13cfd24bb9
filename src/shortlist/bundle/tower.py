"""The query tower as it is served: raw ids and values in, embeddings out, by ONNX Runtime."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.bundle.graph import Graph
from shortlist.bundle.manifest import BundleError
from shortlist.data import Vocabulary
from shortlist.data.columns import id_series
from shortlist.data.features import FeatureSpec
from shortlist.data.histories import MAX_HISTORY
from shortlist.ids import unknown_id

HISTORY = "history"


class QueryTower:
    """Users to embeddings, without Keras.

    Args:
        graph: A serialised ONNX model with one output of shape (n, d). With `embeddings` its inputs
            are called as the features, and `history` if it takes one: rows of candidates plus one,
            of shape (n, w), padded with 0. Without, its one input is the index of each user in
            `users`, of shape (n,) or (n, 1).
        users: The users the model knows.
        embeddings: The embedding of each of them by index, float32 of shape (users + 1, d): what
            the graph gives for all that was known of them in training.
        features: What is made of the values known of a user; None for a graph that takes the
            index of the user alone, as `user_id`.

    Raises:
        BundleError: ONNX Runtime cannot run the graph, or its inputs or outputs are not these.

    Example:
        >>> QueryTower(b"no graph", Vocabulary(["u1"]))
        Traceback (most recent call last):
        shortlist.bundle.manifest.BundleError: the query tower cannot be loaded: ...
    """

    def __init__(
        self,
        graph: bytes,
        users: Vocabulary,
        embeddings: npt.NDArray[np.float32] | None = None,
        features: FeatureSpec | None = None,
    ) -> None:
        self._graph = Graph(graph, "query tower")
        self.users = users
        self.user_ids = id_series(users.ids, "users")
        if features is not None and not features.is_adapted:
            raise BundleError("the features have not learnt from data yet; call adapt first.")
        self.features = features
        self._known = {user: index for index, user in enumerate(self.user_ids, start=1)}
        self._embeddings = embeddings
        inputs = self._graph.inputs
        self._column = len(inputs) == 1 and self._graph.ndims[inputs[0]] == 2
        if embeddings is None:
            good = len(inputs) == 1
        else:
            good = set(inputs) <= {"user_id", HISTORY, *(features or ())}
        if not good:
            raise BundleError(
                "the query tower must have one input of integers, or the features by name, and one "
                f"output; it has {self._graph.described}."
            )
        self.dim = int(
            (self.run(np.zeros(1, np.int64)) if embeddings is None else embeddings).shape[1]
        )
        if embeddings is not None and (
            embeddings.shape != (users.size, self.dim)
            or self.embed_new([], {}).shape[1] != self.dim
        ):
            raise BundleError(
                f"the embeddings of the users have shape {embeddings.shape}, and do not fit the "
                f"query tower and {len(users)} users."
            )

    @property
    def takes_history(self) -> bool:
        """Whether somebody it does not know can be embedded by what they have had."""
        return self._embeddings is not None and HISTORY in self._graph.inputs

    @property
    def takes_features(self) -> bool:
        """Whether somebody it does not know can be embedded by values known of them."""
        return self.features is not None

    @property
    def newcomers(self) -> str:
        """By what somebody it does not know is served, as people say it."""
        features = [] if self.features is None else list(self.features.columns)
        known = [*(["their history"] if self.takes_history else []), *features]
        return f"by {', '.join(known)}" if known else "by the mean of the items in their history"

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
        return self.run(indices) if self._embeddings is None else self._embeddings[indices]

    @property
    def reads_history_again(self) -> bool:
        """Whether a known user can be embedded by a longer history: it takes no features beside."""
        return self.takes_history and not self.takes_features

    def embed_new(
        self,
        history: Sequence[int],
        values: Mapping[str, Any],
        *,
        user: int | str | None = None,
    ) -> npt.NDArray[np.float32]:
        """Return the embedding of somebody unknown, or of a known user by another history.

        Args:
            history: Rows of the candidates they have had, oldest first; the last 1,024 count.
            values: What else is known of them, by column; what is left out is missing.
            user: Who they are; None is nobody known.

        Returns:
            float32 array of shape (1, d).

        Raises:
            DataError: A value that no feature reads, or that does not fit.
        """
        index = 0 if user is None else self._known.get(user, 0)
        known: dict[str, npt.NDArray[Any]] = {"user_id": np.array([index], np.int64)}
        if self.features is not None:
            known |= self.features.transform_one(values)
        items = np.array([list(history)[-MAX_HISTORY:] or [-1]], dtype=np.int64) + 1
        return self._graph.run({**known, HISTORY: items})

    def __contains__(self, user: object) -> bool:
        return user in self._known

    def unknown(self, user: object) -> str:
        """Return the sentence that says a user is not known, and which are."""
        return unknown_id("user", user, self.users.ids)

    def run(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Return the embeddings of users given by their vocabulary index.

        Args:
            indices: Shape (n,).

        Returns:
            float32 array of shape (n, d).

        Raises:
            BundleError: The graph fails on them.
        """
        (name,) = self._graph.inputs
        return self._graph.run({name: indices[:, None] if self._column else indices})


class UnknownUserError(ValueError):
    """A user that is not in the bundle."""
