"""What every retrieval layer promises, on every backend."""

import keras
import keras_rs
import numpy as np
import pytest
from keras import ops

from shortlist.index import IndexConfig, SearchSettings
from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

DIM = 4
LAYERS = {
    "brute_force": BruteForceRetrieval,
    # Searches everything and reranks everything, so that the answers are known.
    "approximate": lambda *args, **kwargs: ApproximateRetrieval(
        *args,
        config=IndexConfig(leaves=4),
        settings=SearchSettings(leaves=4, rerank=1000),
        **kwargs,
    ),
    "streaming": StreamingRetrieval,
}


@pytest.fixture(params=LAYERS)
def make(request):
    return LAYERS[request.param]


def whole_numbers(rows, seed):
    """Small integers: their dot products are exact in any order of summing, and full of ties."""
    return np.random.default_rng(seed).integers(-3, 4, size=(rows, DIM)).astype("float32")


CANDIDATES = whole_numbers(300, seed=0)
QUERIES = whole_numbers(11, seed=1)
IDS = np.random.default_rng(2).permutation(1000)[:300] + 5


def expected(k, queries=QUERIES, candidates=CANDIDATES, ids=None, exclude=None):
    """Top k by NumPy: by score, then by row; (scores, ids)."""
    ids = np.arange(len(candidates)) if ids is None else ids
    scores = queries @ candidates.T
    if exclude is not None:
        for row, excluded in zip(scores, exclude, strict=True):
            row[np.isin(ids, excluded)] = -np.inf
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(scores, rows, axis=1)
    return scores, np.where(np.isfinite(scores), ids[rows], -1)


def assert_same(result, reference):
    scores, ids = (ops.convert_to_numpy(part) for part in result)
    np.testing.assert_array_equal(scores, reference[0])
    np.testing.assert_array_equal(ids, reference[1])


def functional(layer, **kwargs):
    inputs = keras.Input((DIM,))
    return keras.Model(inputs, layer(inputs, **kwargs))


class Subclassed(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.retrieval = layer

    def call(self, inputs):
        return self.retrieval(inputs)


# Where it runs


def test_is_a_keras_rs_retrieval_layer(make):
    assert isinstance(make(), keras_rs.layers.Retrieval)


def test_eagerly(make):
    layer = make(CANDIDATES, IDS, k=20)
    assert_same(layer(QUERIES), expected(20, ids=IDS))
    assert_same(layer(ops.convert_to_tensor(QUERIES)), expected(20, ids=IDS))


def test_ids_default_to_rows(make):
    assert_same(make(CANDIDATES, k=20)(QUERIES), expected(20))


@pytest.mark.parametrize("model_of", [functional, Subclassed])
def test_in_predict_with_a_short_last_batch(make, model_of):
    model = model_of(make(CANDIDATES, IDS, k=20))
    assert_same(model.predict(QUERIES, batch_size=4, verbose=0), expected(20, ids=IDS))


@pytest.mark.filterwarnings("ignore:Model doesn't support `jit_compile=True`:UserWarning")
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="tested once, in test_torch_compile")
def test_compiled(make):
    model = Subclassed(make(CANDIDATES, IDS, k=20))
    model.compile(jit_compile=True)
    assert_same(model.predict(QUERIES, batch_size=4, verbose=0), expected(20, ids=IDS))


def test_functional_outputs_have_static_shapes_and_true_dtypes(make):
    layer = make(CANDIDATES, IDS, k=7)
    model = functional(layer)
    scores, ids = model.outputs
    assert scores.shape == ids.shape == (None, 7)
    result = layer(QUERIES)
    assert [keras.backend.standardize_dtype(part.dtype) for part in result] == [
        scores.dtype,
        ids.dtype,
    ]


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="a tf.function; the functional models above have an unknown batch size everywhere",
)
def test_in_a_graph_of_unknown_batch_size(make):
    import tensorflow as tf

    layer = make(CANDIDATES, IDS, k=7)
    call = tf.function(layer, input_signature=[tf.TensorSpec((None, DIM), "float32")])
    scores, ids = call.get_concrete_function().structured_outputs
    assert scores.shape.as_list() == ids.shape.as_list() == [None, 7]
    assert_same(call(QUERIES), expected(7, ids=IDS))


