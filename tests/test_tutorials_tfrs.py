"""The tutorials of TensorFlow Recommenders, with the changes that "Coming from" says."""

from typing import Any

import keras
import numpy as np
import pytest

from shortlist import IndexConfig, SearchSettings
from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval
from shortlist.losses import RetrievalLoss
from shortlist.metrics import FactorizedTopK

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="The tutorials are written for TensorFlow"
)

NUM_USERS, NUM_FILMS, NUM_RATINGS = 60, 90, 4_000


@pytest.fixture(scope="module")
def ratings() -> dict[str, np.ndarray]:
    """Ratings as of MovieLens: ids as text, films of the user's own kind, popular ones more."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, NUM_USERS, NUM_RATINGS)
    films = (rng.integers(0, NUM_FILMS // 3, NUM_RATINGS) * 3 + users % 3) % NUM_FILMS
    return {
        "user_id": users.astype(str).astype(object),
        "movie_title": np.array([f"Film {film} ({1900 + film})" for film in films], object),
        "timestamp": 880_000_000 + 10_000 * rng.permutation(NUM_RATINGS),
    }


class MovielensModel(keras.Model):
    """The model of "Basic retrieval": a lookup and an embedding for each tower, and the loss."""

    def __init__(self, user_ids: list[str], titles: list[str]) -> None:
        super().__init__()
        self.user_model = self.tower(user_ids)
        self.movie_model = self.tower(titles)
        self.task = RetrievalLoss(reduction="sum")

    @staticmethod
    def tower(vocabulary: list[str]) -> keras.Sequential:
        return keras.Sequential(
            [
                keras.layers.StringLookup(vocabulary=vocabulary, mask_token=None),
                keras.layers.Embedding(len(vocabulary) + 1, 32),
            ]
        )

    def call(self, features: dict) -> tuple:
        return self.user_model(features["user_id"]), self.movie_model(features["movie_title"])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.task(*y_pred, candidate_ids=x["movie_title"])


@pytest.fixture(scope="module")
def trained(ratings: dict[str, np.ndarray]) -> MovielensModel:
    keras.utils.set_random_seed(0)
    model = MovielensModel(*(sorted(set(ratings[name])) for name in ("user_id", "movie_title")))
    model.compile(optimizer=keras.optimizers.Adagrad(learning_rate=0.1))
    dataset = tf.data.Dataset.from_tensor_slices(ratings).batch(1_000).cache()
    history = model.fit(dataset, epochs=10, shuffle=False, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]
    return model


def test_basic_retrieval(ratings: dict[str, np.ndarray], trained: MovielensModel) -> None:
    movies = tf.data.Dataset.from_tensor_slices(np.unique(ratings["movie_title"].astype(str)))
    metric = FactorizedTopK(
        movies.batch(128).map(lambda title: (title, trained.movie_model(title))),
        prefix="factorized_top_k/",
    )
    test = tf.data.Dataset.from_tensor_slices(ratings).batch(512)
    for batch in test:
        metric.update_state(batch["movie_title"], trained.user_model(batch["user_id"]))
    titles = np.unique(ratings["movie_title"].astype(str))
    scores = (
        np.asarray(trained.user_model(tf.constant(ratings["user_id"])))
        @ np.asarray(trained.movie_model(tf.constant(titles))).T
    )
    own = np.searchsorted(titles, ratings["movie_title"].astype(str))
    rank = (scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1)
    for k in (1, 5, 10, 50):
        share = float(metric.result()[f"factorized_top_k/top_{k}_categorical_accuracy"])
        assert share == pytest.approx(np.mean(rank < k), abs=2e-3)
    # A user's films are a third of all: 30 of 90.
    assert share > 0.9


def test_efficient_serving(ratings: dict[str, np.ndarray], trained: MovielensModel) -> None:
    titles = np.unique(ratings["movie_title"].astype(str))
    movies = tf.data.Dataset.from_tensor_slices(titles).batch(32)
    indexed = movies.map(lambda title: (title, trained.movie_model(title)))
    exact, approximate = (
        kind(query_model=trained.user_model, return_rows=True).index_from_dataset(indexed)
        for kind in (BruteForceRetrieval, ApproximateRetrieval)
    )
    users = np.array(["42", "7"])
    _, rows = exact(users, k=10)
    kinds = [[int(title.split()[1]) % 3 for title in found] for found in exact.lookup(rows)]
    assert kinds == [[42 % 3] * 10, [7 % 3] * 10]
    np.testing.assert_array_equal(
        approximate.lookup(approximate(users, k=10)[1]), exact.lookup(rows)
    )
    _, rest = exact.query_with_exclusions(users, exclusions=exact.lookup(rows[:, :3]).tolist(), k=7)
    np.testing.assert_array_equal(rest, rows[:, 3:])
    metric = FactorizedTopK(approximate, ks=(10,))
    metric.update_state(ratings["movie_title"], trained.user_model(tf.constant(ratings["user_id"])))
    assert 0.3 < float(metric.result()["top_10_categorical_accuracy"]) <= 1.0


def test_efficient_serving_of_many_films_whose_titles_repeat(
    ratings: dict[str, np.ndarray], trained: MovielensModel
) -> None:
    movies = tf.data.Dataset.from_tensor_slices(np.unique(ratings["movie_title"].astype(str)))
    embeddings = movies.batch(64).map(trained.movie_model)
    many = embeddings.concatenate(
        movies.batch(64)
        .repeat(100)
        .map(trained.movie_model)
        .map(lambda film: film * tf.random.uniform(tf.shape(film)))
    )
    titles = movies.concatenate(movies.repeat(100).map(tf.zeros_like))
    labels = list(titles.as_numpy_iterator())
    exact = BruteForceRetrieval(return_rows=True).index_from_dataset(many.cache())
    users = trained.user_model(np.unique(ratings["user_id"].astype(str)))
    truth = np.asarray(exact(users, k=10)[1])
    # Film by film, the copies are smaller than what they are copies of.
    few = BruteForceRetrieval(return_rows=True).index_from_dataset(embeddings)
    best = few.lookup(few(users, k=1)[1])[:, 0]
    assert np.mean(truth[:, 0] == best) > 0.9
    shown = exact.lookup(truth, labels=labels)
    np.testing.assert_array_equal(shown == "", truth >= NUM_FILMS)

    recalls = {}
    for searched in (3, 30):
        config, settings = IndexConfig(leaves=30), SearchSettings(leaves=searched, rerank=400)
        layer = ApproximateRetrieval(return_rows=True, config=config, settings=settings)
        layer.update_candidates(exact.candidate_embeddings)
        found = np.asarray(layer(users, k=10)[1])
        recalls[searched] = np.mean(
            [np.isin(*rows).mean() for rows in zip(truth, found, strict=True)]
        )
    assert recalls[3] <= recalls[30]
    assert recalls[30] > 0.95


class UserModel(keras.Model):
    """The user's features of "Featurization": the user, and the time in buckets and as it is."""

    def __init__(self, user_ids: list[str], buckets: list[float]) -> None:
        super().__init__()
        self.user_embedding = MovielensModel.tower(user_ids)
        self.timestamp_embedding = keras.Sequential(
            [keras.layers.Discretization(buckets), keras.layers.Embedding(len(buckets) + 2, 32)]
        )
        self.normalized_timestamp = keras.layers.Normalization(axis=None)

    def call(self, inputs: dict) -> Any:
        return tf.concat(
            [
                self.user_embedding(inputs["user_id"]),
                self.timestamp_embedding(inputs["timestamp"]),
                tf.reshape(self.normalized_timestamp(inputs["timestamp"]), (-1, 1)),
            ],
            axis=1,
        )


