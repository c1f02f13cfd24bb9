"""`IndexConfig` and `SearchSettings`: plain, frozen, checked."""

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest

from shortlist.index import Index, IndexConfig, SearchSettings


def test_settings_are_values():
    settings = SearchSettings(leaves=5, rerank=70, stop=1.5)
    assert settings == SearchSettings(leaves=5, rerank=70, stop=1.5)
    assert hash(settings) == hash(SearchSettings(leaves=5, rerank=70, stop=1.5))
    assert replace(settings, leaves=6) == SearchSettings(leaves=6, rerank=70, stop=1.5)
    assert SearchSettings(**asdict(settings)) == settings
    assert set(asdict(settings)) == {"exact", "leaves", "rerank", "stop", "groups"}
    with pytest.raises(FrozenInstanceError):
        settings.leaves = 3


def test_settings_travel_between_processes():
    settings = SearchSettings(exact=True, groups=3)
    for other in (pickle.loads(pickle.dumps(settings)), copy.deepcopy(settings)):
        assert other == settings
        index = Index.build(np.eye(3, dtype=np.float32))
        assert index.search([1, 2, 3], 1, settings=other).rows.tolist() == [2]


@pytest.mark.parametrize(
    "fields",
    [{"leaves": 0}, {"leaves": -3}, {"rerank": -1}, {"stop": float("nan")}, {"groups": -1}],
)
def test_settings_out_of_range_are_refused(fields):
    (name,) = fields
    with pytest.raises(ValueError, match=f"`{name}`"):
        SearchSettings(**fields)


CONFIGS = [
    {"leaves": 0},
    {"codes": "int2"},
    {"codes": 8},
    {"codes": ["int8"]},
    {"store": None},
    {"store": 32},
    {"store": "float64"},
    {"tier": -1},
    {"sample": 0},
    {"iterations": -1},
]


@pytest.mark.parametrize("fields", CONFIGS)
def test_configs_out_of_range_are_refused_when_building(fields):
    (name,) = fields
    with pytest.raises(ValueError, match=f"`{name}`"):
        Index.build(np.eye(3, dtype=np.float32), config=IndexConfig(**fields))


def test_unknown_fields_are_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'leafs'"):
        IndexConfig(leafs=3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nprobe'"):
        SearchSettings(nprobe=3)


def test_the_config_of_an_index_says_what_was_chosen():
    rows = np.random.default_rng(0).standard_normal((3_000, 8), dtype=np.float32)
    config = Index.build(rows, config=IndexConfig(leaves=40, sample=2_000)).config
    assert (config.leaves, config.sample, config.exact) == (40, 2_000, False)
    assert config.codes in ("int8", "int4")
    assert isinstance(config.tier, int)
    exact = Index.build(rows, config=IndexConfig(exact=True))
    assert exact.config.exact
    assert exact.settings.exact
