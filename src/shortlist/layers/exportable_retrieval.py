"""Retrieval in standard operations only, for `model.export` to ONNX and SavedModel."""

from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.layers._candidate_ids import NO_ID, tensor_dtype
from shortlist.layers._partition import partition
from shortlist.layers._top_k import NO_SCORE, finite_or_zero, portable_top_k


@keras.saving.register_keras_serializable(package="shortlist")
class ExportableRetrieval(keras.layers.Layer):
    """Returns each query's best candidates with matrix product, gather and top-k alone.

    Made by `to_exportable()` of a retrieval layer; it holds a copy of the candidates as weights. An
    exported model that ends in it runs without Shortlist. Exact, it scores every candidate;
    partitioned, the candidates of the leaves whose centroids score best.

    Args:
        dim: Dimension d of the embeddings.
        num_candidates: How many candidates there are; partitioned, how many slots a leaf has.
        k: How many candidates to return.
        return_scores: Whether to return (scores, ids) rather than ids alone.
        leaves: How many leaves; `None` is exact.
        leaves_to_search: How many leaves are scored for a query.
        query_model: Keras model or layer that the inputs pass first.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> from shortlist.layers import BruteForceRetrieval
        >>> layer = BruteForceRetrieval(np.eye(3), candidate_ids=[7, 8, 9], k=1)
        >>> scores, ids = layer.to_exportable()(np.array([[0.0, 2.0, 1.0]]))
        >>> float(scores[0, 0]), int(ids[0, 0])
        (2.0, 8)
    """

    def __init__(
        self,
        dim: int,
        num_candidates: int,
        k: int,
        return_scores: bool = True,
        leaves: int | None = None,
        leaves_to_search: int = 1,
        query_model: Any = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.dim, self.num_candidates, self.k = dim, num_candidates, k
        self.return_scores = return_scores
        self.leaves, self.leaves_to_search = leaves, leaves_to_search
        self.query_model = query_model
        # Tables are matrices, one row a gather: that is what every exporter knows.
        if leaves is None:
            self.embeddings = self._table("embeddings", (num_candidates, dim), "float32")
        else:
            self.embeddings = self._table("embeddings", (leaves, num_candidates * dim), "float32")
            self.centroids = self._table("centroids", (leaves, dim), "float32")
            # 0 where a slot is taken and -inf where it is empty, to be added to scores.
            self.penalties = self._table("penalties", (leaves, num_candidates), "float32")
        self.ids = self._table("ids", ((leaves or 1) * num_candidates, 1), tensor_dtype())
        self.built = True

    def _table(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        return self.add_weight(
            name=name, shape=shape, dtype=dtype, initializer="zeros", trainable=False
        )

    @classmethod
    def of(
        cls,
        embeddings: NDArray[np.float32],
        ids: NDArray[Any],
        leaves: int | None,
        leaves_to_search: int,
        seed: int,
        **kwargs: Any,
    ) -> "ExportableRetrieval":
        """Returns a layer of these candidates."""
        num_rows, dim = embeddings.shape
        if leaves is None:
            layer = cls(dim, num_rows, **kwargs)
            layer.embeddings.assign(embeddings)
            layer.ids.assign(ids[:, None])
            return layer
        if not 1 <= leaves <= num_rows:
            raise ValueError(f"`leaves` must lie between 1 and {num_rows}, got {leaves}.")
        if not 1 <= leaves_to_search <= leaves:
            raise ValueError(
                f"`leaves_to_search` must lie between 1 and {leaves}, got {leaves_to_search}."
            )
        centroids, rows = partition(embeddings, leaves, seed)
        taken = rows >= 0
        fewest = int(np.sort(taken.sum(axis=1))[:leaves_to_search].sum())
        if fewest < kwargs["k"]:
            raise ValueError(
                f"`leaves_to_search` must reach k={kwargs['k']} candidates, got "
                f"{leaves_to_search}, which may reach only {fewest}."
            )
        layer = cls(dim, rows.shape[1], leaves=leaves, leaves_to_search=leaves_to_search, **kwargs)
        layer.embeddings.assign(embeddings[rows].reshape(leaves, -1))
        layer.ids.assign(ids[rows].reshape(-1, 1))
        layer.centroids.assign(centroids)
        layer.penalties.assign(np.where(taken, 0.0, NO_SCORE))
        return layer

    def call(self, inputs: Any) -> Any:
        """Returns the (b, k) scores and ids of (b, d) queries; ids alone without scores.

        A query that is not finite, of which an exported graph cannot complain, gets -inf and -1.
        """
        queries = inputs if self.query_model is None else self.query_model(inputs)
        queries, is_finite = finite_or_zero(queries)
        if self.leaves is None:
            scores = ops.matmul(queries, ops.transpose(self.embeddings))
            scores, columns = portable_top_k(scores, self.k)
        else:
            of_leaves = ops.matmul(queries, ops.transpose(self.centroids))
            leaves = portable_top_k(of_leaves, self.leaves_to_search)[1]
            width = self.leaves_to_search * self.num_candidates
            rows = ops.reshape(ops.take(self.embeddings, leaves, axis=0), (-1, width, self.dim))
            scores = ops.squeeze(ops.matmul(rows, ops.expand_dims(queries, 2)), 2)
            scores = scores + ops.reshape(ops.take(self.penalties, leaves, axis=0), (-1, width))
            scores, columns = portable_top_k(scores, self.k)
            columns = self._slots(leaves, columns)
        ids = ops.reshape(ops.take(self.ids, columns, axis=0), (-1, self.k))
        scores = ops.where(is_finite, scores, NO_SCORE)
        ids = ops.where(is_finite, ids, NO_ID)
        return (scores, ids) if self.return_scores else ids

    def _slots(self, leaves: Any, columns: Any) -> Any:
        """Where columns of the searched leaves lie in the table of ids.

        Sums of products take the place of take_along_axis, which not every exporter knows.
        """
        columns = ops.cast(columns, "int32")
        place = ops.floor_divide(columns, self.num_candidates)
        places = np.arange(self.leaves_to_search, dtype=np.int32)
        is_at = ops.cast(ops.equal(ops.expand_dims(place, 2), places), "int32")
        leaf = ops.sum(is_at * ops.expand_dims(ops.cast(leaves, "int32"), 1), axis=2)
        return leaf * self.num_candidates + (columns - place * self.num_candidates)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_candidates": self.num_candidates,
            "k": self.k,
            "return_scores": self.return_scores,
            "leaves": self.leaves,
            "leaves_to_search": self.leaves_to_search,
            "query_model": None
            if self.query_model is None
            else keras.saving.serialize_keras_object(self.query_model),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ExportableRetrieval":
        """Returns a layer of this configuration."""
        model = config.get("query_model")
        if isinstance(model, dict):
            config = {**config, "query_model": keras.saving.deserialize_keras_object(model)}
        return cls(**config)
