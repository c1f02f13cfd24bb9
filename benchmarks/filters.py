"""Recall and time of filtered searches, beside faiss and hnswlib where they are installed.

    python benchmarks/filters.py --rows 500000

Settings are tuned to recall .95 without a filter, for each library, and then kept.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shortlist.index import Filter, Index, SearchSettings, tune

_DIM, _K, _QUERIES = 32, 10, 200
_EXACT = SearchSettings(exact=True)
_SHARES = (0.5, 0.1, 0.01, 0.001, 0.0001)
Search = Callable[[NDArray[np.float32]], NDArray[Any]]  # one query: ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    rows, queries, masks = _made(parser.parse_args().rows)
    index = Index.build(rows, metric="dot")
    index.settings = tune(index, queries[_QUERIES:], recall=0.95).settings
    peers = {"shortlist": lambda mask: _of_shortlist(index, mask)}
    for name, start in (("faiss", _faiss), ("hnswlib", _hnswlib)):
        try:
            peers[name] = start(rows, queries[_QUERIES:], index)
        except ImportError:
            print(f"{name} is not installed")
    print(f"{'allowed':24s}" + "".join(f"{name:>22s}" for name in peers))
    for what, mask in masks.items():
        exact = index.search(
            queries[:_QUERIES], _K, settings=_EXACT, allow=None if mask is None else mask
        ).ids
        line = f"{what:24s}"
        for prepare in peers.values():
            search, found, times = prepare(mask), [], []
            for query in queries[:_QUERIES]:
                began = time.perf_counter()
                found.append(search(query))
                times.append(time.perf_counter() - began)
            line += f"{_recall(found, exact):10.3f} {np.median(times) * 1e6:8.0f} µs"
        print(line, flush=True)


def _made(
    n: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, NDArray[np.bool_] | None]]:
    """Clustered rows and queries of norm 1, and rows to allow at random and on one side."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3_000, _DIM))

    def draw(count: int) -> NDArray[np.float32]:
        near = centres[rng.integers(0, 3_000, count)] + 0.6 * rng.standard_normal((count, _DIM))
        return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)

    rows, queries = draw(n), draw(2 * _QUERIES)
    masks: dict[str, NDArray[np.bool_] | None] = {"all": None}
    masks |= {f"{share} at random": rng.random(n) < share for share in _SHARES}
    along = rows @ queries[0]
    masks |= {f"{s} nearest to one query": along >= np.quantile(along, 1 - s) for s in _SHARES}
    return rows, queries, masks


def _recall(found: list[NDArray[Any]], exact: NDArray[Any]) -> float:
    shares = []
    for some, best in zip(found, exact, strict=True):
        wanted = best[best >= 0]
        shares.append(len(np.intersect1d(some, wanted)) / max(1, len(wanted)))
    return float(np.mean(shares))


def _of_shortlist(index: Index, mask: NDArray[np.bool_] | None) -> Search:
    kept = None if mask is None else Filter(index, mask)
    return lambda query: index.search(query, _K, allow=kept).ids


def _faiss(
    rows: NDArray[np.float32], queries: NDArray[np.float32], index: Index
) -> Callable[[NDArray[np.bool_] | None], Search]:
    import faiss

    faiss.omp_set_num_threads(1)
    leaves = int(4 * np.sqrt(len(rows)))
    made = faiss.index_factory(_DIM, f"IVF{leaves},SQ8", faiss.METRIC_INNER_PRODUCT)
    made.train(rows[:: max(1, len(rows) // (40 * leaves))])
    made.add(rows)
    exact = index.search(queries, _K, settings=_EXACT).ids
    probes = 1
    while _recall(list(_search_faiss(made, queries, probes)), exact) < 0.95 and probes < leaves:
        probes = int(np.ceil(1.5 * probes))

    def prepare(mask: NDArray[np.bool_] | None) -> Search:
        parameters = faiss.SearchParametersIVF(nprobe=probes)
        if mask is not None:
            bits = np.packbits(mask, bitorder="little")
            parameters.sel = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits))
            parameters.kept = bits
        return lambda query: made.search(query[None], _K, params=parameters)[1][0]

    return prepare


def _search_faiss(made: Any, queries: NDArray[np.float32], probes: int) -> NDArray[Any]:
    import faiss

    found: NDArray[Any] = made.search(queries, _K, params=faiss.SearchParametersIVF(nprobe=probes))[
        1
    ]
    return found


def _hnswlib(
    rows: NDArray[np.float32], queries: NDArray[np.float32], index: Index
) -> Callable[[NDArray[np.bool_] | None], Search]:
    import hnswlib

    made = hnswlib.Index(space="ip", dim=_DIM)
    made.init_index(len(rows), M=16, ef_construction=100)
    made.add_items(rows)
    made.set_num_threads(1)
    exact = index.search(queries, _K, settings=_EXACT).ids
    ef = _K
    made.set_ef(ef)
    while _recall(list(made.knn_query(queries, _K)[0]), exact) < 0.95 and ef < 1_000:
        ef = int(np.ceil(1.5 * ef))
        made.set_ef(ef)

    def prepare(mask: NDArray[np.bool_] | None) -> Search:
        allowed = None if mask is None else mask.__getitem__

        def search(query: NDArray[np.float32]) -> NDArray[Any]:
            try:
                found: NDArray[Any] = made.knn_query(query[None], _K, filter=allowed)[0][0]
            except RuntimeError:  # it found fewer than k
                return np.empty(0, np.int64)
            return found

        return search

    return prepare


if __name__ == "__main__":
    main()
