import numpy as np
import pytest

from shortlist.layers._partition import ROOM, partition


@pytest.mark.parametrize(("count", "leaves"), [(1, 1), (10, 10), (200, 7), (500, 30)])
def test_every_row_has_one_place_and_no_leaf_overflows(count, leaves):
    embeddings = np.random.default_rng(0).normal(size=(count, 3)).astype("float32")
    centroids, rows = partition(embeddings, leaves, seed=0)
    assert centroids.shape == (leaves, 3)
    assert rows.shape == (leaves, min(count, int(np.ceil(ROOM * count / leaves))))
    np.testing.assert_array_equal(np.sort(rows[rows >= 0]), np.arange(count))


def test_rows_that_are_alike_still_fit():
    _, rows = partition(np.ones((100, 2), dtype="float32"), 5, seed=0)
    np.testing.assert_array_equal(np.sort(rows[rows >= 0]), np.arange(100))


def test_leaves_are_close_together():
    rng = np.random.default_rng(0)
    centers = rng.normal(scale=5, size=(20, 4))
    embeddings = (np.repeat(centers, 30, axis=0) + rng.normal(size=(600, 4))).astype("float32")
    centroids, rows = partition(embeddings, 20, seed=0)
    spread = sum(
        np.square(embeddings[leaf[leaf >= 0]] - centroid).sum()
        for leaf, centroid in zip(rows, centroids, strict=True)
    )
    assert spread < 0.2 * np.square(embeddings - embeddings.mean(axis=0)).sum()
