"""What only `StreamingRetrieval` promises; the rest is in `test_contract.py`."""

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.layers import BruteForceRetrieval, StreamingRetrieval

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(90, 4)).astype("float32")
QUERIES = RNG.normal(size=(5, 4)).astype("float32")
IDS = RNG.permutation(1000)[:90]
BATCHES = [(IDS[start : start + 40], CANDIDATES[start : start + 40]) for start in (0, 40, 80)]


def found(layer):
    return ops.convert_to_numpy(layer(QUERIES)[1])


def saved_and_loaded(layer, path):
    inputs = keras.Input((4,))
    keras.Model(inputs, layer(inputs)).save(path)
    return keras.saving.load_model(path).layers[-1]


def test_reads_its_dataset_at_every_call():
    readings = []

    def dataset():
        readings.append("read")
        return BATCHES

    layer = StreamingRetrieval(k=3)
    layer.index_from_dataset(dataset)
    np.testing.assert_array_equal(found(layer), found(BruteForceRetrieval(CANDIDATES, IDS, k=3)))
    found(layer)
    assert len(readings) == 3


def test_an_iterator_is_refused():
    with pytest.raises(ValueError, match="`batches` must be iterable again and again"):
        StreamingRetrieval().index_from_dataset(iter(BATCHES))


def test_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="`batches` must give at least one batch, got none"):
        StreamingRetrieval().index_from_dataset([])


def test_a_dataset_that_changed_its_length_is_noticed():
    batches = list(BATCHES)
    layer = StreamingRetrieval(k=3)
    layer.index_from_dataset(batches)
    del batches[1]
    with pytest.raises(ValueError, match="gave 50 candidates, 90 when it was indexed"):
        layer(QUERIES)


@pytest.mark.parametrize("names", [False, True], ids=["integers", "strings"])
def test_a_file_keeps_the_ids_of_a_dataset_and_asks_for_the_rest(names, tmp_path):
    ids = np.array([f"film {i}" for i in IDS], dtype=object) if names else IDS
    batches = [(ids[:50], CANDIDATES[:50]), (ids[50:], CANDIDATES[50:])]
    layer = StreamingRetrieval(k=3, return_rows=names)
    layer.index_from_dataset(batches)
    loaded = saved_and_loaded(layer, tmp_path / "model.keras")
    assert loaded.get_config() == layer.get_config()
    assert loaded.num_candidates == 90
    assert loaded.lookup([0, 89]).tolist() == ids[[0, 89]].tolist()
    message = "dataset, which is not part of the file .* call `index_from_dataset` with it again"
    for use in (lambda: loaded(QUERIES), lambda: loaded.to_exportable()):
        with pytest.raises(ValueError, match=message):
            use()
    loaded.index_from_dataset(batches)
    np.testing.assert_array_equal(found(loaded), found(layer))
