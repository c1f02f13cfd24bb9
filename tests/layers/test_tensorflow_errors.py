"""Errors in the graphs of TensorFlow: a ValueError in what Keras compiles, and only there."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

if keras.backend.backend() != "tensorflow":
    pytest.skip("needs Keras on TensorFlow", allow_module_level=True)

import tensorflow as tf

from shortlist.layers import _tensorflow_errors

CANDIDATES = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
QUERIES = CANDIDATES[:6]
BROKEN = QUERIES * np.array([[1], [1], [np.nan], [1], [1], [1]], dtype="float32")


@pytest.fixture(params=[BruteForceRetrieval, ApproximateRetrieval, StreamingRetrieval])
def layer(request):
    return request.param(CANDIDATES, k=5)


def model_of(layer):
    inputs = keras.Input((4,))
    return keras.Model(inputs, layer(inputs))


def test_in_a_function_of_the_user_it_is_an_error_of_tensorflow(layer):
    call = tf.function(layer)
    for _ in range(2):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`queries` must be finite"):
            call(tf.constant(BROKEN))
    model = model_of(layer)
    model.predict(QUERIES, verbose=0)
    call = tf.function(model)
    for _ in range(2):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`queries` must be finite"):
            call(tf.constant(BROKEN))


def test_without_what_tensorflow_asks_it_is_an_error_of_tensorflow(layer, monkeypatch):
    monkeypatch.setattr(_tensorflow_errors, "_can_raise_when_run", lambda: False)
    model = model_of(layer)
    for _ in range(2):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`queries` must be finite"):
            model.predict(BROKEN, verbose=0)


def test_other_errors_stay_what_they_are(layer):
    class Picky(keras.layers.Layer):
        def call(self, inputs):
            tf.debugging.Assert(~tf.reduce_any(inputs > 100), ["`inputs` are too large"])
            return inputs

    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(Picky()(inputs)))
    for _ in range(2):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`inputs` are too large"):
            model.predict(QUERIES + 200, verbose=0)
    # The call that has traced the function has failed, and nothing of it is left.
    with pytest.raises(ValueError, match="row 2 of the batch"):
        model.predict(BROKEN, verbose=0)
    model.predict(QUERIES, verbose=0)


def test_a_function_made_again_is_found_again(layer):
    model = model_of(layer)
    for settings in ({}, {"steps_per_execution": 2}, {"run_eagerly": True}):
        model.compile(**settings)
        for _ in range(2):
            with pytest.raises(ValueError, match="`queries` must be finite"):
                model.predict(BROKEN, batch_size=2, verbose=0)
        best = np.argmax(QUERIES @ CANDIDATES.T, axis=1)
        np.testing.assert_array_equal(model.predict(QUERIES, verbose=0)[1][:, 0], best)


def test_in_a_model_that_trains_in_batches_and_alone(layer):
    model = model_of(layer)
    model.compile(loss=[lambda _, output: keras.ops.cast(output[:, 0], "float32")] * 2)
    model.evaluate(QUERIES, [QUERIES] * 2, batch_size=2, verbose=0)
    # Another of TensorFlow's functions, inside the one that ran before, runs alone.
    for _ in range(2):
        with pytest.raises(ValueError, match="`queries` must be finite"):
            model.test_on_batch(BROKEN, [QUERIES] * 2)


def test_in_threads_no_bad_query_is_answered_and_no_good_one_refused(layer):
    model = model_of(layer)
    for _ in range(3):  # Cold at first: then several calls may begin before one has traced.
        with ThreadPoolExecutor(8) as threads:
            bad = [threads.submit(model.predict, BROKEN, verbose=0) for _ in range(4)]
            good = [threads.submit(model.predict, QUERIES, verbose=0) for _ in range(4)]
            for call in bad:
                with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="finite"):
                    call.result()
            for call in good:
                call.result()


def test_from_xla_queries_that_are_not_finite_get_no_candidates():
    layer = BruteForceRetrieval(CANDIDATES, k=5)
    scores, ids = tf.function(layer, jit_compile=True)(tf.constant(BROKEN))
    assert ids.numpy()[2].tolist() == [-1] * 5
    assert np.isneginf(scores.numpy()[2]).all()
    best = np.argsort(-QUERIES @ CANDIDATES.T, axis=1)[:, :5]
    np.testing.assert_array_equal(np.delete(ids.numpy(), 2, 0), np.delete(best, 2, 0))
