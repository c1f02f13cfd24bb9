"""ScaNN's searcher, as its NumPy interface has it."""

# ruff: noqa: ARG001, ARG002  (ScaNN's arguments are accepted where they have no effect)

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist.embeddings import as_embeddings
from shortlist.index import Index, SearchResult
from shortlist.index.numbers import as_integer
from shortlist.scann.config_text import parse
from shortlist.scann.plan import metric_of, number_of_neighbors, parts_of, plan
from shortlist.scann.scann_builder import ScannBuilder
from shortlist.scann.updates import Updated, settings_by_size

__all__ = ["Neighbors", "ScannSearcher", "builder", "create_searcher", "load_searcher"]

_ASKED = ("final_num_neighbors", "pre_reorder_num_neighbors", "leaves_to_search")
_INDEX, _SEARCHER = "index.slx", "searcher.json"


class Neighbors(NamedTuple):
    """What a search returns.

    Attributes:
        indices: uint32 positions in the database, or docids as lists of str.
        distances: float32, best first.

    Example:
        >>> db = np.eye(4, dtype=np.float32)
        >>> found = builder(db, 1, "dot_product").score_brute_force().build().search(db[2])
        >>> found.indices.tolist(), found.distances.tolist()
        ([2], [1.0])
    """

    indices: Any
    distances: NDArray[np.float32]


def builder(db: ArrayLike, num_neighbors: int, distance_measure: str) -> ScannBuilder:
    """Starts to configure a searcher.

    Args:
        db: The database, shape (n, d).
        num_neighbors: Results for each query unless a search asks for another number.
        distance_measure: "dot_product" or "squared_l2".

    Returns:
        The builder, to go on with.

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
    return ScannBuilder(db, num_neighbors, distance_measure).set_builder_lambda(create_searcher)


class ScannSearcher(Updated):
    """Searches a database; made by `ScannBuilder.build`, `create_searcher` or `load_searcher`.

    Example:
        >>> db = np.eye(4, dtype=np.float32)
        >>> searcher = builder(db, 1, "squared_l2").score_brute_force().build()
        >>> searcher.search_batched(db[:2]).indices.tolist()
        [[0], [1]]
        >>> searcher.size()
        4
    """

    def __init__(self, index: Index, config: str, *, has_docids: bool) -> None:
        self._index = index
        self._config = config
        self._num_neighbors = number_of_neighbors(parse(config))
        self._has_docids = has_docids
        self._threads: int | None = None

    def search(
        self,
        q: ArrayLike,
        final_num_neighbors: int | None = -1,
        pre_reorder_num_neighbors: int | None = -1,
        leaves_to_search: int | None = -1,
    ) -> Neighbors:
        """The nearest neighbours of one query, shape (d,).

        Args:
            q: The query.
            final_num_neighbors: How many to return; -1 or None means as configured, here and below.
            pre_reorder_num_neighbors: How many rows to score again.
            leaves_to_search: How many leaves to visit.

        Returns:
            `Neighbors(indices, distances)`, shape (k,), shorter where there are fewer.

        Raises:
            ValueError: `q` has a wrong shape or value.
        """
        query = as_embeddings(q, "q")
        if query.ndim != 1:
            raise ValueError(f"`q` must have shape ({self._index.dim},), got {query.shape}.")
        given = (final_num_neighbors, pre_reorder_num_neighbors, leaves_to_search)
        found = self._found(query, given, threads=1)
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
        about = {"config": self._config, "docids": self._has_docids}
        (folder / _SEARCHER).write_text(json.dumps(about))

    def size(self) -> int:
        """Number of rows in the database."""
        return len(self._index)

    def set_num_threads(self, num_threads: int) -> None:
        """Sets how many threads `search_batched_parallel` uses."""
        self._threads = as_integer(num_threads, "num_threads", 1)

    def config(self) -> str:
        """The configuration as ScaNN's text; `create_searcher` takes it."""
        return self._config

    @property
    def docids(self) -> list[Any] | None:
        """The docids by index; None where there are none."""
        return self._index.ids.tolist() if self._has_docids else None

    @property
    def docid_to_id(self) -> dict[Any, int] | None:
        """The index of each docid; None where there are none."""
        return (
            dict(zip(self._index, range(len(self._index)), strict=True))
            if self._has_docids
            else None
        )

    def _found(
        self, queries: Any, given: tuple[int | None, int | None, int | None], threads: int | None
    ) -> SearchResult:
        k, rerank, leaves = (
            None if value is None or value == -1 else as_integer(value, name, 1)
            for name, value in zip(_ASKED, given, strict=True)
        )
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
        queries = as_embeddings(queries, "queries")
        if queries.ndim != 2:
            raise ValueError(
                f"`queries` must have shape (n, {self._index.dim}), got {queries.shape}."
            )
        return self._neighbors(self._found(queries, given, threads))

    def _neighbors(self, found: SearchResult) -> Neighbors:
        distances = found.scores if self._index.metric == "dot" else 0 - found.scores
        if self._has_docids:
            return Neighbors(found.ids.tolist(), distances)
        return Neighbors(found.rows.astype(np.uint32), distances)  # row -1 becomes 2**32 - 1


