"""Models written for `keras_rs.layers.BruteForceRetrieval`, with our layers in its place.

They use the layer as the two published examples of Keras Recommenders do: "basic retrieval" shares
the embedding table with the layer in `build`, "deep recommender" updates the candidates in
`__init__`, when the towers are untrained, and before each evaluation.
"""

import keras
import keras_rs
import numpy as np
import pytest
from keras import ops

from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

NUM_USERS, NUM_FILMS = 12, 30
RNG = np.random.default_rng(0)
USERS = RNG.integers(0, NUM_USERS, 200).astype("int32")
FILMS = RNG.integers(0, NUM_FILMS, 200).astype("int32")
RATINGS = ((USERS + FILMS) % 3 == 0).astype("float32")


@pytest.fixture(params=[BruteForceRetrieval, ApproximateRetrieval, StreamingRetrieval])
def kind(request):
    return request.param


class SharedTable(keras.Model):
    """Rating model whose retrieval layer looks at the table of film embeddings itself."""

    def __init__(self, kind):
        super().__init__()
        self.user_table = keras.layers.Embedding(NUM_USERS, 6)
        self.film_table = keras.layers.Embedding(NUM_FILMS, 6)
        self.retrieval = kind(k=4, return_scores=False)

    def build(self, input_shape):
        self.user_table.build(input_shape)
        self.film_table.build(input_shape)
        self.retrieval.candidate_embeddings = self.film_table.embeddings
        self.retrieval.build(input_shape)
        super().build(input_shape)

    def call(self, users, training=False):
        embedded = self.user_table(users)
        outputs = {"queries": embedded}
        if not training:
            outputs["predictions"] = self.retrieval(embedded)
        return outputs

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        scores = ops.sum(y_pred["queries"] * self.film_table(y["film"]), axis=1)
        return ops.mean(ops.square(scores - y["rating"]))


def test_basic_retrieval(kind):
    keras.utils.set_random_seed(0)
    model = SharedTable(kind)
    model.compile(optimizer=keras.optimizers.Adagrad(0.1))
    labels = {"film": FILMS, "rating": RATINGS}
    history = model.fit(
        USERS, labels, batch_size=64, epochs=3, validation_data=(USERS, labels), verbose=0
    ).history
    assert history["loss"][-1] < history["loss"][0]
    everyone = np.arange(NUM_USERS, dtype="int32")
    predictions = model.predict(everyone, verbose=0)["predictions"]
    scores = (
        ops.convert_to_numpy(model.user_table(everyone))
        @ ops.convert_to_numpy(model.film_table(np.arange(NUM_FILMS))).T
    )
    found = np.take_along_axis(scores, predictions.astype(int), axis=1)
    np.testing.assert_allclose(found, -np.sort(-scores, axis=1)[:, :4], rtol=1e-4, atol=1e-6)


class DeepTowers(keras.Model):
    """Rating model that re-embeds its films before it is evaluated."""

    def __init__(self, kind):
        super().__init__()
        self.user_tower = keras.Sequential(
            [keras.layers.Embedding(NUM_USERS, 8), keras.layers.Dense(6)]
        )
        self.film_tower = keras.Sequential(
            [keras.layers.Embedding(NUM_FILMS, 8), keras.layers.Dense(6)]
        )
        self.retrieval = kind(k=10, return_scores=False)
        self.update_candidates()
        self.top_k = keras.metrics.SparseTopKCategoricalAccuracy(k=10, from_sorted_ids=True)

    def update_candidates(self):
        self.retrieval.update_candidates(
            self.film_tower.predict(np.arange(NUM_FILMS, dtype="int32"), verbose=0)
        )

    def call(self, inputs, training=False):
        result = {
            "queries": self.user_tower(inputs["user"]),
            "candidates": self.film_tower(inputs["film"]),
        }
        if not training:
            result["predictions"] = self.retrieval(result["queries"])
        return result

    def evaluate(self, x=None, y=None, **kwargs):
        self.update_candidates()
        return super().evaluate(x, y, **kwargs)

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        scores = ops.sum(y_pred["queries"] * y_pred["candidates"], axis=1)
        return ops.mean(ops.square(scores - y))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if "predictions" not in y_pred:
            result = self.get_metrics_result()
            result.pop(self.top_k.name)
            return result
        liked = ops.cast(ops.greater(y, 0.5), "float32")
        self.top_k.update_state(x["film"], y_pred["predictions"], sample_weight=liked)
        return self.get_metrics_result()


def deep_history(kind):
    keras.utils.set_random_seed(0)
    model = DeepTowers(kind)
    model.compile(optimizer=keras.optimizers.Adagrad(0.05))
    data = {"user": USERS, "film": FILMS}
    return model.fit(
        data, RATINGS, batch_size=64, epochs=2, validation_data=(data, RATINGS), verbose=0
    ).history


@pytest.fixture(scope="module")
def peer_history():
    return deep_history(keras_rs.layers.BruteForceRetrieval)


def test_deep_recommender_gives_the_history_of_the_original(kind, peer_history):
    history = deep_history(kind)
    assert set(history) == set(peer_history)
    for name, values in peer_history.items():
        assert history[name] == pytest.approx(values, rel=1e-4), name
