"""Candidates in leaves of bounded size, as rectangular tables need them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 10
# Training rows a leaf; k-means gains little from more.
SAMPLE = 64
# A leaf has room for this many times the mean number of rows.
ROOM = 1.5
NO_ROW = -1


def partition(
    embeddings: NDArray[np.float32], leaves: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Partitions rows by k-means, none of whose leaves overflows.

    A row goes to the nearest leaf that has room; where more rows come than fit, the nearest stay.

    Returns:
        (leaves, d) means of the leaves, and (leaves, room) their rows, padded with -1.
    """
    rng = np.random.default_rng(seed)
    count = len(embeddings)
    sample = embeddings[rng.permutation(count)[: SAMPLE * leaves]]
    centroids = sample[:leaves].copy()
    for _ in range(ROUNDS):
        nearest = np.argmin(_distances(sample, centroids), axis=1)
        for leaf in np.unique(nearest):
            centroids[leaf] = sample[nearest == leaf].mean(axis=0)

    room = min(count, int(np.ceil(ROOM * count / leaves)))
    rows = np.full((leaves, room), NO_ROW, dtype=np.int64)
    sizes = np.zeros(leaves, dtype=np.int64)
    waiting = np.arange(count)
    while waiting.size:
        distances = _distances(embeddings[waiting], centroids)
        distances[:, sizes == room] = np.inf
        wanted = np.argmin(distances, axis=1)
        order = np.argsort(distances[np.arange(len(waiting)), wanted], kind="stable")
        turned_away = []
        for leaf in np.unique(wanted):
            coming = waiting[order[wanted[order] == leaf]]
            stay = coming[: room - sizes[leaf]]
            rows[leaf, sizes[leaf] : sizes[leaf] + len(stay)] = stay
            sizes[leaf] += len(stay)
            turned_away.append(coming[len(stay) :])
        waiting = np.concatenate(turned_away)
    for leaf in np.flatnonzero(sizes):
        centroids[leaf] = embeddings[rows[leaf, : sizes[leaf]]].mean(axis=0)
    return centroids, rows


def _distances(points: NDArray[Any], centroids: NDArray[Any]) -> NDArray[Any]:
    """Squared distances, less the points' own squares."""
    squares = np.einsum("ld,ld->l", centroids, centroids)
    distances: NDArray[Any] = squares - 2 * points @ centroids.T
    return distances
