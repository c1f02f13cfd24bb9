"""Candidates come and go: what an index holds is what a dictionary would hold, step by step."""

import copy
import os
import pickle
import threading

import numpy as np
import pytest

from shortlist.index import Changes, Filter, Index, IndexConfig, SearchSettings, col

DIM = 8
EXACT = SearchSettings(exact=True)
STEPS = int(os.environ.get("SHORTLIST_UPDATE_STEPS", "120"))  # thousands take minutes


def whole_numbers(rng, n):
    """Embeddings whose scores float32 holds exactly, so that ties are ties."""
    return rng.integers(-9, 10, (n, DIM)).astype(np.float32)


def built(n=300, ids=None, **config):
    rows = whole_numbers(np.random.default_rng(0), n)
    return Index.build(rows, ids, config=IndexConfig(leaves=min(n, 12), **config)), rows


def test_what_is_upserted_is_found_and_what_is_deleted_is_not():
    index, rows = built(ids=[f"film {i}" for i in range(300)])
    assert index.upsert(20 * rows[:2], ["film 0", "a new one"]) == Changes(added=1, replaced=1)
    assert index.search(rows[0], 1).ids.tolist() == ["film 0"]
    assert index.search(rows[1], 1).ids.tolist() == ["a new one"]
    assert (len(index), "a new one" in index) == (301, True)
    assert index.delete(["a new one", "never there", "film 7", "film 7"]) == 2
    assert (len(index), "a new one" in index, "film 7" in index) == (299, False, False)
    assert "a new one" not in index.search(rows, 300).ids
    np.testing.assert_array_equal(index.vectors(["film 0"]), 20 * rows[:1])


def test_rows_are_positions_in_the_ids_in_the_order_of_the_last_upserts():
    index, rows = built(10)
    index.upsert(rows[:2], [3, 40])
    index.delete([0, 7])
    assert index.ids.tolist() == [1, 2, 4, 5, 6, 8, 9, 3, 40]
    assert index.rows([1, 9, 40, 0]).tolist() == [0, 6, 8, -1]
    found = index.search(rows, 9)
    assert index.ids[found.rows].tolist() == found.ids.tolist()
    ranged = index.range_search(rows[0], -1e9)
    assert index.ids[ranged.rows].tolist() == ranged.ids.tolist()
    mask = np.isin(index.ids, [2, 3])
    assert set(index.search(rows[0], 3, allow=mask).ids.tolist()) == {2, 3, -1}
    assert list(index) == index.ids.tolist()
    assert index.describe()["rows"] == 9


def test_without_ids_the_rows_of_the_build_are_the_ids():
    index, rows = built(5)
    index.delete([0])
    index.upsert(rows[:1], [17])
    assert index.ids.tolist() == [1, 2, 3, 4, 17]


@pytest.mark.parametrize("ids", [range(300), [f"ü{i}" for i in range(300)]])
def test_a_call_that_fails_changes_nothing(ids):
    index, rows = built(ids=ids)
    before = index.to_bytes()
    first, second = list(ids)[:2]
    other = 1 if isinstance(first, str) else "1"
    for arguments, message in [
        ((rows[:2], [first, first]), r"`ids` must be unique, got .* again at position 1"),
        ((rows[:2], [first]), "`ids` must have one id for each of the 2 embeddings, got 1"),
        ((rows[:1], [other]), "`ids` must be (text|integers), as the ids of this index are"),
        ((rows[:2, :3], [first, second]), r"`embeddings` must have shape \(n, 8\)"),
        ((rows[:2] * np.nan, [first, second]), "NaN"),
        ((rows[:1], [None]), "missing ids"),
    ]:
        with pytest.raises(ValueError, match=message):
            index.upsert(*arguments)
    with pytest.raises(ValueError, match=r"`ids` must be (text|integers), as the ids of this"):
        index.delete([other])
    assert index.delete([]) == 0
    assert index.to_bytes() == before


