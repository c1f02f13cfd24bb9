"""What only `ApproximateRetrieval` promises; the rest is in `test_contract.py`."""

import zipfile

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.index import IndexConfig, SearchSettings
from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval

RNG = np.random.default_rng(0)
CENTERS = RNG.normal(size=(50, 16))
CANDIDATES = (np.repeat(CENTERS, 60, axis=0) + 0.3 * RNG.normal(size=(3000, 16))).astype("float32")
QUERIES = (CENTERS[RNG.integers(0, 50, 300)] + 0.3 * RNG.normal(size=(300, 16))).astype("float32")
CONFIG = IndexConfig(leaves=60)


def recall(layer):
    exact = ops.convert_to_numpy(BruteForceRetrieval(CANDIDATES, k=10)(QUERIES)[1])
    found = ops.convert_to_numpy(layer(QUERIES)[1])
    return np.mean([len(np.intersect1d(*pair)) / 10 for pair in zip(exact, found, strict=True)])


def test_is_exact_as_its_settings_say():
    assert not ApproximateRetrieval().is_exact
    assert ApproximateRetrieval(CANDIDATES, config=IndexConfig(exact=True)).is_exact
    layer = ApproximateRetrieval(CANDIDATES, config=CONFIG, settings=SearchSettings(leaves=2))
    assert not layer.is_exact
    assert layer.index.settings == SearchSettings(leaves=2)
    layer.index.settings = SearchSettings(exact=True)
    assert layer.is_exact
    assert recall(layer) == 1


def test_target_recall_is_reached_on_the_queries_given():
    layer = ApproximateRetrieval(config=CONFIG, target_recall=0.9)
    layer.update_candidates(CANDIDATES, queries=QUERIES)
    tuned = layer.index.settings
    assert recall(layer) >= 0.87
    assert tuned.exact or tuned.leaves < 60
    layer.index_from_dataset([CANDIDATES[:1000], CANDIDATES[1000:]], queries=QUERIES)
    assert recall(layer) >= 0.87


def test_target_recall_without_queries_tunes_on_candidates():
    layer = ApproximateRetrieval(CANDIDATES, config=CONFIG, target_recall=0.9)
    assert layer.index.settings.exact or layer.index.settings.leaves < 60


def test_the_same_seed_gives_the_same_answers():
    settings = SearchSettings(leaves=2)
    one, other = (
        ApproximateRetrieval(CANDIDATES, config=CONFIG, settings=settings, seed=3) for _ in range(2)
    )
    for a, b in zip(one(QUERIES), other(QUERIES), strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


def test_config_round_trips_and_tuned_settings_are_saved(tmp_path):
    layer = ApproximateRetrieval(
        CANDIDATES,
        k=7,
        config=IndexConfig(leaves=60, codes="int4", store="bfloat16"),
        settings=SearchSettings(leaves=3, stop=0.5),
        target_recall=0.8,
        seed=4,
        name="retrieval",
    )
    copy = ApproximateRetrieval.from_config(layer.get_config())
    assert (copy.config, copy.settings) == (layer.config, layer.settings)
    assert copy.get_config() == layer.get_config()
    inputs = keras.Input((16,))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").get_layer("retrieval")
    assert loaded.index.settings == layer.index.settings
    assert loaded.index.config == layer.index.config
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(QUERIES)[1]), ops.convert_to_numpy(layer(QUERIES)[1])
    )


class Store(dict):
    """As Keras hands one to `save_own_variables`."""


def saved(layer):
    store = Store()
    layer.save_own_variables(store)
    return store


@pytest.mark.parametrize("where", [0, 9, 100, 0.3, 0.6, -1])
def test_a_damaged_index_is_an_error_and_changes_nothing(where):
    store = saved(ApproximateRetrieval(CANDIDATES, config=CONFIG))
    layer = ApproximateRetrieval(CANDIDATES[:20], k=3)
    data = store["index"].copy()
    position = int(where * len(data)) if isinstance(where, float) else where
    data[position] ^= 0x55
    store["index"] = data
    with pytest.raises(ValueError, match="index"):
        layer.load_own_variables(store)
    store["index"] = data[: len(data) // 2]
    with pytest.raises(ValueError, match="index"):
        layer.load_own_variables(store)
    assert layer.num_candidates == 20


def test_a_damaged_file_is_an_error(tmp_path):
    inputs = keras.Input((16,))
    keras.Model(inputs, ApproximateRetrieval(CANDIDATES)(inputs)).save(tmp_path / "model.keras")
    data = bytearray((tmp_path / "model.keras").read_bytes())
    data[len(data) // 2] ^= 0x55
    (tmp_path / "model.keras").write_bytes(data)
    with pytest.raises((ValueError, OSError, zipfile.BadZipFile)):
        keras.saving.load_model(tmp_path / "model.keras")


def test_weights_of_another_kind_of_layer_are_indexed():
    layer = ApproximateRetrieval(k=5)
    layer.load_own_variables(saved(BruteForceRetrieval(CANDIDATES, np.arange(3000) + 7)))
    assert layer.num_candidates == 3000
    assert layer.lookup([0]).tolist() == [7]


def test_larger_k_than_the_file_has_candidates_is_refused():
    store = saved(ApproximateRetrieval(CANDIDATES[:20], k=3))
    with pytest.raises(
        ValueError, match="`k` must be at most the number of candidates, 20, got 50"
    ):
        ApproximateRetrieval(k=50).load_own_variables(store)


@pytest.mark.parametrize("target", [0, 1.5, -1])
def test_bad_target_recall_is_refused(target):
    with pytest.raises(ValueError, match=r"`target_recall` must lie in \(0, 1\], got"):
        ApproximateRetrieval(target_recall=target)
