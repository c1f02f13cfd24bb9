"""Rows kept in bfloat16 or int8: how they are rounded, and that their scores are the search's."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shortlist.index import Index, IndexConfig, SearchSettings

METRICS = ["dot", "cosine", "l2"]
NARROW = ["bfloat16", "int8"]
EXACT = SearchSettings(exact=True)


def rows_of(n, dim, seed=0):
    return np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)


def stored(rows, store, **config):
    """The rows as an index keeps them."""
    index = Index.build(rows, config=IndexConfig(store=store, leaves=1, **config))
    return index.vectors(np.arange(len(rows)))


def as_bfloat16(rows):
    return rows.astype(ml_dtypes.bfloat16).astype(np.float32)


def as_int8(rows):
    """Each row's largest value becomes 127 or -127."""
    scale = np.abs(rows).max(axis=1, keepdims=True) / np.float32(127)
    steps = np.divide(rows, scale, out=np.zeros_like(rows), where=scale > 0)
    return scale * np.rint(np.clip(steps, -127, 127))


ROUNDED = {"float32": lambda rows: rows, "bfloat16": as_bfloat16, "int8": as_int8}

finite = st.floats(-(2.0**59), 2.0**59, width=32)  # no norm above 2**62


@pytest.mark.parametrize("store", ROUNDED)
@settings(max_examples=100, deadline=None)
@given(rows=arrays(np.float32, st.tuples(st.integers(1, 9), st.integers(1, 20)), elements=finite))
def test_rows_are_rounded_as_documented(store, rows):
    assert np.array_equal(stored(rows, store), ROUNDED[store](rows))


def test_bfloat16_rounds_halfway_to_even():
    one, step = np.float32(1), np.float32(2**-7)
    rows = np.array(
        [[one + step / 2, one + 3 * step / 2, -one - step / 2, one + 0.51 * step, -0.0]]
    )
    expected = [[1, 1 + 2 * step, -1, 1 + step, 0]]
    assert stored(rows, "bfloat16").tolist() == expected
    tiny = np.float32(1e-45)  # subnormal
    assert stored(np.array([[1, tiny]], np.float32), "bfloat16").tolist() == [[1, 0]]


def test_int8_has_a_scale_for_each_row():
    rows = np.array([[127, 63.5, -62.5, 0.4], [-1.27, 0.004, 0.006, 0], [0, 0, 0, 0]], np.float32)
    expected = [[127, 64, -62, 0], [-1.27, 0, 0.01, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(stored(rows, "int8"), expected, rtol=1e-6)
    tiny = np.array([[1e-45, 0, 3e-45], [1e-40, -1e-42, 5e-41], [2.6e-43, -2e-43, 0]], np.float32)
    assert np.array_equal(stored(tiny, "int8"), as_int8(tiny))  # their scales are subnormal
    assert np.abs(stored(tiny, "int8") - tiny).max() < 1e-42


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("store", NARROW)
@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 300),
    dim=st.integers(1, 40),
    leaves=st.sampled_from([1, 5, 40]),
    scale=st.sampled_from([1e-8, 1.0, 1e8]),
    threads=st.sampled_from([1, 2]),
    seed=st.integers(0, 99),
)
def test_scores_are_those_of_the_rounded_rows(store, metric, n, dim, leaves, scale, threads, seed):
    rows, queries = rows_of(n, dim, seed) * np.float32(scale), rows_of(5, dim, seed + 1)
    queries = queries if metric == "cosine" else queries * np.float32(scale)
    config = IndexConfig(store=store, leaves=min(leaves, n))
    index = Index.build(rows, metric=metric, config=config, threads=threads)
    q = queries.astype(np.float64)
    if metric == "cosine":
        normalised = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        x = ROUNDED[store](normalised.astype(np.float32)).astype(np.float64)
        q /= np.linalg.norm(q, axis=1, keepdims=True)
        # A component that lies halfway may be rounded either way.
        kept = index.vectors(np.arange(n))
        assert np.mean(np.isclose(kept, x, rtol=1e-6, atol=0)) > 0.9
        x = kept.astype(np.float64)
    else:
        x = ROUNDED[store](rows).astype(np.float64)
    truth = -((q[:, None] - x) ** 2).sum(-1) if metric == "l2" else q @ x.T
    size = np.abs(truth).max() + (np.abs(q) @ np.abs(x).T).max()
    for chosen in (EXACT, SearchSettings(leaves=leaves, rerank=n)):
        found = index.search(queries, min(n, 10), settings=chosen, threads=threads)
        own = np.take_along_axis(truth, found.rows, axis=1)
        np.testing.assert_allclose(found.scores, own, rtol=0, atol=2e-6 * size)
        np.testing.assert_allclose(own, -np.sort(-truth)[:, :10], rtol=0, atol=2e-6 * size)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("store", NARROW)
def test_filters_hold_over_rounded_rows(store, metric):
    rows, queries = rows_of(3_000, 12), rows_of(6, 12, seed=1)
    index = Index.build(rows, metric=metric, config=IndexConfig(store=store, leaves=40))
    allowed = np.arange(3_000) % 3 == 0
    everything = index.search(queries, 1_000, settings=EXACT)
    for chosen in (EXACT, SearchSettings(leaves=40, rerank=3_000)):
        found = index.search(
            queries, 5, settings=chosen, allow=allowed, exclude=everything.ids[:, :20]
        )
        for query in range(len(queries)):
            kept = [r for r in everything.rows[query, 20:] if allowed[r]][:5]
            assert found.rows[query].tolist() == kept


@pytest.mark.parametrize(
    ("store", "bytes_of_a_row"), [("float32", 80), ("bfloat16", 40), ("int8", 24)]
)
def test_an_index_says_how_its_rows_are_kept_and_what_they_take(store, bytes_of_a_row, tmp_path):
    index = Index.build(rows_of(1_000, 20), config=IndexConfig(store=store, leaves=10))
    whole = Index.build(rows_of(1_000, 20), config=IndexConfig(leaves=10))
    saved = 1_000 * (80 - bytes_of_a_row)
    assert (index.config.store, index.describe()["store"]) == (store, store)
    assert index.describe()["bytes"]["rows"] == 1_000 * bytes_of_a_row
    assert index.nbytes == whole.nbytes - saved
    for built, name in ((index, "a"), (whole, "b")):
        built.save(tmp_path / name)
    file_sizes = [(tmp_path / name).stat().st_size for name in "ba"]
    assert abs(file_sizes[0] - file_sizes[1] - saved) <= 128  # sections begin at multiples of 64


# What rounding costs on normal vectors, measured, less half a point: bfloat16 .996, int8 .985.
@pytest.mark.parametrize(("store", "least"), [("bfloat16", 0.99), ("int8", 0.98)])
@pytest.mark.parametrize("metric", METRICS)
def test_the_best_rounded_rows_are_nearly_the_best_rows(store, least, metric):
    rows, queries = rows_of(20_000, 32), rows_of(200, 32, seed=1)
    truth = Index.build(rows, metric=metric).search(queries, 10, settings=EXACT).rows
    index = Index.build(rows, metric=metric, config=IndexConfig(store=store))
    found = index.search(queries, 10, settings=EXACT).rows
    shared = [len(np.intersect1d(a, b)) for a, b in zip(truth, found, strict=True)]
    assert np.mean(shared) / 10 >= least
