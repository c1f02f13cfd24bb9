"""Towers that compute in bfloat16, by Keras's policy, train, are measured, saved and loaded."""

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import polars as pl
import pytest

from shortlist.bundle import Bundle
from shortlist.data import Interactions
from shortlist.models import TwoTower
from shortlist.models.training import Towers

# Even users choose even items, odd users odd ones.
USERS = np.arange(240) % 20
ITEMS = 2 * (np.arange(240) // 20) + USERS % 2
VIEWS = Interactions.from_arrays(USERS, ITEMS)
HELD_OUT = VIEWS.take(np.arange(240) % 7 == 0)
LEARNT = VIEWS.take(np.arange(240) % 7 != 0)


@pytest.fixture
def bfloat16() -> Iterator[None]:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    yield
    keras.mixed_precision.set_dtype_policy(before)


@pytest.mark.usefixtures("bfloat16")
def test_a_model_in_bfloat16_does_all_that_another_does(tmp_path: Path) -> None:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=8, layer_sizes=(8,))
    assert keras.backend.standardize_dtype(model.query_tower.compute_dtype) == "bfloat16"
    log = model.fit(
        LEARNT, epochs=8, batch_size=64, optimizer="adam", validation=HELD_OUT, progress=False
    )
    assert log.loss[-1] < log.loss[0] - 0.1
    assert {str(weight.dtype) for weight in model.query_tower.weights} == {"float32"}
    items = pl.DataFrame({"id": model.items.ids})
    Bundle.save_model(tmp_path / "films", model, items=items, interactions=LEARNT)
    users = model.users.ids
    served = Bundle.load(tmp_path / "films").tower.embed(users.tolist())
    np.testing.assert_array_equal(served, model.embed_queries(users))
    loaded = Bundle.load_model(tmp_path / "films")
    np.testing.assert_array_equal(loaded.embed_candidates(), model.embed_candidates())


@pytest.mark.usefixtures("bfloat16")
def test_its_loss_is_computed_in_float32() -> None:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=8)
    towers = Towers(model.query_tower, model.candidate_tower, model.objective)
    indices = np.arange(1, 17)
    inputs = {
        "query_inputs": model.query_inputs(indices),
        "candidate_inputs": model.candidate_inputs(indices),
    }
    queries, candidates = towers(inputs)
    assert keras.backend.standardize_dtype(queries.dtype) == "float32"
    shares = np.full(16, 1 / 16, np.float32)
    batch = {"candidate": indices, "weight": 16 * shares, "probability": shares}
    loss = float(keras.ops.convert_to_numpy(model.objective(queries, candidates, batch)))
    exact = [
        np.asarray(keras.ops.convert_to_numpy(side), np.float64) for side in (queries, candidates)
    ]
    scores = exact[0] @ exact[1].T / 0.25
    expected = np.mean(np.log(np.exp(scores).sum(axis=1)) - np.diag(scores))
    assert loss == pytest.approx(expected, abs=1e-5)
