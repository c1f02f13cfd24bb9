"""The losses of queries over a whole catalogue, in blocks: the matrix of scores is never made."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist import _native
from shortlist.losses._host_loss import host_loss, is_supported

Array = NDArray[Any]

BLOCK = 8192  # candidates scored together where the engine's kernels cannot be called

NO_SCORE = -1e30  # exactly 0 after exp, yet finite


def catalogue_loss(
    queries: Any,
    candidates: Any,
    known: Any,
    positives: Any,
    *,
    temperature: float = 1.0,
    logistic: bool = False,
) -> Any:
    """Returns the negative logarithm of a likelihood of the positives, mean over them.

    On a processor the engine's kernels compute it and its gradients. TensorFlow must then compile
    without XLA, which cannot call them. Elsewhere the backend computes block by block, and once
    more in the backward pass, so that it need not keep the scores.

    Args:
        queries: (b, d) embeddings.
        candidates: (n, d) embeddings of the candidates with index 1, 2, …, n.
        known: (b, w) int32 indices padded with 0: candidates that are left out for a query.
        positives: The same: what it chose among the others.
        temperature: Scores are divided by it.
        logistic: False for the multinomial likelihood: every positive is a draw from the softmax.
            True for the logistic one: each candidate is a positive or not, and a score of 0 stands
            for one positive among all candidates.

    Returns:
        A float32 scalar.

    Example:
        >>> import numpy as np
        >>> ones, nothing = np.ones((1, 2), "float32"), np.zeros((1, 1), "int32")
        >>> candidates = np.ones((4, 2), "float32")
        >>> loss = catalogue_loss(ones, candidates, nothing, nothing + 3)
        >>> round(float(loss), 4)  # log(4)
        1.3863

    References:
        Liang et al., "Variational autoencoders for collaborative filtering", WWW 2018.
    """
    queries, candidates = ops.cast(queries, "float32"), ops.cast(candidates, "float32")
    known, positives = ops.cast(known, "int32"), ops.cast(positives, "int32")
    count = candidates.shape[0]
    if is_supported(queries, candidates):
        fill = partial(_fill, temperature, logistic)
        return host_loss(fill, (queries, candidates), (known, positives))
    queries = queries / temperature
    size = count or ops.shape(candidates)[0]
    shift = ops.log(ops.cast(size + 1, "float32")) if logistic else 0.0
    losses, log_sums, numbers = [], [], []
    for first in range(0, count or 1, BLOCK):
        some = candidates[first : first + BLOCK] if count else candidates
        of_block = keras.remat(partial(_of_block, logistic, first))
        loss, log_sum, number = of_block(queries, some, known, positives, shift)
        losses.append(loss)
        log_sums.append(log_sum)
        numbers.append(number)
    number = sum(numbers[1:], start=numbers[0])
    loss = sum(losses[1:], start=losses[0])
    if not logistic:
        loss = loss + number * ops.logsumexp(ops.stack(log_sums, axis=-1), axis=-1)
    return ops.sum(loss) / ops.maximum(ops.sum(number), 1.0)


def _fill(
    temperature: float,
    logistic: bool,
    outputs: Sequence[Array],
    queries: Array,
    candidates: Array,
    known: Array,
    positives: Array,
) -> None:
    value, of_queries, of_candidates = outputs if len(outputs) > 1 else (outputs[0], None, None)
    queries, candidates, known, positives = map(
        np.ascontiguousarray, (queries, candidates, known, positives)
    )
    shift = float(np.log(len(candidates) + 1.0)) if logistic else 0.0
    inputs = queries, candidates, known, positives, temperature, shift, logistic
    value[...] = _native.catalogue_loss(*inputs, of_queries, of_candidates)


def _of_block(
    logistic: bool,
    first: int,
    queries: Any,
    candidates: Any,
    known: Any,
    positives: Any,
    shift: Any,
) -> tuple[Any, Any, Any]:
    """Of each query: its loss without the log sum, the log sum, and the number of positives."""
    scores = ops.matmul(queries, ops.transpose(candidates)) - shift
    size = ops.shape(candidates)[0]
    is_known = _counts(known - first - 1, size) > 0
    chosen = ops.where(is_known, 0.0, _counts(positives - first - 1, size))
    if logistic:
        chosen = ops.cast(chosen > 0, "float32")
    loss = -ops.sum(chosen * scores, axis=1)
    scores = ops.where(is_known, NO_SCORE, scores)
    if logistic:
        loss = loss + ops.sum(ops.softplus(scores), axis=1)
    return loss, ops.logsumexp(scores, axis=1), ops.sum(chosen, axis=1)


def _counts(columns: Any, size: Any) -> Any:
    """(b, size) float32: how often each column stands in each of (b, w) rows."""
    rows = ops.shape(columns)[0]
    is_column = ops.logical_and(columns >= 0, columns < size)
    places = columns + size * ops.expand_dims(ops.arange(rows, dtype="int32"), 1)
    flat = ops.segment_sum(
        ops.reshape(ops.cast(is_column, "float32"), (-1,)),
        ops.reshape(ops.where(is_column, places, 0), (-1,)),
        num_segments=rows * size,
    )
    return ops.reshape(flat, (rows, size))
