"""ScaNN's builder vocabulary over Shortlist's engine.

Code written for ScaNN's Python interface runs after changing its import:

    from shortlist import scann                    # was: import scann
    from shortlist.scann import scann_ops_pybind   # was: from scann.scann_ops.py import ...

Names, defaults, dtypes and signs are ScaNN's: `search` returns (indices, distances), indices are
uint32, distances float32, dot products as they are and squared L2 distances positive. What differs:

- NaN or infinity, an empty database and wrong shapes are a ValueError; ScaNN aborts on some.
- Where a batched search has fewer results than asked for, ScaNN fills up with index 0 and NaN,
  which look like an answer. Here the rest has index 2**32 - 1 (docid "") and the worst distance,
  -inf for "dot_product" and inf for "squared_l2". A single search is shorter, as ScaNN's is.
- Distances are always those of the rows as they are kept, as float32 or as `quantize` says, never
  estimates, and equal ones come by lower index. The same input builds the same searcher.
- Arguments that steer how ScaNN trains its partitions and codes are accepted and have no effect
  where the engine has its own way: each method says which.
- `serialize` writes a format of its own, without pickle; directories ScaNN wrote cannot be read.

Vocabulary: Guo et al., "Accelerating Large-Scale Inference with Anisotropic Vector Quantization",
ICML 2020, and the package `scann` 1.4.
"""

# ruff: noqa: ARG001, ARG002  (ScaNN's arguments are accepted where they have no effect)

from __future__ import annotations

import enum
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist.index import Index, IndexConfig, SearchResult, SearchSettings

if TYPE_CHECKING:
    from shortlist._native import Store

__all__ = [
    "IncrementalMode",
    "Neighbors",
    "ReorderType",
    "ScannBuilder",
    "ScannSearcher",
    "builder",
    "load_searcher",
    "scann_ops_pybind",
]

_MEASURES: dict[str, Literal["dot", "l2"]] = {"dot_product": "dot", "squared_l2": "l2"}
_INDEX, _SEARCHER = "index.slx", "searcher.json"

scann_ops_pybind = sys.modules[__name__]


class ReorderType(enum.Enum):
    """Precision of the rows that are scored last."""

    FLOAT32 = 1
    INT8 = 2
    BFLOAT16 = 3


_STORES: dict[ReorderType, Store] = {
    ReorderType.FLOAT32: "float32",
    ReorderType.BFLOAT16: "bfloat16",
    ReorderType.INT8: "int8",
}


def _store_of(quantize: bool | ReorderType) -> Store:
    if isinstance(quantize, bool):
        return "int8" if quantize else "float32"
    if not isinstance(quantize, ReorderType):
        raise TypeError(f"`quantize` must be a ReorderType or a bool, got {quantize!r}.")
    return _STORES[quantize]


class IncrementalMode(enum.Enum):
    """ScaNN's ways of updating; searchers here are not updated in place."""

    NONE = 1
    ONLINE = 2
    ONLINE_INCREMENTAL = 3


class Neighbors(NamedTuple):
    """What a search returns.

    Attributes:
        indices: uint32 positions in the database, or docids as lists of str.
        distances: float32, best first.
    """

    indices: Any
    distances: NDArray[np.float32]


def builder(db: ArrayLike, num_neighbors: int, distance_measure: str) -> ScannBuilder:
    """Starts to configure a searcher.

    Args:
        db: The database, shape (n, d).
        num_neighbors: Results for each query unless a search asks for another number.
        distance_measure: "dot_product" or "squared_l2".

    Raises:
        ValueError: `distance_measure` is another, or `num_neighbors` below 1.

    Example:
        >>> db = np.random.default_rng(0).standard_normal((2_000, 16)).astype(np.float32)
        >>> searcher = (
        ...     builder(db, 10, "dot_product")
        ...     .tree(num_leaves=50, num_leaves_to_search=10)
        ...     .score_ah(2, anisotropic_quantization_threshold=0.2)
        ...     .reorder(100)
        ...     .build()
        ... )
        >>> indices, distances = searcher.search(db[0])
        >>> indices.dtype, distances.shape
        (dtype('uint32'), (10,))
    """
    return ScannBuilder(db, num_neighbors, distance_measure)


