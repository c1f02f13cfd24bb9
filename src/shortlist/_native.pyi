"""The engine's contract to Python: everything that `native/bindings` exposes, typed."""

import os
from collections.abc import Callable
from typing import Any, Literal, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

type Metric = Literal["dot", "cosine", "l2"]
type Codes = Literal["int8", "int4", "pq4"]
type Store = Literal["float32", "bfloat16", "int8"]
type IdArray = NDArray[np.int64] | NDArray[np.object_]

MAX_DIM: int
"""The most dimensions of an embedding."""

MAX_K: int
"""The most results of one query."""

def simd_level() -> str:
    """The instruction set chosen for this process."""

def simd_levels() -> list[str]:
    """The instruction sets this machine can run, best first."""

@final
class Settings:
    """What a search may change. Immutable; make it once and pass it to many searches.

    exact: Score every row that could matter; the other fields are then ignored.
    leaves: Most leaves to visit for one query.
    rerank: Rows rescored from the stored rows; at least k are.
    stop: Early stopping inside a leaf: lower is faster and finds less; 0 turns it off. A leaf is left at the first run
        of rows whose expected best score, <query, their part along the centroid> + stop * |query| * radius of the leaf,
        is below that of the rerank-th row found.
    groups: Groups of leaves whose centroids are scored; 0 picks by `leaves`.
    """

    def __init__(
        self,
        *,
        exact: bool = False,
        leaves: int = 32,
        rerank: int = 50,
        stop: float = 0.5,
        groups: int = 0,
    ) -> None: ...
    @property
    def exact(self) -> bool: ...
    @property
    def leaves(self) -> int: ...
    @property
    def rerank(self) -> int: ...
    @property
    def stop(self) -> float: ...
    @property
    def groups(self) -> int: ...
    def __eq__(self, other: object) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Filter:
    """Candidates of one index that searches may return, by their ids, prepared for reuse.

    A search after a change of the index brings it up to date.
    """

    def __and__(self, other: Filter) -> Filter: ...
    def __or__(self, other: Filter) -> Filter: ...
    def __invert__(self) -> Filter: ...

    @property
    def nbytes(self) -> int: ...

@final
class Codebook:
    """What is learnt from rows: leaves and codes."""

    @staticmethod
    def learn(
        sample_rows: NDArray[np.float32],
        *,
        metric: Metric = "dot",
        leaves: int | None = None,
        codes: Codes | None = None,
        tier: int | None = None,
        spread: float | None = None,
        sample: int | None = None,
        iterations: int | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Callable[[str, float], object] | None = None,
    ) -> Codebook:
        """As `Index.build`, of `sample_rows` (n, d)."""

    def to_bytes(self) -> bytes:
        """An index file without rows."""

    @staticmethod
    def from_bytes(data: bytes) -> Codebook:
        """Reads the codebook of any index file; damaged ones are a ValueError."""

    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> Metric: ...
    @property
    def num_leaves(self) -> int: ...
    @property
    def codes(self) -> Codes: ...
    @property
    def spread(self) -> float: ...
    @property
    def nbytes(self) -> int: ...

