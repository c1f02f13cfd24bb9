"""Candidates as weights of Keras: the same on every backend, and those of Keras Recommenders."""

import copy
import pickle

import keras
import keras_rs
import numpy as np
import pytest
from keras import ops

from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

DIM = 4
RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(30, DIM)).astype("float32")
OTHERS = RNG.normal(size=(30, DIM)).astype("float32")
QUERIES = RNG.normal(size=(5, DIM)).astype("float32")
IDS = RNG.permutation(1000)[:30]


@pytest.fixture(params=[BruteForceRetrieval, ApproximateRetrieval, StreamingRetrieval])
def kind(request):
    return request.param


def best(candidates=CANDIDATES, ids=IDS, k=3):
    return ids[np.argsort(-QUERIES @ candidates.T, axis=1)[:, :k]]


def found(layer):
    return ops.convert_to_numpy(layer(QUERIES)[1])


def model_of(*layers):
    inputs = keras.Input((DIM,))
    outputs = [part for layer in layers for part in layer(inputs)]
    return keras.Model(inputs, outputs)


# Weights


def test_the_weights_are_embeddings_and_ids():
    layer = BruteForceRetrieval(CANDIDATES, IDS, k=3)
    embeddings, ids = layer.get_weights()
    np.testing.assert_array_equal(embeddings, CANDIDATES)
    np.testing.assert_array_equal(ids, IDS)
    assert [tuple(weight.shape) for weight in layer.weights] == [(30, DIM), (30,)]
    assert not layer.trainable_weights
    assert layer.count_params() == 30 * DIM + 30
    model = model_of(layer)
    model.summary(print_fn=lambda *args, **kwargs: None)
    assert len(model.get_weights()) == 2


def test_set_weights_sets_the_candidates():
    layer = BruteForceRetrieval(CANDIDATES, IDS, k=3)
    model = model_of(layer)
    model.set_weights([OTHERS, IDS[::-1]])
    np.testing.assert_array_equal(found(layer), best(OTHERS, IDS[::-1]))
    np.testing.assert_array_equal(model.predict(QUERIES, verbose=0)[1], best(OTHERS, IDS[::-1]))
    assert layer.lookup([0, 29]).tolist() == [IDS[29], IDS[0]]
    assert layer.rows([IDS[29]]).tolist() == [0]
    np.testing.assert_array_equal(next(layer.embeddings(100)), OTHERS)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer.to_exportable()(QUERIES)[1]), best(OTHERS, IDS[::-1])
    )
    with pytest.raises(ValueError, match="shape"):
        layer.set_weights([OTHERS[:20], IDS[:20]])


def test_weights_follow_the_number_of_candidates():
    layer = BruteForceRetrieval(CANDIDATES, IDS, k=3)
    layer.update_candidates(OTHERS[:20], IDS[:20])
    embeddings, ids = layer.get_weights()
    np.testing.assert_array_equal(embeddings, OTHERS[:20])
    np.testing.assert_array_equal(ids, IDS[:20])


# Files of Keras Recommenders


@pytest.mark.parametrize("ids", [None, IDS], ids=["rows", "ids"])
def test_weights_of_keras_recommenders_are_loaded(ids, tmp_path):
    given = None if ids is None else ids.astype("int32")
    theirs = keras_rs.layers.BruteForceRetrieval(CANDIDATES, given, k=3)
    model_of(theirs).save_weights(tmp_path / "model.weights.h5")
    ours = BruteForceRetrieval(OTHERS[:7], np.arange(7) + 50, k=3)
    model_of(ours).load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(found(ours), best(ids=np.arange(30) if ids is None else IDS))


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_a_layer_of_another_name_are_refused_and_change_nothing(tmp_path):
    theirs = keras_rs.layers.BruteForceRetrieval(CANDIDATES, k=3)
    model_of(theirs).save_weights(tmp_path / "model.weights.h5")
    layer = ApproximateRetrieval(OTHERS, IDS, k=3)
    with pytest.raises(ValueError, match=r"The file has nothing for layer .*BruteForceRetrieval"):
        model_of(layer).load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(found(layer), best(OTHERS))


# Copies and files


def test_copies_answer_alike_and_apart(kind):
    layer = kind(CANDIDATES, IDS, k=3)
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(found(again), best())
        layer.update_candidates(OTHERS)
        np.testing.assert_array_equal(found(again), best())
        layer.update_candidates(CANDIDATES)


