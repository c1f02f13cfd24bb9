"""Recall at fixed settings on a small fixed set: a change that lowers it fails here."""

import numpy as np
import pytest

from shortlist.index import Index, IndexConfig, SearchSettings


def varying_norms():
    """30 originals and copies of each, every coordinate scaled by its own uniform draw."""
    rng = np.random.default_rng(1)
    originals = rng.standard_normal((30, 32), dtype=np.float32)
    copies = np.tile(originals, (800, 1)) * rng.random((24_000, 32), dtype=np.float32)
    queries = originals[rng.integers(30, size=200)] + rng.standard_normal((200, 32))
    return np.concatenate([originals, copies]), queries.astype(np.float32)


def clusters(dim):
    """Normalised points around 400 centres."""
    rng = np.random.default_rng(dim)
    centres = rng.standard_normal((400, dim))

    def draw(n):
        points = centres[rng.integers(400, size=n)] + 0.8 * rng.standard_normal((n, dim))
        return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)

    return draw(20_000), draw(200)


# What was measured when the settings were written down, less half a point.
GUARDS = [
    ("varying norms", varying_norms, "dot", 6, 0.0, 0.965),
    ("varying norms", varying_norms, "dot", 6, 0.2, 0.965),
    ("clusters of 96 dimensions", lambda: clusters(96), "cosine", 12, 0.0, 0.963),
    ("clusters of 96 dimensions", lambda: clusters(96), "cosine", 12, 0.3, 0.963),
    ("clusters of 16 dimensions", lambda: clusters(16), "l2", 12, 0.0, 0.87),
    ("clusters of 16 dimensions", lambda: clusters(16), "l2", 12, 0.3, 0.85),
]


@pytest.mark.parametrize(("name", "data", "metric", "leaves", "stop", "least"), GUARDS)
def test_recall_at_fixed_settings_does_not_fall(name, data, metric, leaves, stop, least):
    candidates, queries = data()
    index = Index.build(candidates, metric=metric, config=IndexConfig(leaves=300), seed=0)
    exact = index.search(queries, 10, settings=SearchSettings(exact=True)).rows
    settings = SearchSettings(leaves=leaves, rerank=40, stop=stop)
    found = index.search(queries, 10, settings=settings).rows
    shared = [len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]
    assert np.mean(shared) / 10 >= least


@pytest.mark.parametrize("metric", ["dot", "cosine", "l2"])
def test_an_only_leaf_is_scored_whole_however_early_the_stop(metric):
    candidates, queries = (np.random.default_rng(n).standard_normal((n, 8)) for n in (1_500, 50))
    index = Index.build(candidates, metric=metric)
    exact = index.search(queries, 10, settings=SearchSettings(exact=True)).rows
    for stop in (0.01, SearchSettings().stop):
        settings = SearchSettings(rerank=100, stop=stop)
        assert (index.search(queries, 10, settings=settings).rows == exact).all()
