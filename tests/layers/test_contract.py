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


# Exclusions


def test_excluded_ids_never_come_back(make):
    layer = make(CANDIDATES, IDS, k=10)
    exclude = [row[: 1 + i % 9].tolist() for i, row in enumerate(expected(10, ids=IDS)[1])]
    assert_same(
        layer.query_with_exclusions(QUERIES, exclude), expected(10, ids=IDS, exclude=exclude)
    )


def test_unknown_and_repeated_exclusions_change_nothing(make):
    layer = make(CANDIDATES, IDS, k=10)
    best = expected(1, ids=IDS)[1][:, 0]
    exclude = [[2**40, -7, 1, i, i] for i in best]
    assert_same(
        layer.query_with_exclusions(QUERIES, exclude), expected(10, ids=IDS, exclude=best[:, None])
    )


def test_excluding_all_but_a_few_leaves_those(make):
    layer = make(CANDIDATES[:12], IDS[:12], k=10)
    exclude = np.tile(IDS[:5], (len(QUERIES), 1))
    reference = expected(10, candidates=CANDIDATES[:12], ids=IDS[:12], exclude=exclude)
    assert (reference[1][:, 7:] == -1).all()
    assert_same(layer.query_with_exclusions(QUERIES, exclude), reference)
    assert_same(layer.query_with_exclusions(QUERIES, exclude, k=3), [r[:, :3] for r in reference])


def test_exclusions_in_a_functional_model(make):
    layer = make(CANDIDATES, IDS, k=10)
    queries, exclusions = keras.Input((DIM,)), keras.Input((6,), dtype="int32")
    model = keras.Model([queries, exclusions], layer.query_with_exclusions(queries, exclusions))
    exclude = expected(6, ids=IDS)[1].astype("int32")
    assert_same(
        model.predict([QUERIES, exclude], batch_size=4, verbose=0),
        expected(10, ids=IDS, exclude=exclude),
    )


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
    for ids in (None, IDS, None):
        layer.update_candidates(CANDIDATES, ids)
        assert_same(model.predict(QUERIES, verbose=0), expected(5, ids=ids))


def test_from_a_dataset_of_batches(make):
    layer = make(k=20)
    layer.index_from_dataset([CANDIDATES[:128], CANDIDATES[128:130], CANDIDATES[130:]])
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


# Ids


NAMES = np.array([f"film {i}" for i in IDS], dtype=object)


def test_string_ids_by_lookup(make):
    layer = make(CANDIDATES, NAMES.tolist(), k=5, return_rows=True)
    scores, rows = layer(QUERIES)
    assert_same((scores, rows), expected(5))
    assert layer.lookup(rows).tolist() == NAMES[expected(5)[1]].tolist()
    assert layer.lookup(np.array([-1])).tolist() == [""]
    assert_same(functional(layer).predict(QUERIES, verbose=0), expected(5))


def test_string_ids_can_be_excluded(make):
    layer = make(CANDIDATES, NAMES, k=5, return_rows=True)
    best = expected(3)[1]
    excluding = expected(5, exclude=best)
    names = [NAMES[row].tolist() for row in best]
    assert_same(layer.query_with_exclusions(QUERIES, names), excluding)
    assert_same(layer.query_with_exclusions(QUERIES, best), excluding)


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
        ((nan_at(17),), "must be finite, got NaN or infinity in row 17"),
        ((CANDIDATES[:4],), "`k` must be at most the number of candidates, 4, got 5"),
        ((CANDIDATES, IDS[:7]), r"`candidate_ids` must have shape \(300,\).*got \(7,\)"),
        ((CANDIDATES[:6], [1, 2, 3, 2, 4, 5]), "`candidate_ids` must be unique, got 2 more than"),
        ((CANDIDATES[:, :3],), r"`candidate_embeddings` must have shape .*4\).*got \(300, 3\)"),
    ],
)
def test_bad_candidates_are_refused_and_change_nothing(make, arguments, message):
    layer = make(CANDIDATES, k=5)
    with pytest.raises(ValueError, match=message):
        layer.update_candidates(*arguments)
    assert_same(layer(QUERIES), expected(5))


