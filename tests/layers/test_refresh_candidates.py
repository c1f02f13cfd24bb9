"""Candidates that keep up with their tower: `RefreshCandidates`, `update_from`, `warn_if_stale`."""

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.layers import (
    ApproximateRetrieval,
    BruteForceRetrieval,
    RefreshCandidates,
    StaleCandidatesWarning,
)
from shortlist.metrics import FactorizedTopK

ITEMS = np.arange(20, dtype="int32")
USERS = np.random.default_rng(0).integers(0, 10, 64).astype("int32")
CHOSEN = (USERS * 2).astype("int32")


class Towers(keras.Model):
    def __init__(self, retrieval):
        super().__init__()
        self.users = keras.layers.Embedding(10, 4)
        self.items = keras.Sequential(
            [keras.Input((), dtype="int32"), keras.layers.Embedding(20, 4)]
        )
        self.retrieval = retrieval

    def call(self, inputs):
        return self.users(inputs)

    def compute_loss(self, x, y, y_pred, sample_weight=None, training=True):
        scores = ops.matmul(y_pred, ops.transpose(self.items(ITEMS)))
        return ops.mean(keras.losses.sparse_categorical_crossentropy(y, scores, from_logits=True))


@pytest.fixture(params=[BruteForceRetrieval, ApproximateRetrieval])
def model(request):
    keras.utils.set_random_seed(0)
    model = Towers(request.param(k=3))
    model.compile(optimizer=keras.optimizers.Adam(0.05))
    return model


def embedded(model):
    return ops.convert_to_numpy(model.items(ITEMS))


def held(layer):
    return np.concatenate(list(layer.embeddings(100)))


def test_after_training_the_candidates_are_those_of_the_trained_tower(model):
    callback = RefreshCandidates(model.retrieval, model.items, ITEMS, candidate_ids=ITEMS + 100)
    before = embedded(model)
    model.fit(USERS, CHOSEN, epochs=2, verbose=0, callbacks=[callback])
    assert not np.allclose(embedded(model), before)
    np.testing.assert_array_equal(held(model.retrieval), embedded(model))
    assert model.retrieval.lookup([3]).tolist() == [103]
    assert not model.retrieval.warn_if_stale(model.items)


def test_validation_sees_the_candidates_of_its_epoch(model):
    callback = RefreshCandidates(model.retrieval, model.items, ITEMS)
    callback.on_epoch_end(0)
    model.compile(
        optimizer=keras.optimizers.Adam(0.05),
        metrics=[FactorizedTopK(model.retrieval, ks=(1,))],
    )
    history = model.fit(
        USERS,
        CHOSEN,
        epochs=3,
        verbose=0,
        callbacks=[callback],
        validation_data=(USERS, CHOSEN),
    ).history
    scores = ops.convert_to_numpy(model.users(USERS)) @ embedded(model).T
    expected = np.mean(scores.argmax(axis=1) == CHOSEN)
    assert history["val_top_1_categorical_accuracy"][-1] == pytest.approx(expected)
    assert expected > 1 / 20


def test_candidates_older_than_the_tower_are_told_of(model, tmp_path):
    layer = model.retrieval
    layer.update_from(model.items, ITEMS)
    assert not layer.warn_if_stale(model.items)
    table = model.items.weights[0]
    table.assign(table * 1.5)
    with pytest.warns(StaleCandidatesWarning, match="are older than the weights of"):
        assert layer.warn_if_stale(model.items)
    layer.update_from(model.items, ITEMS)
    assert not layer.warn_if_stale(model.items)


def test_a_loaded_layer_still_knows(model, tmp_path):
    layer = model.retrieval
    layer.update_from(model.items, ITEMS)
    inputs = keras.Input((4,))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").layers[-1]
    assert not loaded.warn_if_stale(model.items)


def test_candidates_of_unknown_origin_cannot_be_judged(model):
    model.retrieval.update_candidates(np.eye(4))
    with pytest.raises(ValueError, match="came from `update_candidates`"):
        model.retrieval.warn_if_stale(model.items)


def test_a_layer_can_be_the_tower(model):
    table = keras.layers.Embedding(20, 4)
    model.retrieval.update_from(table, ITEMS)
    np.testing.assert_array_equal(held(model.retrieval), ops.convert_to_numpy(table(ITEMS)))
