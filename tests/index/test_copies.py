"""An index as plain data: pickled, copied, as bytes, in files that are open, in other processes."""

import copy
import gc
import io
import multiprocessing
import pickle
import weakref

import numpy as np
import pytest

from shortlist.index import Filter, Index, IndexConfig, SearchSettings, tune

RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((3_000, 12), dtype=np.float32)
QUERIES = RNG.standard_normal((20, 12), dtype=np.float32)


def made(ids=None, **config):
    index = Index.build(ROWS, ids, metric="l2", config=IndexConfig(leaves=40, **config))
    index.settings = SearchSettings(leaves=7, rerank=33)
    return index


def assert_same(a, b):
    assert (a.metric, a.config, a.settings) == (b.metric, b.config, b.settings)
    for kind in ({}, {"settings": SearchSettings(exact=True)}):
        found, wanted = a.search(QUERIES, 8, **kind), b.search(QUERIES, 8, **kind)
        assert [part.tolist() for part in found] == [part.tolist() for part in wanted]


COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "bytes": lambda index: Index.from_bytes(index.to_bytes()),
    "bytearray": lambda index: Index.from_bytes(bytearray(index.to_bytes())),
    **{
        f"pickle {protocol}": lambda index, p=protocol: pickle.loads(pickle.dumps(index, p))
        for protocol in range(2, 6)
    },
}


@pytest.mark.parametrize("ids", [None, range(7, 3_007), [f"ü{i}" for i in range(3_000)]])
@pytest.mark.parametrize("how", COPIES)
def test_a_copy_answers_as_the_index_does(how, ids):
    index = made(ids, store="int8")
    assert_same(COPIES[how](index), index)


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_has_settings_of_its_own(how):
    index = made()
    other = COPIES[how](index)
    other.settings = SearchSettings(exact=True)
    assert index.settings == SearchSettings(leaves=7, rerank=33)
    index.settings = SearchSettings(leaves=1)
    assert other.settings == SearchSettings(exact=True)


def test_a_copy_outlives_the_index():
    index = made()
    wanted = index.search(QUERIES, 5).rows.tolist()
    other = copy.copy(index)
    del index
    gc.collect()
    assert other.search(QUERIES, 5).rows.tolist() == wanted


def test_the_bytes_are_those_of_the_file(tmp_path):
    index = made()
    index.save(tmp_path / "a.slx")
    assert index.to_bytes() == (tmp_path / "a.slx").read_bytes()
    mapped = Index.load(tmp_path / "a.slx", mmap=True)
    assert mapped.to_bytes() == index.to_bytes()
    assert_same(pickle.loads(pickle.dumps(mapped)), index)


def test_pickling_can_leave_the_bytes_out_of_band():
    index, buffers = made(), []
    pickled = pickle.dumps(index, 5, buffer_callback=buffers.append)
    assert len(pickled) < 1_000
    assert_same(pickle.loads(pickled, buffers=buffers), index)


class Drop(io.RawIOBase):
    """A raw file that takes little at a time."""

    def __init__(self):
        self.taken = b""

    def writable(self):
        return True

    def write(self, data):
        part = bytes(data[:1_000])
        self.taken += part
        return len(part)


def test_an_open_file_will_do(tmp_path):
    index = made()
    memory, drop = io.BytesIO(), Drop()
    index.save(memory)
    memory.seek(0)
    assert_same(Index.load(memory), index)
    index.save(drop)
    assert drop.taken == index.to_bytes()
    with (tmp_path / "a.slx").open("wb") as file:
        index.save(file)
    with (tmp_path / "a.slx").open("rb") as file:
        assert_same(Index.load(file), index)
    with pytest.raises(ValueError, match="`mmap` needs the path of a file"):
        Index.load(memory, mmap=True)


def test_what_is_no_index_is_refused():
    data = made().to_bytes()
    for damaged in (b"", b"x", data[:-1], data + b"x", data[:100] + b"!" + data[101:]):
        with pytest.raises(ValueError, match="`data` is not a sound Shortlist index"):
            Index.from_bytes(damaged)
    with pytest.raises(TypeError, match="`data` must be bytes, got str"):
        Index.from_bytes("abc")
    for call in (made().save, Index.load):
        with pytest.raises(TypeError, match="`path` must be a path or an open binary file"):
            call(7)
    with pytest.raises(TypeError, match="`data` must be bytes, got str"):
        Index.load(io.StringIO("abc"))


def test_a_filter_goes_with_its_index():
    index = made()
    mask = RNG.random(3_000) < 0.5
    few, many = Filter(index, [5, 6, 7]), Filter(index, mask)
    wanted = [index.search(QUERIES, 4, allow=kept).rows.tolist() for kept in (few, many)]
    for how in (copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))):
        other, *filters = how((index, few, many))
        assert [len(kept) for kept in filters] == [3, mask.sum()]
        found = [other.search(QUERIES, 4, allow=kept).rows.tolist() for kept in filters]
        assert found == wanted
    both = pickle.dumps((index, few, many))
    assert len(both) < 1.1 * len(pickle.dumps(index))
    assert copy.copy(index).search(QUERIES, 4, allow=few).rows.tolist() == wanted[0]
    with pytest.raises(ValueError, match="`allow` must be a filter made by this index"):
        pickle.loads(pickle.dumps(index)).search(QUERIES, 4, allow=few)


def test_a_spawned_worker_gets_the_index():
    index = made()
    allowed = Filter(index, range(0, 3_000, 2))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        task = pool.apply_async(index.search, (QUERIES, 5), {"allow": allowed})
        found = task.get(timeout=120)
    assert found.rows.tolist() == index.search(QUERIES, 5, allow=allowed).rows.tolist()


def test_an_index_and_a_filter_can_be_referred_to_weakly():
    index = made()
    kept = Filter(index, [1])
    references = [weakref.ref(index), weakref.ref(kept)]
    assert [reference() for reference in references] == [index, kept]
    del index, kept
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_config_and_tuning_are_values_too():
    index = made()
    tuning = tune(index, QUERIES, k=3, recall=0.5)
    for value in (index.config, index.settings, tuning, index.search(QUERIES[0], 2)):
        for other in (pickle.loads(pickle.dumps(value)), copy.deepcopy(value), copy.copy(value)):
            assert type(other) is type(value)
            assert str(other) == str(value)
