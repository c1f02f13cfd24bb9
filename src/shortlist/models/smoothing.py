"""Graph smoothing: choices that a user did not make, from those of users with like choices."""

from __future__ import annotations

from typing import Any

import numpy as np

from shortlist.evaluation.baselines.least_squares import Choices

# Users at once, and pairs of a user's items that may be counted: 2.4 GB at most.
BLOCK = 512
MOST_PAIRS = 200_000_000


def smoothed(choices: Choices, number: int, *, weight: float, power: float) -> Choices:
    """Returns the choices with each user's best further candidates by a linear graph filter.

    The graph joins users to what they chose. With R the users' choices, and D_u and D_i the numbers
    of choices of users and items, the filter scores candidates by two hops in it,

        R D_i^(-1/2) · R' D_u^(-1) R · D_i^(-power),

    with sparse products alone. A candidate so found counts `weight` times its score over the
    user's best; a choice counts 1.

    Where users have so many items that their pairs do not fit in memory, those with most are left
    out of the filter; what they say of two items is least.

    Args:
        choices: What each user chose.
        number: Candidates added to each user, at most.
        weight: What the best of them counts.
        power: How much popularity counts against a candidate: 0 not at all, 1/2 as GF-CF has it.

    Example:
        >>> lists = [np.array([0, 1]), np.array([0, 1]), np.array([0]), np.array([2])]
        >>> more = smoothed(Choices.from_lists(lists, 3), 1, weight=0.5, power=0.5)
        >>> more.columns.tolist(), more.weights.tolist()
        ([0, 1, 0, 1, 0, 1, 2], [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 1.0])

    Source:
        Shen et al., "How powerful is graph convolution for recommendation?", CIKM 2021 (GF-CF, the
        linear filter).
    """
    chosen = _matrix(choices)
    lengths = np.maximum(choices.lengths, 1)
    degrees = np.maximum(np.bincount(choices.columns, minlength=choices.num_columns), 1)
    # Those of fewest choices first, as long as their pairs fit.
    pairs = np.cumsum(np.sort(lengths).astype(np.float64) ** 2)
    most = np.sort(lengths)[max(0, int(np.searchsorted(pairs, MOST_PAIRS, side="right")) - 1)]
    around = _scaled(chosen, np.where(lengths <= most, 1.0 / lengths, 0.0))
    around.eliminate_zeros()
    links = chosen.T.tocsr() @ around
    links = _scaled(links, degrees**-0.5)
    links.data *= (degrees.astype(np.float32) ** -power)[links.indices]
    columns, weights, added = [], [], np.zeros(len(choices), np.int64)
    for start in range(0, len(choices), BLOCK):
        own = chosen[start : start + BLOCK]
        scores = own @ links
        scores = (scores - scores.multiply(own)).tocsr()  # what is chosen already gets 0
        for row in range(own.shape[0]):
            these = slice(scores.indptr[row], scores.indptr[row + 1])
            found, values = scores.indices[these], scores.data[these]
            if len(values) > number:
                best = np.argpartition(-values, number - 1)[:number]
                found, values = found[best], values[best]
            found, values = found[values > 0], values[values > 0]
            mine = slice(choices.offsets[start + row], choices.offsets[start + row + 1])
            columns += [choices.columns[mine], found]
            ones = np.ones(mine.stop - mine.start, np.float32)
            weights += [ones, weight * values / values.max(initial=1e-30)]
            added[start + row] = len(found)
    offsets = np.concatenate([[0], np.cumsum(choices.lengths + added)])
    return Choices(
        offsets,
        np.concatenate(columns).astype(np.int64),
        choices.num_columns,
        np.concatenate(weights).astype(np.float32),
    )


def _matrix(choices: Choices) -> Any:
    """The choices as a sparse matrix of ones."""
    import scipy.sparse

    ones = np.ones(len(choices.columns), np.float32)
    shape = len(choices), choices.num_columns
    return scipy.sparse.csr_matrix((ones, choices.columns, choices.offsets), shape=shape)


def _scaled(matrix: Any, factors: Any) -> Any:
    """The matrix with each row times its factor."""
    scaled = matrix.copy()
    scaled.data *= np.repeat(np.asarray(factors, np.float32), np.diff(matrix.indptr))
    return scaled