@final
class Index:
    """Rows in leaf order with their codes. Searching is thread-safe and releases the GIL."""

    result_type: type[tuple[Any, ...]]
    """The class of what `search` returns: `tuple`, or a named tuple of three fields."""

    default_settings: Settings
    """What `search` uses when it is given no settings; saved with the index."""

    note: str
    """Text that is saved with the index and not read by the engine (the face's configuration as JSON)."""

    @staticmethod
    def build(
        embeddings: ArrayLike,
        ids: IdArray | None = None,
        *,
        metric: Metric = "dot",
        leaves: int | None = None,
        codes: Codes | None = None,
        store: Store = "float32",
        tier: int | None = None,
        spread: float | None = None,
        sample: int | None = None,
        iterations: int | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Callable[[str, float], object] | None = None,
        codebook: Codebook | None = None,
        columns: list[Any] = ...,
    ) -> Index:
        """Builds the index of `embeddings` (n, d); see `IndexConfig` for the fields.

        ids: None (row numbers), or n as `shortlist.ids.as_ids` gives them, here and below; no two alike.
        leaves: k-means leaves; 1 scans everything (an exact index); None picks by n.
        tier: Rows of largest norm that every query scores; None measures whether norms vary enough.
        spread: Standard deviations that count when leaves are ranked; None measures what is best.
        sample: Rows that k-means trains on; None picks by `leaves`.
        progress: Called with a stage's name and the fraction done of it; what it raises stops the build.
        codebook: To encode with; only `store` and `threads` then count.
        columns: What `shortlist.index.attributes.as_columns` gives.

        Raises:
            ValueError: An argument has a wrong shape or value, NaN or infinity, or duplicate ids.
            KeyboardInterrupt: On Ctrl-C, within a second.
        """

    def search(
        self,
        queries: ArrayLike,
        k: int = 10,
        settings: Settings | None = None,
        exclude: IdArray | None = None,
        exclude_offsets: ArrayLike | None = None,
        allow: Filter | None = None,
        threads: int | None = None,
    ) -> Any:
        """The best k rows of each query as (scores, ids, rows) in a `result_type`.

        queries: (q, d), or (d,) for one query, whose results are then (k,). float32 in C order is not copied.
        exclude: Ids, those of query i at [exclude_offsets[i], exclude_offsets[i + 1]); unknown ids are ignored.
            Without offsets, all of `exclude` is left out for every query.
        allow: From `filter_ids` or `filter_rows` of this index.
        threads: None uses one for one query and all cores for more.

        Scores are float32 descending, ties by lower row; rows int64; ids int64 or an object array of str. Missing
        results are score -inf, row -1 and id -1 or "".
        """

    def range_search(
        self,
        queries: ArrayLike,
        least: float,
        exclude: IdArray | None = None,
        exclude_offsets: ArrayLike | None = None,
        allow: Filter | None = None,
        threads: int | None = None,
    ) -> tuple[NDArray[np.float32], IdArray, NDArray[np.int64], NDArray[np.int64]]:
        """All rows that score at least `least`, as (scores, ids, rows, offsets); exact.

        Those of query i are at offsets[i] : offsets[i + 1], in the order of `search`.
        """

    def filter_ids(self, ids: IdArray) -> Filter:
        """Allows these ids; unknown ones are ignored."""

    def filter_rows(self, mask: NDArray[np.bool_]) -> Filter:
        """Allows the rows where `mask` (n,) is True."""

    def rows_of_filter(self, filter: Filter) -> NDArray[np.bool_]:
        """The mask (n,) of the rows that it allows."""

    def count_filter(self, filter: Filter) -> int:
        """How many rows it allows."""

    def find(self, ids: IdArray) -> NDArray[np.int64]:
        """The rows of these ids, -1 for one that is unknown or of the other kind."""

    def vectors(self, ids: IdArray) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The vectors of ids (as searched: normalised for cosine, rounded to `store`), shape (len(ids), d), and `find`.

        Zeros where there is none.
        """

    attribute_types: dict[str, str]
    """The types of the attributes by name: "int64", "float64", "bool", "str", or "list[str]" and so on."""

    def filter_where(self, plan: tuple[Any, ...]) -> Filter:
        """Allows the rows that meet a condition, as `Condition._plan` gives it."""

    def attributes(self, ids: IdArray) -> tuple[dict[str, list[Any]], NDArray[np.bool_]]:
        """The values of those ids that are in the index, by attribute; and which ids are."""

    def upsert(self, embeddings: ArrayLike, ids: IdArray, columns: list[Any] = ...) -> tuple[int, int]:
        """Adds rows or replaces those of the same ids; returns how many of each. A failed call changes nothing."""

    def delete(self, ids: IdArray) -> int:
        """Deletes the rows of ids, as far as there are any; returns how many."""

    def rebalance(
        self,
        *,
        leaves: int | None = None,
        codes: Codes | None = None,
        tier: int | None = None,
        spread: float | None = None,
        sample: int | None = None,
        iterations: int | None = None,
        seed: int = 0,
        threads: int | None = None,
        progress: Callable[[str, float], object] | None = None,
    ) -> None:
        """Learns leaves and codes from the rows there are, as `build` does; searches and changes go on meanwhile."""

    def health(self) -> dict[str, Any]:
        """How well the leaves fit the rows; see `shortlist.index.Health`."""

    def save(self, path: str | bytes | os.PathLike[str]) -> None:
        """Writes one file, atomically: a crash leaves the old file or the new one."""

    @staticmethod
    def load(path: str | bytes | os.PathLike[str], *, mmap: bool = False) -> Index:
        """Reads what `save` wrote; damaged files are a ValueError. With `mmap` the rows stay on disk until read."""

    def to_bytes(self) -> bytes:
        """What `save` writes."""

    @staticmethod
    def from_bytes(data: bytes | memoryview) -> Index:
        """Reads what `to_bytes` gave, and keeps nothing of it."""

    def __copy__(self) -> Index:
        """Shares the rows; has settings of its own."""

    def __len__(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def metric(self) -> Metric: ...
    @property
    def ids(self) -> IdArray: ...
    @property
    def ids_are_text(self) -> bool: ...
    @property
    def num_leaves(self) -> int: ...
    @property
    def codes(self) -> Codes: ...
    @property
    def store(self) -> Store: ...
    @property
    def tier(self) -> int: ...
    @property
    def spread(self) -> float: ...
    @property
    def nbytes(self) -> int:
        """Memory the index holds, or maps."""

    @property
    def codebook(self) -> Codebook: ...
    def describe(self) -> dict[str, Any]:
        """Sizes and shape: rows, dim, metric, leaves, rows a leaf, tier, codes, store, bytes by part."""

def softmax(
    queries: NDArray[np.float32],
    candidates: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    keys: NDArray[np.int32] | None,
    temperature: float,
    losses: NDArray[np.float32],
    weights: NDArray[np.float32] | None = None,
    of_queries: NDArray[np.float32] | None = None,
    of_candidates: NDArray[np.float32] | None = None,
    threads: int = 0,
) -> None:
    """Writes the (b,) losses of the in-batch softmax of (b, d) queries and (m, d) candidates, and, where they are
    given, the gradients of the losses' sum weighted by the (b,) `weights`. Candidates of equal keys are no negatives
    of each other's queries."""

def catalogue_loss(
    queries: NDArray[np.float32],
    candidates: NDArray[np.float32],
    known: NDArray[np.int32],
    positives: NDArray[np.int32],
    temperature: float,
    shift: float,
    logistic: bool,
    of_queries: NDArray[np.float32] | None = None,
    of_candidates: NDArray[np.float32] | None = None,
    threads: int = 0,
) -> float:
    """Returns the losses of (b, d) queries over all (n, d) candidates, multinomial or logistic, mean over the
    positives, and writes its gradients where they are wanted. `known`, which are left out, and `positives` are (b, w)
    numbers of candidates from 1, padded with 0."""
