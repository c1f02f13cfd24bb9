"""What a text configuration of ScaNN means to `Index`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from shortlist.index import IndexConfig, SearchSettings
from shortlist.index.numbers import as_integer
from shortlist.scann.config_text import parse

if TYPE_CHECKING:
    from shortlist._native import Store

_METRICS: dict[str, Literal["dot", "l2"]] = {
    "DotProductDistance": "dot",
    "SquaredL2Distance": "l2",
}
_STORES: dict[str, Store] = {"FLOAT32": "float32", "BFLOAT16": "bfloat16", "INT8": "int8"}
_KNOWN = {
    "num_neighbors",
    "distance_measure",
    "partitioning",
    "hash",
    "brute_force",
    "exact_reordering",
    "autopilot",
    "input_output",
}


def parts_of(config: str) -> dict[str, Any]:
    """Returns the parts of a configuration, by name.

    Raises:
        ValueError: It is no such text, or has a part that is not known here.
    """
    parts = parse(str(config))
    if unknown := set(parts) - _KNOWN:
        raise ValueError(
            f"`scann_config` must have no part but {sorted(_KNOWN)}, got {sorted(unknown)[0]!r}."
        )
    return parts


def plan(
    parts: dict[str, Any], db: NDArray[np.float32]
) -> tuple[IndexConfig, SearchSettings | None]:
    """Returns how to build the index of `db` and how to search it; None for what it chooses.

    Raises:
        ValueError: Parts are missing or exclude each other.
    """
    if "autopilot" in parts:
        name = _field(parts, "autopilot", "tree_ah", "reordering_dtype", default="FLOAT32")
        return IndexConfig(store=_STORES[name]), None
    if ("hash" in parts) == ("brute_force" in parts):
        raise ValueError("`scann_config` must have exactly one of `hash` and `brute_force`.")
    brute_force = "brute_force" in parts
    last = "exact_reordering" if "exact_reordering" in parts else "brute_force"
    store: Store = "float32"
    if _field(parts, last, "bfloat16", "enabled", default=False):
        store = "bfloat16"
    elif _field(parts, last, "fixed_point", "enabled", default=False):
        store = "int8"
    if brute_force and "partitioning" not in parts:
        return IndexConfig(exact=True, store=store), None
    rows = max(len(db) if db.ndim else 0, 1)
    partition: dict[str, Any] = {"leaves": 1}
    leaves = 1
    if "partitioning" in parts:
        tree = "partitioning"
        partition = {
            "leaves": min(_field(parts, tree, "num_children", default=1), rows),
            "sample": min(_field(parts, tree, "expected_sample_size", default=100_000), rows),
            "iterations": _field(parts, tree, "max_clustering_iterations", default=10),
        }
        leaves = _field(parts, tree, "query_spilling", "max_spill_centers", default=1)
    rerank = _field(
        parts, "exact_reordering", "approx_num_neighbors", default=number_of_neighbors(parts)
    )
    settings = SearchSettings(leaves=leaves, rerank=rows if brute_force else rerank)
    return IndexConfig(**partition, store=store), settings


def metric_of(parts: dict[str, Any]) -> Literal["dot", "l2"]:
    """Returns the metric of the index.

    Raises:
        ValueError: The distance measure has no counterpart.
    """
    name = _field(parts, "distance_measure", "distance_measure", default=None)
    if name not in _METRICS:
        raise ValueError(
            f"`distance_measure` in `scann_config` must be one of {list(_METRICS)}, got {name!r}."
        )
    return _METRICS[name]


def number_of_neighbors(parts: dict[str, Any]) -> int:
    """Returns how many results a search has unless it asks for another number."""
    return as_integer(parts.get("num_neighbors"), "num_neighbors", 1)


def _field(parts: dict[str, Any], *path: str, default: Any) -> Any:
    """Returns a field of a part of a part; `default` where it is not given."""
    value: Any = parts
    for name in path:
        if not isinstance(value, dict):
            return default
        value = value.get(name)
    return default if value is None else value
