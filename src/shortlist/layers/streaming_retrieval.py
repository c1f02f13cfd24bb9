"""Exact retrieval from candidates that are read in batches at every call."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.layers._candidate_ids import NO_ID, CandidateIds
from shortlist.layers._candidates import (
    Array,
    arrays_of_ids,
    as_batch,
    concatenated_ids,
    ids_of_arrays,
    read_checked,
    row_blocks,
    write_checked,
)
from shortlist.layers._host_retrieval import HostRetrieval
from shortlist.layers._top_k import NO_SCORE, ROWS_AT_A_TIME


@keras.saving.register_keras_serializable(package="shortlist")
class StreamingRetrieval(HostRetrieval):
    """Returns the k candidates of largest dot product with each query, a batch in memory at a time.

    `index_from_dataset` keeps the dataset, not what is in it; every call reads it through. Only the
    ids are kept in memory. It is for candidates that do not fit; to serve, use
    `ApproximateRetrieval`. The search runs on the host's processor.

    `model.save` and `save_weights` keep candidates given to `update_candidates`. Of a dataset they
    keep the ids alone: after loading, `lookup` works, and a call says that the dataset must be
    given to `index_from_dataset` again.

    Args:
        candidate_embeddings: (n, d) floats; `None` to give candidates later.
        candidate_ids: (n,) ids of the candidates; `None` numbers the rows. See `update_candidates`.
        k: How many candidates to return.
        return_scores: Whether to return (scores, ids) rather than ids alone.
        query_model: Keras model or layer that the inputs pass first, to become query embeddings.
        return_rows: Whether to return rows in place of ids, for ids that tensors cannot hold: str,
            or on JAX integers beyond int32. `lookup` maps them to ids.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> layer = StreamingRetrieval(k=1)
        >>> batches = [(np.array([7, 8]), np.eye(2)), (np.array([9]), np.ones((1, 2)))]
        >>> layer = layer.index_from_dataset(batches)
        >>> scores, ids = layer(np.array([[1.0, 2.0]]))
        >>> float(scores[0, 0]), int(ids[0, 0])
        (3.0, 9)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._source: Callable[[], Iterator[tuple[Array, Any]]] | None = None
        self._source_dim: int | None = None
        self._in_memory: tuple[Array, ...] = ()
        super().__init__(*args, **kwargs)

    @property
    def is_exact(self) -> bool:
        """Whether the true top k is returned, always."""
        return True

    def index_from_dataset(self, batches: Iterable[Any] | Callable[[], Iterable[Any]]) -> Self:
        """Takes the dataset in place of the candidates before, after reading it through once.

        Args:
            batches: Iterable of (b, d) embeddings, or of (ids, embeddings) pairs, that can be
                iterated again and again and gives the same each time: a list, a `tf.data.Dataset`,
                a PyTorch `DataLoader`; or a function that returns such an iterable.

        Returns:
            The layer.

        Raises:
            ValueError: The candidates are not as `update_candidates` wants them, or `batches` can
                be iterated only once.
        """
        if not callable(batches) and iter(batches) is batches:
            raise ValueError(
                "`batches` must be iterable again and again, got an iterator: pass a function that "
                "returns a new one."
            )

        def source() -> Iterator[tuple[Array, Any]]:
            return map(as_batch, batches() if callable(batches) else batches)

        dim, count = None, 0
        ids: list[Array | None] = []
        for embeddings, batch_ids in source():
            dim = dim or embeddings.shape[1]
            self._check_dim("candidate_embeddings", embeddings.shape, dim)
            ids.append(batch_ids)
            count += len(embeddings)
        if not count:
            raise ValueError("`batches` must give at least one batch, got none.")
        all_ids = self._ids_for(concatenated_ids(ids), count)
        self._check_ids(all_ids)
        self._source, self._source_dim, self._in_memory = source, dim, ()
        self._ids, self._tower_fingerprint = all_ids, None
        return self

    def search(
        self, queries: Array, k: int, exclude: Any = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns the (b, k) scores and rows of (b, d) queries, on the host."""
        if not np.isfinite(queries).all():
            raise ValueError("`queries` must be finite, got NaN or infinity.")
        best = np.full((len(queries), k), NO_SCORE, dtype=np.float32)
        best_rows = np.full((len(queries), k), NO_ID, dtype=np.int64)
        excluded = None if exclude is None else self._excluded_rows(exclude)
        start = 0
        for embeddings in self.embeddings():
            scores = queries @ embeddings.T
            if excluded is not None:
                query, row = excluded
                here = (row >= start) & (row < start + len(embeddings))
                scores[query[here], row[here] - start] = NO_SCORE
            columns = stable_top_columns(scores, k)
            rows = np.concatenate([best_rows, columns + start], axis=1)
            # What was found before has lower rows and comes first, so ties stay in their order.
            scores = np.concatenate([best, np.take_along_axis(scores, columns, axis=1)], axis=1)
            columns = stable_top_columns(scores, k)
            best = np.take_along_axis(scores, columns, axis=1)
            best_rows = np.take_along_axis(rows, columns, axis=1)
            start += len(embeddings)
        return best, np.where(best > NO_SCORE, best_rows, NO_ID)

    def embeddings(self, rows_at_a_time: int = ROWS_AT_A_TIME) -> Iterator[Array]:
        """Yields all candidates, up to `rows_at_a_time` at a time; a dataset batch by batch."""
        self._require_candidates()
        if self._source is None:
            if not self._in_memory:
                self.take_shared()
            yield from row_blocks(self._in_memory[0], rows_at_a_time)
            return
        count = 0
        for embeddings, _ in self._source():
            count += len(embeddings)
            yield embeddings
        if count != self.num_candidates:
            raise ValueError(
                f"The dataset gave {count} candidates, {self.num_candidates} when it was indexed: "
                "call `index_from_dataset` again."
            )

    def _excluded_rows(self, exclude: Any) -> tuple[Array, Array]:
        """The queries and rows of all exclusions, one pair each."""
        ids = self._require_ids()
        rows = [ids.rows(np.asarray(values).tolist()) for values in exclude]
        query = np.repeat(np.arange(len(rows)), [len(part) for part in rows])
        return query, np.concatenate(rows) if rows else np.array([], dtype=np.int64)

    def _store(self, embeddings: NDArray[np.float32], ids: CandidateIds) -> None:
        del ids
        self._source, self._source_dim, self._in_memory = None, embeddings.shape[1], (embeddings,)

    def _dim(self) -> int | None:
        return self._source_dim

    def _require_candidates(self) -> None:
        super()._require_candidates()
        if self._source is None and not self._in_memory and self.candidate_embeddings is None:
            raise ValueError(
                f"Layer '{self.name}' reads its candidates from a dataset, which is not part of "
                "the file that it was loaded from: call `index_from_dataset` with it again."
            )

    def _save(self, store: Any) -> None:
        if self._source is None:
            self.take_shared()
        ids = arrays_of_ids(self._require_ids())
        if self._in_memory:
            write_checked(store, {"candidate_embeddings": self._in_memory[0], **ids})
        else:
            dim = np.array([self._source_dim], dtype=np.int64)
            write_checked(store, {"dataset_dim": dim, **ids})

    def _load(self, store: Any, names: set[str]) -> None:
        """Reads the candidates; of a dataset its ids."""
        if "dataset_dim" not in names:
            super()._load(store, names)
            return
        parts = read_checked(store, names)
        values = ids_of_arrays(parts)
        ids = CandidateIds(values, len(values))
        self._check_ids(ids)
        self._source, self._source_dim, self._in_memory = None, int(parts["dataset_dim"][0]), ()
        self._ids = ids


def stable_top_columns(scores: Array, k: int) -> NDArray[np.int64]:
    """The columns of the (up to) k best scores of each row, equal scores by lower column."""
    if scores.shape[1] > k:
        last = np.partition(scores, -k, axis=1)[:, -k, None]
        above, equal = scores > last, scores == last
        wanted = k - above.sum(axis=1, keepdims=True)
        keep = above | (equal & (np.cumsum(equal, axis=1) <= wanted))
        columns = np.nonzero(keep)[1].reshape(-1, k)
        kept = np.take_along_axis(scores, columns, axis=1)
        return np.take_along_axis(columns, np.argsort(-kept, axis=1, kind="stable"), axis=1)
    return np.argsort(-scores, axis=1, kind="stable")
