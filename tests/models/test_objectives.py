from typing import get_args

import numpy as np
import pytest
from keras import ops

from shortlist.cli.config import Objective
from shortlist.models import MultiTask, Rating, Retrieval
from shortlist.models.objectives import OBJECTIVES, further_negatives

RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(4, 3)).astype("float32")
CANDIDATES = RNG.normal(size=(4, 3)).astype("float32")
CANDIDATES[3] = CANDIDATES[1]  # the same item, drawn twice
BATCH = {
    "candidate": np.array([5, 7, 9, 7], "int32"),
    "probability": np.array([0.1, 0.4, 0.1, 0.4], "float32"),
    "weight": np.array([1.0, 2.0, 0.0, 1.0], "float32"),
    "rating": np.array([1.0, 0.5, 0.0, 0.25], "float32"),
}


def tensors() -> dict[str, object]:
    return {name: ops.convert_to_tensor(column) for name, column in BATCH.items()}


def test_rating_is_the_weighted_mean_of_squared_errors() -> None:
    errors = (QUERIES * CANDIDATES).sum(axis=1) - BATCH["rating"]
    expected = np.mean(BATCH["weight"] * errors**2)
    assert float(Rating()(ops.array(QUERIES), ops.array(CANDIDATES), tensors())) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("correction", [False, True])
@pytest.mark.parametrize("removal", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_retrieval_is_the_softmax_over_the_batch(
    correction: bool, removal: bool, reduction: str
) -> None:
    scores = QUERIES @ CANDIDATES.T / 0.5
    if correction:
        scores = scores - np.log(BATCH["probability"])
    if removal:
        scores[1, 3] = scores[3, 1] = -np.inf
    losses = np.log(np.exp(scores).sum(axis=1)) - np.diagonal(scores)
    expected = getattr(np, reduction)(BATCH["weight"] * losses)
    objective = Retrieval(0.5, correction, removal, reduction)
    loss = objective(ops.array(QUERIES), ops.array(CANDIDATES), tensors())
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_further_candidates_are_negatives_of_every_query() -> None:
    queries, candidates = RNG.normal(size=(2, 3)), RNG.normal(size=(5, 3))
    ids, chances = np.array([7, 8, 7, 9, 3], np.int32), np.linspace(0.1, 0.5, 5)
    batch = {
        "candidate": ids,
        "probability": chances.astype(np.float32),
        "weight": np.array([1.0, 2.0], np.float32),
        "rating": np.array([0.0, 1.0], np.float32),
    }
    scores = queries @ candidates.T / 0.5 - np.log(chances)
    scores[0, 2] = -np.inf  # what query 0 chose, drawn once more
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[[0, 1], [0, 1]]
    floats = [ops.convert_to_tensor(part.astype("float32")) for part in (queries, candidates)]
    tensors = {name: ops.convert_to_tensor(column) for name, column in batch.items()}
    retrieval = Retrieval(temperature=0.5, num_uniform_negatives=2, num_cross_batch_negatives=1)
    expected = (losses[0] + 2 * losses[1]) / 2
    np.testing.assert_allclose(float(retrieval(*floats, tensors)), expected, rtol=1e-5)
    errors = (queries * candidates[:2]).sum(axis=1) - batch["rating"]
    both = MultiTask(retrieval=retrieval)
    both_losses = expected + (errors[0] ** 2 + 2 * errors[1] ** 2) / 2
    np.testing.assert_allclose(float(both(*floats, tensors)), both_losses, rtol=1e-5)
    assert further_negatives(both) == further_negatives(retrieval) == (2, 1)
    assert further_negatives(Rating()) == (0, 0)


def test_bad_settings_are_refused_at_once() -> None:
    with pytest.raises(ValueError, match="`temperature` must be greater than 0"):
        Retrieval(temperature=0)
    with pytest.raises(ValueError, match="`reduction`"):
        Retrieval(reduction="max")


def test_the_command_line_offers_every_objective() -> None:
    assert get_args(Objective) == tuple(OBJECTIVES)
