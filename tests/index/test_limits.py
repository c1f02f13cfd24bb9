"""The sizes an index takes: numbers from the smallest to the largest of float32."""

import numpy as np
import pytest

from shortlist import _native
from shortlist.index import MAX_K, Index, IndexConfig, SearchSettings

EXACT = SearchSettings(exact=True)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def float64_scores(candidates, queries, metric):
    a, b = queries.astype(np.float64), candidates.astype(np.float64)
    if metric == "l2":
        return -((a[:, None] - b[None]) ** 2).sum(axis=2)
    if metric == "cosine":
        a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    return a @ b.T


def assert_is_exact(found, scores):
    k = found.rows.shape[1]
    best = -np.sort(-scores, axis=1)[:, :k]
    np.testing.assert_allclose(found.scores, best, rtol=1e-4, atol=1e-5 * np.abs(scores).max())
    own = np.take_along_axis(scores, found.rows, axis=1)
    np.testing.assert_allclose(found.scores, own, rtol=1e-4, atol=1e-5 * np.abs(scores).max())


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_rows_whose_scores_could_leave_float32_are_refused_by_number(metric):
    rows = normal(0, 50, 8)
    rows[17] = 1e30
    with pytest.raises(ValueError, match=r"`embeddings` must have norms up to .* in row 17\. Div"):
        Index.build(rows, metric=metric)
    index = Index.build(normal(0, 50, 8), metric=metric)
    with pytest.raises(ValueError, match=r"`queries` must have norms .* got 1\.41e\+19 in row 1"):
        index.search(np.array([np.ones(8), np.full(8, 5e18)], np.float32))


@pytest.mark.parametrize("config", [IndexConfig(exact=True), IndexConfig(leaves=9)])
@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_the_largest_rows_and_queries_are_scored_in_order(metric, config):
    rows, queries = normal(1, 300, 8), normal(2, 4, 8)
    largest = 0.999 * 2.0**62
    rows *= largest / np.linalg.norm(rows, axis=1).max()
    queries *= largest / np.linalg.norm(queries, axis=1).max()
    found = Index.build(rows, metric=metric, config=config).search(queries, 9, settings=EXACT)
    assert np.isfinite(found.scores).all()
    assert_is_exact(found, float64_scores(rows, queries, metric))


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_one_row_far_from_all_others_is_found_and_hides_none(metric):
    rows = normal(3, 30_000, 6)
    rows[20_001] *= 1e15
    index = Index.build(rows, metric=metric, config=IndexConfig(leaves=50))
    queries = rows[[20_001, 5]]
    found = index.search(queries, 5, settings=EXACT)
    wanted = float64_scores(rows, queries, metric)
    np.testing.assert_allclose(found.scores, -np.sort(-wanted, axis=1)[:, :5], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_cosine_takes_rows_and_queries_of_any_length(scale):
    rows, queries = normal(4, 200, 6), normal(5, 3, 6)
    index = Index.build(rows * np.float32(scale), metric="cosine", config=IndexConfig(leaves=7))
    found = index.search(queries * np.float32(scale), 6, settings=EXACT)
    assert_is_exact(found, float64_scores(rows, queries, "cosine"))


@pytest.mark.parametrize("codes", ["int8", "int4", "pq4"])
@pytest.mark.parametrize(("rows_scale", "query_scale"), [(1e-40, 1e3), (1e3, 1e-25), (1e-38, 1e17)])
def test_small_numbers_are_searched_exactly(codes, rows_scale, query_scale):
    rows = (normal(6, 2_000, 8) * rows_scale).astype(np.float32)
    queries = (normal(7, 5, 8) * query_scale).astype(np.float32)
    index = Index.build(rows, config=IndexConfig(leaves=40, codes=codes))
    found = index.search(queries, 8, settings=EXACT)
    scores = queries.astype(np.float64) @ rows.astype(np.float64).T
    best = -np.sort(-scores, axis=1)[:, :8]
    np.testing.assert_allclose(found.scores, best, rtol=1e-3)


@pytest.mark.parametrize("argument", ["embeddings", "queries"])
def test_float64_beyond_float32_is_refused_with_its_value(argument):
    rows = np.ones((4, 3))
    index = Index.build(rows)
    rows[2, 1] = 1e300
    with pytest.raises(ValueError, match=rf"`{argument}` must fit float32.*got 1e\+300 in row 2"):
        Index.build(rows) if argument == "embeddings" else index.search(rows)
    rows[1, 0] = np.inf
    with pytest.raises(ValueError, match=rf"`{argument}` must be finite, got infinity in row 1"):
        Index.build(rows) if argument == "embeddings" else index.search(rows)


@pytest.mark.parametrize("codes", ["int8", "int4", "pq4"])
@pytest.mark.parametrize("metric", ["dot", "cosine", "l2"])
@pytest.mark.parametrize("dim", [3_072, 4_096])
def test_thousands_of_dimensions_are_searched_exactly_and_nearly(dim, metric, codes):
    # Of one sign and size, the codes' integer sums are as large as they get.
    rows, queries = normal(8, 300, dim) + 9, normal(9, 3, dim) + 9
    index = Index.build(rows, metric=metric, config=IndexConfig(leaves=4, codes=codes))
    scores = float64_scores(rows, queries, metric)
    assert_is_exact(index.search(queries, 10, settings=EXACT), scores)
    everything = SearchSettings(leaves=4, rerank=300, stop=0)
    assert_is_exact(index.search(queries, 10, settings=everything), scores)


def test_ten_thousand_results_are_the_best_ten_thousand():
    rows, queries = normal(10, 30_000, 8), normal(11, 3, 8)
    index = Index.build(rows, config=IndexConfig(leaves=100))
    scores = float64_scores(rows, queries, "dot")
    found = index.search(queries, 10_000, settings=EXACT)
    assert_is_exact(found, scores)
    near = index.search(queries, 10_000, settings=SearchSettings(leaves=60, rerank=20_000))
    assert all(len(set(rows)) == 10_000 for rows in near.rows.tolist())
    shared = [
        len(set(a) & set(b)) for a, b in zip(found.rows.tolist(), near.rows.tolist(), strict=True)
    ]
    assert min(shared) > 9_000
    few = index.search(queries, 10_000, settings=SearchSettings(leaves=1))
    assert (few.rows >= 0).all()


def test_the_limits_can_be_read():
    assert (MAX_K, _native.MAX_DIM) == (10_000, 4_096)
