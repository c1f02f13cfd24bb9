"""The in-batch softmax in blocks.

The matrix of scores is never made: a batch of 8,192 would need 256 MB of it, several times over.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist import _native
from shortlist.losses._host_loss import host_loss

Array = NDArray[Any]


def blocked_softmax(
    queries: Any, candidates: Any, weights: Any, bias: Any, keys: Any, temperature: float
) -> Any:
    """Returns the sum over i of weight i * (log(exp(s_ii) + sum of exp(s_ij)) - s_ii).

    s_ij is <query i, candidate j> / temperature - bias j. The inner sum is over the negatives of
    query i: candidates whose key is not that of candidate i. The result can be differentiated by
    queries, candidates and weights.

    Args:
        queries: (b, d) float32.
        candidates: (m, d) float32, m >= b; row i is what query i chose.
        weights: (b,) float32.
        bias: (m,) float32.
        keys: (m,) int32 or int64: equal keys are the same candidate.
        temperature: Above 0.

    Returns:
        A float32 scalar.
    """
    fill = partial(_fill, float(temperature))
    return host_loss(fill, (queries, candidates, weights), (bias, keys))


def _fill(
    temperature: float,
    outputs: Sequence[Array],
    queries: Array,
    candidates: Array,
    weights: Array,
    bias: Array,
    keys: Array,
) -> None:
    value, *gradients = outputs
    losses = np.empty(len(queries), np.float32)
    queries, candidates, weights, bias = map(
        np.ascontiguousarray, (queries, candidates, weights, bias)
    )
    inputs = queries, candidates, bias, _as_int32(keys), temperature
    if gradients:
        of_queries, of_candidates, losses = gradients  # the gradient by a weight is its loss
        _native.softmax(*inputs, losses, weights, of_queries, of_candidates)
    else:
        _native.softmax(*inputs, losses)
    value[...] = np.dot(losses.astype(np.float64), weights)


def _as_int32(keys: Array) -> Array:
    """Numbers that are equal where the keys are."""
    if keys.dtype == np.int32:
        return np.ascontiguousarray(keys)
    return np.unique(keys, return_inverse=True)[1].astype(np.int32)