def test_leading_dimensions_are_kept(make):
    layer = make(CANDIDATES, k=5)
    scores, ids = expected(5)
    assert_same(layer(QUERIES[0]), (scores[0], ids[0]))
    grid = QUERIES[:10].reshape(2, 5, DIM)
    assert_same(layer(grid), (scores[:10].reshape(2, 5, 5), ids[:10].reshape(2, 5, 5)))


def test_ids_alone_without_scores(make):
    ids = make(CANDIDATES, IDS, k=5, return_scores=False)(QUERIES)
    np.testing.assert_array_equal(ops.convert_to_numpy(ids), expected(5, ids=IDS)[1])


def test_a_query_model_comes_first(make):
    double = keras.layers.Dense(
        DIM, use_bias=False, kernel_initializer=lambda *_, **__: 2 * np.eye(DIM)
    )
    layer = make(CANDIDATES, k=5, query_model=double)
    assert_same(layer(QUERIES), expected(5, queries=2 * QUERIES))
    assert_same(functional(layer).predict(QUERIES, verbose=0), expected(5, queries=2 * QUERIES))


def test_half_precision_policies_do_not_round_scores(make):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = make(CANDIDATES * 257, k=5)
    finally:
        keras.config.set_dtype_policy("float32")
    assert_same(layer(QUERIES), expected(5, candidates=CANDIDATES * 257))


# k


def test_k_of_a_call(make):
    layer = make(CANDIDATES, k=3)
    for k in (1, 50, 300):
        assert_same(layer(QUERIES, k=k), expected(k))
    assert_same(functional(layer, k=9).predict(QUERIES, verbose=0), expected(9))


# Updates


def test_candidates_change_in_number_again_and_again_in_a_compiled_model(make):
    layer = make(CANDIDATES, k=5)
    models = [functional(layer), Subclassed(layer)]
    for rows, seed in ((300, 3), (100, 4), (1000, 5), (1000, 6), (5, 7)):
        candidates, ids = whole_numbers(rows, seed), np.arange(rows) * 3
        layer.update_candidates(candidates, ids)
        assert layer.num_candidates == rows
        reference = expected(5, candidates=candidates, ids=ids)
        assert_same(layer(QUERIES), reference)
        for model in models:
            assert_same(model.predict(QUERIES, batch_size=8, verbose=0), reference)


def test_ids_can_come_and_go(make):
    layer = make(CANDIDATES, k=5)
    model = functional(layer)
    for ids in (None, IDS, np.arange(300)):
        layer.update_candidates(CANDIDATES, ids)
        assert_same(model.predict(QUERIES, verbose=0), expected(5, ids=ids))


def test_an_update_without_ids_keeps_those_there_were(make):
    layer = make(CANDIDATES, IDS, k=5)
    model = functional(layer)
    candidates = whole_numbers(300, seed=4)
    layer.update_candidates(candidates)
    assert_same(layer(QUERIES), expected(5, candidates=candidates, ids=IDS))
    assert_same(model.predict(QUERIES, verbose=0), expected(5, candidates=candidates, ids=IDS))
    assert_same(layer.index_from_dataset([CANDIDATES])(QUERIES), expected(5, ids=IDS))


def test_an_update_without_ids_of_another_number_of_candidates_asks_for_them(make):
    layer = make(CANDIDATES, IDS, k=5)
    with pytest.raises(ValueError, match=r"`candidate_ids` must be given with 200.*np.arange\(200"):
        layer.update_candidates(CANDIDATES[:200])
    assert_same(layer(QUERIES), expected(5, ids=IDS))


def test_from_a_dataset_of_batches(make):
    layer = make(k=20)
    batches = [CANDIDATES[:128], CANDIDATES[128:130], CANDIDATES[130:]]
    assert layer.index_from_dataset(batches) is layer
    assert_same(layer(QUERIES), expected(20))
    layer.index_from_dataset([(IDS[i : i + 64], CANDIDATES[i : i + 64]) for i in range(0, 300, 64)])
    assert_same(layer(QUERIES), expected(20, ids=IDS))


