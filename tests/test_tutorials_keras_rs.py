"""The tutorials of Keras Recommenders, with the changes that "Coming from" says."""

import uuid
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval
from shortlist.scann import scann_ops

tf = pytest.importorskip("tensorflow")  # The tutorials read their data with it on every backend.

NUM_USERS, NUM_FILMS, NUM_RATINGS, NUM_GENRES = 60, 127, 1_000, 6

both_layers = pytest.mark.parametrize("layer", [BruteForceRetrieval, ApproximateRetrieval])


@pytest.fixture(scope="module")
def movies() -> Any:
    """Films as of MovieLens: ids as text from 1, one to three genres each."""
    rng = np.random.default_rng(1)
    films = np.arange(1, NUM_FILMS + 1)
    genres = [np.sort(rng.choice(NUM_GENRES, 1 + film % 3, replace=False)) for film in films]
    genres[0] = np.array([NUM_GENRES - 1, 0])
    return tf.data.Dataset.from_tensor_slices(
        {
            "movie_id": films.astype(str),
            "movie_title": [f"Film of {1900 + film % 7} part {film}" for film in films],
            "movie_genres": tf.ragged.constant(genres, dtype=tf.int64),
        }
    )


@pytest.fixture(scope="module")
def ratings(movies: Any) -> Any:
    """Ratings as of MovieLens: films of the user's own kind get a 5, the others a 1 to 4."""
    rng = np.random.default_rng(0)
    users = rng.permutation(np.arange(NUM_RATINGS) % NUM_USERS + 1)
    films = rng.integers(1, NUM_FILMS + 1, NUM_RATINGS)
    rows = list(movies.as_numpy_iterator())
    return tf.data.Dataset.from_tensor_slices(
        {
            "user_id": users.astype(str),
            "raw_user_age": (15.0 + users % 50).astype("float32"),
            "user_gender": users % 2 == 0,
            "user_occupation_label": users % 5,
            "user_rating": np.where(users % 3 == films % 3, 5, 1 + films % 4).astype("float32"),
            "movie_id": films.astype(str),
            "movie_title": [rows[film - 1]["movie_title"] for film in films],
            "movie_genres": tf.ragged.constant(
                [rows[film - 1]["movie_genres"] for film in films], dtype=tf.int64
            ),
        }
    )


def split(examples: Any) -> tuple[Any, Any]:
    """Four fifths to train and one to test, in batches."""
    shuffled = examples.shuffle(NUM_RATINGS, seed=42, reshuffle_each_iteration=False)
    train = NUM_RATINGS * 4 // 5
    return shuffled.take(train).batch(200).cache(), shuffled.skip(train).batch(200).cache()


def top_rows(queries: Any, candidates: Any, k: int) -> np.ndarray:
    """The k best rows of each query, by NumPy."""
    queries, candidates = (np.asarray(ops.convert_to_numpy(x)) for x in (queries, candidates))
    return np.argsort(-(queries @ candidates.T), axis=1, kind="stable")[:, :k]


def numbered(rating: dict) -> tuple:
    """A user, and the film's id with its rating between 0 and 1."""
    return tf.strings.to_number(rating["user_id"], out_type=tf.int32), {
        "movie_id": tf.strings.to_number(rating["movie_id"], out_type=tf.int32),
        "rating": (rating["user_rating"] - 1.0) / 4.0,
    }


class BasicModel(keras.Model):
    """The model of "Basic retrieval", with `layer` in place of theirs, or none."""

    def __init__(self, num_users: int, num_candidates: int, layer: Any = None) -> None:
        super().__init__()
        self.user_embedding = keras.layers.Embedding(num_users, 32)
        self.candidate_embedding = keras.layers.Embedding(num_candidates, 32)
        self.retrieval = None if layer is None else layer(k=10, return_scores=False)
        self.loss_fn = keras.losses.MeanSquaredError()

    def build(self, input_shape: Any) -> None:
        self.user_embedding.build(input_shape)
        self.candidate_embedding.build(input_shape)
        if self.retrieval is not None:
            self.retrieval.candidate_embeddings = self.candidate_embedding.embeddings
            self.retrieval.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> dict:
        user_embeddings = self.user_embedding(inputs)
        result = {"user_embeddings": user_embeddings}
        if self.retrieval is not None and not training:
            result["predictions"] = self.retrieval(user_embeddings)
        return result

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        films = self.candidate_embedding(y["movie_id"])
        scores = ops.sum(ops.multiply(y_pred["user_embeddings"], films), axis=1, keepdims=True)
        return self.loss_fn(ops.expand_dims(y["rating"], -1), scores, sample_weight)


