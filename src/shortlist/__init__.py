"""Shortlist: the retrieval stage of a recommender system.

The engine's names stand here, so that an array of vectors needs one import::

    import shortlist

    index = shortlist.Index.build(embeddings)
    scores, ids, rows = index.search(queries, k=10)

Everything else is in its room: `shortlist.data`, `shortlist.models`, `shortlist.layers`,
`shortlist.losses`, `shortlist.metrics`, `shortlist.evaluation`, `shortlist.bundle`,
`shortlist.serving` and `shortlist.scann`. Names are imported when they are first used, so
`import shortlist` is quick and imports no framework. A room whose packages are not installed says
which extra brings them, such as `pip install 'shortlist[train]'`.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist.index import (
        Codebook,
        Filter,
        Index,
        IndexConfig,
        RangeResult,
        SearchResult,
        SearchSettings,
        Tuning,
        tune,
    )

__all__ = [
    "Codebook",
    "Filter",
    "Index",
    "IndexConfig",
    "RangeResult",
    "SearchResult",
    "SearchSettings",
    "Tuning",
    "__version__",
    "tune",
]

_ROOMS = frozenset(
    {
        "bundle",
        "data",
        "evaluation",
        "index",
        "layers",
        "losses",
        "metrics",
        "models",
        "scann",
        "serving",
    }
)


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _import_module("importlib.metadata").version("shortlist")
    if name in _ROOMS:
        return _import_module(f"shortlist.{name}")
    if name in __all__:
        value: object = getattr(_import_module("shortlist.index"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'shortlist' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})