class ScannBuilder:
    """Configures a searcher; made by `builder`. Every method but `build` returns the builder."""

    def __init__(self, db: ArrayLike, num_neighbors: int, distance_measure: str) -> None:
        if distance_measure not in _MEASURES:
            raise ValueError(
                f"`distance_measure` must be one of {list(_MEASURES)}, got {distance_measure!r}."
            )
        if num_neighbors < 1:
            raise ValueError(f"`num_neighbors` must be at least 1, got {num_neighbors}.")
        self.db = np.asarray(db)
        self.num_neighbors = num_neighbors
        self.distance_measure = distance_measure
        self.training_threads = 0
        self.params: dict[str, dict[str, Any]] = {}

    def tree(
        self,
        num_leaves: int,
        num_leaves_to_search: int,
        training_sample_size: int = 100_000,
        min_partition_size: int = 50,
        training_iterations: int = 12,
        spherical: bool = False,
        quantize_centroids: bool = False,
        random_init: bool = True,
        incremental_threshold: float | None = None,
        avq: float | None = None,
        soar_lambda: float | None = None,
        overretrieve_factor: float | None = None,
    ) -> ScannBuilder:
        """Partitions the database. If not called, every search scans it all.

        Args:
            num_leaves: Number of leaves; at most one for each row is made.
            num_leaves_to_search: Leaves that a search visits by default.
            training_sample_size: Rows that k-means is trained on.
            min_partition_size: No effect.
            training_iterations: Rounds of k-means.
            spherical: No effect.
            quantize_centroids: No effect: centroids are always scored as int8.
            random_init: No effect.
            incremental_threshold: No effect.
            avq: No effect.
            soar_lambda: No effect: a row is in one leaf.
            overretrieve_factor: No effect.
        """
        if (avq is not None or soar_lambda is not None) and self.distance_measure != "dot_product":
            raise ValueError("`avq` and `soar_lambda` need the distance measure 'dot_product'.")
        return self._set(
            "tree",
            leaves=num_leaves,
            search=num_leaves_to_search,
            sample=training_sample_size,
            iterations=training_iterations,
        )

    def score_ah(
        self,
        dimensions_per_block: int,
        anisotropic_quantization_threshold: float = float("nan"),
        training_sample_size: int = 100_000,
        min_cluster_size: int = 100,
        hash_type: str = "lut16",
        training_iterations: int = 10,
    ) -> ScannBuilder:
        """Scores rows by compact codes first.

        The codes are chosen by the engine from the dimension of the database; all arguments are
        checked as ScaNN checks them and have no other effect.

        Raises:
            ValueError: `hash_type` is neither "lut16" nor "lut256".
        """
        if hash_type not in ("lut16", "lut256"):
            raise ValueError(f"`hash_type` must be 'lut16' or 'lut256', got {hash_type!r}.")
        if dimensions_per_block < 1:
            raise ValueError(
                f"`dimensions_per_block` must be at least 1, got {dimensions_per_block}."
            )
        return self._set("score_ah")

    def score_brute_force(self, quantize: bool | ReorderType = ReorderType.FLOAT32) -> ScannBuilder:
        """Scores rows exactly: all of them, or with `tree` all in the leaves visited.

        Args:
            quantize: How the rows are kept and scored; True means INT8.

        Raises:
            TypeError: `quantize` is neither a ReorderType nor a bool.
        """
        return self._set("score_brute_force", store=_store_of(quantize))

    def reorder(
        self,
        reordering_num_neighbors: int,
        quantize: bool | ReorderType = ReorderType.FLOAT32,
        anisotropic_quantization_threshold: float = float("nan"),
    ) -> ScannBuilder:
        """Scores the best rows by code again, more precisely.

        Args:
            reordering_num_neighbors: How many rows; at least as many as are asked for are.
            quantize: How the rows are kept and scored; True means INT8.
            anisotropic_quantization_threshold: No effect.

        Raises:
            TypeError: `quantize` is neither a ReorderType nor a bool.
        """
        return self._set("reorder", rerank=reordering_num_neighbors, store=_store_of(quantize))

    def autopilot(
        self,
        mode: IncrementalMode = IncrementalMode.NONE,
        quantize: bool | ReorderType = ReorderType.FLOAT32,
    ) -> ScannBuilder:
        """Leaves everything to the engine, which chooses by the size of the database.

        Args:
            mode: No effect.
            quantize: How the rows are kept and scored.

        Raises:
            TypeError: `quantize` is neither a ReorderType nor a bool.
        """
        return self._set("autopilot", store=_store_of(quantize))

    def set_n_training_threads(self, threads: int) -> ScannBuilder:
        """Sets how many threads build; 0 means all cores."""
        self.training_threads = threads
        return self

    def build(self, docids: Sequence[str] | None = None, **kwargs: Any) -> ScannSearcher:
        """Builds the searcher.

        Args:
            docids: One str for each row, no two alike; searches then return them, as lists, in
                place of indices.
            **kwargs: Accepted, as ScaNN does, and not used.

        Raises:
            ValueError: Not exactly one of `score_ah` and `score_brute_force` was called; or db or
                docids have wrong shapes or values.
        """
        config, settings = self._plan()
        index = Index.build(
            self.db,
            docids,
            metric=_MEASURES[self.distance_measure],
            config=config,
            threads=self.training_threads or None,
        )
        if settings is not None:
            index.settings = settings
        return ScannSearcher(index, self.num_neighbors, has_docids=docids is not None)

    def _set(self, part: str, **values: Any) -> ScannBuilder:
        if part in self.params:
            raise ValueError(f"`{part}` has already been configured.")
        self.params[part] = values
        return self

    def _plan(self) -> tuple[IndexConfig, SearchSettings | None]:
        """What the calls mean to `Index`; no settings means those that it chooses."""
        if "autopilot" in self.params:
            return IndexConfig(store=self.params["autopilot"]["store"]), None
        if ("score_ah" in self.params) == ("score_brute_force" in self.params):
            raise ValueError("Exactly one of `score_ah` and `score_brute_force` must be called.")
        rows = max(len(self.db) if self.db.ndim else 0, 1)
        tree = self.params.get("tree")
        partition: dict[str, Any] = {"leaves": 1}
        search = 1
        if tree is not None:
            partition = {
                "leaves": min(tree["leaves"], rows),
                "sample": min(tree["sample"], rows),
                "iterations": tree["iterations"],
            }
            search = tree["search"]
        brute_force = self.params.get("score_brute_force")
        last = self.params.get("reorder") or brute_force or {}
        store = last.get("store", "float32")
        if brute_force is not None and tree is None:
            return IndexConfig(exact=True, store=store), None
        rerank = last.get("rerank", self.num_neighbors) if brute_force is None else rows
        return IndexConfig(**partition, store=store), SearchSettings(leaves=search, rerank=rerank)


