"""Exact retrieval by scoring every candidate, on any device."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.layers import _top_k
from shortlist.layers._candidate_ids import NO_ID, CandidateIds, tensor_dtype
from shortlist.layers._candidate_retrieval import CandidateRetrieval
from shortlist.layers._candidates import Array, arrays_of_ids, row_blocks, write_checked
from shortlist.layers._finite_check import FiniteCheck
from shortlist.layers.exportable_retrieval import ExportableRetrieval
from shortlist.layers.host import is_exporting

EXCLUSIONS_AT_A_TIME = 64


@keras.saving.register_keras_serializable(package="shortlist")
class BruteForceRetrieval(CandidateRetrieval):
    """Returns the k candidates of largest dot product with each query, by scoring them all.

    Written in `keras.ops`, it runs wherever the backend runs. Candidates are scored in blocks, so
    that memory does not grow with their number; equal scores come by lower row on every backend.
    Takes the place of `keras_rs.layers.BruteForceRetrieval`; a subclass may score in another way by
    its own `compute_score`, which is given the candidates in blocks.

    `model.save` and `save_weights` keep the candidates and ids; loading takes as many as the file
    has. The values of a variable assigned to `candidate_embeddings` are shared, not copied.

    Args:
        candidate_embeddings: (n, d) floats; `None` to give them to `update_candidates` later.
        candidate_ids: (n,) ids of the candidates; `None` numbers the rows. See `update_candidates`.
        k: How many candidates to return.
        return_scores: Whether to return (scores, ids) rather than ids alone.
        query_model: Keras model or layer that the inputs pass first, to become query embeddings.
        return_rows: Whether to return rows in place of ids, for ids that tensors cannot hold: str,
            or on JAX integers beyond int32. `lookup` maps them to ids.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> candidates = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], dtype="float32")
        >>> layer = BruteForceRetrieval(candidates, candidate_ids=np.array([10, 20, 30]), k=2)
        >>> scores, ids = layer(np.array([[2.0, 1.0]], dtype="float32"))
        >>> [[int(i) for i in row] for row in ids], [[float(s) for s in row] for row in scores]
        ([[30, 10]], [[3.0, 2.0]])
    """

    @property
    def is_exact(self) -> bool:
        """Whether the true top k is returned, always."""
        return True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._check_finite = FiniteCheck()
        self._host_embeddings: Array | None = None
        self._stored: tuple[Any, Any] | None = None
        super().__init__(*args, **kwargs)

    def _store(self, embeddings: NDArray[np.float32], ids: CandidateIds) -> None:
        rows = np.arange(len(ids), dtype=tensor_dtype())
        values = ids.for_tensors() if ids.fit_tensors else rows
        self._table.store("embeddings", embeddings)
        self._table.store("ids", values)
        # While JAX trains, Keras leaves variables without values; metrics need these then.
        self._host_embeddings = embeddings
        self._stored = None
        if keras.backend.backend() == "jax":
            self._stored = self.candidate_embeddings.value, self.candidate_ids.value

    def _dim(self) -> int | None:
        embeddings = self.candidate_embeddings
        return None if embeddings is None else int(embeddings.shape[1])

    def _require_ids(self) -> CandidateIds:
        """The ids, which `set_weights` may have changed."""
        ids = super()._require_ids()
        if self.candidate_ids is None or not ids.fit_tensors or self._is_as_stored():
            return ids
        values = np.asarray(ops.convert_to_numpy(self.candidate_ids))
        if not np.array_equal(values, ids.values):
            self._ids = ids = CandidateIds(values, len(values))
        return ids

    def _is_as_stored(self) -> bool:
        """Whether JAX, whose arrays never change, has the arrays of `_store`, or none to look at.

        Elsewhere it is never known, and looking costs little.
        """
        if self._stored is None or self._table.is_shared:
            return False
        try:
            values = self.candidate_embeddings.value, self.candidate_ids.value
        except TypeError:
            return True
        return all(one is other for one, other in zip(values, self._stored, strict=True))

    def _save(self, store: Any) -> None:
        embeddings = np.asarray(ops.convert_to_numpy(self.candidate_embeddings))
        ids = arrays_of_ids(self._require_ids())
        write_checked(store, {"candidate_embeddings": embeddings, **ids})

    def embeddings(self, rows_at_a_time: int) -> Iterator[Array]:
        """Yields all candidates on the host, as (b, d) arrays of up to `rows_at_a_time` rows."""
        self._require_candidates()
        everything = self._host_embeddings
        if everything is None or not self._is_as_stored():
            everything = self._shared_embeddings()
        return row_blocks(everything, rows_at_a_time)

    def _retrieve(self, queries: Any, k: int, exclusions: Any, excluded_rows: Any) -> Any:
        embeddings = ops.convert_to_tensor(self.candidate_embeddings)
        if is_exporting(queries):
            return self._retrieve_portably(queries, embeddings, k, exclusions, excluded_rows)
        queries = self._check_finite(queries)
        if embeddings.shape[0] is None:
            _require_at_least(k, ops.shape(embeddings)[0])
        given = exclusions if exclusions is not None else excluded_rows
        if given is None:
            scores, rows = _top_k.top_rows(queries, embeddings, k, self.compute_score)
            return scores, self._answers_of(rows)
        # At most e of the best k + e are excluded, so the best k of the rest are among them.
        wanted = k + int(given.shape[1])
        scores, rows = _top_k.top_rows(queries, embeddings, wanted, self.compute_score)
        excluded = _contains(given, rows if exclusions is None else self._ids_of(rows))
        scores = ops.where(excluded, _top_k.NO_SCORE, scores)
        scores, picks = _top_k.stable_top_k(scores, k)
        rows = ops.take_along_axis(rows, picks, axis=1)
        rows = ops.where(ops.greater(scores, _top_k.NO_SCORE), rows, _top_k.NO_ROW)
        return scores, self._answers_of(rows)

    def _retrieve_portably(
        self, queries: Any, embeddings: Any, k: int, exclusions: Any, excluded_rows: Any
    ) -> Any:
        """`_retrieve` in operations that exporters know; queries that are not finite get none."""
        queries, is_finite = _top_k.finite_or_zero(queries)
        scores = self.compute_score(queries, embeddings)
        names = np.arange(embeddings.shape[0], dtype=tensor_dtype())
        if exclusions is not None and self.candidate_ids is not None:
            names = ops.convert_to_tensor(self.candidate_ids)
        given = exclusions if exclusions is not None else excluded_rows
        for column in range(0 if given is None else given.shape[1]):
            is_excluded = ops.equal(names[None, :], given[:, column : column + 1])
            scores = ops.where(is_excluded, _top_k.NO_SCORE, scores)
        scores, rows = _top_k.portable_top_k(scores, k)
        if self.return_rows or self.candidate_ids is None:
            ids = ops.cast(rows, tensor_dtype())
        else:
            table = ops.expand_dims(ops.convert_to_tensor(self.candidate_ids), 1)
            ids = ops.reshape(ops.take(table, rows, axis=0), (-1, k))
        scores = ops.where(is_finite, scores, _top_k.NO_SCORE)
        return scores, ops.where(scores > _top_k.NO_SCORE, ids, NO_ID)

    def to_exportable(
        self, leaves: int | None = None, leaves_to_search: int = 1, seed: int = 0
    ) -> ExportableRetrieval:
        """Returns a copy of standard operations only; see `ApproximateRetrieval.to_exportable`."""
        if not self.scores_by_dot_product:
            raise ValueError(
                f"`to_exportable()` scores by dot products, and {type(self).__name__} has a "
                "`compute_score` of its own: export the layer as it is."
            )
        return super().to_exportable(leaves, leaves_to_search, seed)

    def _answers_of(self, rows: Any) -> Any:
        return ops.cast(rows, tensor_dtype()) if self.return_rows else self._ids_of(rows)

    def _ids_of(self, rows: Any) -> Any:
        if self.candidate_ids is None:
            return ops.cast(rows, tensor_dtype())
        ids = ops.take(ops.convert_to_tensor(self.candidate_ids), ops.maximum(rows, 0), axis=0)
        return ops.where(ops.equal(rows, _top_k.NO_ROW), NO_ID, ids)


def _require_at_least(k: int, num_rows: Any) -> None:
    """Checks k whenever a graph of TensorFlow runs, since the graph sees every update."""
    import tensorflow as tf

    message = f"`k` must be at most the number of candidates, got {k}."
    tf.debugging.assert_less_equal(k, num_rows, message)


def _contains(exclusions: Any, ids: Any) -> Any:
    """Whether each of (b, m) ids is in its row of (b, e) exclusions."""
    found = ops.zeros_like(ids, dtype="bool")
    for start in range(0, exclusions.shape[1], EXCLUSIONS_AT_A_TIME):
        part = ops.expand_dims(exclusions[:, start : start + EXCLUSIONS_AT_A_TIME], 1)
        equal = ops.equal(ops.expand_dims(ids, 2), part)
        found = ops.logical_or(found, ops.any(equal, axis=2))
    return found