@both_layers
def test_basic_retrieval(ratings: Any, layer: Any) -> None:
    keras.utils.set_random_seed(0)
    train, test = split(ratings.map(numbered))
    model = BasicModel(NUM_USERS + 1, NUM_FILMS + 1, layer)
    model.compile(optimizer=keras.optimizers.Adagrad(learning_rate=0.1))
    history = model.fit(
        train, validation_data=test, validation_freq=5, epochs=10, verbose=0, shuffle=False
    )
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert history.history["val_loss"][-1] < history.history["val_loss"][0]
    predictions = model.predict(ops.convert_to_tensor([42]), verbose=0)
    found = ops.convert_to_numpy(predictions["predictions"])
    expected = top_rows(
        model.user_embedding(np.array([42])), model.candidate_embedding.embeddings, 10
    )
    np.testing.assert_array_equal(found, expected)


def test_faster_retrieval_with_scann(ratings: Any) -> None:
    keras.utils.set_random_seed(0)
    train, test = split(ratings.map(numbered))
    model = BasicModel(NUM_USERS + 1, NUM_FILMS + 1)
    model.compile(optimizer=keras.optimizers.Adagrad(learning_rate=0.1))
    model.fit(train, validation_data=test, validation_freq=5, epochs=5, verbose=0, shuffle=False)

    films = ops.array(model.candidate_embedding.embeddings.numpy())
    candidates = ops.concatenate(
        [films] + [films * keras.random.uniform(ops.shape(films)) for _ in range(100)], axis=0
    )
    users = model.user_embedding(ops.array([10, 5, 42, 34]))
    exact = BruteForceRetrieval(candidate_embeddings=candidates, k=10, return_scores=False)(users)
    np.testing.assert_array_equal(ops.convert_to_numpy(exact), top_rows(users, candidates, 10))

    searcher = (
        scann_ops.builder(db=candidates, num_neighbors=10, distance_measure="dot_product")
        .tree(num_leaves=100, num_leaves_to_search=30, training_iterations=12)
        .score_ah(dimensions_per_block=2)
        .reorder(500)
        .build(shared_name=str(uuid.uuid4()))
    )
    found = searcher.search_batched_parallel(users, final_num_neighbors=10).indices
    shared = [
        len(set(row) & set(truth))
        for row, truth in zip(found, np.asarray(ops.convert_to_numpy(exact)), strict=True)
    ]
    assert sum(shared) >= 38


AGE_BINS, CROSSES = 10, 20


@pytest.fixture(scope="module")
def titles(movies: Any) -> Any:
    """The words of the titles."""
    layer = keras.layers.TextVectorization(
        max_tokens=10_000, output_sequence_length=16, dtype="int32"
    )
    layer.adapt(movies.map(lambda film: film["movie_title"]))
    return layer


@pytest.fixture(scope="module")
def features(ratings: Any, titles: Any) -> Any:
    """The feature space of "Deep recommenders"."""
    kind = keras.utils.FeatureSpace
    space = kind(
        features={
            "raw_user_age": kind.float_discretized(num_bins=AGE_BINS, output_mode="int"),
            "user_gender": kind.integer_categorical(num_oov_indices=0, output_mode="int"),
            "user_occupation_label": kind.integer_categorical(num_oov_indices=0, output_mode="int"),
            "user_rating": kind.float_rescaled(scale=1.0 / 4.0, offset=-1.0 / 4.0),
            "movie_title": kind.feature(preprocessor=titles, dtype="string", output_mode="float"),
        },
        crosses=[kind.cross(("user_gender", "raw_user_age"), CROSSES, output_mode="int")],
        output_mode="dict",
    )
    space.adapt(ratings)
    return space


@pytest.fixture(scope="module")
def catalogue(movies: Any, titles: Any) -> dict[str, Any]:
    """The inputs of the candidate tower, a row for each id; there is no film 0."""
    names, genres = [""], [[0] * 3]
    for film in movies.as_numpy_iterator():
        names.append(film["movie_title"].decode())
        own = [genre + 1 for genre in film["movie_genres"]]
        genres.append(own + [0] * (3 - len(own)))
    return {
        "movie_id": ops.arange(0, NUM_FILMS + 1, dtype="int32"),
        "movie_title_vector": titles(names),
        "movie_genres": ops.convert_to_tensor(genres, dtype="int32"),
    }


def featured(space: Any) -> Any:
    """What makes the inputs and the label of a rating."""
    asked = ("raw_user_age", "user_gender", "user_occupation_label", "user_rating", "movie_title")

    def of(rating: dict) -> tuple:
        found = space({name: rating[name] for name in asked})
        found = {name: tf.squeeze(value, axis=0) for name, value in found.items()}
        genres = rating["movie_genres"]
        return {
            "user_id": int(rating["user_id"]),
            "raw_user_age": found["raw_user_age"],
            "user_gender": found["user_gender"],
            "user_occupation_label": found["user_occupation_label"],
            "user_gender_X_raw_user_age": found["user_gender_X_raw_user_age"],
            "movie_id": int(rating["movie_id"]),
            "movie_title_vector": found["movie_title"],
            "movie_genres": tf.pad(genres + 1, [[0, 3 - tf.shape(genres)[0]]]),
        }, found["user_rating"]

    return of