class ScannSearcher:
    """Searches a database; made by `ScannBuilder.build` or `load_searcher`."""

    def __init__(self, index: Index, num_neighbors: int, *, has_docids: bool) -> None:
        self._index = index
        self._num_neighbors = num_neighbors
        self._has_docids = has_docids
        self._threads: int | None = None

    def search(
        self,
        q: ArrayLike,
        final_num_neighbors: int = -1,
        pre_reorder_num_neighbors: int = -1,
        leaves_to_search: int = -1,
    ) -> Neighbors:
        """The nearest neighbours of one query, shape (d,).

        Args:
            q: The query.
            final_num_neighbors: How many to return; -1 means as configured, here and below.
            pre_reorder_num_neighbors: How many rows to score again.
            leaves_to_search: How many leaves to visit.

        Returns:
            `Neighbors(indices, distances)`, shape (k,), shorter where there are fewer.

        Raises:
            ValueError: `q` has a wrong shape or value.
        """
        if np.ndim(q) != 1:
            raise ValueError(f"`q` must have shape ({self._index.dim},), got {np.shape(q)}.")
        given = (final_num_neighbors, pre_reorder_num_neighbors, leaves_to_search)
        found = self._found(q, given, threads=1)
        count = int((found.rows >= 0).sum())
        indices, distances = self._neighbors(found)
        return Neighbors(indices[:count], distances[:count])

    def search_batched(
        self,
        queries: ArrayLike,
        final_num_neighbors: int | None = None,
        pre_reorder_num_neighbors: int | None = None,
        leaves_to_search: int | None = None,
    ) -> Neighbors:
        """The nearest neighbours of many queries, shape (q, d), on one thread.

        The other arguments are as for `search`, with None for what is configured.

        Returns:
            `Neighbors(indices, distances)`, shape (q, k), padded where there are fewer.
        """
        given = (final_num_neighbors, pre_reorder_num_neighbors, leaves_to_search)
        return self._batched(queries, given, threads=1)

    def search_batched_parallel(
        self,
        queries: ArrayLike,
        final_num_neighbors: int | None = None,
        pre_reorder_num_neighbors: int | None = None,
        leaves_to_search: int | None = None,
        batch_size: int = 256,
    ) -> Neighbors:
        """As `search_batched`, on all threads.

        Args:
            queries: Shape (q, d).
            final_num_neighbors: As for `search_batched`, like the next two.
            pre_reorder_num_neighbors: How many rows to score again.
            leaves_to_search: How many leaves to visit.
            batch_size: No effect: the engine divides the work itself.
        """
        given = (final_num_neighbors, pre_reorder_num_neighbors, leaves_to_search)
        return self._batched(queries, given, threads=self._threads)

    def serialize(self, artifacts_dir: str | os.PathLike[str], relative_path: bool = False) -> None:
        """Writes the searcher into the folder `artifacts_dir`, made if need be.

        Args:
            artifacts_dir: The folder.
            relative_path: No effect: nothing written depends on where the folder is.
        """
        folder = Path(artifacts_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._index.save(folder / _INDEX)
        about = {"num_neighbors": self._num_neighbors, "docids": self._has_docids}
        (folder / _SEARCHER).write_text(json.dumps(about))

    def size(self) -> int:
        """Number of rows in the database."""
        return len(self._index)

    def set_num_threads(self, num_threads: int) -> None:
        """Sets how many threads `search_batched_parallel` uses."""
        if num_threads < 1:
            raise ValueError(f"`num_threads` must be at least 1, got {num_threads}.")
        self._threads = num_threads

    def _found(
        self, queries: Any, given: tuple[int | None, int | None, int | None], threads: int | None
    ) -> SearchResult:
        k, rerank, leaves = (None if value == -1 else value for value in given)
        settings = None
        if rerank is not None or leaves is not None:
            settings = self._index.settings
            settings = replace(
                settings,
                rerank=settings.rerank if rerank is None else rerank,
                leaves=settings.leaves if leaves is None else leaves,
            )
        k = self._num_neighbors if k is None else k
        return self._index.search(queries, k, settings=settings, threads=threads)

    def _batched(
        self, queries: Any, given: tuple[int | None, int | None, int | None], threads: int | None
    ) -> Neighbors:
        if np.ndim(queries) != 2:
            raise ValueError(
                f"`queries` must have shape (n, {self._index.dim}), got {np.shape(queries)}."
            )
        return self._neighbors(self._found(queries, given, threads))

    def _neighbors(self, found: SearchResult) -> Neighbors:
        distances = found.scores if self._index.metric == "dot" else 0 - found.scores
        if self._has_docids:
            return Neighbors(found.ids.tolist(), distances)
        return Neighbors(found.rows.astype(np.uint32), distances)  # row -1 becomes 2**32 - 1


def load_searcher(
    artifacts_dir: str | os.PathLike[str], assets_backcompat_shim: bool = True
) -> ScannSearcher:
    """Reads what `ScannSearcher.serialize` wrote.

    Args:
        artifacts_dir: The folder.
        assets_backcompat_shim: No effect.

    Raises:
        ValueError: It is not such a folder, or is damaged.
    """
    folder = Path(artifacts_dir)
    if not (folder / _SEARCHER).is_file():
        raise ValueError(
            f"{folder} holds no searcher that `serialize` of shortlist.scann wrote (those that "
            "ScaNN itself wrote cannot be read: build the searcher again from the database)."
        )
    try:
        about = json.loads((folder / _SEARCHER).read_text())
        num_neighbors, has_docids = int(about["num_neighbors"]), bool(about["docids"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / _SEARCHER} is damaged: {error!r}.") from error
    return ScannSearcher(Index.load(folder / _INDEX), num_neighbors, has_docids=has_docids)
