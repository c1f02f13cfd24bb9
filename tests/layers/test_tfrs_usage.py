"""The layers as users of `tfrs.layers.factorized_top_k` call them, and what its tests check."""

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.index import IndexConfig, SearchSettings
from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(123, 4)).astype("float32")
QUERIES = RNG.normal(size=(15, 4)).astype("float32")
TITLES = np.array([f"film {i}" for i in RNG.permutation(123)], dtype=object)
IDS = RNG.permutation(1000)[:123]


def approximate(**kwargs):
    """One leaf, searched and reranked whole, so that the answers are known."""
    return ApproximateRetrieval(
        config=IndexConfig(leaves=1), settings=SearchSettings(leaves=1, rerank=1000), **kwargs
    )


@pytest.fixture(params=[BruteForceRetrieval, approximate, StreamingRetrieval])
def make(request):
    return request.param


def best(k, ids=None, exclude=None):
    scores = QUERIES @ CANDIDATES.T
    if exclude is not None:
        np.put_along_axis(scores, exclude, -np.inf, axis=1)
    rows = np.argsort(-scores, axis=1)[:, :k]
    return rows if ids is None else ids[rows]


def found(result):
    return ops.convert_to_numpy(result[1])


def batches(*arrays, size):
    """A `tf.data.Dataset` of batches, where TensorFlow is installed."""
    tensorflow = pytest.importorskip("tensorflow")
    parts = arrays if len(arrays) > 1 else arrays[0]
    return tensorflow.data.Dataset.from_tensor_slices(parts).batch(size)


@pytest.mark.parametrize("k", [5, 10])
@pytest.mark.parametrize("size", [3, 64, 1024], ids=["less than k", "some", "all"])
def test_datasets_of_embeddings_and_of_ids_and_embeddings(make, k, size):
    layer = make(k=k)
    for _ in range(2):
        scores, rows = layer.index_from_dataset(batches(CANDIDATES, size=size))(QUERIES)
        np.testing.assert_array_equal(ops.convert_to_numpy(rows), best(k))
        expected = -np.sort(-QUERIES @ CANDIDATES.T, axis=1)[:, :k]
        np.testing.assert_allclose(ops.convert_to_numpy(scores), expected, rtol=1e-5, atol=1e-6)
    for _ in range(2):
        result = layer.index_from_dataset(batches(IDS, CANDIDATES, size=size))(QUERIES)
        np.testing.assert_array_equal(found(result), best(k, IDS))


def test_titles_as_ids(make):
    dataset = batches(TITLES.astype(str), CANDIDATES, size=50)
    layer = make(k=5, return_rows=True).index_from_dataset(dataset)
    titles = layer.lookup(layer(QUERIES)[1])
    assert titles.tolist() == best(5, TITLES).tolist()


def test_titles_that_repeat_as_labels(make):
    titles = TITLES.copy()
    titles[1] = titles[0]
    with pytest.raises(ValueError, match=r"unique, got 'film .*layer.lookup\(rows, labels=titles"):
        make(k=5, return_rows=True).index_from_dataset([(titles, CANDIDATES)])
    layer = make(k=5, return_rows=True).index_from_dataset([CANDIDATES])
    assert layer.lookup(layer(QUERIES)[1], labels=titles).tolist() == best(5, titles).tolist()


def test_k_of_a_call_and_the_keyword_queries(make):
    layer = make(k=5).index_from_dataset([CANDIDATES])
    np.testing.assert_array_equal(found(layer(QUERIES, 7)), best(7))
    np.testing.assert_array_equal(found(layer(queries=QUERIES, k=7)), best(7))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(queries=inputs))
    np.testing.assert_array_equal(model.predict(QUERIES, verbose=0)[1], best(5))
    with pytest.raises(ValueError, match="`inputs` must be given, by this name or as `queries`"):
        layer()


def test_query_with_exclusions_of_titles_in_tensors(make):
    tensorflow = pytest.importorskip("tensorflow")
    layer = make(k=5, return_rows=True)
    layer.update_candidates(CANDIDATES, TITLES)
    excluded = best(3)
    expected = best(5, exclude=excluded)
    names = TITLES[excluded].tolist()
    for exclusions in (tensorflow.constant(names), tensorflow.ragged.constant(names)):
        result = layer.query_with_exclusions(QUERIES, exclusions)
        np.testing.assert_array_equal(found(result), expected)
    ragged = tensorflow.ragged.constant([names[0], *[[]] * 14])
    rows = found(layer.query_with_exclusions(QUERIES, ragged))
    np.testing.assert_array_equal(rows, np.concatenate([expected[:1], best(5)[1:]]))


def test_a_query_model_takes_features(make):
    table = keras.layers.Embedding(15, 4)
    table.build(())
    table.set_weights([QUERIES])
    layer = make(k=5, query_model=table).index_from_dataset([CANDIDATES])
    np.testing.assert_array_equal(found(layer(np.arange(15))), best(5))


def test_candidates_before_any_are_given(make):
    with pytest.raises(ValueError, match="call `update_candidates` or `index_from_dataset` first"):
        make(k=5)(QUERIES)
