"""Leaves rank by their centroid's score and, where it pays, by their rows' spread."""

import numpy as np
import pytest

from shortlist.index import Index, IndexConfig, SearchSettings


def clusters_of_two_kinds(n: int = 30_000, dim: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Normalised rows around 150 centres, half of which they keep close to."""
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((150, dim), dtype=np.float32)
    far = np.where(np.arange(150) % 2 == 0, 0.2, 1.4).astype(np.float32)

    def draw(count: int) -> np.ndarray:
        which = rng.integers(150, size=count)
        rows = centres[which] + far[which, None] * rng.standard_normal((count, dim))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    return draw(n), draw(200)


def recall(index: Index, rows: np.ndarray, queries: np.ndarray) -> float:
    truth = np.argsort(-(queries @ rows.T), axis=1)[:, :10]
    found = index.search(queries, 10, settings=SearchSettings(leaves=12, rerank=50)).rows
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(truth, found, strict=True)]))


def test_is_measured_and_finds_more_in_as_many_leaves() -> None:
    rows, queries = clusters_of_two_kinds()
    index = Index.build(rows)
    plain = Index.build(rows, config=IndexConfig(spread=0))
    assert index.config.spread is not None
    assert index.config.spread > 0
    assert plain.config.spread == 0
    assert recall(index, rows, queries) > recall(plain, rows, queries) + 0.02


def test_counts_for_nothing_where_leaves_are_alike() -> None:
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((20_000, 8), dtype=np.float32)
    assert Index.build(rows).config.spread == 0


@pytest.mark.parametrize("metric", ["dot", "cosine", "l2"])
def test_exact_search_and_files_know_it(metric: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows, queries = clusters_of_two_kinds(4_000)
    index = Index.build(rows, metric=metric, config=IndexConfig(spread=2.5, leaves=40))
    exact = SearchSettings(exact=True)
    products = queries @ rows.T
    found = index.search(queries, 10, settings=exact).rows
    np.testing.assert_array_equal(found, np.argsort(-products, axis=1, kind="stable")[:, :10])
    index.save(tmp_path / "index.slx")
    for mmap in (False, True):
        loaded = Index.load(tmp_path / "index.slx", mmap=mmap)
        assert loaded.config.spread == pytest.approx(2.5)
        np.testing.assert_array_equal(loaded.search(queries).rows, index.search(queries).rows)


@pytest.mark.parametrize("spread", [-1, float("nan"), 1_000])
def test_refuses_what_is_no_spread(spread: float) -> None:
    with pytest.raises(ValueError, match=r"`spread` must be (from 0 to 100|finite)"):
        Index.build(np.eye(4, dtype=np.float32), config=IndexConfig(spread=spread))
