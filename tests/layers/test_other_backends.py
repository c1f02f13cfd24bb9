"""A file saved on this backend gives the same answers on the other two."""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

LOAD = """
import sys, warnings
import keras, numpy as np
import shortlist.layers
folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras")
results = model.predict(np.load(folder + "/queries.npy"), verbose=0)
np.savez(folder + "/results.npz", *results)
"""


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_the_same_answers_on(backend, tmp_path):
    if backend == keras.backend.backend():
        pytest.skip("that is this backend; test_contract.py loads on it")
    if not importlib.util.find_spec(backend):
        pytest.skip(f"{backend} is not installed")
    rng = np.random.default_rng(0)
    candidates = rng.normal(size=(500, 8)).astype("float32")
    queries = rng.normal(size=(9, 8)).astype("float32")
    inputs = keras.Input((8,))
    exact = BruteForceRetrieval(candidates, np.arange(500) + 10**6, k=5)
    approximate = ApproximateRetrieval(
        candidates, [f"film {i}" for i in range(500)], k=5, return_rows=True
    )
    streaming = StreamingRetrieval(candidates, np.arange(500) + 10**6, k=5)
    layers = (exact, approximate, streaming)
    model = keras.Model(inputs, [part for layer in layers for part in layer(inputs)])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "queries.npy", queries)
    subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
    )
    here = model.predict(queries, verbose=0)
    there = list(np.load(tmp_path / "results.npz").values())
    for scores in (0, 2, 4):
        np.testing.assert_allclose(there[scores], here[scores], rtol=1e-5)
        np.testing.assert_array_equal(there[scores + 1], here[scores + 1])
