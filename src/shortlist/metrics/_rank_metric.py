"""The rank of the true candidate, as a Keras metric."""

import abc
from operator import index
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.ids import are_text, as_ids
from shortlist.layers import ApproximateRetrieval, CandidateRetrieval, StreamingRetrieval
from shortlist.layers.host import HostFunction, finite_rows, is_concrete

Array = NDArray[Any]

SCORES_IN_MEMORY = 2**24
# float32 sums of the same products in another order differ by about this share of the score.
ROUNDING = 1e-6
NO_ROW = -1


class RankMetric(keras.metrics.Metric, abc.ABC):
    """Mean over queries of what the rank of the true candidate is worth.

    Args:
        candidates: A retrieval layer; (n, d) embeddings; or batches of embeddings or of (ids,
            embeddings), which are read through at each update.
        candidate_ids: (n,) ids of embeddings; `None` numbers the rows. A layer and batches have
            their own.
        depth: Ranks beyond are worth nothing.
        name: Name of the metric.
    """

    def __init__(self, candidates: Any, candidate_ids: Any, depth: int, name: str) -> None:
        super().__init__(name=name)
        self._layer = _as_layer(candidates, candidate_ids, name)
        self._is_array = _is_array(candidates)
        self._has_ids = candidate_ids is not None
        self.depth = depth
        self.values_of_ranks = self._values_of_ranks()
        width = self.values_of_ranks.shape[1]
        self._on_host = HostFunction(self._values_of_tensors, lambda _: ((width, "float32"),))
        self.total = self.add_variable((width,), initializer="zeros", name="total")
        self.count = self.add_variable((), initializer="zeros", name="count")

    @abc.abstractmethod
    def _values_of_ranks(self) -> NDArray[np.float64]:
        """What ranks 1 to `depth` are worth, (depth, m) for m results."""

    @property
    def candidates(self) -> Any:
        """The layer, or the (n, d) embeddings where those were given."""
        return (
            np.concatenate(list(self._layer.embeddings(2**20))) if self._is_array else self._layer
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments: a layer by its configuration, an array by value."""
        ids = self._layer.lookup(np.arange(self._layer.num_candidates)) if self._has_ids else None
        return {
            "name": self.name,
            "candidates": keras.saving.serialize_keras_object(self.candidates),
            "candidate_ids": None if ids is None else ids.tolist(),
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
            y_true: (b,) or (b, 1) ids of the true candidates. Over candidates whose ids are text,
                which most tensors cannot hold, integers are rows; -1 is none.
            y_pred: (b, d) query embeddings; one that is not finite is a miss.
            sample_weight: (b,) or (b, 1) weights, or one for all.

        Raises:
            ValueError: The shapes do not fit each other; or an id is none, of another kind than
                those of the candidates, or cut by the tensor that holds it.
        """
        self._require_candidates()
        _refuse_what_is_no_number("y_pred", y_pred)
        _refuse_what_is_no_number("sample_weight", sample_weight, optional=True)
        y_pred = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        if len(y_pred.shape) != 2:
            raise ValueError(f"`y_pred` must have shape (b, d), got {tuple(y_pred.shape)}.")
        self._layer.check_dim("y_pred", y_pred.shape)
        in_tensor = ops.is_tensor(y_true) or isinstance(y_true, keras.KerasTensor)
        if not in_tensor or is_concrete(y_true):
            y_true = as_ids(y_true, "y_true", ndim=None)
        _check_shape("y_true", y_true.shape, y_pred.shape[0])
        if is_concrete(y_pred) and isinstance(y_true, np.ndarray):
            rows = self._rows(y_true, in_tensor)
            values = ops.convert_to_tensor(self._values(ops.convert_to_numpy(y_pred), rows))
        else:
            (values,) = self._on_host(self.depth, y_pred, self._in_graph(y_true))
        weights = ops.ones_like(values[:, 0])
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
            if len(sample_weight.shape):
                _check_shape("sample_weight", sample_weight.shape, y_pred.shape[0])
                sample_weight = ops.reshape(sample_weight, (-1,))
            weights = weights * sample_weight
        self.total.assign_add(ops.sum(values * ops.expand_dims(weights, 1), axis=0))
        self.count.assign_add(ops.sum(weights))

    def _means(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)

    def _require_candidates(self) -> None:
        if not self._layer.num_candidates:
            raise ValueError(
                f"Layer '{self._layer.name}' of metric '{self.name}' has no candidates yet: "
                "call its `update_candidates`. If the metric was loaded with a model, its layer is "
                "not the model's: call `compile` again, with a metric over the model's layer."
            )

    def _in_graph(self, y_true: Any) -> Any:
        """True ids as a tensor of a graph: integers, or TensorFlow's strings."""
        if isinstance(y_true, np.ndarray):  # A constant in the graph.
            return ops.convert_to_tensor(self._rows(y_true) if are_text(y_true) else y_true)
        dtype = keras.backend.standardize_dtype(y_true.dtype)
        if not (keras.backend.is_int_dtype(dtype) or dtype == "string"):
            raise ValueError(f"`y_true` must hold integers or text, got dtype {dtype}.")
        return y_true

    def _values_of_tensors(self, _: int, queries: Array, truths: Array) -> tuple[Array]:
        """Runs on the host, where a graph calls it."""
        _check_shape("y_true", truths.shape, len(queries))
        ids = as_ids(truths, "y_true", ndim=None)
        return (self._values(queries, self._rows(ids, in_tensor=True)),)

    def _rows(self, truths: Array, in_tensor: bool = False) -> NDArray[np.int64]:
        """The row of each true candidate, -1 where there is none."""
        layer = self._layer
        layer.take_shared()
        text = are_text(layer.lookup(np.arange(0)))
        if text and truths.size and not are_text(truths):
            rows = truths.ravel().astype(np.int64)
            if rows.min() < NO_ROW or rows.max() >= layer.num_candidates:
                raise ValueError(
                    "`y_true` must be text, as the ids of the candidates are, or rows from -1 to "
                    f"{layer.num_candidates - 1}; got {rows[np.argmax(np.abs(rows))]}."
                )
            return rows
        if truths.size and text != are_text(truths):
            raise ValueError(
                "`y_true` must hold integers, as the ids of the candidates are; got the str "
                f"{truths.flat[0]!r}."
            )
        if in_tensor and not text and not layer.ids_fit_tensors:
            raise ValueError(
                "`y_true` must not be a tensor here: JAX cuts ids in tensors to 32 bits, and some "
                "candidates have longer ones. Give NumPy arrays outside of compiled code, or set "
                "jax_enable_x64."
            )
        return layer.rows(truths.ravel())

    def _values(self, queries: Array, rows: NDArray[np.int64]) -> Array:
        """What each query's true candidate is worth, (b, m)."""
        is_finite = finite_rows(queries)
        queries, rows = np.where(is_finite, queries, 0), np.where(is_finite[:, 0], rows, NO_ROW)
        above, level = self._rank(queries, rows, self.depth)
        worth = np.concatenate(
            [np.zeros((1, self.values_of_ranks.shape[1])), np.cumsum(self.values_of_ranks, axis=0)]
        )
        first, last = np.minimum(above, self.depth), np.minimum(above + level, self.depth)
        values = (worth[last] - worth[first]) / np.maximum(level, 1)[:, None]
        return np.asarray(values, dtype=np.float32)

    def _rank(self, queries: Array, rows: Array, depth: int) -> tuple[Array, Array]:
        """How many candidates are above the true one, and how many level with it (itself too)."""
        if not isinstance(self._layer, ApproximateRetrieval) or self._layer.is_exact:
            return self._rank_by_counting(queries, rows)
        shown = min(depth, self._layer.num_candidates)
        scores, found = self._layer.search(queries, shown)
        is_truth = (found == rows[:, None]) & (rows >= 0)[:, None]
        was_found = is_truth.any(axis=1)
        score = scores[np.arange(len(rows)), is_truth.argmax(axis=1)][:, None]
        above = np.where(was_found, (scores > score).sum(axis=1), depth)
        level = np.where(was_found, (scores == score).sum(axis=1), 0)
        if shown < self._layer.num_candidates:
            # A tie that goes on beyond the list is known whole only by counting. The longer list
            # may be another: an approximate search looks further where it finds too few.
            longer = self._layer.search(queries, shown + 1)[0]
            cut = (longer[:, :-1] == scores).all(axis=1) & (longer[:, -1] == scores[:, -1])
            cut &= np.isfinite(longer[:, -1])
            above[cut], level[cut] = self._rank_by_counting(queries[cut], rows[cut])
        return above, level

    def _rank_by_counting(self, queries: Array, rows: Array) -> tuple[Array, Array]:
        rows_at_a_time = max(256, SCORES_IN_MEMORY // max(len(queries), 1))
        known = rows >= 0
        truth = np.full(len(rows), np.inf, dtype=np.float32)
        start = 0
        for part in self._layer.embeddings(rows_at_a_time):
            here = np.flatnonzero((rows >= start) & (rows < start + len(part)))
            truth[here] = np.einsum("bd,bd->b", queries[here], part[rows[here] - start])
            start += len(part)
        above, level = np.zeros((2, len(rows)), dtype=np.int64)
        for part in self._layer.embeddings(rows_at_a_time):
            scores = queries @ part.T
            margin = ROUNDING * np.maximum(np.abs(truth), np.abs(scores).max(axis=1))
            above += (scores > (truth + margin)[:, None]).sum(axis=1)
            level += (np.abs(scores - truth[:, None]) <= margin[:, None]).sum(axis=1)
        return np.where(known, above, self._layer.num_candidates + self.depth), np.where(
            known, level, 0
        )


class TruncatedMean(RankMetric):
    """A rank metric of one result, in which ranks beyond k are worth nothing."""

    def __init__(self, candidates: Any, candidate_ids: Any, k: int, name: str) -> None:
        super().__init__(candidates, candidate_ids, depth=_as_rank(k), name=name)

    def result(self) -> Any:
        """Returns the mean so far."""
        return self._means()[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "k": self.depth}


def _as_rank(k: Any) -> int:
    try:
        rank = index(k)
    except TypeError:
        rank = 0
    if rank < 1:
        raise ValueError(f"`k` must be at least 1, got {k!r}.")
    return rank


def _is_array(candidates: Any) -> bool:
    """Whether it is (n, d) embeddings, rather than a layer or batches."""
    if isinstance(candidates, (list, tuple)) and candidates:
        first = candidates[0]
        return not isinstance(first, tuple) and np.ndim(first) == 1
    return hasattr(candidates, "shape")


def _as_layer(candidates: Any, candidate_ids: Any, name: str) -> CandidateRetrieval:
    """The layer that was given, or one that holds what was given on the host."""
    if isinstance(candidates, CandidateRetrieval):
        if candidate_ids is not None:
            raise ValueError("`candidate_ids` must be None with a layer, which has its own.")
        if not candidates.scores_by_dot_product:
            raise ValueError(
                f"`candidates` must be ranked by dot products, and {type(candidates).__name__} has "
                "a `compute_score` of its own. For cosine give a layer of normalised embeddings, "
                "and normalise the queries."
            )
        return candidates
    if isinstance(candidates, keras.layers.Layer):
        raise ValueError(
            "`candidates` must be a layer of `shortlist.layers`, (n, d) embeddings, or batches of "
            f"them, got the layer {type(candidates).__name__}."
        )
    layer = StreamingRetrieval(k=1, return_rows=True, name=f"{name}_candidates")
    if _is_array(candidates) or candidates is None:
        layer.update_candidates(candidates, candidate_ids)
        return layer
    if candidate_ids is not None:
        raise ValueError("`candidate_ids` must be None with batches, which give (ids, embeddings).")
    return layer.index_from_dataset(candidates)


def _refuse_what_is_no_number(argument: str, value: Any, optional: bool = False) -> None:
    if isinstance(value, str) or (value is None and not optional):
        raise ValueError(f"`{argument}` must hold numbers, got {value!r}.")


def _check_shape(argument: str, shape: Any, num_queries: int | None) -> None:
    """Refuses all but (b,) and (b, 1); None is a size known only when the graph runs."""
    is_column = len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, None))
    if is_column and (shape[0] == num_queries or None in (shape[0], num_queries)):
        return
    rows = "b" if num_queries is None else num_queries
    raise ValueError(
        f"`{argument}` must have shape ({rows},) or ({rows}, 1), as `y_pred` has {rows} rows, "
        f"got {tuple(shape)}."
    )
