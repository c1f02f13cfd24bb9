"""How compiled functions call the host, on JAX."""

import sys

import keras
import numpy as np
import pytest

from shortlist.layers import ApproximateRetrieval

if keras.backend.backend() != "jax":
    pytest.skip("needs Keras on JAX", allow_module_level=True)

import jax

CANDIDATES = np.random.default_rng(0).normal(size=(300, 32)).astype("float32")


def model_of(layer):
    inputs = keras.Input((32,))
    return keras.Model(inputs, layer(inputs))


def without_buffers(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax.experimental.buffer_callback", None)


def on_two_devices(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 2)


@pytest.mark.parametrize("circumstance", [without_buffers, on_two_devices])
def test_answers_by_arrays_equal_those_by_buffers(circumstance, monkeypatch):
    layer = ApproximateRetrieval(CANDIDATES, k=3)
    expected = model_of(layer).predict(CANDIDATES, verbose=0)
    circumstance(monkeypatch)
    for got, wanted in zip(model_of(layer).predict(CANDIDATES, verbose=0), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_this_jax_has_the_buffers_that_spare_a_copy():
    from jax.experimental.buffer_callback import buffer_callback

    assert callable(buffer_callback)
