"""The best rows of a matrix of scores, in memory that does not grow with the number of rows."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from shortlist.layers.host import is_concrete

# Scores computed at a time: 64 MB of float32.
SCORES_IN_MEMORY = 2**24
# Where the number of queries is known only when the graph runs.
ROWS_AT_A_TIME = 2**14

NO_ROW = -1
NO_SCORE = float("-inf")


def top_rows(
    queries: Any,
    embeddings: Any,
    k: int,
    score: Callable[[Any, Any], Any],
    rows_at_a_time: int | None = None,
) -> Any:
    """Returns the (b, k) best scores of each query and their rows.

    Args:
        queries: (b, d) float32.
        embeddings: (n, d) float32.
        k: How many; where fewer rows exist, the rest is score -inf and row -1.
        score: The (b, m) scores of queries and m rows.
        rows_at_a_time: Rows scored at a time; `None` picks by b.

    Returns:
        (b, k) float32 scores, descending, and their int32 rows; equal scores by lower row. A query
        that is not finite gets -inf and -1.
    """
    num_queries, num_rows = ops.shape(queries)[0], ops.shape(embeddings)[0]
    if rows_at_a_time is None:
        known = isinstance(num_queries, int)
        rows_at_a_time = SCORES_IN_MEMORY // max(num_queries, 1) if known else ROWS_AT_A_TIME
    rows_at_a_time = max(rows_at_a_time, k)
    queries, is_finite = finite_or_zero(queries)
    if isinstance(num_rows, int) and k <= num_rows <= rows_at_a_time:
        scores, rows = stable_top_k(score(queries, embeddings), k)
    else:
        scores, rows = _top_rows_by_block(queries, embeddings, num_rows, k, score, rows_at_a_time)
    is_hit = ops.logical_and(is_finite, ops.greater(scores, NO_SCORE))
    return ops.where(is_hit, scores, NO_SCORE), ops.where(is_hit, rows, NO_ROW)


def finite_or_zero(queries: Any) -> tuple[Any, Any]:
    """Returns queries, zeros in place of those that are not finite, and which (b, 1) are finite."""
    # Not isfinite, which not every exporter knows; a NaN is less than nothing.
    is_finite = ops.all(ops.abs(queries) < float("inf"), axis=1, keepdims=True)
    return ops.where(is_finite, queries, 0.0), is_finite


def _top_rows_by_block(
    queries: Any,
    embeddings: Any,
    num_rows: Any,
    k: int,
    score: Callable[[Any, Any], Any],
    rows_at_a_time: int,
) -> Any:
    minimum = min if isinstance(num_rows, int) else ops.minimum
    size = minimum(rows_at_a_time, num_rows)
    dim = embeddings.shape[1]
    columns = ops.arange(size, dtype="int32")

    def visit(block: Any, best: Any) -> Any:
        # The last block starts early enough to be full; what was seen before is masked.
        seen = block * size
        start = ops.minimum(seen, num_rows - size)
        part = ops.slice(embeddings, (start, 0), (size, dim))
        rows = start + columns
        scores = score(queries, part)
        scores = ops.where(ops.expand_dims(rows < seen, 0), NO_SCORE, scores)
        scores, rows = stable_top_k(scores, minimum(k, size))
        rows = start + rows
        # What was found before has lower rows and comes first, so ties stay in the order of rows.
        scores = ops.concatenate([best[0], scores], axis=1)
        rows = ops.concatenate([best[1], rows], axis=1)
        scores, picks = stable_top_k(scores, k)
        return scores, ops.take_along_axis(rows, picks, axis=1)

    nothing = ops.zeros_like(queries[:, :1])
    best = (
        ops.repeat(nothing + NO_SCORE, k, axis=1),
        ops.repeat(ops.cast(nothing, "int32") + NO_ROW, k, axis=1),
    )
    return ops.fori_loop(0, (num_rows + size - 1) // size, visit, best)


def stable_top_k(scores: Any, k: Any) -> Any:
    """`ops.top_k` whose equal scores come by lower column, on every backend.

    JAX and TensorFlow promise that order; PyTorch promises none, neither within the top k nor in
    which of several equal scores it takes in.
    """
    if keras.backend.backend() != "torch":
        scores, columns = ops.top_k(scores, k)
        return scores, ops.cast(columns, "int32")
    best, columns = ops.top_k(scores, min(k + 1, scores.shape[1]))
    # Which of several equal scores were taken in matters only where others were left out.
    is_cut = ops.any(best[:, k:] == best[:, k - 1 : k], axis=1, keepdims=True)
    columns = columns[:, :k]
    if not is_concrete(scores) or bool(ops.any(is_cut)):
        columns = ops.where(is_cut, _leftmost(scores, best[:, k - 1 : k], k), columns)
    columns = ops.sort(columns, axis=1)
    scores = ops.take_along_axis(scores, columns, axis=1)
    order = ops.argsort(-scores, axis=1)
    scores = ops.take_along_axis(scores, order, axis=1)
    return scores, ops.cast(ops.take_along_axis(columns, order, axis=1), "int32")


def _leftmost(scores: Any, last: Any, k: Any) -> Any:
    """The columns of k scores: all above the last one, and of its equals those furthest left."""
    # float32 tells columns apart up to 2**24, the most that are scored at a time.
    preference = -ops.expand_dims(ops.arange(scores.shape[1], dtype="float32"), 0)
    preference = ops.where(scores == last, preference, NO_SCORE)
    return ops.top_k(ops.where(scores > last, 1.0, preference), k)[1]


def portable_top_k(scores: Any, k: int) -> Any:
    """`ops.top_k` of (b, n) scores, n known, in operations that every exporter writes.

    TensorFlow cannot read what JAX writes for its own top k in a SavedModel. So there blocks of
    columns are sorted by their best score, and then the columns of the best k blocks: each of the
    best k columns is in one of these.
    """
    if keras.backend.backend() != "jax":
        return ops.top_k(scores, k)
    num_columns = scores.shape[1]
    width = math.ceil(math.sqrt(num_columns / k))  # Then both sorts are about as long.
    num_blocks = max(k, math.ceil(num_columns / width))
    missing = num_blocks * width - num_columns
    scores = ops.pad(scores, ((0, 0), (0, missing)), constant_values=NO_SCORE)
    blocks = ops.reshape(scores, (-1, num_blocks, width))
    # Blocks in order of columns, so that equal scores stay in that order.
    best = ops.sort(ops.argsort(-ops.max(blocks, axis=2), axis=1)[:, :k], axis=1)
    scores = ops.take_along_axis(blocks, ops.expand_dims(best, 2), axis=1)
    scores = ops.reshape(scores, (-1, k * width))
    columns = ops.expand_dims(best * width, 2) + np.arange(width, dtype="int32")
    columns = ops.reshape(columns, (-1, k * width))
    picks = ops.argsort(-scores, axis=1)[:, :k]
    return tuple(ops.take_along_axis(part, picks, axis=1) for part in (scores, columns))
