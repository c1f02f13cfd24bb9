from dataclasses import replace

import numpy as np
import pytest

from shortlist.evaluation.baselines import least_squares
from shortlist.evaluation.baselines.least_squares import Choices, solve

RNG = np.random.default_rng(0)
LENGTHS = (0, 1, 1, 3, 7, 8, 9, 20, 20, 20, 20)
CHOSEN = [np.sort(RNG.permutation(40)[:length]) for length in LENGTHS]
OTHERS = RNG.normal(size=(40, 8)).astype(np.float32)


@pytest.mark.parametrize("power", [1.0, 0.5])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("batch", [least_squares.BATCH, 300])
def test_each_row_solves_its_own_weighted_least_squares(
    power: float, weighted: bool, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(least_squares, "BATCH", batch)
    choices = Choices.from_lists(CHOSEN, 40)
    own = RNG.uniform(0.2, 2, len(choices.columns)).astype(np.float32)
    if weighted:
        choices = replace(choices, weights=own)
    solved = solve(choices, OTHERS, unobserved_weight=0.1, l2=0.02, power=power)
    assert solved.dtype == np.float32
    for row, columns in enumerate(CHOSEN):
        target, weights = np.zeros(40), np.full(40, 0.1)
        target[columns] = own[choices.offsets[row] : choices.offsets[row + 1]] if weighted else 1
        weights += target
        penalty = 0.02 * (len(columns) + 0.1 * 40) ** power
        system = (OTHERS.T.astype(float) * weights) @ OTHERS + penalty * np.eye(8)
        expected = np.linalg.solve(system, OTHERS.T @ target)
        np.testing.assert_allclose(solved[row], expected, atol=2e-6)


def test_transposing_says_who_chose_each_column() -> None:
    lists = [np.array([2]), np.array([], int), np.array([0, 2])]
    weights = np.array([1, 2, 3], np.float32)
    transposed = replace(Choices.from_lists(lists, 4), weights=weights).transposed()
    assert transposed.lengths.tolist() == [1, 0, 2, 0]
    assert transposed.columns.tolist() == [2, 0, 2]
    assert transposed.num_columns == 3
    assert transposed.weights is not None
    assert transposed.weights.tolist() == [2, 1, 3]
