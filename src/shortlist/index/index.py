"""`Index`: the best candidates for a query, exactly or nearly so."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist import _native
from shortlist.index.config import IndexConfig, SearchSettings
from shortlist.index.filters import Filter, allowed_rows, flat_exclusions
from shortlist.index.html import html_table

if TYPE_CHECKING:
    from shortlist._native import IdArray, Metric

_SHOWN = 10  # queries and ranks that a notebook shows


class SearchResult(NamedTuple):
    """The best candidates of each query, best first; of equal scores, the lower row first.

    Where a query has fewer than k results the rest is padded: score -inf, row -1, id -1 or "".

    Attributes:
        scores: float32, shape (q, k), or (k,) for one 1-D query. Higher is better for every
            metric: for "l2" it is minus the squared distance.
        ids: The ids given to `build`, int64 or an object array of str; same shape.
        rows: Positions in the embeddings given to `build`, int64; same shape.
    """

    scores: NDArray[np.float32]
    ids: IdArray
    rows: NDArray[np.int64]

    def _repr_html_(self) -> str:
        scores, ids = np.atleast_2d(self.scores), np.atleast_2d(self.ids)
        shown = [
            [
                query,
                *(
                    "" if score == -np.inf else f"{name} ({score:.4g})"
                    for score, name in zip(scores[query, :_SHOWN], ids[query, :_SHOWN], strict=True)
                ),
            ]
            for query in range(min(len(ids), _SHOWN))
        ]
        parts = [f"{len(ids):,} queries" if len(ids) != 1 else "1 query"]
        parts.append(f"{ids.shape[1]:,} results each")
        if max(ids.shape) > _SHOWN:
            parts.append(f"the first {_SHOWN} shown")
        ranks = range(1, min(ids.shape[1], _SHOWN) + 1)
        return html_table(", ".join(parts) + "; id (score)", ["query", *ranks], shown)


class Index:
    """Candidate embeddings, searchable. Made by `Index.build` or `Index.load`.

    Searching is thread-safe and releases the GIL. The same embeddings, seed and config give the
    same index, and the same searches the same results, on one thread or many.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> candidates = rng.standard_normal((1_000, 16), dtype=np.float32)
        >>> index = Index.build(candidates)
        >>> scores, ids, rows = index.search(candidates[:2], k=3)
        >>> ids.shape, ids.tolist() == rows.tolist()
        ((2, 3), True)
    """

    __slots__ = ("_engine", "_search")
    _engine: _native.Index
    _search: Callable[..., SearchResult]

    def __init__(self) -> None:
        raise TypeError("Make an Index with Index.build(embeddings) or Index.load(path).")

    @classmethod
    def _wrap(cls, native: _native.Index) -> Index:
        native.result_type = SearchResult
        index = object.__new__(cls)
        index._engine = native
        index._search = native.search
        return index

    @classmethod
    def build(
        cls,
        embeddings: ArrayLike,
        ids: Sequence[str] | ArrayLike | None = None,
        *,
        metric: Metric = "dot",
        config: IndexConfig | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Callable[[str, float], object] | None = None,
    ) -> Index:
        """Builds the index of `embeddings`.

        Args:
            embeddings: Candidates, shape (n, d), d from 1 to 4,096. float32; other real types are
                converted once. Unless the metric is "cosine", no row may have a norm above 2**62
                (4.6e18): scores are float32. The same holds for queries.
            ids: One id for each candidate, all integers or all str; None numbers them by row.
            metric: "dot" (inner product), "cosine", or "l2" (minus the squared distance).
            config: What is fixed at build; None chooses by n and d. Fewer than 10,000 candidates
                are searched exactly unless `leaves` is given.
            seed: Seed of the random choices, from 0.
            threads: None uses all cores. The index does not depend on it.
            progress: Called with the name of a stage and the fraction of it that is done. What it
                raises stops the build.

        Raises:
            ValueError: An argument has the wrong shape or value; embeddings with NaN or infinity,
                or none at all; two ids alike.
            KeyboardInterrupt: On Ctrl-C, within a second.

        Example:
            >>> films = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
            >>> index = Index.build(films, ["Alien", "Big", "Cube"], metric="cosine")
            >>> index.search([0.2, 1.0], 2).ids.tolist()
            ['Big', 'Cube']
        """
        config = IndexConfig() if config is None else config
        if not isinstance(config, IndexConfig):
            raise TypeError(f"`config` must be an IndexConfig, got {type(config).__name__}.")
        if seed < 0:
            raise ValueError(f"`seed` must be at least 0, got {seed}.")
        fields = dataclasses.asdict(config)
        exact = fields.pop("exact")
        native = _native.Index.build(
            embeddings, ids, metric=metric, seed=seed, threads=threads, progress=progress, **fields
        )
        if exact:
            native.default_settings = SearchSettings(exact=True)._engine
        native.note = json.dumps(dataclasses.asdict(config))
        return cls._wrap(native)

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        *,
        settings: SearchSettings | None = None,
        exclude: Any = None,
        allow: Filter | Sequence[str] | ArrayLike | None = None,
        threads: int | None = None,
    ) -> SearchResult:
        """The best `k` candidates of each query.

        Args:
            queries: Shape (q, d), or (d,) for one query. float32 in C order is not copied.
            k: How many results for each query, from 1 to 10,000.
            settings: None uses `index.settings`.
            exclude: Ids that a query must not get back: one sequence of ids for each query
                (a single sequence for one 1-D query), or a (q, e) array. Ids that are not in the
                index are ignored, so that -1 or "" can pad the array.
            allow: The only candidates to return, for all queries: ids, a boolean mask over rows,
                or a `Filter`. Ids that are not in the index are ignored.
            threads: None uses one thread for one query and all cores for more. The results do not
                depend on it.

        Returns:
            `SearchResult(scores, ids, rows)`. Both `exclude` and `allow` are exact: an excluded
            candidate never comes back, and k results come back whenever k are allowed.

        Raises:
            ValueError: An argument has the wrong shape or value, or queries NaN or infinity.

        Example:
            >>> index = Index.build(np.eye(4, dtype=np.float32))
            >>> index.search([[4, 3, 2, 1], [1, 2, 3, 4]], 2, exclude=[[0], []]).ids
            array([[1, 2],
                   [3, 2]])
        """
        engine_settings = None if settings is None else _engine_settings(settings)
        if exclude is None and allow is None:
            return self._search(queries, k, engine_settings, None, None, None, threads)
        queries = np.asarray(queries)
        offsets = None
        if exclude is not None:
            if queries.ndim == 2:
                exclude, offsets = flat_exclusions(exclude, len(queries))
            elif np.ndim(exclude) != 1:
                raise ValueError(
                    "`exclude` must be one sequence of ids for a query of shape (d,), "
                    f"got {exclude!r}."
                )
        allowed = None if allow is None else allowed_rows(self._engine, allow)
        return self._search(queries, k, engine_settings, exclude, offsets, allowed, threads)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index, its ids, config and settings as one file.

        The file is complete or not there: an interrupted save leaves what was at `path`.

        Args:
            path: Where to write; the customary suffix is `.slx`.

        Raises:
            OSError: The file cannot be written.
        """
        self._engine.save(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> Index:
        """Reads what `save` wrote.

        Args:
            path: The file.
            mmap: Map the file instead of reading it: loading is immediate, processes share the
                memory, and rows are read from disk when a search first needs them. The file must
                then stay unchanged while the index lives.

        Raises:
            OSError: The file cannot be read.
            ValueError: It is not an index of a version this release knows, or is damaged.
        """
        index = cls._wrap(_native.Index.load(path, mmap=mmap))
        _read_config(index._engine.note)  # a damaged note is an error now, not at first use
        return index

    @property
    def metric(self) -> Metric:
        """How scores are made: "dot", "cosine" or "l2".

        The score of "l2" is minus the squared distance.
        """
        return self._engine.metric

    @property
    def dim(self) -> int:
        """Number of dimensions d."""
        return self._engine.dim

    def __len__(self) -> int:
        """Number of candidates n."""
        return len(self._engine)

    @property
    def ids(self) -> IdArray:
        """The ids by row, shape (n,): int64, or an object array of str."""
        return self._engine.ids

    @property
    def config(self) -> IndexConfig:
        """The configuration as built, with what was chosen filled in."""
        engine = self._engine
        return dataclasses.replace(
            _read_config(engine.note),
            leaves=engine.num_leaves,
            codes=engine.codes,
            store=engine.store,
            tier=engine.tier,
            spread=engine.spread,
        )

    @property
    def settings(self) -> SearchSettings:
        """What `search` uses when it is given no settings; can be set, and is saved."""
        return SearchSettings._of(self._engine.default_settings)

    @settings.setter
    def settings(self, settings: SearchSettings) -> None:
        self._engine.default_settings = _engine_settings(settings)

    @property
    def nbytes(self) -> int:
        """Bytes of memory the index holds, or maps."""
        return self._engine.nbytes

    def describe(self) -> dict[str, Any]:
        """Sizes and shape of the index: rows, dim, metric, leaves, codes, bytes by part."""
        return self._engine.describe()

    def rows(self, ids: Sequence[str] | ArrayLike) -> NDArray[np.int64]:
        """The rows of ids, shape (len(ids),): positions in the embeddings given to `build`.

        Args:
            ids: Ids; -1 is returned for one that is not in the index.

        Example:
            >>> Index.build(np.eye(2, dtype=np.float32), ["Alien", "Big"]).rows(["Big", "Cube"])
            array([ 1, -1])
        """
        return self._engine.find(ids)

    def vectors(self, ids: Sequence[str] | ArrayLike) -> NDArray[np.float32]:
        """The embeddings of some candidates, as the index keeps them.

        Args:
            ids: Ids in the index.

        Returns:
            Shape (len(ids), d), normalised if the metric is "cosine", rounded if `config.store` is
            not "float32".

        Raises:
            ValueError: An id is not in the index.
        """
        rows = self._engine.find(ids)
        unknown = np.flatnonzero(rows < 0)
        if unknown.size:
            raise ValueError(f"`ids` must be in the index, got {np.asarray(ids)[unknown[0]]!r}.")
        return self._engine.vectors(rows)

    def __repr__(self) -> str:
        return (
            f"Index({len(self):,} x {self.dim}, {self.metric}, {self._engine.num_leaves:,} leaves, "
            f"{self.nbytes / 1e6:,.1f} MB)"
        )

    def _repr_html_(self) -> str:
        facts = self.describe()
        for part, size in facts.pop("bytes").items():
            facts[f"{part}, MB"] = f"{size / 1e6:,.1f}"
        facts["rows_per_leaf"] = f"{facts['rows_per_leaf']:.1f}"
        facts |= {
            f"settings.{name}": value for name, value in dataclasses.asdict(self.settings).items()
        }
        return html_table(
            repr(self), [], ((name.replace("_", " "), value) for name, value in facts.items())
        )


def _engine_settings(settings: SearchSettings) -> _native.Settings:
    try:
        return settings._engine
    except AttributeError:
        raise TypeError(
            f"`settings` must be SearchSettings, got {type(settings).__name__}."
        ) from None


def _read_config(note: str) -> IndexConfig:
    try:
        return IndexConfig(**json.loads(note))
    except (TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"The index file holds no valid configuration: {error}") from error
