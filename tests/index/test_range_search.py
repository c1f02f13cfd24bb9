"""`range_search`: all that score enough, exactly as NumPy says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.index import Filter, Index, IndexConfig, SearchSettings

METRICS = ["dot", "cosine", "l2"]


def whole_numbers(seed, *shape):
    """Small whole numbers: their products and sums are the same in any order of summation."""
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


def scores_by_numpy(rows, queries, metric):
    if metric == "l2":
        return -((queries[:, None] - rows[None]) ** 2).sum(-1)
    return queries @ rows.T


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 400),
    dim=st.integers(1, 20),
    count=st.integers(0, 5),
    metric=st.sampled_from(["dot", "l2"]),
    leaves=st.sampled_from([1, 20]),
    codes=st.sampled_from(["int8", "int4", "pq4"]),
    least=st.integers(-60, 30),
    threads=st.sampled_from([1, 2]),
    seed=st.integers(0, 2**32),
)
def test_it_finds_all_that_numpy_finds(n, dim, count, metric, leaves, codes, least, threads, seed):
    rows, queries = whole_numbers(seed, n, dim), whole_numbers(seed + 1, count, dim)
    config = IndexConfig(leaves=min(leaves, n), codes=codes)
    index = Index.build(rows, np.arange(n) * 3 + 1, metric=metric, config=config)
    found = index.range_search(queries, least, threads=threads)
    assert found.offsets.shape == (count + 1,)
    scores = scores_by_numpy(rows, queries, metric)
    for one, truth in zip(found.split(), scores, strict=True):
        best = np.argsort(-truth, kind="stable")
        assert one.rows.tolist() == best[truth[best] >= least].tolist()
        assert one.scores.tolist() == truth[one.rows].tolist()
        assert one.ids.tolist() == (one.rows * 3 + 1).tolist()


@pytest.mark.parametrize("metric", METRICS)
def test_it_begins_as_search_does_and_ends_where_the_score_says(metric):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20_000, 16), dtype=np.float32)
    queries = rng.standard_normal((5, 16), dtype=np.float32)
    index = Index.build(rows, metric=metric)
    exact = index.search(queries, 300, settings=SearchSettings(exact=True))
    for query, scores, best in zip(queries, exact.scores, exact.rows, strict=True):
        found = index.range_search(query, scores[200])
        assert found.rows[:200].tolist() == best[:200].tolist()
        assert found.rows.tolist() == best[scores >= scores[200]].tolist()
        assert found.scores.tolist() == scores[scores >= scores[200]].tolist()
    everything = index.range_search(queries[0], -1e30)
    assert sorted(everything.rows.tolist()) == list(range(20_000))
    assert index.range_search(queries[0], 1e30).rows.shape == (0,)


def test_exclude_and_allow_hold_here_too():
    rows, queries = whole_numbers(1, 3_000, 6), whole_numbers(2, 4, 6)
    index = Index.build(rows, config=IndexConfig(leaves=30))
    plain = index.range_search(queries, 5).split()
    few, many = np.arange(0, 3_000, 7), np.arange(3_000) % 3 > 0
    for allow, allowed in ((few, np.isin(np.arange(3_000), few)), (many, many)):
        kept = index.range_search(
            queries, 5, exclude=[[1, 2], [], range(500), [2_999]], allow=allow
        )
        for at, out in enumerate([[1, 2], [], range(500), [2_999]]):
            wanted = [r for r in plain[at].rows.tolist() if allowed[r] and r not in out]
            assert kept.split()[at].rows.tolist() == wanted
    each = index.range_search(queries, 5, exclude={3}, allow=[few, many, Filter(index, few), []])
    for at, allowed in enumerate([few, np.flatnonzero(many), few, []]):
        wanted = [r for r in plain[at].rows.tolist() if r in set(allowed) and r != 3]
        assert each.split()[at].rows.tolist() == wanted


def test_one_query_of_one_dimension_has_one_part():
    index = Index.build(np.eye(3, dtype=np.float32), ["a", "b", "c"])
    found = index.range_search([3, 2, 1], 2)
    assert (found.ids.tolist(), found.offsets.tolist()) == (["a", "b"], [0, 2])
    assert [one.ids.tolist() for one in found.split()] == [["a", "b"]]
    assert index.range_search(np.empty((0, 3)), 2).split() == []


@pytest.mark.parametrize("score", ["2", None, True, float("nan"), [1.0, 2.0]])
def test_what_is_no_score_is_refused(score):
    index = Index.build(np.eye(3, dtype=np.float32))
    with pytest.raises(ValueError, match="`min_score` must be"):
        index.range_search([3, 2, 1], score)
    assert index.range_search([3, 2, 1], np.float32(2)).rows.tolist() == [0, 1]