def test_ids_of_no_kind_are_refused(make):
    with pytest.raises(TypeError, match="`candidate_ids` must be integers or str, got dtype float"):
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


def with_a_tower(layer, **kwargs):
    """A model with weights, which must outlive errors: queries are twice the inputs."""
    inputs = keras.Input((DIM,))
    double = keras.layers.Dense(
        DIM, use_bias=False, kernel_initializer=lambda *_, **__: 2 * np.eye(DIM)
    )
    model = keras.Model(inputs, layer(double(inputs), **kwargs))
    model.compile(loss=[lambda _, output: 0.0 * ops.cast(output[:, 0], "float32")] * 2)
    return model


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "use", ["predict", "predict_on_batch", "evaluate", "test_on_batch", "fit", "train_on_batch"]
)
def test_queries_that_are_not_finite_in_compiled_use(make, use, value):
    broken = QUERIES.copy()
    broken[9, 2] = value  # In the last batch, for which nobody waits.
    model = trained(make(CANDIDATES, k=5))
    calls = {
        "predict": lambda: model.predict([QUERIES, broken], batch_size=4, verbose=0),
        "predict_on_batch": lambda: model.predict_on_batch([QUERIES, broken]),
        "evaluate": lambda: model.evaluate([QUERIES, broken], QUERIES, batch_size=4, verbose=0),
        "test_on_batch": lambda: model.test_on_batch([QUERIES, broken], QUERIES),
        "fit": lambda: model.fit([QUERIES, broken], QUERIES, batch_size=4, verbose=0),
        "train_on_batch": lambda: model.train_on_batch([QUERIES, broken], QUERIES),
    }
    for _ in range(3):
        with pytest.raises(ValueError, match="`queries` must be finite, got NaN or infinity in"):
            calls[use]()
        output, *result = model.predict([QUERIES, QUERIES], verbose=0)
        assert_same(result, expected(5))
        assert np.isfinite(output).all()


def test_larger_k_than_candidates_after_an_update_of_a_compiled_model(make):
    layer = make(CANDIDATES, k=5)
    model = with_a_tower(layer, k=50)
    model.predict(QUERIES, verbose=0)
    layer.update_candidates(CANDIDATES[:20])
    with pytest.raises(ValueError, match="`k` must be at most the number of candidates"):
        model.predict(QUERIES, verbose=0)


@pytest.mark.parametrize("has_weights", [True, False])
def test_an_error_on_the_host_leaves_the_model_in_working_order(has_weights):
    layer = StreamingRetrieval(k=5)
    batches = [CANDIDATES[:200], CANDIDATES[200:]]
    layer.index_from_dataset(batches)
    model = with_a_tower(layer) if has_weights else functional(layer)
    last = batches.pop()
    with pytest.raises(ValueError, match="gave 200 candidates, 300 when it was indexed"):
        model.predict(QUERIES, verbose=0)
    batches.append(last)
    queries = 2 * QUERIES if has_weights else QUERIES
    assert_same(model.predict(QUERIES, verbose=0), expected(5, queries=queries))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="about functions compiled by JAX")
def test_in_functions_that_jax_compiles_and_transforms(make):
    import jax

    layer = make(CANDIDATES, k=5)
    assert_same(jax.jit(layer)(QUERIES), expected(5))
    assert_same(jax.vmap(layer)(QUERIES), expected(5))
    remat = jax.checkpoint(lambda queries: ops.sum(layer(queries)[0] * 0 + ops.sum(queries)))
    assert jax.grad(remat)(QUERIES).shape == QUERIES.shape
    # JAX raises the one or the other for an error in a callback.
    errors = (jax.errors.JaxRuntimeError, ValueError)
    with pytest.raises(errors, match="ValueError: `queries` must be finite"):
        jax.block_until_ready(jax.jit(layer)(QUERIES * np.nan))


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
    with pytest.raises(ValueError, match="`queries` must be finite, got"):
        call(queries * float("nan"))
