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


# Means over the seeds when the settings were written down, less half a point.
SEEDS = range(4)
GUARDS = [
    ("varying norms", varying_norms, "dot", 6, 0.0, 0.952),
    ("varying norms", varying_norms, "dot", 6, 0.2, 0.952),
    ("clusters of 96 dimensions", lambda: clusters(96), "cosine", 12, 0.0, 0.994),
    ("clusters of 96 dimensions", lambda: clusters(96), "cosine", 12, 0.3, 0.994),
    ("clusters of 16 dimensions", lambda: clusters(16), "l2", 12, 0.0, 0.892),
    ("clusters of 16 dimensions", lambda: clusters(16), "l2", 12, 0.3, 0.891),
]


@pytest.mark.parametrize(("name", "data", "metric", "leaves", "stop", "least"), GUARDS)
def test_recall_at_fixed_settings_does_not_fall(name, data, metric, leaves, stop, least):
    candidates, queries = data()
    settings = SearchSettings(leaves=leaves, rerank=40, stop=stop)
    shared = []
    for seed in SEEDS:
        index = Index.build(candidates, metric=metric, config=IndexConfig(leaves=300), seed=seed)
        exact = index.search(queries, 10, settings=SearchSettings(exact=True)).rows
        found = index.search(queries, 10, settings=settings).rows
        shared += [len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]
    assert np.mean(shared) / 10 >= least


def few_per_cluster():
    """Points around 200 centres, and which of them some filters allow, at random and by place."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((200, 16))
    points = centres[rng.integers(200, size=60_000)] + 0.6 * rng.standard_normal((60_000, 16))
    queries = centres[rng.integers(200, size=150)] + 0.6 * rng.standard_normal((150, 16))
    along = points @ centres[0]
    allowed = {f"{share} at random": rng.random(60_000) < share for share in (0.5, 0.2, 0.08)}
    allowed |= {
        f"{share} on one side": along > np.quantile(along, 1 - share) for share in (0.5, 0.1)
    }
    allowed |= {"far away": along < np.quantile(along, 0.1), "some clusters": along % 1 < 0.1}
    return points.astype(np.float32), queries.astype(np.float32), allowed


@pytest.mark.parametrize("metric", ["dot", "l2", "cosine"])
def test_a_filter_lowers_no_recall(metric):
    candidates, queries, allowed = few_per_cluster()
    index = Index.build(candidates, metric=metric, config=IndexConfig(leaves=600))
    settings = SearchSettings(leaves=2, rerank=20)  # as tuned for clusters

    def recall(allow=None):
        exact = index.search(queries, 10, settings=SearchSettings(exact=True), allow=allow).rows
        found = index.search(queries, 10, settings=settings, allow=allow).rows
        shared = [len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]
        return np.mean(shared) / 10

    without = recall()
    assert without < 0.99
    for name, allow in allowed.items():
        assert recall(allow) >= without - 0.005, name
