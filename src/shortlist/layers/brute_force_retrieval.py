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

EXCLUSIONS_AT_A_TIME = 64


@keras.saving.register_keras_serializable(package="shortlist")
class BruteForceRetrieval(CandidateRetrieval):
    """Returns the k candidates of largest dot product with each query, by scoring them all.

    Written in `keras.ops`, it runs wherever the backend runs. Candidates are scored in blocks, so
    that memory does not grow with their number; equal scores come by lower row on every backend.
    Takes the place of `keras_rs.layers.BruteForceRetrieval`.

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

    def _store(self, embeddings: NDArray[np.float32], ids: CandidateIds) -> None:
        self._set_variable("candidate_embeddings", embeddings)
        # While JAX trains, Keras leaves variables without values; metrics need these then.
        self._host_embeddings = embeddings
        rows = np.arange(len(ids), dtype=tensor_dtype())
        self._set_variable("candidate_ids", rows if self.return_rows else ids.for_tensors())

    def _dim(self) -> int | None:
        embeddings = self.candidate_embeddings
        return None if embeddings is None else int(embeddings.shape[1])

    def _save(self, store: Any) -> None:
        embeddings = np.asarray(ops.convert_to_numpy(self.candidate_embeddings))
        ids = arrays_of_ids(self._require_ids())
        write_checked(store, {"candidate_embeddings": embeddings, **ids})

    def embeddings(self, rows_at_a_time: int) -> Iterator[Array]:
        """Reads the candidates through on the host, so many rows at a time."""
        self._require_candidates()
        everything = self._host_embeddings
        return row_blocks(
            self._shared_embeddings() if everything is None else everything, rows_at_a_time
        )

    def _set_variable(self, name: str, value: Any) -> None:
        """Gives the attribute `name` a value of any number of rows, also in compiled functions."""
        variable = getattr(self, name)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # A function that TensorFlow has compiled keeps the variable it saw, so that must stay
            # the same one; only a variable of TensorFlow's own can change its number of rows.
            if isinstance(variable, tf.Variable):
                variable.assign(value)
            else:
                shape = (None, *value.shape[1:])
                variable = tf.Variable(value, shape=shape, trainable=False, name=name)
                setattr(self, name, variable)
        elif variable is not None and tuple(variable.shape) == value.shape:
            variable.assign(value)
        else:
            if variable is not None:
                delattr(self, name)
            self._tracker.unlock()
            variable = keras.Variable(value, trainable=False, name=name, dtype=str(value.dtype))
            setattr(self, name, variable)

    def _retrieve(self, queries: Any, k: int, exclusions: Any) -> tuple[Any, Any]:
        embeddings = ops.convert_to_tensor(self.candidate_embeddings)
        if embeddings.shape[0] is None:
            _require_at_least(k, ops.shape(embeddings)[0])
        if exclusions is None:
            scores, rows = _top_k.top_rows(queries, embeddings, k)
            return scores, self._ids_of(rows)
        # At most e of the best k + e are excluded, so the best k of the rest are among them.
        scores, rows = _top_k.top_rows(queries, embeddings, k + _width(exclusions))
        ids = self._ids_of(rows)
        scores = ops.where(_contains(exclusions, ids), _top_k.NO_SCORE, scores)
        scores, picks = _top_k.stable_top_k(scores, k)
        ids = ops.take_along_axis(ids, picks, axis=1)
        return scores, ops.where(ops.greater(scores, _top_k.NO_SCORE), ids, NO_ID)

    def _ids_of(self, rows: Any) -> Any:
        if self.candidate_ids is None:
            return ops.cast(rows, tensor_dtype())
        ids = ops.take(ops.convert_to_tensor(self.candidate_ids), ops.maximum(rows, 0), axis=0)
        return ops.where(ops.equal(rows, _top_k.NO_ROW), NO_ID, ids)


def _width(exclusions: Any) -> int:
    if len(exclusions.shape) != 2 or exclusions.shape[1] is None:
        raise ValueError(
            f"`exclusions` must have shape (b, e) with e known, got {tuple(exclusions.shape)}."
        )
    return int(exclusions.shape[1])


def _require_at_least(k: int, num_rows: Any) -> None:
    """Checks k whenever a graph of TensorFlow runs, since the graph sees every update."""
    import tensorflow as tf

    from shortlist.layers._tensorflow_errors import errors_of_model

    message = f"`k` must be at most the number of candidates, got {k}."
    errors = errors_of_model()
    if errors is not None:
        errors.expect(message)
    tf.debugging.assert_less_equal(k, num_rows, message)


def _contains(exclusions: Any, ids: Any) -> Any:
    """Whether each of (b, m) ids is in its row of (b, e) exclusions."""
    found = ops.zeros_like(ids, dtype="bool")
    for start in range(0, exclusions.shape[1], EXCLUSIONS_AT_A_TIME):
        part = ops.expand_dims(exclusions[:, start : start + EXCLUSIONS_AT_A_TIME], 1)
        equal = ops.equal(ops.expand_dims(ids, 2), part)
        found = ops.logical_or(found, ops.any(equal, axis=2))
    return found