def create_searcher(
    db: ArrayLike,
    scann_config: str,
    training_threads: int = 0,
    docids: Any = None,
    **unused_kwargs: Any,
) -> ScannSearcher:
    """Builds the searcher that a text configuration describes.

    Args:
        db: The database, shape (n, d).
        scann_config: What `ScannBuilder.create_config` returns, or text that was written for ScaNN.
            Its fields are read as the arguments of the builder are: what has no effect there has
            none here.
        training_threads: How many threads build; 0 means all cores.
        docids: One str or int for each row, no two alike; None for none.
        **unused_kwargs: Accepted, as ScaNN does, and not used.

    Returns:
        The searcher.

    Raises:
        ValueError: `scann_config` is no such text, or has a part that is not known here; or db or
            docids have wrong shapes or values.

    Example:
        >>> db = np.random.default_rng(0).standard_normal((2_000, 16)).astype(np.float32)
        >>> config = builder(db, 10, "squared_l2").tree(50, 10).score_ah(2).create_config()
        >>> create_searcher(db, config).search(db[7]).indices[0]
        np.uint32(7)
    """
    parts = parts_of(scann_config)
    rows = as_embeddings(db, "db")
    config, settings = plan(parts, rows)
    index = Index.build(
        rows,
        docids,
        metric=metric_of(parts),
        config=config,
        threads=as_integer(training_threads, "training_threads", 0) or None,
    )
    if "autopilot" in parts:
        index.settings = settings_by_size(index)
    elif settings is not None:
        index.settings = settings
    return ScannSearcher(index, str(scann_config), has_docids=docids is not None)


def load_searcher(
    artifacts_dir: str | os.PathLike[str], assets_backcompat_shim: bool = True
) -> ScannSearcher:
    """Reads what `ScannSearcher.serialize` wrote.

    Args:
        artifacts_dir: The folder.
        assets_backcompat_shim: No effect.

    Returns:
        The searcher.

    Raises:
        ValueError: It is not such a folder, or is damaged.

    Example:
        >>> import tempfile
        >>> db = np.random.default_rng(0).standard_normal((100, 8)).astype(np.float32)
        >>> searcher = builder(db, 3, "dot_product").score_brute_force().build()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     searcher.serialize(folder)
        ...     again = load_searcher(folder)
        >>> again.search(db[0]).indices.tolist() == searcher.search(db[0]).indices.tolist()
        True
    """
    folder = Path(artifacts_dir)
    if not (folder / _SEARCHER).is_file():
        raise ValueError(
            f"{folder} holds no searcher that `serialize` of shortlist.scann wrote (those that "
            "ScaNN itself wrote cannot be read: build the searcher again from the database)."
        )
    try:
        about = json.loads((folder / _SEARCHER).read_text())
        config, has_docids = str(about["config"]), bool(about["docids"])
        number_of_neighbors(parse(config))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / _SEARCHER} is damaged: {error!r}.") from error
    return ScannSearcher(Index.load(folder / _INDEX), config, has_docids=has_docids)
