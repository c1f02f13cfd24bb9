"""Ranking metrics, one a file: each takes a `Ranking` and k, and says what it averages.

A metric returns (numerators, denominators), one of each a query; its value over any set of queries
is the sum of the first over the sum of the second.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from shortlist.evaluation.metrics.average_precision import average_precision
from shortlist.evaluation.metrics.hit_rate import hit_rate
from shortlist.evaluation.metrics.ndcg import ndcg
from shortlist.evaluation.metrics.precision import precision
from shortlist.evaluation.metrics.recall import recall
from shortlist.evaluation.metrics.reciprocal_rank import reciprocal_rank
from shortlist.evaluation.ranking import Ranking

Metric = Callable[[Ranking, int], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]

METRICS: dict[str, Metric] = {
    "hit_rate": hit_rate,
    "recall": recall,
    "precision": precision,
    "ndcg": ndcg,
    "mrr": reciprocal_rank,
    "map": average_precision,
}


def rank_of(metric: str) -> int:
    """Returns the k of a metric at k.

    Raises:
        ValueError: No metric there is, or no rank.

    Example:
        >>> rank_of("hit_rate@10")
        10
    """
    name, _, rank = metric.partition("@") if isinstance(metric, str) else ("", "", "")
    if name not in METRICS or not rank.isdigit() or int(rank) < 1:
        raise ValueError(
            f"`monitor` must be one of {list(METRICS)} and a rank, such as 'hit_rate@10', "
            f"got {metric!r}."
        )
    return int(rank)


__all__ = [
    "METRICS",
    "Metric",
    "average_precision",
    "hit_rate",
    "ndcg",
    "precision",
    "rank_of",
    "recall",
    "reciprocal_rank",
]
