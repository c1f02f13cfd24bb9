"""In-batch sampled softmax."""

from numbers import Integral, Real
from typing import Any

import keras
from keras import ops

from shortlist.losses._batch_ids import distinguishable
from shortlist.losses._blocked_softmax import blocked_softmax
from shortlist.losses._host_loss import is_supported

REDUCTIONS = ("mean", "sum", "none")

# Exactly 0 after exp(MASKED - x) in float32, whatever score x is, yet MASKED - MASKED is not NaN.
MASKED = -1e30

# Below this a sampling probability says nothing but "very rare", and its logarithm would drown the
# score. TensorFlow Recommenders takes 1e-6, which is more than that of most of ten million items.
SMALLEST_PROBABILITY = 1e-12


@keras.saving.register_keras_serializable(package="shortlist")
class RetrievalLoss(keras.losses.Loss):
    """Softmax cross-entropy of each query's own candidate against the batch's other candidates.

    Row i of `candidates` is what query i chose; every other row is a negative for it. With
    s = ⟨query, candidate⟩ / temperature - log(sampling probability), the loss of query i is
    log Σ_j exp(s_ij) - s_ii, j over the rows that are not masked.

    Everything is computed in float32, whatever the dtype of the embeddings, so float16 and bfloat16
    towers neither overflow nor lose the small differences that matter.

    Args:
        temperature: Scores are divided by it; small values sharpen the softmax.
        num_hard_negatives: Keep only this many best-scored negatives a query; `None` keeps all.
        reduction: `"mean"` (over queries), `"sum"`, or `"none"` for one loss a query.
        in_blocks: Whether scores are made block by block by the engine's kernels, on a processor,
            instead of as one (b, m) matrix: that saves more time and memory the larger the batch
            is. None does so on JAX and PyTorch. On TensorFlow say True, and compile without XLA
            (`jit_compile=False`), which cannot call the kernels. A `score_mask`, hard negatives,
            several vectors a query and one loss a query need the matrix in any case.
        name: Name of the loss.

    Example:
        >>> import numpy as np
        >>> loss = RetrievalLoss(temperature=0.5)
        >>> queries = np.array([[1.0, 0.0], [0.0, 1.0]], dtype="float32")
        >>> round(float(loss(queries, queries)), 4)  # log(1 + exp(-2))
        0.1269

    References:
        Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations",
        RecSys 2019.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        num_hard_negatives: int | None = None,
        reduction: str = "mean",
        in_blocks: bool | None = None,
        name: str = "retrieval_loss",
    ) -> None:
        if not _is_above_zero(temperature, Real):
            raise ValueError(f"`temperature` must be greater than 0, got {temperature!r}.")
        if num_hard_negatives is not None and not _is_above_zero(num_hard_negatives, Integral):
            raise ValueError(
                "`num_hard_negatives` must be None (keep all) or a whole number of at least 1, "
                f"got {num_hard_negatives!r}."
            )
        if reduction not in REDUCTIONS:
            raise ValueError(f"`reduction` must be one of {REDUCTIONS}, got {reduction!r}.")
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.temperature = float(temperature)
        self.num_hard_negatives = num_hard_negatives
        self.in_blocks = in_blocks

    def __call__(
        self,
        queries: Any,
        candidates: Any,
        sample_weight: Any = None,
        *,
        candidate_ids: Any = None,
        sampling_probabilities: Any = None,
        score_mask: Any = None,
    ) -> Any:
        """Returns the loss of a batch.

        Args:
            queries: (b, d) embeddings; or (b, v, d), v vectors a query, of which the best-scoring
                one counts for each candidate (max-sim).
            candidates: (m, d) embeddings, m ≥ b. Row i < b is the positive of query i; rows from b
                on are extra negatives for every query.
            sample_weight: (b,) weight of each query's loss. `"mean"` still divides by b.
            candidate_ids: (m,) ids. When given, a row that carries the same id as the query's
                positive (an accidental hit) is no negative: it leaves the softmax. Integers, or
                outside compiled code also text. Compiled code gets ids as the backend's tensors
                hold them: on JAX 32 bits, so give indices there where ids need more.
            sampling_probabilities: (m,) chance of each candidate to appear in the batch, up to one
                common factor, so counts will do; see `FrequencyEstimator`. Values above 1 count as
                they are; those below 1e-12, 0 too, as 1e-12.
            score_mask: (b, m) booleans, False where a candidate is no negative of a query. The
                positive always counts: to drop a query give it weight 0.

        Returns:
            A float32 scalar, or (b,) with `reduction="none"`.

        Raises:
            ValueError: If shapes do not fit each other, or an id is none.
        """
        queries, candidates = _as_float32("queries", queries), _as_float32("candidates", candidates)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
        if score_mask is None and self._works_in_blocks(queries, candidates):
            parts = self._parts(queries, candidates, candidate_ids, sampling_probabilities)
            count = ops.shape(queries)[0]
            weights = ops.ones((count,)) if sample_weight is None else sample_weight
            _check_shape("sample_weight", weights, (queries.shape[0],))
            if self.reduction == "mean":
                weights = weights / ops.cast(count, "float32")
            return blocked_softmax(*parts[:2], weights, *parts[2:], self.temperature)
        losses = self.call(
            queries,
            candidates,
            candidate_ids=candidate_ids,
            sampling_probabilities=sampling_probabilities,
            score_mask=score_mask,
        )
        if sample_weight is not None:
            _check_shape("sample_weight", sample_weight, (losses.shape[0],))
            losses = losses * sample_weight
        if self.reduction == "mean":
            return ops.mean(losses)
        if self.reduction == "sum":
            return ops.sum(losses)
        return losses

    def call(
        self,
        queries: Any,
        candidates: Any,
        *,
        candidate_ids: Any = None,
        sampling_probabilities: Any = None,
        score_mask: Any = None,
    ) -> Any:
        """Returns the (b,) losses of a batch, before weights and reduction."""
        queries, candidates, bias, keys = self._parts(
            queries, candidates, candidate_ids, sampling_probabilities
        )
        num_queries, num_candidates = ops.shape(queries)[0], ops.shape(candidates)[0]
        scores = ops.matmul(queries / self.temperature, ops.transpose(candidates))
        if len(queries.shape) == 3:
            scores = ops.max(scores, axis=1)
        scores = scores - bias
        is_positive = ops.equal(
            ops.expand_dims(ops.arange(num_queries), 1),
            ops.expand_dims(ops.arange(num_candidates), 0),
        )
        is_negative = ops.logical_and(
            ops.logical_not(is_positive),
            ops.not_equal(ops.expand_dims(keys[:num_queries], 1), keys),
        )
        if score_mask is not None:
            mask = ops.cast(score_mask, "bool")
            _check_shape("score_mask", mask, (queries.shape[0], candidates.shape[0]))
            is_negative = ops.logical_and(is_negative, mask)

        positives = ops.sum(ops.where(is_positive, scores, 0.0), axis=1, keepdims=True)
        negatives = ops.where(is_negative, scores, MASKED)
        if self.num_hard_negatives is not None:
            negatives = _hardest(negatives, self.num_hard_negatives)
        # log(exp(s_ii) + Σ exp(s_ij)) - s_ii without the cancellation between two large numbers.
        return ops.softplus(ops.logsumexp(negatives - positives, axis=1))

    @staticmethod
    def _parts(
        queries: Any, candidates: Any, candidate_ids: Any, sampling_probabilities: Any
    ) -> tuple[Any, Any, Any, Any]:
        """The embeddings as float32, and of each candidate what is subtracted and its key."""
        queries, candidates = _as_float32("queries", queries), _as_float32("candidates", candidates)
        _check_embeddings(queries, candidates)
        num_candidates = ops.shape(candidates)[0]
        bias, keys = ops.zeros((num_candidates,)), ops.arange(num_candidates, dtype="int32")
        if sampling_probabilities is not None:
            probabilities = ops.cast(sampling_probabilities, "float32")
            _check_shape("sampling_probabilities", probabilities, (candidates.shape[0],))
            bias = ops.log(ops.maximum(probabilities, SMALLEST_PROBABILITY))
        if candidate_ids is not None:
            keys = distinguishable(candidate_ids)
            _check_shape("candidate_ids", keys, (candidates.shape[0],))
        return queries, candidates, bias, keys

    def _works_in_blocks(self, queries: Any, candidates: Any) -> bool:
        wanted = (
            keras.backend.backend() != "tensorflow" if self.in_blocks is None else self.in_blocks
        )
        plain = self.num_hard_negatives is None and self.reduction != "none"
        return wanted and plain and len(queries.shape) == 2 and is_supported(queries, candidates)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "temperature": self.temperature,
            "num_hard_negatives": self.num_hard_negatives,
            "reduction": self.reduction,
            "in_blocks": self.in_blocks,
            "name": self.name,
        }


def _hardest(negatives: Any, count: int) -> Any:
    num_columns = ops.shape(negatives)[1]
    within = min if isinstance(num_columns, int) else ops.minimum
    return ops.top_k(negatives, k=within(count, num_columns))[0]


def _is_above_zero(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and bool(value > 0)


def _as_float32(name: str, values: Any) -> Any:
    if values is None or isinstance(values, str):
        raise TypeError(f"`{name}` must hold floating-point numbers, got {values!r}.")
    values = ops.convert_to_tensor(values)
    if "float" not in keras.backend.standardize_dtype(values.dtype):
        raise TypeError(f"`{name}` must hold floating-point numbers, got dtype {values.dtype}.")
    return ops.cast(values, "float32")


def _check_embeddings(queries: Any, candidates: Any) -> None:
    if len(queries.shape) not in (2, 3):
        raise ValueError(
            f"`queries` must have shape (b, d) or (b, v, d), got {tuple(queries.shape)}."
        )
    _check_shape("candidates", candidates, (None, queries.shape[-1]))
    num_queries, num_candidates = queries.shape[0], candidates.shape[0]
    if None not in (num_queries, num_candidates) and num_candidates < num_queries:
        raise ValueError(
            "`candidates` must have at least one row a query (row i is the positive of query i), "
            f"got {num_candidates} rows for {num_queries} queries."
        )


def _check_shape(name: str, values: Any, expected: tuple[int | None, ...]) -> None:
    """Compares shapes; None, a size known only when the graph runs, fits every size."""
    shape = tuple(values.shape)
    if len(shape) != len(expected) or any(
        want is not None and got is not None and want != got
        for want, got in zip(expected, shape, strict=True)
    ):
        raise ValueError(f"`{name}` must have shape {expected}, got {shape}.")