@pytest.fixture(scope="module")
def examples(ratings: Any, features: Any) -> tuple[Any, Any]:
    """Inputs and labels, to train and to test."""
    return split(ratings.map(featured(features)).cache())


class DeepTower(keras.Model):
    """Each feature embedded, the words and the genres averaged, then dense layers."""

    def __init__(self, tables: dict[str, int], layer_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.tables = [self.table(name, rows) for name, rows in tables.items()]
        self.names = list(tables)
        self.dense_layers = keras.Sequential()
        for size in layer_sizes[:-1]:
            self.dense_layers.add(keras.layers.Dense(size, activation="relu"))
        self.dense_layers.add(keras.layers.Dense(layer_sizes[-1]))

    @staticmethod
    def table(name: str, rows: int) -> Any:
        if name not in ("movie_title_vector", "movie_genres"):
            return keras.layers.Embedding(rows, 32)
        words = keras.layers.Embedding(rows, 32, mask_zero=True)
        return keras.Sequential([words, keras.layers.GlobalAveragePooling1D()])

    def call(self, inputs: dict) -> Any:
        parts = [table(inputs[name]) for name, table in zip(self.names, self.tables, strict=True)]
        return self.dense_layers(ops.concatenate(parts, axis=1))


class DeepModel(keras.Model):
    """The model of "Deep recommenders", with `layer` in place of theirs."""

    def __init__(self, layer: Any, query_model: Any, candidate_model: Any, films: dict) -> None:
        super().__init__()
        self.films = films
        self.query_model = query_model
        self.candidate_model = candidate_model
        self.retrieval = layer(k=20, return_scores=False)
        self.update_candidates()
        self.loss_fn = keras.losses.MeanSquaredError()
        self.top_k_metric = keras.metrics.SparseTopKCategoricalAccuracy(k=20, from_sorted_ids=True)

    def update_candidates(self) -> None:
        embeddings = self.candidate_model.predict(dict(self.films), verbose=0)
        keep = np.isfinite(embeddings).all(axis=1)  # Film 0 has no words whose mean to take.
        self.retrieval.update_candidates(embeddings[keep], np.flatnonzero(keep))

    def call(self, inputs: dict, training: bool = False) -> dict:
        query, candidate = (
            tower({name: inputs[name] for name in tower.names})
            for tower in (self.query_model, self.candidate_model)
        )
        result = {"query_embeddings": query, "candidate_embeddings": candidate}
        if not training:
            result["predictions"] = self.retrieval(query)
        return result

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        self.update_candidates()
        return super().evaluate(x, y, **kwargs)

    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        both = ops.multiply(y_pred["query_embeddings"], y_pred["candidate_embeddings"])
        scores = ops.sum(both, axis=1, keepdims=True)
        return self.loss_fn(ops.expand_dims(y, -1), scores, sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        result = self.get_metrics_result()
        if "predictions" not in y_pred:
            result.pop(self.top_k_metric.name)
            return result
        weight = ops.cast(ops.greater(y, 0.9), "float32")
        self.top_k_metric.update_state(x["movie_id"], y_pred["predictions"], sample_weight=weight)
        return self.get_metrics_result()


@both_layers
def test_deep_recommenders(
    examples: tuple[Any, Any], features: Any, titles: Any, catalogue: dict, layer: Any
) -> None:
    keras.utils.set_random_seed(0)
    train, test = examples
    sizes = (64, 32)
    of_viewers = {
        "user_id": NUM_USERS + 1,
        "user_gender": features.preprocessors["user_gender"].vocabulary_size(),
        "raw_user_age": AGE_BINS,
        "user_gender_X_raw_user_age": CROSSES,
        "user_occupation_label": features.preprocessors["user_occupation_label"].vocabulary_size(),
    }
    of_films = {
        "movie_id": NUM_FILMS + 1,
        "movie_title_vector": titles.vocabulary_size() + 1,
        "movie_genres": NUM_GENRES + 1,
    }
    query_model, candidate_model = DeepTower(of_viewers, sizes), DeepTower(of_films, sizes)
    model = DeepModel(layer, query_model, candidate_model, catalogue)
    model.compile(optimizer=keras.optimizers.Adagrad(0.05))
    history = model.fit(
        train, validation_data=test, validation_freq=5, epochs=10, verbose=0, shuffle=False
    ).history
    assert history["loss"][-1] < history["loss"][0]

    films = candidate_model.predict(catalogue, verbose=0)[1:]
    hits = []
    for inputs, rating in test.as_numpy_iterator():
        queries = query_model.predict({name: inputs[name] for name in of_viewers}, verbose=0)
        found = top_rows(queries, films, 20) + 1
        hits.extend((found == inputs["movie_id"][:, None]).any(axis=1)[rating > 0.9])
    share = history["val_sparse_top_k_categorical_accuracy"][-1]
    assert share == pytest.approx(np.mean(hits), abs=1e-6)
    assert share > 0