class MovieModel(keras.Model):
    """The film's features of "Featurization": its title, and the words of it."""

    def __init__(self, titles: list[str]) -> None:
        super().__init__()
        self.title_embedding = MovielensModel.tower(titles)
        self.title_vectorizer = keras.layers.TextVectorization(max_tokens=1_000)
        self.title_text_embedding = keras.Sequential(
            [
                self.title_vectorizer,
                keras.layers.Embedding(1_000, 32, mask_zero=True),
                keras.layers.GlobalAveragePooling1D(),
            ]
        )

    def call(self, titles: Any) -> Any:
        return tf.concat([self.title_embedding(titles), self.title_text_embedding(titles)], axis=1)


class DeepTower(keras.Model):
    """Dense layers over features, the last without an activation."""

    def __init__(self, features: keras.Model) -> None:
        super().__init__()
        self.embedding_model = features
        self.dense_layers = keras.Sequential(
            [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(32)]
        )

    def call(self, inputs: Any) -> Any:
        return self.dense_layers(self.embedding_model(inputs))


class DeepModel(keras.Model):
    """The model of "Using deep models in retrieval": dense layers over features."""

    def __init__(self, users: UserModel, films: MovieModel, titles: Any) -> None:
        super().__init__()
        self.query_model = DeepTower(users)
        self.candidate_model = DeepTower(films)
        self.task = RetrievalLoss(reduction="sum")
        self.factorized_metrics = FactorizedTopK(
            titles.batch(128).map(lambda title: (title, self.candidate_model(title))),
            ks=(1, 30),
            prefix="factorized_top_k/",
        )

    def call(self, features: dict) -> tuple:
        query = {"user_id": features["user_id"], "timestamp": features["timestamp"]}
        return self.query_model(query), self.candidate_model(features["movie_title"])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.task(*y_pred, candidate_ids=x["movie_title"])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.factorized_metrics.update_state(x["movie_title"], y_pred[0])
        return self.get_metrics_result()


def test_deep_models_on_features(ratings: dict[str, np.ndarray]) -> None:
    keras.utils.set_random_seed(0)
    shuffled = tf.data.Dataset.from_tensor_slices(ratings).shuffle(
        NUM_RATINGS, seed=42, reshuffle_each_iteration=False
    )
    train, test = shuffled.take(3_200).batch(800).cache(), shuffled.skip(3_200).batch(800).cache()
    titles = np.unique(ratings["movie_title"].astype(str))
    times = ratings["timestamp"]
    buckets = np.linspace(times.min(), times.max(), num=100).tolist()
    users = UserModel(sorted(set(ratings["user_id"])), buckets)
    users.normalized_timestamp.adapt(times)
    films = MovieModel(titles.tolist())
    films.title_vectorizer.adapt(tf.data.Dataset.from_tensor_slices(titles))
    model = DeepModel(users, films, tf.data.Dataset.from_tensor_slices(titles))
    model.compile(optimizer=keras.optimizers.Adagrad(0.1))
    history = model.fit(
        train, validation_data=test, validation_freq=5, epochs=10, verbose=0, shuffle=False
    ).history
    assert history["loss"][-1] < history["loss"][0]

    embedded = np.asarray(model.candidate_model(tf.constant(titles)))
    hits = []
    for batch in test:
        scores = np.asarray(model(batch)[0]) @ embedded.T
        own = np.searchsorted(titles, batch["movie_title"].numpy().astype(str))
        hits.extend((scores > scores[np.arange(len(own)), own][:, None]).sum(axis=1) < 30)
    share = history["val_factorized_top_k/top_30_categorical_accuracy"][-1]
    assert share == pytest.approx(np.mean(hits), abs=2e-3)
    # A user's films are a third of all: 30 of 90.
    assert share > 0.6