def test_a_cloned_model_has_no_candidates_until_it_is_given_some(kind):
    model = model_of(kind(CANDIDATES, IDS, k=3))
    clone = keras.models.clone_model(model)
    with pytest.raises(ValueError, match="has no candidates yet"):
        clone.predict(QUERIES, verbose=0)
    clone.layers[-1].update_candidates(CANDIDATES, IDS)
    np.testing.assert_array_equal(clone.predict(QUERIES, verbose=0)[1], best())


def test_a_layer_comes_back_from_its_configuration(kind):
    layer = kind(k=3, return_scores=False, name="finder")
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    assert (again.k, again.return_scores, again.name) == (3, False, "finder")
    again.update_candidates(CANDIDATES, IDS)
    np.testing.assert_array_equal(ops.convert_to_numpy(again(QUERIES)), best())


def test_several_layers_of_a_kind_in_a_model_saved_twice(kind, tmp_path):
    layers = kind(CANDIDATES, IDS, k=3), kind(OTHERS, k=3), kind(CANDIDATES[:9], k=9)
    model = model_of(*layers)
    for _ in range(2):
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")
    results = model.predict(QUERIES, verbose=0)
    np.testing.assert_array_equal(results[1], best())
    np.testing.assert_array_equal(results[3], best(OTHERS, np.arange(30)))
    np.testing.assert_array_equal(results[5], best(CANDIDATES[:9], np.arange(9), k=9))


def test_a_file_of_a_model_without_candidates_leaves_those_there_are(kind, tmp_path):
    model_of(kind(k=3)).save_weights(tmp_path / "model.weights.h5")
    layer = kind(CANDIDATES, IDS, k=3)
    model_of(layer).load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(found(layer), best())


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="about checkpoints of TensorFlow"
)
def test_checkpoints_of_tensorflow_are_written_and_read(kind, tmp_path):
    import tensorflow as tf

    layer = kind(CANDIDATES, IDS, k=3)
    checkpoint = tf.train.Checkpoint(model=model_of(layer))
    path = checkpoint.write(str(tmp_path / "checkpoint"))
    if kind is BruteForceRetrieval:  # The other layers keep their candidates on the host.
        layer.update_candidates(OTHERS[:9], IDS[:9])
    checkpoint.read(path)
    np.testing.assert_array_equal(found(layer), best())


# A failed call changes nothing


@pytest.mark.parametrize(
    "call",
    [
        lambda layer: layer.update_candidates(OTHERS, IDS.astype("float32")),
        lambda layer: layer.update_candidates(OTHERS, [*IDS[:-1], IDS[0]]),
        lambda layer: layer.update_candidates(OTHERS[:2], IDS[:2]),
        lambda layer: layer.update_candidates(OTHERS * np.float32(np.nan)),
        lambda layer: layer.update_candidates(OTHERS.astype(str)),
        lambda layer: layer.index_from_dataset([OTHERS[:10], OTHERS[10:, :2]]),
        lambda layer: layer.index_from_dataset([(IDS[:10], OTHERS[:10]), OTHERS[10:]]),
        lambda layer: layer.index_from_dataset([(IDS[:10], OTHERS[:10]), (["a"], OTHERS[:1])]),
        lambda layer: layer.index_from_dataset([(IDS[:9], OTHERS[:10])]),
        lambda layer: layer.index_from_dataset([]),
        lambda layer: layer.load_own_variables({}),
        lambda layer: layer.load_own_variables({"0": OTHERS, "1": IDS[:7]}),
        lambda layer: layer.load_own_variables({"0": OTHERS[0]}),
    ],
)
def test_a_failed_call_changes_nothing(kind, call):
    layer = kind(CANDIDATES, IDS, k=3)
    with pytest.raises((ValueError, TypeError)):
        call(layer)
    np.testing.assert_array_equal(found(layer), best())
    assert layer.lookup([0]).tolist() == [IDS[0]]
    assert layer.num_candidates == 30


def test_a_failed_update_keeps_the_queries_to_tune_on():
    layer = ApproximateRetrieval(CANDIDATES, IDS, k=3)
    layer.update_candidates(CANDIDATES, queries=QUERIES)
    with pytest.raises(ValueError, match="`queries` must be finite"):
        layer.update_candidates(OTHERS, queries=QUERIES * np.float32(np.nan))
    with pytest.raises(ValueError, match="must be finite"):
        layer.update_candidates(OTHERS * np.float32(np.inf), queries=QUERIES)
    np.testing.assert_array_equal(found(layer), best())


