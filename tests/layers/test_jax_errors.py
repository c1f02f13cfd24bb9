"""What comes of errors on the host in functions that Keras compiles with JAX, and of its ways."""

import sys
import time

import keras
import numpy as np
import pytest

from shortlist.layers import ApproximateRetrieval

if keras.backend.backend() != "jax":
    pytest.skip("needs Keras on JAX", allow_module_level=True)

import jax

CANDIDATES = np.random.default_rng(0).normal(size=(300, 32)).astype("float32")
QUERIES = np.tile(CANDIDATES, (9, 1))  # JAX waits for small batches.


def model_of(layer):
    """A model without weights, for whose predictions alone one can wait."""
    inputs = keras.Input((32,))
    return keras.Model(inputs, layer(inputs))


class Slow(ApproximateRetrieval):
    """Finds after Keras has gone on to the next batch."""

    def search(self, queries, k, exclude=None):
        time.sleep(0.1)
        if len(queries) < 900:
            raise ValueError("the last batch is short")
        return super().search(queries, k, exclude)


def at_alignment(offset):
    """The queries at so many bytes beyond a multiple of 64: JAX copies what lies at none."""
    memory = np.empty(QUERIES.nbytes + 128, dtype=np.uint8)
    start = -memory.ctypes.data % 64 + offset
    queries = memory[start : start + QUERIES.nbytes].view("float32").reshape(QUERIES.shape)
    queries[:] = QUERIES
    return queries


@pytest.mark.parametrize("offset", [0, 16])
def test_predict_waits_for_an_error_of_the_last_batch(offset):
    layer = Slow(CANDIDATES, k=3)
    model = model_of(layer)
    queries = at_alignment(offset)
    for _ in range(2):
        with pytest.raises(ValueError, match="the last batch is short"):
            model.predict(queries, batch_size=1000, verbose=0)
        with pytest.raises(ValueError, match="the last batch is short"):
            model.predict_on_batch(queries[:800])
    ids = model.predict(queries, batch_size=1350, verbose=0)[1]
    np.testing.assert_array_equal(ids, layer.index.search(QUERIES, 3).ids)


def test_predict_checks_queries_without_an_effect(monkeypatch):
    # An effect would keep JAX from its fast path.
    effects = []
    monkeypatch.setattr(jax.debug, "callback", lambda *args, **kwargs: effects.append(args))
    model = model_of(ApproximateRetrieval(CANDIDATES, k=3))
    broken = QUERIES.copy()
    broken[2004] = np.nan
    with pytest.raises(ValueError, match="`queries` must be finite, got NaN or infinity in row 4"):
        model.predict(broken, batch_size=1000, verbose=0)
    assert not effects


def without_buffers(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax.experimental.buffer_callback", None)


def on_two_devices(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 2)


@pytest.mark.parametrize("circumstance", [without_buffers, on_two_devices])
def test_answers_by_arrays_equal_those_by_buffers(circumstance, monkeypatch):
    layer = ApproximateRetrieval(CANDIDATES, k=3)
    expected = model_of(layer).predict(QUERIES, verbose=0)
    circumstance(monkeypatch)
    for got, wanted in zip(model_of(layer).predict(QUERIES, verbose=0), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
