"""How fast candidates are added and replaced, and what searches notice of it.

python benchmarks/updates.py --rows 1000000
"""

from __future__ import annotations

import argparse
import threading
import time

import numpy as np
from numpy.typing import NDArray

from shortlist.index import Index, SearchSettings

_DIM, _CLUSTERS = 32, 2_000
_SETTINGS = SearchSettings(leaves=16, rerank=40)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--changes", type=int, default=200_000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((_CLUSTERS, _DIM), dtype=np.float32)

    def embeddings(n: int) -> NDArray[np.float32]:
        spread = rng.standard_normal((n, _DIM), dtype=np.float32) / 2
        return centres[rng.integers(0, _CLUSTERS, n)] + spread

    rows, queries = embeddings(given.rows), embeddings(300)
    ids = np.arange(given.rows)
    fresh = Index.build(rows, ids)
    _tell("fresh index", _latencies(fresh, queries))

    index, single = Index.build(rows, ids, codebook=fresh.codebook), []
    for row in embeddings(2_000):
        began = time.perf_counter()
        index.upsert(row[None], [int(rng.integers(0, 2 * given.rows))])
        single.append(time.perf_counter() - began)
    _tell("single upserts", np.array(single[1:]))

    new = embeddings(given.changes)
    order = np.concatenate([rng.permutation(given.rows)] * (given.changes // given.rows + 1))
    alone = _latencies(index, queries)
    done, during = threading.Event(), list[float]()

    def search() -> None:
        while not done.is_set():
            during.extend(_latencies(index, queries[:20], 1))

    reader = threading.Thread(target=search)
    reader.start()
    began = time.perf_counter()
    for first in range(0, given.changes, 1_000):
        index.upsert(new[first : first + 1_000], order[first : first + 1_000])
    seconds = time.perf_counter() - began
    done.set()
    reader.join()
    print(f"{given.changes / seconds:,.0f} rows a second replaced in batches of 1,000")
    _tell("searches alone", alone)
    _tell("searches meanwhile", np.array(during))
    after = _latencies(index, queries)
    _tell("searches afterwards", after)
    print(f"afterwards {np.median(after) / np.median(_latencies(fresh, queries)):.2f} times fresh")
    segments = index.describe()["segments"]
    print(f"memory {index.nbytes / fresh.nbytes:.2f} times fresh, in {segments} segments")


def _latencies(index: Index, queries: NDArray[np.float32], rounds: int = 5) -> NDArray[np.float64]:
    times = []
    for _ in range(rounds):
        for query in queries:
            began = time.perf_counter()
            index.search(query, 10, settings=_SETTINGS, threads=1)
            times.append(time.perf_counter() - began)
    return np.array(times)


def _tell(what: str, seconds: NDArray[np.float64]) -> None:
    median, p99 = np.percentile(seconds, (50, 99)) * 1e6
    print(f"{what}: median {median:.1f} µs, p99 {p99:.1f} µs")


if __name__ == "__main__":
    main()
