"""`Codebook`: learnt once, the same scores in every index that is built with it."""

import copy
import pickle

import numpy as np
import pytest

import shortlist
from shortlist.index import Codebook, Index, IndexConfig, SearchSettings

METRICS = ["dot", "cosine", "l2"]
EXACT = SearchSettings(exact=True)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def test_it_is_exported_where_index_is():
    assert shortlist.Codebook is Codebook


@pytest.mark.parametrize("codes", ["int8", "int4", "pq4"])
@pytest.mark.parametrize("metric", METRICS)
def test_building_is_learning_and_then_encoding(metric, codes, tmp_path):
    rows = normal(1, 3_000, 12)
    config = IndexConfig(leaves=40, codes=codes, tier=30)
    codebook = Codebook.learn(rows, metric=metric, config=config, seed=3, threads=1)
    Index.build(rows, metric=metric, config=config, seed=3).save(tmp_path / "at once")
    index = Index.build(rows, config=IndexConfig(store="float32"), codebook=codebook)
    index._engine.note = Index.load(tmp_path / "at once")._engine.note
    index.settings = Index.load(tmp_path / "at once").settings
    index.save(tmp_path / "in turn")
    assert (tmp_path / "in turn").read_bytes() == (tmp_path / "at once").read_bytes()


@pytest.mark.parametrize("store", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("codes", ["int8", "int4", "pq4"])
@pytest.mark.parametrize("metric", METRICS)
def test_parts_with_one_codebook_answer_as_the_whole_bit_for_bit(metric, codes, store):
    rows, queries = normal(2, 4_000, 12), normal(3, 20, 12)
    learnt = IndexConfig(leaves=50, codes=codes, spread=1, tier=40)
    codebook = Codebook.learn(rows[::3], metric=metric, config=learnt)
    config = IndexConfig(store=store)
    whole = Index.build(rows, codebook=codebook, config=config, threads=2)
    owners = np.random.default_rng(4).integers(0, 3, len(rows))
    parts = [np.flatnonzero(owners == part) for part in range(3)]
    indexes = [
        Index.build(rows[part], part, codebook=codebook, config=config, threads=1 + at % 2)
        for at, part in enumerate(parts)
    ]
    wanted = whole.search(queries, 15, settings=EXACT)
    found = [index.search(queries, 15, settings=EXACT) for index in indexes]
    scores, ids = (np.concatenate([f[field] for f in found], axis=1) for field in (0, 1))
    order = np.lexsort((ids, -scores))[:, :15]
    assert np.take_along_axis(scores, order, 1).tobytes() == wanted.scores.tobytes()
    assert np.take_along_axis(ids, order, 1).tolist() == wanted.ids.tolist()
    # Scanned without an early stop and scored in full, the same leaves give the same rows.
    near = SearchSettings(leaves=10, rerank=4_000, stop=0)
    wanted = whole.search(queries, 15, settings=near)
    found = [index.search(queries, 15, settings=near) for index in indexes]
    scores, ids = (np.concatenate([f[field] for f in found], axis=1) for field in (0, 1))
    order = np.lexsort((ids, -scores))[:, :15]
    assert np.take_along_axis(scores, order, 1).tobytes() == wanted.scores.tobytes()
    assert np.take_along_axis(ids, order, 1).tolist() == wanted.ids.tolist()


def test_rows_unlike_those_it_was_learnt_from_are_found_exactly():
    codebook = Codebook.learn(normal(5, 500, 6), config=IndexConfig(leaves=20))
    rows, queries = 50 * normal(6, 2_000, 6) + 7, normal(7, 9, 6)
    found = Index.build(rows, codebook=codebook).search(queries, 10, settings=EXACT)
    scores = queries.astype(np.float64) @ rows.astype(np.float64).T
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :10], rtol=1e-5)


def test_an_index_lends_its_codebook():
    rows = normal(8, 2_000, 8)
    index = Index.build(rows, metric="l2", config=IndexConfig(leaves=30))
    again = Index.build(rows[:900], codebook=index.codebook)
    assert (again.metric, again.config.leaves) == ("l2", 30)
    assert (index.codebook.metric, index.codebook.dim) == ("l2", 8)
    assert again.search(rows[5], 1, settings=EXACT).rows.tolist() == [5]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_learns_nothing_new(copied):
    rows = normal(9, 1_000, 70)
    codebook = Codebook.learn(rows, config=IndexConfig(leaves=20, codes="int4"))
    one, two = (Index.build(rows, codebook=book) for book in (codebook, copied(codebook)))
    assert one.to_bytes() == two.to_bytes()
    assert Codebook.from_bytes(one.to_bytes()).to_bytes() == codebook.to_bytes()


def test_a_codebook_alone_is_no_index():
    data = Codebook.learn(normal(10, 50, 3)).to_bytes()
    with pytest.raises(ValueError, match="it holds a codebook without rows"):
        Index.from_bytes(data)
    for at in range(0, len(data), 7):
        damaged = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        with pytest.raises(ValueError, match="is not a sound Shortlist index"):
            Codebook.from_bytes(damaged)


def test_what_does_not_fit_a_codebook_is_refused():
    codebook = Codebook.learn(normal(11, 50, 3), metric="cosine")
    with pytest.raises(ValueError, match=r"`embeddings` must have shape \(n, 3\), got \(5, 4\)"):
        Index.build(np.ones((5, 4)), codebook=codebook)
    with pytest.raises(
        ValueError, match="`metric` must be that of the codebook, 'cosine', got 'l2"
    ):
        Index.build(np.ones((5, 3)), metric="l2", codebook=codebook)
    with pytest.raises(ValueError, match="`config` must leave `leaves` to the codebook"):
        Index.build(np.ones((5, 3)), codebook=codebook, config=IndexConfig(leaves=2))
    with pytest.raises(TypeError, match="`codebook` must be a Codebook, got dict"):
        Index.build(np.ones((5, 3)), codebook={})
    with pytest.raises(TypeError, match=r"Codebook\.learn"):
        Codebook()
    with pytest.raises(ValueError, match="`sample` must be finite, got NaN in row 1"):
        Codebook.learn([[1.0], [np.nan]])
    with pytest.raises(ValueError, match="`sample` must have at least one row"):
        Codebook.learn(np.ones((0, 3)))
