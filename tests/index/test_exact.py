"""Exact search over leaves and codes: what bounds pass over could never have won."""

import numpy as np
import pytest

from shortlist.index import Index, IndexConfig, SearchSettings


def true_scores(queries, rows, metric):
    """Of rows as they are stored: of about unit norm for cosine."""
    queries, rows = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "l2":
        return -((queries[:, None] - rows[None]) ** 2).sum(-1)
    if metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return queries @ rows.T


@pytest.mark.parametrize("store", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("codes", ["int8", "int4", "pq4"])
@pytest.mark.parametrize("metric", ["dot", "cosine", "l2"])
def test_exact_equals_numpy_over_the_stored_rows(metric, codes, store):
    """Whatever the scale, shift and norms."""
    rng = np.random.default_rng(7)
    for dim in (1, 3, 16, 33, 130):
        size = int(rng.integers(500, 2_500))
        scale = 10.0 ** rng.uniform(-6, 6)
        norms = rng.lognormal(0, rng.choice([0, 1, 2]), size=(size, 1))
        shift = rng.choice([0, 1, 100]) * scale
        rows = (rng.normal(size=(size, dim)) * scale * norms + shift).astype(np.float32)
        rows[: size // 4] = rows[size // 2 : size // 2 + size // 4]  # equal rows
        queries = np.concatenate([rng.normal(size=(6, dim)) * scale + shift, rows[:6]])
        queries = queries.astype(np.float32)
        config = IndexConfig(leaves=int(rng.integers(1, 300)), codes=codes, store=store)
        index = Index.build(rows, metric=metric, config=config)
        found = index.search(queries, 10, settings=SearchSettings(exact=True)).rows

        if store != "float32":
            rows = index.vectors(np.arange(size))
        elif metric == "cosine":
            rows = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        scores = true_scores(queries, rows, metric)
        best = -np.sort(-scores, axis=1)[:, :10]
        got = np.take_along_axis(scores, found, axis=1)
        if metric == "l2":
            size_of_rounding = np.abs(best).max()
        else:
            size_of_rounding = (np.abs(queries) @ np.abs(rows).T).max() if metric == "dot" else 1.0
        np.testing.assert_allclose(got, best, rtol=0, atol=1e-6 * size_of_rounding)