def test_an_empty_index_is_searched_saved_and_filled_again():
    index, rows = built(40)
    assert index.delete(range(40)) == 40
    assert len(index) == 0
    assert index.ids.tolist() == []
    again = Index.from_bytes(index.to_bytes())
    for one in (index, again):
        assert one.search(rows, 2).rows.tolist() == [[-1, -1]] * 40
        one.upsert(rows[:1], [9])
        assert one.search(rows, 2).ids.tolist() == [[9, -1]] * 40


def test_rows_far_longer_than_any_learnt_score_as_they_are():
    for metric in ("dot", "l2"):
        rows = whole_numbers(np.random.default_rng(1), 500)
        index = Index.build(rows, metric=metric, config=IndexConfig(leaves=12))
        index.upsert(1_000 * rows[:3], [500, 501, 502])
        every = np.concatenate((rows, 1_000 * rows[:3])).astype(np.float64)
        query = 900 * rows[1].astype(np.float64)
        scores = every @ query if metric == "dot" else -((every - query) ** 2).sum(axis=1)
        found = index.search(query, 503, settings=EXACT)
        np.testing.assert_allclose(found.scores, np.sort(scores)[::-1], rtol=1e-6)
        assert found.ids[0] == np.argmax(scores)


@pytest.mark.parametrize("store", ["float32", "int8"])
def test_copies_go_their_own_way(store):
    index, rows = built(store=store)
    shallow, deep, pickled = (
        copy.copy(index),
        copy.deepcopy(index),
        pickle.loads(pickle.dumps(index)),
    )
    index.upsert(50 * rows[:1], [1_000])
    shallow.delete([5])
    assert [len(one) for one in (index, shallow, deep, pickled)] == [301, 299, 300, 300]
    assert index.search(rows[0], 1).ids.tolist() == [1_000]
    assert 1_000 not in deep.search(rows[0], 300).ids
    again = pickle.loads(pickle.dumps(index))
    assert again.search(rows, 5).ids.tolist() == index.search(rows, 5).ids.tolist()
    assert again.to_bytes() == index.to_bytes()


def test_a_mapped_index_changes_and_its_file_does_not(tmp_path):
    index, rows = built()
    index.save(tmp_path / "a.slx")
    data = (tmp_path / "a.slx").read_bytes()
    mapped = Index.load(tmp_path / "a.slx", mmap=True)
    mapped.delete(range(0, 300, 2))
    mapped.upsert(9 * rows[:30], range(400, 430))
    assert (tmp_path / "a.slx").read_bytes() == data
    index.delete(range(0, 300, 2))
    index.upsert(9 * rows[:30], range(400, 430))
    assert mapped.search(rows, 9).ids.tolist() == index.search(rows, 9).ids.tolist()
    mapped.save(tmp_path / "a.slx")
    assert Index.load(tmp_path / "a.slx").ids.tolist() == index.ids.tolist()


def test_a_filter_allows_the_same_ids_after_changes():
    index, rows = built()
    few, half = Filter(index, [3, 5, 250]), Filter(index, np.arange(300) % 2 == 0)
    index.delete([5, 4])
    index.upsert(rows[:50], range(1_000, 1_050))
    index.upsert(rows[:1], [3])
    assert set(index.search(rows[0], 300, allow=few).ids.tolist()) == {3, 250, -1}
    found = set(index.search(rows[0], 300, allow=half).ids.tolist()) - {-1}
    assert found == set(range(0, 300, 2)) - {4}
    assert (len(few), len(half)) == (2, 149)
    other, kept = pickle.loads(pickle.dumps((index, half)))
    assert set(other.search(rows[0], 300, allow=kept).ids.tolist()) - {-1} == found
    other, _ = built()
    with pytest.raises(ValueError, match="`allow` must be a filter made by this index"):
        other.search(rows[0], 1, allow=few)


def test_memory_of_deleted_candidates_comes_back():
    index, rows = built(5_000)
    whole = index.nbytes
    index.delete(range(0, 5_000, 2))
    assert index.nbytes < 0.65 * whole
    for turn in range(20):
        index.upsert(rows[:2_500] + turn, range(1, 5_000, 2))
    assert index.nbytes < 0.9 * whole
    assert index.describe()["segments"] <= 3


