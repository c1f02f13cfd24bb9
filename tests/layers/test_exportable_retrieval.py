"""`to_exportable()`: the same answers from standard operations, also outside Keras."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.layers import BruteForceRetrieval

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(300, 8)).astype("float32")
QUERIES = RNG.normal(size=(7, 8)).astype("float32")
IDS = RNG.permutation(1000)[:300]
FORMS = {
    "exact": {},
    "all leaves": {"leaves": 9, "leaves_to_search": 9},
    "partitioned": {"leaves": 9, "leaves_to_search": 4},
}
BACKEND = keras.backend.backend()
CONVERTER = {"jax": "jax2onnx", "tensorflow": "tf2onnx", "torch": "onnxscript"}[BACKEND]


@pytest.fixture(params=FORMS.values(), ids=FORMS.keys())
def form(request):
    return request.param


def layer(**kwargs):
    return BruteForceRetrieval(CANDIDATES, IDS, k=10, **kwargs)


def model_of(form):
    """A query tower (here it doubles its input) and retrieval."""
    inputs = keras.Input((8,), name="features")
    queries = keras.layers.Rescaling(2.0)(inputs)
    model = keras.Model(inputs, layer().to_exportable(**form)(queries))
    model(QUERIES)
    return model


def arrays(results):
    return [ops.convert_to_numpy(part) for part in results]


@pytest.mark.parametrize("name", ["exact", "all leaves"])
def test_exact_forms_equal_the_layer(name):
    scores, ids = arrays(layer().to_exportable(**FORMS[name])(QUERIES))
    expected_scores, expected_ids = arrays(layer()(QUERIES))
    np.testing.assert_array_equal(ids, expected_ids)
    np.testing.assert_allclose(scores, expected_scores, rtol=1e-5)


def test_a_partitioned_form_finds_most_with_true_scores():
    scores, ids = arrays(layer().to_exportable(leaves=9, leaves_to_search=4)(QUERIES))
    best = arrays(layer()(QUERIES))[1]
    assert np.mean([len(np.intersect1d(*pair)) for pair in zip(ids, best, strict=True)]) > 7
    row_of = {identifier: row for row, identifier in enumerate(IDS)}
    found = CANDIDATES[[[row_of[i] for i in row] for row in ids]]
    np.testing.assert_allclose(scores, np.einsum("bd,bkd->bk", QUERIES, found), rtol=1e-4)


def test_k_scores_rows_and_query_model_carry_over():
    double = keras.layers.Rescaling(2.0)
    exportable = BruteForceRetrieval(
        CANDIDATES,
        [f"film {i}" for i in IDS],
        k=3,
        return_scores=False,
        return_rows=True,
        query_model=double,
    ).to_exportable()
    rows = ops.convert_to_numpy(exportable(QUERIES))
    np.testing.assert_array_equal(rows, np.argsort(-QUERIES @ CANDIDATES.T)[:, :3])


def test_keeps_its_candidates_when_the_layer_is_updated():
    original = layer()
    exportable = original.to_exportable()
    before = arrays(exportable(QUERIES))
    original.update_candidates(-CANDIDATES, IDS)
    np.testing.assert_array_equal(arrays(exportable(QUERIES))[1], before[1])


def test_saves_and_loads(form, tmp_path):
    model = model_of(form)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one, other in zip(arrays(model(QUERIES)), arrays(loaded(QUERIES)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore")  # of the converters, which are not ours
def test_runs_in_onnx_runtime_with_any_batch_size(form, tmp_path):
    pytest.importorskip(CONVERTER)
    onnxruntime = pytest.importorskip("onnxruntime")
    model = model_of(form)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    name = session.get_inputs()[0].name
    scores, ids = arrays(model(QUERIES))
    for batch in (1, 3, 7):
        found_scores, found_ids = session.run(None, {name: QUERIES[:batch]})
        np.testing.assert_array_equal(found_ids, ids[:batch])
        np.testing.assert_allclose(found_scores, scores[:batch], rtol=1e-4)


EXPORT = """
import sys
import keras
import shortlist.layers
keras.saving.load_model(sys.argv[1]).export(sys.argv[2], format="tf_saved_model", verbose=False)
"""


@pytest.mark.filterwarnings("ignore")  # of the converters, which are not ours
def test_runs_as_a_saved_model_with_any_batch_size(form, tmp_path):
    tensorflow = pytest.importorskip("tensorflow")
    model = model_of(form)
    folder = tmp_path / "model"
    if BACKEND == "torch":  # Keras needs torch_xla for it, which follows PyTorch by a year.
        model.save(tmp_path / "model.keras")
        subprocess.run(
            [sys.executable, "-c", EXPORT, str(tmp_path / "model.keras"), str(folder)],
            env={**os.environ, "KERAS_BACKEND": "tensorflow"},
            check=True,
        )
    else:
        model.export(folder, format="tf_saved_model", verbose=False)
    loaded = tensorflow.saved_model.load(folder)
    scores, ids = arrays(model(QUERIES))
    for batch in (1, 7):
        found_scores, found_ids = loaded.serve(QUERIES[:batch])
        np.testing.assert_array_equal(found_ids.numpy(), ids[:batch])
        np.testing.assert_allclose(found_scores.numpy(), scores[:batch], rtol=1e-4)


def test_a_query_that_is_not_finite_gets_no_candidates(form):
    broken = QUERIES.copy()
    broken[2, 3], broken[5, 0] = np.nan, np.inf
    scores, ids = arrays(layer().to_exportable(**form)(broken))
    assert (ids[[2, 5]] == -1).all()
    assert np.isneginf(scores[[2, 5]]).all()
    whole = np.delete(arrays(layer().to_exportable(**form)(QUERIES))[1], [2, 5], axis=0)
    np.testing.assert_array_equal(np.delete(ids, [2, 5], axis=0), whole)


@pytest.mark.parametrize(("rows", "k"), [(1, 1), (300, 1), (300, 7), (300, 150), (300, 300)])
def test_equal_scores_come_by_lower_row(rows, k):
    if BACKEND == "torch":
        pytest.skip("PyTorch's top-k promises no order of equal scores")
    candidates = RNG.integers(-2, 3, size=(rows, 8)).astype("float32")
    queries = RNG.integers(-2, 3, size=(5, 8)).astype("float32")
    scores, found = arrays(BruteForceRetrieval(candidates, k=k).to_exportable()(queries))
    expected = np.argsort(-queries @ candidates.T, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        scores, np.take_along_axis(queries @ candidates.T, expected, axis=1)
    )


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"leaves": 0}, "`leaves` must lie between 1 and 300, got 0"),
        ({"leaves": 301}, "`leaves` must lie between 1 and 300, got 301"),
        ({"leaves": 9, "leaves_to_search": 10}, "`leaves_to_search` must lie between 1 and 9, got"),
        ({"leaves": 150}, "`leaves_to_search` must reach k=10 candidates, got 1"),
    ],
)
def test_bad_forms_are_refused(form, message):
    with pytest.raises(ValueError, match=message):
        layer().to_exportable(**form)


def test_no_candidates_yet():
    with pytest.raises(ValueError, match="has no candidates yet"):
        BruteForceRetrieval().to_exportable()
