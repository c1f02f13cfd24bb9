"""`Index`: the best candidates for a query, exactly or nearly so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist import _native
from shortlist.embeddings import as_embeddings
from shortlist.html import html_table
from shortlist.ids import Ids, as_id, as_ids, check_kind, unknown_id
from shortlist.index.attributes import as_columns
from shortlist.index.codebook import Codebook
from shortlist.index.conditions import Condition, as_condition
from shortlist.index.config import IndexConfig, SearchSettings
from shortlist.index.files import Saved, read_config
from shortlist.index.filters import Filter, Restrictions, allowed_rows, restrictions_of
from shortlist.index.metrics import check_metric
from shortlist.index.numbers import as_integer, as_real
from shortlist.index.results import RangeResult, SearchResult
from shortlist.index.updates import Updated

if TYPE_CHECKING:
    from shortlist._native import IdArray, Metric

_KEPT_FILTERS = 64  # of conditions in searches, each n / 8 bytes
_ARRAY, _FLOAT32 = np.ndarray, np.dtype(np.float32)


class Index(Saved, Updated):
    """Candidate embeddings, searchable. Made by `Index.build` or `Index.load`.

    Searching is thread-safe and releases the GIL. The same embeddings, seed and config give the
    same index, and the same searches the same results, on one thread or many.

    `upsert` and `delete` change it while others search. Rows are numbered in the order in which
    candidates were last added or replaced, beginning with those of `build`.

    An index can be pickled, and sent to other processes. A copy, deep or not, shares the candidates
    as they are, and goes its own way from then on. `len`, `in` and iteration are over the ids.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> candidates = rng.standard_normal((1_000, 16), dtype=np.float32)
        >>> index = Index.build(candidates)
        >>> scores, ids, rows = index.search(candidates[:2], k=3)
        >>> ids.shape, ids.tolist() == rows.tolist()
        ((2, 3), True)
    """

    __slots__ = ("__weakref__", "_engine", "_filters", "_search")
    _engine: _native.Index
    _filters: dict[str, _native.Filter]  # of the conditions of late searches
    _search: Callable[..., SearchResult]

    def __init__(self) -> None:
        raise TypeError("Make an Index with Index.build(embeddings) or Index.load(path).")

    @classmethod
    def _wrap(cls, native: _native.Index) -> Self:
        native.result_type = SearchResult
        index = object.__new__(cls)
        index._engine = native
        index._search = native.search
        index._filters = {}
        return index

    @classmethod
    def build(
        cls,
        embeddings: ArrayLike,
        ids: Any = None,
        *,
        metric: Metric | None = None,
        config: IndexConfig | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Callable[[str, float], object] | None = None,
        codebook: Codebook | None = None,
        attributes: Any = None,
    ) -> Self:
        """Builds the index of `embeddings`.

        Args:
            embeddings: Candidates, shape (n, d), d from 1 to 4,096. float32; what else holds real
                numbers is converted once (see `shortlist.embeddings`). Unless the metric is
                "cosine", no row may have a norm above 2**62 (4.6e18): scores are float32. The same
                holds for queries.
            ids: One id for each candidate, all integers or all text, no two alike (see
                `shortlist.ids` for what may hold them); None numbers them by row.
            metric: "dot" (inner product), "cosine", or "l2" (minus the squared distance). None is
                "dot", or the metric of the codebook.
            config: What is fixed at build; None chooses by n and d. Fewer than 10,000 candidates
                are searched exactly unless `leaves` is given.
            seed: Seed of the random choices, from 0.
            threads: None uses all cores. The index does not depend on it.
            progress: Called with the name of a stage and the fraction of it that is done. What it
                raises stops the build.
            codebook: What `Codebook.learn` learnt, or that of another index: rows then score as
                they do there. The config says only `store` and `exact`, and the seed is not used.
                None learns one from the embeddings.
            attributes: What searches can ask of candidates by `where`: a mapping of names to
                columns, or a frame, with one value, or a list of values, for each candidate. All
                values of one are whole numbers of 64 bits, real numbers, booleans or text. None and
                NaN are missing values, dates become their ISO text.

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
        fields = dataclasses.asdict(config)
        exact = fields.pop("exact")
        if codebook is not None:
            _check_codebook(codebook, metric, fields)
        rows = as_embeddings(embeddings)
        native = _native.Index.build(
            rows,
            None if ids is None else as_ids(ids),
            metric="dot" if metric is None else check_metric(metric),
            codebook=None if codebook is None else codebook._engine,
            seed=as_integer(seed, "seed", 0, 2**64 - 1),
            threads=threads,
            progress=progress,
            columns=as_columns(attributes, len(rows) if rows.ndim else 0, {}),
            **fields,
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
        allow: Any = None,
        where: Any = None,
        threads: int | None = None,
    ) -> SearchResult:
        """The best `k` candidates of each query.

        Args:
            queries: Shape (q, d), or (d,) for one query. float32 in C order is not copied.
            k: How many results for each query, from 1 to 10,000.
            settings: None uses `index.settings`.
            exclude: Ids not to return: some ids, for all queries, or one sequence of ids for each
                query, or a (q, e) array. Ids that are not in the index are ignored: one of these
                can pad the array.
            allow: The only candidates to return: ids, a boolean mask over rows, or a `Filter`, for
                all queries, or a sequence with one of these for each query. Ids that are not in the
                index are ignored.
            where: A condition on attributes that candidates must meet, such as
                `(col("year") >= 1990) & col("genres").contains("drama")`, or its JSON form; one for
                all queries, or a list with one for each query. See `shortlist.index.col`.
            threads: None uses one thread for one query and all cores for more. The results do not
                depend on it.

        Returns:
            `SearchResult(scores, ids, rows)`. `exclude`, `allow` and `where` are exact: an excluded
            candidate never comes back, and k results come back whenever k are allowed.

        Raises:
            ValueError: An argument has the wrong shape or value, or queries NaN or infinity.

        Example:
            >>> index = Index.build(np.eye(4, dtype=np.float32))
            >>> index.search([[4, 3, 2, 1], [1, 2, 3, 4]], 2, exclude=[[0], []]).ids
            array([[1, 2],
                   [3, 2]])
        """
        if type(queries) is not _ARRAY or queries.dtype is not _FLOAT32:
            queries = as_embeddings(queries, "queries")
        if k is None:
            raise ValueError("`k` must be an integer, got None.")
        chosen = None if settings is None else _engine_settings(settings)
        if exclude is None and allow is None and where is None:
            return self._search(queries, k, chosen, None, None, None, threads)
        restrictions = self._restrictions(exclude, allow, where, queries)

        def search(some: NDArray[Any], of: Restrictions) -> SearchResult:
            return self._search(some, k, chosen, of.exclude, of.offsets, of.allow, threads)

        if not restrictions.allow_each:
            return search(queries, restrictions)
        results = [search(queries[i : i + 1], restrictions.of(i)) for i in range(len(queries))]
        return SearchResult(*(np.concatenate(parts) for parts in zip(*results, strict=True)))

    def range_search(
        self,
        queries: ArrayLike,
        min_score: float,
        *,
        exclude: Any = None,
        allow: Any = None,
        where: Any = None,
        threads: int | None = None,
    ) -> RangeResult:
        """Every candidate that scores at least `min_score`, exactly.

        Args:
            queries: As for `search`.
            min_score: The least score. For "l2" scores are minus the squared distance: all within a
                distance r have `min_score=-r**2`.
            exclude: As for `search`.
            allow: As for `search`.
            where: As for `search`.
            threads: As for `search`.

        Returns:
            `RangeResult(scores, ids, rows, offsets)`; its `split()` gives the result of each query.

        Raises:
            ValueError: An argument has the wrong shape or value, or queries NaN or infinity.

        Example:
            >>> index = Index.build(np.eye(3, dtype=np.float32), ["a", "b", "c"], metric="l2")
            >>> found = index.range_search([[1, 0, 0], [0, 0.5, 0]], -1.5)
            >>> found.ids.tolist(), found.offsets.tolist()
            (['a', 'b', 'a', 'c'], [0, 1, 4])
        """
        queries = as_embeddings(queries, "queries")
        restrictions = self._restrictions(exclude, allow, where, queries)
        least = as_real(min_score, "min_score")

        def search(some: NDArray[Any], of: Restrictions) -> RangeResult:
            found = self._engine.range_search(
                some, least, of.exclude, of.offsets, of.allow, threads
            )
            return RangeResult(*found)

        if not restrictions.allow_each:
            return search(queries, restrictions)
        results = [search(queries[i], restrictions.of(i)) for i in range(len(queries))]
        scores, ids, rows = (
            np.concatenate([result[part] for result in results]) for part in range(3)
        )
        lengths = [len(result.rows) for result in results]
        offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        return RangeResult(scores, ids, rows, offsets)

    def filter(self, where: Any) -> Filter:
        """The candidates that meet a condition, prepared for many searches.

        Args:
            where: A condition on attributes, or its JSON form.

        Returns:
            A `Filter`, for `allow` in searches. Filters combine by `&`, `|` and `~`.

        Raises:
            ValueError: An attribute is unknown, or of another type than what it is compared with.

        Example:
            >>> from shortlist.index import col
            >>> films = [[1, 0], [0, 1], [1, 1]]
            >>> index = Index.build(films, attributes={"year": [1979, 1988, None]})
            >>> old = index.filter(col("year") < 1985)
            >>> len(old), len(~old)
            (1, 2)
            >>> index.search([1, 0], 3, where=col("year") >= 1970).ids.tolist()
            [0, 1, -1]
        """
        return Filter(self, as_condition(where))

    def _restrictions(
        self, exclude: Any, allow: Any, where: Any, queries: NDArray[Any]
    ) -> Restrictions:
        number = len(queries) if queries.ndim == 2 else None
        return restrictions_of(self._engine, exclude, allow, where, number, self._compiled)

    def _compiled(self, where: Condition) -> _native.Filter:
        """A filter of the condition: that of an earlier search, if it was not long ago."""
        key = repr(where)
        try:
            found = self._filters.pop(key)
        except KeyError:
            found = allowed_rows(self._engine, where)
        self._filters[key] = found  # the last one used is the last to go
        while len(self._filters) > _KEPT_FILTERS:
            try:
                del self._filters[next(iter(self._filters))]
            except (KeyError, RuntimeError, StopIteration):  # another thread was faster
                break
        return found

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes by name, with their types.

        A type is "int64", "float64", "bool" or "str", or a list of them, such as "list[str]".
        """
        return self._engine.attribute_types

    def attributes_of(self, ids: Any) -> dict[str, list[Any]]:
        """The attributes of some candidates.

        Args:
            ids: Ids in the index.

        Returns:
            For each attribute a list with the value of each candidate; None where it is missing.

        Raises:
            ValueError: An id is not in the index.

        Example:
            >>> index = Index.build([[1, 0], [0, 1]], ["a", "b"], attributes={"year": [1979, None]})
            >>> index.attributes_of(["b", "a"])
            {'year': [None, 1979]}
        """
        given = self._given(ids)
        values, there = self._engine.attributes(given)
        self._require_known(given, there)
        return values

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

    def __contains__(self, candidate: object) -> bool:
        """Whether this is the id of a candidate."""
        try:
            found = self._engine.find(as_ids([as_id(candidate)]))
        except ValueError:
            return False
        return bool(found[0] >= 0)

    def __iter__(self) -> Iterator[int | str]:
        """The ids by row."""
        return iter(self.ids.tolist())

    @property
    def ids(self) -> IdArray:
        """The ids by row, shape (n,): int64, or an object array of str.

        They are in the order in which candidates were last added or replaced. So a deleted or
        replaced candidate shifts the rows of those after it.
        """
        return self._engine.ids

    @property
    def config(self) -> IndexConfig:
        """The configuration as built, with what was chosen filled in."""
        engine = self._engine
        return dataclasses.replace(
            read_config(engine.note),
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

    @property
    def codebook(self) -> Codebook:
        """What was learnt to build the index; other indexes can be built with it."""
        return Codebook._wrap(self._engine.codebook)

    def describe(self) -> dict[str, Any]:
        """Sizes and shape of the index: rows, dim, metric, leaves, codes, bytes by part."""
        return self._engine.describe()

    def rows(self, ids: Any) -> NDArray[np.int64]:
        """The rows of ids, shape (len(ids),): their positions in `index.ids`.

        Args:
            ids: Ids; -1 is returned for one that is not in the index.

        Raises:
            ValueError: They are no ids, or integers where those of the index are text, or the
                reverse.

        Example:
            >>> Index.build(np.eye(2, dtype=np.float32), ["Alien", "Big"]).rows(["Big", "Cube"])
            array([ 1, -1])
        """
        return self._engine.find(self._given(ids))

    def vectors(self, ids: Any) -> NDArray[np.float32]:
        """The embeddings of some candidates, as the index keeps them.

        Args:
            ids: Ids in the index.

        Returns:
            Shape (len(ids), d), normalised if the metric is "cosine", rounded if `config.store` is
            not "float32".

        Raises:
            ValueError: An id is not in the index.
        """
        given = self._given(ids)
        vectors, rows = self._engine.vectors(given)
        self._require_known(given, rows >= 0)
        return vectors

    def _require_known(self, ids: Ids, there: NDArray[np.bool_]) -> None:
        if not there.all():
            known = unknown_id("candidate", ids[np.argmin(there)], self.ids)
            raise ValueError(f"`ids` must be in the index: {known}.")

    def _given(self, ids: Any) -> Ids:
        given = as_ids(ids)
        check_kind(given, self._engine.ids_are_text, "ids", "this index")
        return given

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


def _check_codebook(codebook: Codebook, metric: object, config: dict[str, Any]) -> None:
    if not isinstance(codebook, Codebook):
        raise TypeError(f"`codebook` must be a Codebook, got {type(codebook).__name__}.")
    if metric not in (None, codebook.metric):
        raise ValueError(
            f"`metric` must be that of the codebook, {codebook.metric!r}, got {metric!r}."
        )
    given = [name for name, value in config.items() if name != "store" and value is not None]
    if given:
        raise ValueError(
            f"`config` must leave `{given[0]}` to the codebook, which was learnt with it, "
            f"got {config[given[0]]!r}."
        )


def _engine_settings(settings: SearchSettings) -> _native.Settings:
    try:
        return settings._engine
    except AttributeError:
        raise TypeError(
            f"`settings` must be SearchSettings, got {type(settings).__name__}."
        ) from None