# Dtypes and sizes


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_under_any_policy_scores_are_float32(kind, policy):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless told to")
    keras.config.set_dtype_policy(policy)
    try:
        layer = kind(CANDIDATES.astype("float64"), IDS, k=3)
        inputs = keras.Input((DIM,))
        model = keras.Model(inputs, layer(keras.layers.Rescaling(1.0)(inputs)))
        scores = model.predict(QUERIES, verbose=0)[0]
    finally:
        keras.config.set_dtype_policy("float32")
    assert scores.dtype == np.float32
    assert scores.shape == (5, 3)
    np.testing.assert_array_equal(found(layer), best())


@pytest.mark.parametrize("dtype", ["float16", "float64", "int32"])
def test_candidates_and_queries_of_any_numbers(kind, dtype):
    candidates = np.round(CANDIDATES * 50).astype(dtype)
    queries = np.round(QUERIES * 50).astype(dtype)
    scores, ids = kind(candidates, IDS, k=1)(queries)
    expected = queries.astype("float64") @ candidates.astype("float64").T
    np.testing.assert_array_equal(ops.convert_to_numpy(scores)[:, 0], expected.max(axis=1))
    np.testing.assert_array_equal(ops.convert_to_numpy(ids)[:, 0], IDS[expected.argmax(axis=1)])


def test_numbers_beyond_float32_are_refused(kind):
    with pytest.raises(ValueError, match="must be finite, got NaN or infinity in row 0"):
        kind(CANDIDATES.astype("float64") * 1e300, k=3)
    with pytest.raises(TypeError, match="must hold floats, got dtype complex64"):
        kind(CANDIDATES.astype("complex64"), k=3)


def test_a_batch_without_queries(kind):
    scores, ids = kind(CANDIDATES, IDS, k=3)(QUERIES[:0])
    assert tuple(scores.shape) == tuple(ids.shape) == (0, 3)


def test_k_of_numpy(kind):
    layer = kind(CANDIDATES, IDS, k=np.int64(3))
    assert found(layer).shape == (5, 3)
    assert ops.convert_to_numpy(layer(QUERIES, k=np.int32(2))[1]).shape == (5, 2)
    assert kind.from_config(layer.get_config()).k == 3
    for k in (2.0, "3", True, None):
        with pytest.raises(TypeError, match="`k` must be an int"):
            kind(k=k)


# Scores of one's own


@keras.saving.register_keras_serializable(package="tests")
class Cosine(BruteForceRetrieval):
    """Scores by cosine, as a subclass of the layer of Keras Recommenders would."""

    def compute_score(self, query_embedding, candidate_embedding):
        return ops.matmul(
            ops.normalize(query_embedding), ops.transpose(ops.normalize(candidate_embedding))
        )


def test_an_overridden_compute_score_is_called(monkeypatch):
    unit = CANDIDATES / np.linalg.norm(CANDIDATES, axis=1, keepdims=True)
    layer = Cosine(CANDIDATES, IDS, k=3)
    expected = best(unit)
    assert (expected != best()).any()
    np.testing.assert_array_equal(found(layer), expected)
    scores = ops.convert_to_numpy(layer(QUERIES)[0])
    length = np.linalg.norm(QUERIES, axis=1, keepdims=True)
    np.testing.assert_allclose(scores, -np.sort(-QUERIES @ unit.T / length)[:, :3], rtol=1e-5)
    model = model_of(layer)
    np.testing.assert_array_equal(model.predict(QUERIES, verbose=0)[1], expected)
    # In blocks of rows too.
    monkeypatch.setattr("shortlist.layers._top_k.SCORES_IN_MEMORY", 60)
    np.testing.assert_array_equal(found(layer), expected)
    with pytest.raises(ValueError, match="Cosine has a `compute_score` of its own"):
        layer.to_exportable()


@pytest.mark.parametrize("kind", [ApproximateRetrieval, StreamingRetrieval])
def test_layers_that_cannot_call_compute_score_refuse_it(kind):
    class Scored(kind):
        def compute_score(self, query_embedding, candidate_embedding):
            return ops.matmul(query_embedding, ops.transpose(candidate_embedding))

    with pytest.raises(ValueError, match=r"`compute_score` of Scored .*subclass `BruteForce"):
        Scored(k=3)
    layer = kind(CANDIDATES, k=3)
    with pytest.raises(ValueError, match=f"`compute_score` of {kind.__name__} .*subclass `Brute"):
        layer.compute_score = Cosine(k=3).compute_score


def test_a_compute_score_may_be_assigned_too():
    layer = BruteForceRetrieval(CANDIDATES, IDS, k=3)
    layer.compute_score = Cosine(k=3).compute_score
    np.testing.assert_array_equal(found(layer), found(Cosine(CANDIDATES, IDS, k=3)))
    with pytest.raises(ValueError, match="has a `compute_score` of its own"):
        layer.to_exportable()
