"""`model.export` of a model with a retrieval layer: a file that answers alike, or a refusal."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

BACKEND = keras.backend.backend()
CONVERTER = {"jax": "jax2onnx", "tensorflow": "tf2onnx", "torch": "onnxscript"}[BACKEND]
RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(300, 8)).astype("float32")
QUERIES = RNG.normal(size=(7, 8)).astype("float32")
IDS = RNG.permutation(1000)[:300]
pytestmark = pytest.mark.filterwarnings("ignore")  # of the converters, which are not ours

RUN_ONNX = """
import json, sys
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
given = dict(np.load(sys.argv[2]))
names = [part.name for part in session.get_inputs()]
answers = session.run(None, dict(zip(names, given.values(), strict=True)))
print(json.dumps([part.tolist() for part in answers]))
"""
RUN_SAVED_MODEL = """
import json, sys
import numpy as np, tensorflow
model = tensorflow.saved_model.load(sys.argv[1])
answers = model.serve(*np.load(sys.argv[2]).values())
print(json.dumps([part.numpy().tolist() for part in answers]))
"""


def model_of(layer):
    inputs = keras.Input((8,), name="features")
    return keras.Model(inputs, layer(keras.layers.Rescaling(2.0)(inputs)))


def exported(model, form, folder):
    """The path of the exported model and the program that runs it."""
    if form == "onnx":
        pytest.importorskip(CONVERTER)
        pytest.importorskip("onnxruntime")
        path, program = folder / "model.onnx", RUN_ONNX
    else:
        if BACKEND == "torch":
            pytest.skip("Keras needs torch_xla for it, which follows PyTorch by a year")
        path, program = folder / "model", RUN_SAVED_MODEL
    model.export(path, format=form, verbose=False)
    return path, program


def answers(path, program, folder, *inputs):
    """What the exported model answers in a new process, without Keras."""
    np.savez(folder / "inputs.npz", *inputs)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path), str(folder / "inputs.npz")],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        stdout=subprocess.PIPE,
    )
    return [np.array(part) for part in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.parametrize("form", ["onnx", "tf_saved_model"])
def test_brute_force_exports_as_it_is(form, tmp_path):
    model = model_of(BruteForceRetrieval(CANDIDATES, IDS, k=10))
    expected = [ops.convert_to_numpy(part) for part in model(QUERIES)]
    path, program = exported(model, form, tmp_path)
    for batch in (7, 1):
        scores, ids = answers(path, program, tmp_path, QUERIES[:batch])
        np.testing.assert_array_equal(ids, expected[1][:batch])
        np.testing.assert_allclose(scores, expected[0][:batch], rtol=1e-4)


@pytest.mark.parametrize("form", ["onnx", "tf_saved_model"])
def test_brute_force_exports_with_exclusions(form, tmp_path):
    layer = BruteForceRetrieval(CANDIDATES, IDS, k=10)
    dtype = "int32" if BACKEND == "jax" else "int64"
    queries, exclusions = keras.Input((8,)), keras.Input((3,), dtype=dtype)
    model = keras.Model([queries, exclusions], layer.query_with_exclusions(queries, exclusions))
    excluded = ops.convert_to_numpy(layer(QUERIES)[1])[:, :3].astype(dtype)
    expected = ops.convert_to_numpy(model([QUERIES, excluded])[1])
    if form == "tf_saved_model":
        if BACKEND == "torch":
            pytest.skip("Keras needs torch_xla for it, which follows PyTorch by a year")
        tensorflow = pytest.importorskip("tensorflow")
        model.export(tmp_path / "model", format=form, verbose=False)
        loaded = tensorflow.saved_model.load(tmp_path / "model")
        np.testing.assert_array_equal(loaded.serve([QUERIES, excluded])[1].numpy(), expected)
        return
    path, program = exported(model, form, tmp_path)
    np.testing.assert_array_equal(answers(path, program, tmp_path, QUERIES, excluded)[1], expected)


@pytest.mark.parametrize("form", ["onnx", "tf_saved_model"])
@pytest.mark.parametrize("kind", [ApproximateRetrieval, StreamingRetrieval])
def test_layers_that_search_on_the_host_are_refused_by_name(kind, form, tmp_path):
    model = model_of(kind(CANDIDATES, IDS, k=10, name="finder"))
    model(QUERIES)
    if BACKEND == "tensorflow" and form == "onnx":
        pytest.importorskip("tf2onnx")
    message = rf"Layer 'finder' \({kind.__name__}\) searches on the host.*`layer.to_exportable\(\)`"
    if BACKEND == "torch" and form == "tf_saved_model":
        pytest.skip("Keras needs torch_xla for it")
    with pytest.raises(ValueError, match=message):
        model.export(tmp_path / "model.onnx", format=form, verbose=False)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(QUERIES)[1]),
        ops.convert_to_numpy(model_of(BruteForceRetrieval(CANDIDATES, IDS, k=10))(QUERIES)[1]),
    )
