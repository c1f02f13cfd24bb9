"""The metrics of the engine, and what they are called elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shortlist._native import Metric

_METRICS = {
    "dot": "whose score is the inner product, higher is better",
    "cosine": "whose score is the cosine, higher is better",
    "l2": "whose score is minus the squared distance, higher is better",
}
_OTHER_NAMES = {
    "dot": ("ip", "inner_product", "dot_product", "dotproduct", "max_inner_product", "mips"),
    "cosine": ("angular", "cos", "cosinesimil", "cosine_similarity"),
    "l2": ("euclidean", "squared_l2", "l2_squared", "sqeuclidean", "l2sq", "euclid"),
}


def check_metric(metric: Metric) -> Metric:
    """Returns `metric` if the engine has it; else a ValueError says what ours is called."""
    if isinstance(metric, str) and metric in _METRICS:
        return metric
    sentence = f"`metric` must be one of {', '.join(map(repr, _METRICS))}, got {metric!r}"
    for ours, theirs in _OTHER_NAMES.items():
        if str(metric).lower() in (ours, *theirs):
            raise ValueError(f"{sentence}; that is {ours!r} here, {_METRICS[ours]}.")
    raise ValueError(f"{sentence}.")