def clustered(rng, n, centres):
    """Embeddings near some centres."""
    return (rng.choice(centres, n) + rng.standard_normal((n, 16)) / 3).astype(np.float32)


def recall_of(index, queries):
    settings = SearchSettings(leaves=4, rerank=30)
    found = index.search(queries, 10, settings=settings).ids
    exact = index.search(queries, 10, settings=EXACT).ids
    return np.mean([len(set(a) & set(b)) for a, b in zip(found, exact, strict=True)]) / 10


def test_after_rebalance_an_index_is_as_good_as_a_fresh_one():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 100, 16)) * 2
    config, n = IndexConfig(leaves=100), 12_000
    index = Index.build(clustered(rng, n, first), range(7, n + 7), config=config)
    assert index.health().outside == 0
    for part in np.array_split(np.arange(7, n + 7), 5):  # the clusters move
        index.upsert(clustered(rng, len(part), second), part)
    queries = clustered(rng, 300, second)
    moved, stale = index.health(), recall_of(index, queries)
    ids, scores = index.ids, index.search(queries, 10, settings=EXACT).scores
    index.rebalance()
    fresh = Index.build(index.vectors(ids), ids, config=config)
    assert moved.outside > 0.3
    assert moved.imbalance > 2 * index.health().imbalance
    assert index.health() == fresh.health()
    assert index.ids.tolist() == ids.tolist()
    assert index.search(queries, 10, settings=EXACT).scores.tolist() == scores.tolist()
    assert recall_of(index, queries) == recall_of(fresh, queries) > stale + 0.1
    assert index.nbytes == fresh.nbytes


