"""Alternating least squares over all pairs of users and items, in batches of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

# Numbers in the largest array of a batch of rows: 16 MB of float32, which a cache may still hold.
BATCH = 4_000_000

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Choices:
    """Which columns each row chose, each once.

    Attributes:
        offsets: (rows + 1,) where the columns of each row begin.
        columns: The columns, those of one row standing together.
        num_columns: How many there are.
        weights: What each choice counts, above 0; None counts 1.
    """

    offsets: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    num_columns: int
    weights: Floats | None = None

    @classmethod
    def from_lists(cls, chosen: Sequence[npt.NDArray[np.int64]], num_columns: int) -> Choices:
        """Returns the choices of rows given one by one."""
        lengths = [len(own) for own in chosen]
        columns = np.concatenate([np.empty(0, np.int64), *chosen])
        return cls(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), columns, num_columns)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(rows,) how many columns each row chose."""
        return np.diff(self.offsets)

    def transposed(self) -> Choices:
        """Returns which rows chose each column."""
        rows = np.repeat(np.arange(len(self)), self.lengths)
        counts = np.bincount(self.columns, minlength=self.num_columns)
        offsets = np.concatenate([[0], np.cumsum(counts)])
        order = np.argsort(self.columns, kind="stable")
        weights = None if self.weights is None else self.weights[order]
        return Choices(offsets, rows[order], len(self), weights)


def solve(
    choices: Choices, others: Floats, *, unobserved_weight: float, l2: float, power: float = 1.0
) -> Floats:
    """Returns the best factors of each row, given those of the columns.

    A row of n choices minimises the squared errors of its dot products from 1 where it chose, by
    their weights, and, weighted by `unobserved_weight`, from 0 everywhere, plus
    `l2 * (n + unobserved_weight * columns) ** power` times the square of its length.

    Rows of one number of choices are solved together. The part of the system that all rows share
    is made diagonal once. What a row of n choices adds has rank n, so that where n is below the
    length d of the factors, Woodbury's identity leaves a system of n equations instead of d.

    Args:
        choices: What each row chose; a row without choices gets zeros.
        others: (columns, d) factors.
        unobserved_weight: Weight of the zeros, where that of a choice is 1.
        l2: Strength of the penalty.
        power: How it grows with the number of choices.

    Returns:
        (rows, d) float32.

    Example:
        >>> choices = Choices.from_lists([np.array([0])], num_columns=1)
        >>> one = np.ones((1, 1), np.float32)
        >>> solve(choices, one, unobserved_weight=1.0, l2=0.5).tolist()  # 1 / (1 + 1 + 0.5 * 2)
        [[0.3333333432674408]]

    Source:
        Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008;
        the penalty is that of Rendle et al., "Revisiting the performance of iALS on item
        recommendation benchmarks", RecSys 2022.
    """
    size = others.shape[1]
    shared = unobserved_weight * (others.T @ others).astype(np.float64)
    eigenvalues, vectors = np.linalg.eigh(shared)
    basis = vectors.astype(np.float32)
    rotated = others @ basis
    solved = np.zeros((len(choices), size), np.float32)
    for count in np.unique(choices.lengths):
        rows = np.flatnonzero(choices.lengths == count)
        penalty = l2 * (count + unobserved_weight * len(others)) ** power
        diagonal = (np.maximum(eigenvalues, 0.0) + penalty).astype(np.float32)
        step = max(1, BATCH // int(max(count, 1) * size + min(count, size) ** 2))
        for start in range(0, len(rows) if count else 0, step):
            batch = rows[start : start + step]
            places = choices.offsets[batch, None] + np.arange(count)
            weights = None if choices.weights is None else choices.weights[places]
            solved[batch] = _solved(rotated[choices.columns[places]], weights, diagonal)
    return solved @ basis.T


def _solved(own: Floats, weights: Floats | None, diagonal: Floats) -> npt.NDArray[np.floating]:
    """Returns x of (diag(diagonal) + ownᵀ W own) x = ownᵀ W 1 for each (n, d) of a (b, n, d) batch.

    W is the diagonal matrix of each row of (b, n) weights.
    """
    _, count, size = own.shape
    transposed = own.transpose(0, 2, 1)
    if count >= size:
        weighted = own if weights is None else own * weights[..., None]
        system = np.matmul(transposed, weighted)
        system[:, np.arange(size), np.arange(size)] += diagonal
        return np.linalg.solve(system, weighted.sum(axis=1)[..., None])[..., 0]
    gram = np.matmul(own / diagonal, transposed)
    gram[:, np.arange(count), np.arange(count)] += 1.0 if weights is None else 1.0 / weights
    errors = np.linalg.solve(gram, np.ones((len(own), count, 1), np.float32))
    factors: npt.NDArray[np.floating] = np.matmul(transposed, errors)[..., 0] / diagonal
    return factors
