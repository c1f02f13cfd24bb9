"""The rank of the true candidate, as a Keras metric."""

import abc
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.layers import ApproximateRetrieval
from shortlist.layers._candidate_ids import NO_ID, CandidateIds, tensor_dtype
from shortlist.layers._candidate_retrieval import CandidateRetrieval
from shortlist.layers._candidates import Array, checked_embeddings, row_blocks
from shortlist.layers._host import HostFunction, finite_rows
from shortlist.layers._host_retrieval import HostRetrieval

SCORES_IN_MEMORY = 2**24
# float32 sums of the same products in another order differ by about this share of the score.
ROUNDING = 1e-6


class RankMetric(keras.metrics.Metric, abc.ABC):
    """Mean over queries of what the rank of the true candidate is worth.

    Args:
        candidates: A retrieval layer, or (n, d) embeddings.
        candidate_ids: (n,) ids of embeddings; `None` numbers the rows. A layer has its own.
        depth: Ranks beyond are worth nothing.
        name: Name of the metric.
    """

    def __init__(self, candidates: Any, candidate_ids: Any, depth: int, name: str) -> None:
        super().__init__(name=name)
        if isinstance(candidates, CandidateRetrieval):
            if candidate_ids is not None:
                raise ValueError("`candidate_ids` must be None with a layer, which has its own.")
            self.candidates: Any = candidates
            self._ids = None
        else:
            self.candidates = checked_embeddings(candidates)
            self._ids = CandidateIds(candidate_ids, len(self.candidates))
        self.depth = depth
        self.values_of_ranks = self._values_of_ranks()
        width = self.values_of_ranks.shape[1]
        self._on_host = HostFunction(self._values, lambda _: ((width, "float32"),))
        self.total = self.add_variable((width,), initializer="zeros", name="total")
        self.count = self.add_variable((), initializer="zeros", name="count")

    @abc.abstractmethod
    def _values_of_ranks(self) -> NDArray[np.float64]:
        """What ranks 1 to `depth` are worth, (depth, m) for m results."""

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments: a layer by its configuration, an array by value."""
        return {
            "name": self.name,
            "candidates": keras.saving.serialize_keras_object(self.candidates),
            "candidate_ids": None if self._ids is None else self._ids.values.tolist(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "RankMetric":
        """Returns a metric of this configuration."""
        candidates = config["candidates"]
        if isinstance(candidates, dict):
            candidates = keras.saving.deserialize_keras_object(candidates)
        return cls(**{**config, "candidates": candidates})

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch.

        Args:
            y_true: (b,) or (b, 1) ids of the true candidates; outside compiled code also str. Over
                a layer with `return_rows=True`, and over str ids, integers are rows.
            y_pred: (b, d) query embeddings; one that is not finite is a miss.
            sample_weight: (b,) weights.
        """
        if not (ops.is_tensor(y_true) or isinstance(y_true, keras.KerasTensor)):
            y_true = self._as_numbers(np.asarray(y_true))
        y_true = ops.reshape(ops.cast(y_true, tensor_dtype()), (-1, 1))
        y_pred = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        (values,) = self._on_host(self.depth, y_pred, y_true)
        weights = (
            ops.ones_like(values[:, 0])
            if sample_weight is None
            else ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        )
        self.total.assign_add(ops.sum(values * ops.expand_dims(weights, 1), axis=0))
        self.count.assign_add(ops.sum(weights))

    def _means(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)

    def _as_numbers(self, ids: Array) -> Array:
        """Rows in place of str, which tensors cannot hold."""
        if ids.dtype.kind not in "UTO":
            return ids
        if self._ids is None and not self.candidates.return_rows:
            raise ValueError("`y_true` must hold integers, as the layer's candidate ids, got str.")
        return self._table().rows(ids.ravel().tolist())

    def _table(self) -> CandidateIds:
        if self._ids is not None:
            return self._ids
        table: CandidateIds = self.candidates._require_ids()
        return table

    def _values(self, depth: int, queries: Array, truths: Array) -> tuple[Array]:
        """Runs on the host: what each query's true candidate is worth, (b, m)."""
        if isinstance(self.candidates, CandidateRetrieval) and not self.candidates.num_candidates:
            raise ValueError(
                f"Layer '{self.candidates.name}' of metric '{self.name}' has no candidates yet: "
                "call its `update_candidates`. If the metric was loaded with a model, its layer is "
                "not the model's: call `compile` again, with a metric over the model's layer."
            )
        if isinstance(self.candidates, HostRetrieval):
            self.candidates.take_shared()
        table = self._table()
        numbered = table.are_strings or getattr(self.candidates, "return_rows", False)
        rows = truths[:, 0] if numbered else table.rows(truths[:, 0].tolist())
        is_finite = finite_rows(queries)
        queries, rows = np.where(is_finite, queries, 0), np.where(is_finite[:, 0], rows, NO_ID)
        above, level = self._rank(queries, rows, depth)
        worth = np.concatenate(
            [np.zeros((1, self.values_of_ranks.shape[1])), np.cumsum(self.values_of_ranks, axis=0)]
        )
        first, last = np.minimum(above, depth), np.minimum(above + level, depth)
        return ((worth[last] - worth[first]) / np.maximum(level, 1)[:, None],)

    def _rank(self, queries: Array, rows: Array, depth: int) -> tuple[Array, Array]:
        """How many candidates are above the true one, and how many level with it (itself too)."""
        if not isinstance(self.candidates, ApproximateRetrieval) or self.candidates.is_exact:
            return self._rank_by_counting(queries, rows)
        shown = min(depth, len(self._table()))
        scores, found = self.candidates.search(queries, shown)
        is_truth = (found == rows[:, None]) & (rows >= 0)[:, None]
        was_found = is_truth.any(axis=1)
        score = scores[np.arange(len(rows)), is_truth.argmax(axis=1)][:, None]
        above = np.where(was_found, (scores > score).sum(axis=1), depth)
        level = np.where(was_found, (scores == score).sum(axis=1), 0)
        if shown < len(self._table()):
            # A tie that goes on beyond the list is known whole only by counting. The longer list
            # may be another: an approximate search looks further where it finds too few.
            longer = self.candidates.search(queries, shown + 1)[0]
            cut = (longer[:, :-1] == scores).all(axis=1) & (longer[:, -1] == scores[:, -1])
            cut &= np.isfinite(longer[:, -1])
            above[cut], level[cut] = self._rank_by_counting(queries[cut], rows[cut])
        return above, level

    def _rank_by_counting(self, queries: Array, rows: Array) -> tuple[Array, Array]:
        rows_at_a_time = max(256, SCORES_IN_MEMORY // max(len(queries), 1))
        known = rows >= 0
        truth = np.full(len(rows), np.inf, dtype=np.float32)
        start = 0
        for part in self._embeddings(rows_at_a_time):
            here = np.flatnonzero((rows >= start) & (rows < start + len(part)))
            truth[here] = np.einsum("bd,bd->b", queries[here], part[rows[here] - start])
            start += len(part)
        above, level = np.zeros((2, len(rows)), dtype=np.int64)
        for part in self._embeddings(rows_at_a_time):
            scores = queries @ part.T
            margin = ROUNDING * np.maximum(np.abs(truth), np.abs(scores).max(axis=1))
            above += (scores > (truth + margin)[:, None]).sum(axis=1)
            level += (np.abs(scores - truth[:, None]) <= margin[:, None]).sum(axis=1)
        return np.where(known, above, len(self._table()) + self.depth), np.where(known, level, 0)

    def _embeddings(self, rows_at_a_time: int) -> Iterator[Array]:
        if isinstance(self.candidates, np.ndarray):
            return row_blocks(self.candidates, rows_at_a_time)
        blocks: Iterator[Array] = self.candidates.embeddings(rows_at_a_time)
        return blocks


class TruncatedMean(RankMetric):
    """A rank metric of one result, in which ranks beyond k are worth nothing."""

    def __init__(self, candidates: Any, candidate_ids: Any, k: int, name: str) -> None:
        if k < 1:
            raise ValueError(f"`k` must be at least 1, got {k!r}.")
        super().__init__(candidates, candidate_ids, depth=int(k), name=name)

    def result(self) -> Any:
        """Returns the mean so far."""
        return self._means()[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "k": self.depth}