def test_tensors_as_candidates(make):
    layer = make(ops.convert_to_tensor(CANDIDATES), ops.convert_to_tensor(IDS.astype("int32")), k=5)
    assert_same(layer(QUERIES), expected(5, ids=IDS))


def test_a_variable_can_be_shared(make):
    variable = keras.Variable(CANDIDATES)
    layer = make(k=5)
    layer.candidate_embeddings = variable
    model = functional(layer)
    assert_same(layer(QUERIES), expected(5))
    for seed in (8, 9):
        candidates = whole_numbers(300, seed)
        variable.assign(candidates)
        assert_same(layer(QUERIES), expected(5, candidates=candidates))
        assert_same(model.predict(QUERIES, verbose=0), expected(5, candidates=candidates))


def test_a_shared_variable_keeps_the_ids(make):
    layer = make(CANDIDATES, IDS, k=5)
    variable = keras.Variable(whole_numbers(300, seed=8))
    layer.candidate_embeddings = variable
    assert_same(layer(QUERIES), expected(5, candidates=whole_numbers(300, seed=8), ids=IDS))
    variable.assign(whole_numbers(300, seed=9))
    assert_same(layer(QUERIES), expected(5, candidates=whole_numbers(300, seed=9), ids=IDS))


def test_a_shared_variable_of_another_number_of_rows_than_ids_is_refused(make):
    layer = make(CANDIDATES, IDS, k=5)
    with pytest.raises(ValueError, match="`candidate_ids` must be given with 299 candidates"):
        layer.candidate_embeddings = keras.Variable(CANDIDATES[:299])
    with pytest.raises(ValueError, match=r"must be a variable of shape \(n, d\), got \(4,\)"):
        layer.candidate_embeddings = keras.Variable(CANDIDATES[0])
    assert_same(layer(QUERIES), expected(5, ids=IDS))


def test_a_variable_of_another_number_of_rows_takes_the_place_of_candidates(make):
    layer = make(CANDIDATES[:50], k=5)
    layer.candidate_embeddings = keras.Variable(CANDIDATES)
    assert layer.num_candidates == 300
    assert_same(layer(QUERIES), expected(5))


def test_an_update_ends_the_sharing_and_leaves_the_variable_alone(make):
    variable = keras.Variable(CANDIDATES)
    layer = make(k=5)
    layer.candidate_embeddings = variable
    layer.update_candidates(whole_numbers(300, seed=8))
    for _ in range(2):
        assert_same(layer(QUERIES), expected(5, candidates=whole_numbers(300, seed=8)))
    np.testing.assert_array_equal(ops.convert_to_numpy(variable), CANDIDATES)


def test_ids_cannot_be_assigned(make):
    layer = make(CANDIDATES, k=5)
    with pytest.raises(ValueError, match=r"call `update_candidates\(embeddings, ids\)`"):
        layer.candidate_ids = keras.Variable(IDS, dtype="int32", trainable=False)
    assert_same(layer(QUERIES), expected(5))


def test_the_number_of_candidates_can_change_after_build(make):
    layer = make(CANDIDATES, k=5)
    layer.build((None, DIM))
    layer.update_candidates(CANDIDATES[:70])
    assert_same(layer(QUERIES), expected(5, candidates=CANDIDATES[:70]))


# Ids


NAMES = np.array([f"film {i}" for i in IDS], dtype=object)


def test_string_ids_by_lookup(make):
    layer = make(CANDIDATES, NAMES.tolist(), k=5, return_rows=True)
    scores, rows = layer(QUERIES)
    assert_same((scores, rows), expected(5))
    assert layer.lookup(rows).tolist() == NAMES[expected(5)[1]].tolist()
    assert layer.lookup(np.array([-1])).tolist() == [""]
    assert_same(functional(layer).predict(QUERIES, verbose=0), expected(5))


