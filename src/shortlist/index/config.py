"""What is fixed when an index is built, and what every search may change."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from shortlist import _native
from shortlist.index.numbers import as_flag, as_integer, as_real

_LEAST = {"leaves": 1, "tier": 0, "sample": 1, "iterations": 1}  # of the whole numbers


@dataclass(frozen=True, kw_only=True)
class IndexConfig:
    """What is fixed when an index is built.

    Every field left at None is chosen from the number and dimension of the embeddings.

    Attributes:
        exact: Search exactly, unless a search is given settings of its own. Fewer than 10,000 rows
            are searched exactly anyway, unless `leaves` is given. Large sets are still partitioned:
            bounds on the leaves let exact search skip most of them. With `leaves=1` they are not
            partitioned, which builds sooner and searches slower.
        leaves: Number of k-means leaves (cells) that the rows are partitioned into.
        codes: How rows are coded for the first scoring: "int8", 8 bits a dimension; "int4", 4 bits
            a dimension, in even steps (Max 1960); or "pq4", 4 bits for two dimensions, by tables
            (product quantization). Smaller codes need more reranking. "int4" is the fastest with
            hundreds of dimensions. 4-bit codes are chosen to keep scores rather than rows
            (anisotropic quantization, Guo et al. 2020).
        store: How rows are kept for reranking and exact search: "float32" as given; "bfloat16",
            rounded to nearest even; or "int8", to 127ths of the row's largest value. Scores are
            those of the rounded rows, and exact search finds the best of them.
        tier: How many rows of largest norm every query scores, whichever leaves it visits. Pays
            where norms vary and the metric is "dot"; 0 turns it off.
        spread: How much a leaf's spread counts when leaves are ranked for a query. A leaf is ranked
            by the score of its centroid plus this many standard deviations of its rows' scores. The
            rows are taken to spread alike in all directions. None measures which value finds the
            neighbours of a sample of rows in the fewest leaves.
        sample: How many rows k-means is trained on.
        iterations: Rounds of k-means.

    Raises:
        ValueError: A field is no number, or out of its range.

    Example:
        >>> IndexConfig(leaves=2_000, codes="int4").leaves
        2000
    """

    exact: bool = False
    leaves: int | None = None
    codes: Literal["int8", "int4", "pq4"] | None = None
    store: Literal["float32", "bfloat16", "int8"] = "float32"
    tier: int | None = None
    spread: float | None = None
    sample: int | None = None
    iterations: int | None = None

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_integer(value, name, least))
        if self.spread is not None:
            object.__setattr__(self, "spread", as_real(self.spread, "spread", 0, 100))
        object.__setattr__(self, "exact", as_flag(self.exact, "exact"))
        for name in ("codes", "store"):  # the engine knows which there are
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name == "store"):
                raise ValueError(f"`{name}` must be text, such as 'int8', got {value!r}.")


class _Prepared:
    """Holds the engine's own settings, made once, outside the fields of the dataclass."""

    _engine: _native.Settings


@dataclass(frozen=True, kw_only=True)
class SearchSettings(_Prepared):
    """What a search may change.

    To change one field of an index's own settings, use
    `dataclasses.replace(index.settings, rerank=200)`.

    Attributes:
        exact: Return the true best k, whatever the other fields are.
        leaves: Most leaves to visit for a query.
        rerank: How many of the best coded rows to score again from the stored rows; at least k
            are.
        stop: Early stopping inside a leaf: lower is faster and finds less; 0 turns it off. The rows
            of a leaf lie in falling order of their projections on its centroid. A leaf is left as
            soon as the best score expected of its other rows is below the score of the `rerank`-th
            best row so far. The expected score is that of the projection, plus `stop` times the
            norm of the query times the radius of the leaf. At 1 almost no row is lost, and at 0.5
            few are. 0.1 to 0.3 lose few where rows form clusters and more where they do not, above
            all for "cosine". A leaf whose centroid scores below 0 is scored whole or not at all. An
            index with one leaf always scores it whole.
        groups: Groups of leaves whose centroids are scored to find the best leaves; 0 chooses by
            `leaves`.

    Raises:
        ValueError: A field is out of its range.

    Example:
        >>> SearchSettings(leaves=64, rerank=100)
        SearchSettings(exact=False, leaves=64, rerank=100, stop=0.5, groups=0)
    """

    exact: bool = False
    leaves: int = 32
    rerank: int = 50
    stop: float = 0.5
    groups: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "exact", as_flag(self.exact, "exact"))
        for name, least in (("leaves", 1), ("rerank", 1), ("groups", 0)):
            object.__setattr__(self, name, as_integer(getattr(self, name), name, least))
        object.__setattr__(self, "stop", as_real(self.stop, "stop"))
        object.__setattr__(self, "_engine", _native.Settings(**asdict(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(SearchSettings, **asdict(self)), ()

    @classmethod
    def _of(cls, native: _native.Settings) -> SearchSettings:
        """The settings that the engine's own hold."""
        return cls(
            exact=native.exact,
            leaves=native.leaves,
            rerank=native.rerank,
            stop=round(native.stop, 6),  # kept as float32
            groups=native.groups,
        )
