"""A batch gives every query the answer that it gets alone."""

import numpy as np
import pytest

from shortlist import _native

METRICS = ["dot", "cosine", "l2"]
CODES = ["int8", "int4", "pq4"]
DIM = 20


def clustered(n, seed):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((40, DIM))
    return (centres[rng.integers(40, size=n)] + 0.4 * rng.standard_normal((n, DIM))).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def rows():
    rows = clustered(5000, seed=0)
    rows[1000:1200] = rows[1000]  # many equal estimates
    rows[4000:] *= 1.0 + np.random.default_rng(1).random((1000, 1), dtype=np.float32)
    return rows


@pytest.fixture(scope="module")
def queries(rows):
    return np.concatenate([clustered(36, seed=2), rows[1000:1002], rows[[4321]]])


@pytest.fixture(scope="module", params=[(m, c) for m in METRICS for c in CODES], ids="-".join)
def index(request, rows):
    metric, codes = request.param
    return _native.Index.build(rows, metric=metric, codes=codes, leaves=60, tier=100, threads=2)


def same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def alone(index, queries, k, settings, excluded=None, allow=None):
    """Each query searched by itself; `excluded` has the rows that each must not get."""
    found = []
    for i, query in enumerate(queries):
        limits = {} if excluded is None else ragged(excluded[i : i + 1])
        found.append(index.search(query[None], k, settings, allow=allow, **limits))
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def ragged(excluded):
    offsets = np.cumsum([0] + [len(rows) for rows in excluded])
    return {"exclude": np.concatenate(excluded), "exclude_offsets": offsets}


@pytest.mark.parametrize("stop", [0.0, 0.2])
@pytest.mark.parametrize(("leaves", "rerank", "k"), [(8, 20, 5), (30, 100, 10), (3, 1, 40)])
def test_a_batch_of_any_size_equals_its_queries_alone(index, queries, leaves, rerank, k, stop):
    settings = _native.Settings(leaves=leaves, rerank=rerank, stop=stop)
    expected = alone(index, queries, k, settings)
    for size in range(1, len(queries) + 1):
        same(index.search(queries[:size], k, settings, threads=1), [e[:size] for e in expected])


@pytest.mark.parametrize("settings", [{"exact": True}, {"stop": 0.0}, {"stop": 0.2}])
def test_a_batch_does_not_depend_on_the_number_of_threads(index, queries, settings):
    settings = _native.Settings(leaves=30, **settings)
    many = np.concatenate([queries] * 3)
    expected = index.search(many, 10, settings, threads=1)
    for threads in (2, 3, None):
        same(index.search(many, 10, settings, threads=threads), expected)


@pytest.mark.parametrize("stop", [0.0, 0.2])
@pytest.mark.parametrize("share", [1.0, 0.6])
def test_filters_and_exclusions_keep_a_batch_equal_to_its_queries_alone(
    index, queries, share, stop
):
    settings = _native.Settings(leaves=30, rerank=60, stop=stop)
    rng = np.random.default_rng(3)
    best = index.search(queries, 12, settings)[2]
    excluded = [np.sort(best[i][: i % 12]) for i in range(len(queries))]
    allow = index.filter_rows(rng.random(len(index)) < share)
    found = index.search(queries, 10, settings, allow=allow, **ragged(excluded))
    same(found, alone(index, queries, 10, settings, excluded, allow))
    for rows, gone in zip(found[2], excluded, strict=True):
        assert not np.intersect1d(rows, gone).size


def test_an_exact_batch_equals_numpy(index, rows, queries):
    metric = index.metric
    rows, queries64 = rows.astype(np.float64), queries.astype(np.float64)
    if metric == "cosine":
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        queries64 = queries64 / np.linalg.norm(queries64, axis=1, keepdims=True)
    truth = queries64 @ rows.T
    if metric == "l2":
        truth = -((queries64[:, None] - rows[None]) ** 2).sum(-1)
    scores, _, found = index.search(queries, 10, _native.Settings(exact=True))
    np.testing.assert_allclose(scores, -np.sort(-truth, axis=1)[:, :10], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(truth, found, 1), scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_the_more_is_passed_over_the_less_is_found(metric):
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((8_000, DIM), dtype=np.float32)
    queries = rng.standard_normal((100, DIM), dtype=np.float32)
    index = _native.Index.build(rows, metric=metric, leaves=30, tier=0)

    def found(stop):
        return index.search(queries, 10, _native.Settings(leaves=30, rerank=50, stop=stop))

    everything = found(0.0)
    same(found(100.0), everything)
    shares = []
    for stop in (0.02, 0.1, 0.3, 1.0):
        shared = map(np.intersect1d, found(stop)[2], everything[2])
        shares.append(sum(len(rows) for rows in shared) / everything[2].size)
    assert shares == sorted(shares)
    assert shares[0] < 0.7
    assert shares[-1] == 1.0
