"""One small adapter for each engine; runs in that engine's own environment and process.

An adapter builds from (candidates, build settings), takes search settings with `use`, then answers
`one(query)` (the call that is timed) and `batch(queries, threads)`, both with rows.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

K = 10


class Shortlist:
    def __init__(self, candidates: np.ndarray, threads: int, **config: Any) -> None:
        from shortlist.index import Index, IndexConfig

        chosen = IndexConfig(**config) if config else None
        self.index = Index.build(candidates, config=chosen, threads=threads)

    def use(self, **settings: Any) -> None:
        from shortlist.index import SearchSettings

        self.settings = SearchSettings(**settings) if settings else None

    def prepare(self, query: np.ndarray) -> np.ndarray:
        return query

    def one(self, query: np.ndarray) -> np.ndarray:
        return self.index.search(query, K, settings=self.settings, threads=1).rows

    def batch(self, queries: np.ndarray, threads: int) -> np.ndarray:
        return self.index.search(queries, K, settings=self.settings, threads=threads).rows

    def save(self, folder: Path) -> None:
        self.index.save(folder / "index.slx")


class Scann:
    """Both `scann` and `scann-core`."""

    def __init__(
        self,
        candidates: np.ndarray,
        threads: int,
        *,
        leaves: int,
        threshold: float,
        sample: float,
        reorder: str = "FLOAT32",
        quantize_centroids: bool = False,
        soar: float | None = None,
    ) -> None:
        from scann.scann_ops.py import scann_builder, scann_ops_pybind

        builder = scann_ops_pybind.builder(candidates, K, "dot_product")
        builder.tree(
            leaves,
            min(leaves, 100),
            quantize_centroids=quantize_centroids,
            soar_lambda=soar,
            overretrieve_factor=None if soar is None else 2.0,
            training_sample_size=round(sample * len(candidates)),
            min_partition_size=10,
        )
        builder.score_ah(2, anisotropic_quantization_threshold=threshold)
        builder.reorder(100, quantize=scann_builder.ReorderType[reorder])
        builder.set_n_training_threads(threads)
        self.searcher = builder.build()
        self.searcher.set_num_threads(threads)
        self.block: int | None = None

    def use(self, *, search: int, rerank: int) -> None:
        self.search, self.rerank = search, rerank

    def prepare(self, query: np.ndarray) -> np.ndarray:
        return query

    def one(self, query: np.ndarray) -> np.ndarray:
        return self.searcher.search(query, K, self.rerank, self.search)[0]

    def batch(self, queries: np.ndarray, threads: int) -> np.ndarray:
        if threads == 1:
            return self.searcher.search_batched(queries, K, self.rerank, self.search)[0]
        if self.block is None:
            self.block = min((32, 64, 128, 256, 512), key=lambda b: self._seconds(queries, b))
        return self._parallel(queries, self.block)

    def _parallel(self, queries: np.ndarray, block: int) -> np.ndarray:
        found = self.searcher.search_batched_parallel(
            queries, K, self.rerank, self.search, batch_size=block
        )
        return found[0]

    def _seconds(self, queries: np.ndarray, block: int) -> float:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            self._parallel(queries, block)
            times.append(time.perf_counter() - start)
        return min(times)

    def save(self, folder: Path) -> None:
        self.searcher.serialize(str(folder))


class Faiss:
    def __init__(self, candidates: np.ndarray, threads: int, *, factory: str) -> None:
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(threads)
        self.index = faiss.index_factory(candidates.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        self.index.train(candidates)
        self.index.add(candidates)
        self.threads = threads

    def use(self, **settings: float) -> None:
        if settings:
            text = ",".join(f"{name}={value}" for name, value in settings.items())
            self.faiss.ParameterSpace().set_index_parameters(self.index, text)

    def prepare(self, query: np.ndarray) -> np.ndarray:
        return query[None]

    def _threads(self, threads: int) -> None:
        if threads != self.threads:
            self.faiss.omp_set_num_threads(threads)
            self.threads = threads

    def one(self, query: np.ndarray) -> np.ndarray:
        self._threads(1)
        return self.index.search(query, K)[1][0]

    def batch(self, queries: np.ndarray, threads: int) -> np.ndarray:
        self._threads(threads)
        return self.index.search(queries, K)[1]

    def save(self, folder: Path) -> None:
        self.faiss.write_index(self.index, str(folder / "index.faiss"))


class Hnswlib:
    def __init__(self, candidates: np.ndarray, threads: int, *, links: int, effort: int) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=candidates.shape[1])
        self.index.init_index(
            max_elements=len(candidates), M=links, ef_construction=effort, random_seed=1
        )
        self.index.add_items(candidates, num_threads=threads)

    def use(self, *, effort: int) -> None:
        self.index.set_ef(effort)

    def prepare(self, query: np.ndarray) -> np.ndarray:
        return query[None]

    def one(self, query: np.ndarray) -> np.ndarray:
        return self.index.knn_query(query, K, num_threads=1)[0][0].astype(np.int64)

    def batch(self, queries: np.ndarray, threads: int) -> np.ndarray:
        return self.index.knn_query(queries, K, num_threads=threads)[0].astype(np.int64)

    def save(self, folder: Path) -> None:
        self.index.save_index(str(folder / "index.hnsw"))


class Usearch:
    def __init__(
        self,
        candidates: np.ndarray,
        threads: int,
        *,
        links: int,
        effort: int,
        dtype: str = "f32",
    ) -> None:
        from usearch.index import Index

        self.index = Index(
            ndim=candidates.shape[1],
            metric="ip",
            dtype=dtype,
            connectivity=links,
            expansion_add=effort,
        )
        self.index.add(np.arange(len(candidates), dtype=np.uint64), candidates, threads=threads)

    def use(self, *, effort: int) -> None:
        self.index.expansion_search = effort

    def prepare(self, query: np.ndarray) -> np.ndarray:
        return query

    def one(self, query: np.ndarray) -> np.ndarray:
        return self.index.search(query, K, threads=1).keys.astype(np.int64)

    def batch(self, queries: np.ndarray, threads: int) -> np.ndarray:
        return self.index.search(queries, K, threads=threads).keys.astype(np.int64)

    def save(self, folder: Path) -> None:
        self.index.save(str(folder / "index.usearch"))


ADAPTERS: dict[str, Any] = {
    "shortlist": Shortlist,
    "scann": Scann,
    "scann-core": Scann,
    "faiss": Faiss,
    "hnswlib": Hnswlib,
    "usearch": Usearch,
}
