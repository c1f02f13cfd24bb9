"""Bad input that shows only in a function that runs: an error of our words, or no candidates."""

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

BACKEND = keras.backend.backend()
DIM = 4
RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(300, DIM)).astype("float32")
QUERIES = RNG.normal(size=(11, DIM)).astype("float32")


@pytest.fixture(params=[BruteForceRetrieval, ApproximateRetrieval, StreamingRetrieval])
def layer(request):
    return request.param(CANDIDATES, k=5)


def broken(value=np.nan):
    queries = QUERIES.copy()
    queries[9, 2] = value
    return queries


def backend_errors():
    """What a compiled function raises."""
    if BACKEND == "jax":
        import jax

        return (jax.errors.JaxRuntimeError, ValueError)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.errors.InvalidArgumentError
    return ValueError


def model_of(layer, **kwargs):
    inputs = keras.Input((DIM,))
    return keras.Model(inputs, layer(keras.layers.Rescaling(1.0)(inputs), **kwargs))


def best(queries, k=5, candidates=CANDIDATES):
    return np.argsort(-queries @ candidates.T, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_eagerly_it_is_a_value_error_that_names_the_row(layer, value):
    with pytest.raises(ValueError, match="`queries` must be finite, got NaN or infinity in row 9"):
        layer(broken(value))


@pytest.mark.parametrize("use", ["predict", "predict_on_batch", "evaluate", "test_on_batch"])
def test_in_what_keras_compiles_it_is_an_error_of_the_backend_with_our_words(layer, use):
    model = model_of(layer)
    model.compile(loss=[lambda _, output: ops.cast(output[:, 0], "float32")] * 2)
    labels = [np.zeros((11, 1))] * 2
    calls = {
        "predict": lambda x: model.predict(x, batch_size=4, verbose=0),
        "predict_on_batch": model.predict_on_batch,
        "evaluate": lambda x: model.evaluate(x, labels, batch_size=4, verbose=0),
        "test_on_batch": lambda x: model.test_on_batch(x, labels),
    }
    calls[use](QUERIES)
    with pytest.raises(backend_errors(), match="`queries` must be finite"):
        calls[use](broken())


@pytest.mark.skipif(BACKEND == "jax", reason="Keras on JAX loses the weights of a model in errors")
def test_a_model_answers_as_before_after_an_error(layer):
    model = model_of(layer)
    for _ in range(2):
        with pytest.raises(backend_errors(), match="`queries` must be finite"):
            model.predict(broken(), verbose=0)
        np.testing.assert_array_equal(model.predict(QUERIES, verbose=0)[1], best(QUERIES))


def test_nothing_of_a_model_is_replaced(layer):
    model = model_of(layer)
    before = set(vars(model))
    model.predict(QUERIES, verbose=0)
    ours = [
        name
        for name in set(vars(model)) - before | {"predict_function"}
        if type(vars(model)[name]).__module__.startswith("shortlist")
    ]
    assert not ours


def test_larger_k_than_candidates_after_an_update_of_a_compiled_model(layer):
    model = model_of(layer, k=50)
    model.predict(QUERIES, verbose=0)
    layer.update_candidates(CANDIDATES[:20])
    with pytest.raises(
        (*np.atleast_1d(backend_errors()), ValueError),
        match="`k` must be at most the number of candidates",
    ):
        model.predict(QUERIES, verbose=0)


def test_an_error_of_the_dataset_is_told(layer):
    layer = StreamingRetrieval(k=5)
    batches = [CANDIDATES[:200], CANDIDATES[200:]]
    model = model_of(layer.index_from_dataset(batches))
    last = batches.pop()
    with pytest.raises(backend_errors(), match="gave 200 candidates, 300 when it was indexed"):
        model.predict(QUERIES, verbose=0)
    batches.append(last)
    np.testing.assert_array_equal(ops.convert_to_numpy(model(QUERIES)[1]), best(QUERIES))


@pytest.mark.skipif(BACKEND == "tensorflow", reason="XLA of TensorFlow raises nothing: see below")
def test_in_functions_that_a_user_compiles(layer):
    if BACKEND == "jax":
        import jax

        call = jax.jit(layer)
    else:
        import torch

        call = torch.compile(lambda queries: layer(queries), backend="eager", fullgraph=True)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(call(ops.convert_to_tensor(QUERIES))[1]), best(QUERIES)
    )
    with pytest.raises(backend_errors(), match="`queries` must be finite"):
        ops.convert_to_numpy(call(ops.convert_to_tensor(broken()))[1])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="about tf.function")
def test_in_a_function_of_tensorflow(layer):
    import tensorflow as tf

    call = tf.function(layer)
    for _ in range(2):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`queries` must be finite"):
            call(tf.constant(broken()))
    np.testing.assert_array_equal(call(tf.constant(QUERIES))[1].numpy(), best(QUERIES))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="about XLA of TensorFlow")
def test_from_xla_queries_that_are_not_finite_get_no_candidates():
    import tensorflow as tf

    layer = BruteForceRetrieval(CANDIDATES, k=5)
    scores, ids = tf.function(layer, jit_compile=True)(tf.constant(broken()))
    assert ids.numpy()[9].tolist() == [-1] * 5
    assert np.isneginf(scores.numpy()[9]).all()
    np.testing.assert_array_equal(np.delete(ids.numpy(), 9, 0), np.delete(best(QUERIES), 9, 0))