def test_large_ids_by_lookup(make):
    large = IDS.astype("int64") + 2**40
    layer = make(CANDIDATES, large, k=5, return_rows=True)
    np.testing.assert_array_equal(layer.lookup(layer(QUERIES)[1]), large[expected(5)[1]])


def test_strings_in_tensors_are_refused_by_name(make):
    message = r"id 'film \d+' \(row 0\) is a str.*return_rows=True.*lookup"
    with pytest.raises(ValueError, match=message):
        make(CANDIDATES, NAMES.tolist())


def test_integers_beyond_the_backend_are_refused_by_name(make):
    large = IDS.astype("int64")
    large[17] = 2**31
    if keras.backend.backend() == "jax":
        with pytest.raises(ValueError, match=r"id 2147483648 \(row 17\) is beyond int32"):
            make(CANDIDATES, large)
    else:
        assert_same(make(CANDIDATES, large, k=300)(QUERIES), expected(300, ids=large))


# Saving


@pytest.mark.parametrize("ids", [None, IDS, NAMES], ids=["rows", "integers", "strings"])
def test_a_saved_model_keeps_its_candidates(make, ids, tmp_path):
    layer = make(CANDIDATES, ids, k=5, return_rows=ids is NAMES)
    model = functional(layer)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(loaded.predict(QUERIES, verbose=0), model.predict(QUERIES, verbose=0))
    copy = loaded.layers[-1]
    assert type(copy) is type(layer)
    assert copy.get_config() == layer.get_config()
    assert copy.lookup(np.arange(300)).tolist() == layer.lookup(np.arange(300)).tolist()


def test_a_model_without_candidates_saves_and_loads(make, tmp_path):
    model = functional(make(k=5))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    loaded.layers[-1].update_candidates(CANDIDATES)
    assert_same(loaded.predict(QUERIES, verbose=0), expected(5))


def test_weights_carry_the_candidates(make, tmp_path):
    functional(make(CANDIDATES, IDS, k=5)).save_weights(tmp_path / "model.weights.h5")
    model = functional(make(whole_numbers(50, seed=3), k=5))
    model.load_weights(tmp_path / "model.weights.h5")
    assert_same(model.predict(QUERIES, verbose=0), expected(5, ids=IDS))


def test_a_query_model_is_saved_too(make, tmp_path):
    tower = keras.Sequential([keras.Input((3,)), keras.layers.Dense(DIM)])
    inputs = keras.Input((3,))
    model = keras.Model(inputs, make(CANDIDATES, k=5, query_model=tower)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    features = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    assert_same(loaded.predict(features, verbose=0), model.predict(features, verbose=0))


@pytest.mark.parametrize("part", ["candidate_embeddings", "candidate_ids", "candidates_digest"])
@pytest.mark.parametrize("kind", [BruteForceRetrieval, StreamingRetrieval])
def test_damaged_candidates_are_an_error_and_change_nothing(kind, part):
    store = {}
    kind(whole_numbers(50, seed=3), k=5).save_own_variables(store)
    store[part] = np.array(store[part])
    store[part].view("uint8").flat[3] ^= 0x40
    layer = kind(CANDIDATES, k=5)
    with pytest.raises(ValueError, match="The candidates in the file are damaged"):
        layer.load_own_variables(store)
    if part != "candidate_embeddings":
        del store[part]
        with pytest.raises(ValueError, match="The candidates in the file are damaged"):
            layer.load_own_variables(store)
    assert_same(layer(QUERIES), expected(5))


# Bad input


def nan_at(row):
    broken = CANDIDATES.copy()
    broken[row, 1] = np.nan
    return broken


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), r"`candidate_embeddings` must have shape \(n, d\), got None"),
        ((CANDIDATES[0],), r"`candidate_embeddings` must have shape \(n, d\), got \(4,\)"),
        ((CANDIDATES[:0],), r"`candidate_embeddings` must have shape \(n, d\), got \(0, 4\)"),
        (
            (nan_at(17),),
            r"must be finite, got NaN or infinity in row 17, and in 1 of 300 .*"
            r"keep = np.isfinite\(embeddings\).all\(axis=1\).*np.flatnonzero\(keep\)",
        ),
        ((CANDIDATES[:4],), "`k` must be at most the number of candidates, 4, got 5"),
        ((CANDIDATES, IDS[:7]), r"`candidate_ids` must have shape \(300,\).*got \(7,\)"),
        (
            (CANDIDATES[:6], [1, 2, 3, 2, 4, 5]),
            r"`candidate_ids` must be unique, got 2 more than once \(rows 1 and 3\)\. Titles .*"
            r"return_rows=True.*layer.lookup\(rows, labels=titles\)",
        ),
        ((CANDIDATES[:, :3],), r"`candidate_embeddings` must have shape .*4\).*got \(300, 3\)"),
    ],
)
def test_bad_candidates_are_refused_and_change_nothing(make, arguments, message):
    layer = make(CANDIDATES, k=5)
    with pytest.raises(ValueError, match=message):
        layer.update_candidates(*arguments)
    assert_same(layer(QUERIES), expected(5))