def test_changes_during_a_rebalance_are_kept():
    index, rows = built(3_000)
    model = Catalogue(range(3_000), rows)
    taken = iter(range(1_000_000))
    allowed = Filter(index, range(0, 4_000, 2))

    def change(stage, fraction):
        turn = next(taken)
        if turn > 30:
            return
        ids = [turn, 5_000 + turn % 7]
        assert index.upsert(rows[:2] + turn, ids) == model.upsert(ids, rows[:2] + turn)
        assert index.delete([turn // 2, 900 + turn]) == model.delete([turn // 2, 900 + turn])

    index.rebalance(change)
    assert next(taken) > 10
    assert index.ids.tolist() == list(model.of)
    for query in rows[:20]:
        ids, scores = model.best(query, 10, "dot")
        found = index.search(query, 10, settings=EXACT)
        assert (found.ids.tolist(), found.scores.tolist()) == (ids, scores)
    found = set(index.search(rows[0], 3_000, allow=allowed).ids.tolist()) - {-1}
    assert found == {one for one in model.of if one < 3_000 and one % 2 == 0}


def test_a_rebalance_that_is_stopped_changes_nothing():
    index, rows = built(3_000)
    index.upsert(rows[:100] * 2, range(100))
    before = index.to_bytes()

    def stop(stage, fraction):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        index.rebalance(stop)
    assert index.to_bytes() == before
    index.delete([0])
    index.rebalance()
    assert (len(index), index.health().deleted) == (2_999, 0)


def test_an_empty_index_has_nothing_to_rebalance():
    index, _ = built(20)
    index.delete(range(20))
    index.rebalance()
    assert (len(index), index.health().rows) == (0, 0)


class Catalogue:
    """What an index should hold, in a dictionary whose order is that of the last upserts."""

    def __init__(self, ids, rows):
        self.of = dict(zip(ids, rows, strict=True))

    def upsert(self, ids, rows):
        replaced = self.delete(ids)
        self.of.update(zip(ids, rows, strict=True))
        return Changes(len(ids) - replaced, replaced)

    def delete(self, ids):
        return sum(self.of.pop(one, None) is not None for one in set(ids))

    def best(self, query, k, metric, allowed=lambda one: True):
        """Ids and scores: ties go to the lower row."""
        ids = [one for one in self.of if allowed(one)]
        rows = np.array([self.of[one] for one in ids], np.float64).reshape(-1, DIM)
        scores = rows @ query if metric == "dot" else -((rows - query) ** 2).sum(axis=1)
        order = np.argsort(-scores, kind="stable")[:k]
        return [ids[i] for i in order], scores[order].tolist()


@pytest.mark.parametrize(
    ("metric", "text", "config"),
    [
        ("dot", False, IndexConfig(exact=True)),
        ("dot", True, IndexConfig(leaves=15, codes="int4", tier=20)),
        ("l2", False, IndexConfig(leaves=25)),
    ],
)
def test_an_index_holds_what_a_dictionary_would(metric, text, config):
    rng = np.random.default_rng(STEPS)
    name = (lambda i: f"id {i}") if text else int
    start = [name(i) for i in range(400)]
    rows = whole_numbers(rng, 400)
    years = rng.integers(0, 8, 400).tolist()
    index = Index.build(rows, start, metric=metric, config=config, attributes={"year": years})
    model, year_of = Catalogue(start, rows), dict(zip(start, years, strict=True))
    kept = index.filter(col("year") >= 4)
    for step in range(STEPS):
        count = int(rng.choice([1, 2, 5, 60, 300], p=[0.3, 0.3, 0.3, 0.08, 0.02]))
        some = [name(i) for i in rng.choice(900, count, replace=False)]
        action = rng.choice(
            ["upsert", "delete", "bytes", "copy", "rebalance"], p=[0.5, 0.35, 0.05, 0.05, 0.05]
        )
        if action == "upsert":
            new = whole_numbers(rng, count)
            years = [int(year) if year < 8 else None for year in rng.integers(0, 10, count)]
            assert index.upsert(new, some, {"year": years}) == model.upsert(some, new)
            year_of.update(zip(some, years, strict=True))
        elif action == "delete":
            assert index.delete(some) == model.delete(some)
        elif action == "bytes":
            index = Index.from_bytes(index.to_bytes())
            kept = index.filter(col("year") >= 4)
        elif action == "copy":
            index = copy.copy(index)
        else:
            index.rebalance(threads=1)
        assert len(index) == len(model.of), step
        query = whole_numbers(rng, 1)[0]
        ids, scores = model.best(query, 10, metric)
        found = index.search(query, 10, settings=EXACT)
        assert found.ids.tolist()[: len(ids)] == ids, step
        assert found.scores.tolist()[: len(ids)] == scores, step
        late = {one for one in model.of if (year_of[one] or 0) >= 4}
        ids, scores = model.best(query, 10, metric, late.__contains__)
        for kind in ({"where": col("year") >= 4}, {"allow": kept}):
            found = index.search(query, 10, settings=EXACT, **kind)
            assert found.ids.tolist()[: len(ids)] == ids, step
            assert found.scores.tolist()[: len(ids)] == scores, step
        if step % 10 == 0:
            assert index.ids.tolist() == list(model.of)
            odd = Filter(index, np.arange(len(index)) % 2 == 1)
            allowed = set(list(model.of)[1::2])
            ids, _ = model.best(query, 10, metric, allowed.__contains__)
            found = index.search(query, 10, settings=EXACT, allow=odd)
            assert found.ids.tolist()[: len(ids)] == ids, step


def test_searches_go_on_meanwhile_and_see_a_change_whole():
    index, _ = built(2_000)
    ids = list(range(10_000, 10_040))
    index.upsert(np.full((40, DIM), 10.0), ids)
    query, done, wrong = np.ones(DIM, np.float32), threading.Event(), []

    def read():
        while not done.is_set():
            found = index.search(query, 40, settings=EXACT)
            if found.ids.tolist() != ids or found.scores[0] != found.scores[-1]:
                wrong.append(found)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(200):
        index.upsert(np.full((40, DIM), 10.0 + turn), ids)
        index.delete([turn])
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(index) == 1_840
