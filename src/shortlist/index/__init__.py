"""Nearest neighbours in an array of vectors: build, search, tune, save. Needs NumPy only."""

from shortlist.index.codebook import Codebook
from shortlist.index.conditions import Condition, col
from shortlist.index.config import IndexConfig, SearchSettings
from shortlist.index.filters import Filter
from shortlist.index.index import Index
from shortlist.index.results import MAX_K, RangeResult, SearchResult
from shortlist.index.tuning import Tuning, tune
from shortlist.index.updates import Changes, Health

__all__ = [
    "MAX_K",
    "Changes",
    "Codebook",
    "Condition",
    "Filter",
    "Health",
    "Index",
    "IndexConfig",
    "RangeResult",
    "SearchResult",
    "SearchSettings",
    "Tuning",
    "col",
    "tune",
]