def test_ids_of_no_kind_are_refused(make):
    with pytest.raises(ValueError, match="`candidate_ids` must be integers or text, got the float"):
        make(CANDIDATES, IDS.astype("float32"))


def test_ids_without_embeddings_are_refused(make):
    with pytest.raises(ValueError, match="`candidate_ids` need `candidate_embeddings`"):
        make(candidate_ids=IDS)


def test_no_candidates_yet(make):
    layer = make(k=5)
    for call in (
        lambda: layer(QUERIES),
        lambda: functional(layer).predict(QUERIES, verbose=0),
        lambda: layer.lookup([0]),
    ):
        with pytest.raises(ValueError, match="has no candidates yet: call `update_candidates`"):
            call()


def test_bad_queries_are_refused(make):
    layer = make(CANDIDATES, k=5)
    with pytest.raises(ValueError, match=r"`queries` must have shape \(…, 4\).*got \(11, 3\)"):
        layer(QUERIES[:, :3])
    broken = QUERIES.copy()
    broken[3, 2] = np.inf
    with pytest.raises(ValueError, match="`queries` must be finite"):
        layer(broken)
    with pytest.raises(ValueError, match="`k` must be at most the number of candidates, 300, got"):
        layer(QUERIES, k=301)
    with pytest.raises(ValueError, match="`k` must be at least 1, got 0"):
        layer(QUERIES, k=0)


class Trained(keras.Model):
    def compute_loss(self, x, y, y_pred, sample_weight, training=True):
        return ops.mean(ops.square(y_pred[0] - y))


def trained(layer):
    """A model that trains a tower on its first input and retrieves for the second."""
    features, queries = keras.Input((DIM,)), keras.Input((DIM,))
    model = Trained([features, queries], [keras.layers.Dense(DIM)(features), *layer(queries)])
    model.compile(optimizer="sgd")
    return model


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="about functions compiled by JAX")
def test_in_functions_that_jax_compiles_and_transforms(make):
    import jax

    layer = make(CANDIDATES, k=5)
    assert_same(jax.jit(layer)(QUERIES), expected(5))
    assert_same(jax.vmap(layer)(QUERIES), expected(5))
    remat = jax.checkpoint(lambda queries: ops.sum(layer(queries)[0] * 0 + ops.sum(queries)))
    assert jax.grad(remat)(QUERIES).shape == QUERIES.shape


def test_may_be_called_while_a_model_trains(make):
    model = trained(make(CANDIDATES, k=5))
    losses = model.fit([QUERIES, QUERIES], -QUERIES, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="needs Keras on PyTorch")
def test_torch_compile(make):
    import torch

    layer = make(CANDIDATES, IDS, k=5)
    call = torch.compile(lambda queries: layer(queries), backend="eager", fullgraph=True)
    queries = ops.convert_to_tensor(QUERIES)
    assert_same(call(queries), expected(5, ids=IDS))
    layer.update_candidates(CANDIDATES[:100], IDS[:100])
    assert_same(call(queries), expected(5, candidates=CANDIDATES[:100], ids=IDS[:100]))
