"""Precision: how much of what is shown is wanted."""

import numpy as np
import numpy.typing as npt

from shortlist.evaluation.ranking import Ranking


def precision(ranking: Ranking, k: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Precision@k: the share of the first k that are held-out positives, mean over queries.

    ::

        precision@k = mean_q |top k of q ∩ positives of q| / k

    Args:
        ranking: Ranks of q queries, at least k of them or all there are.
        k: Number of ranks that count. A list shorter than k is still divided by k.

    Returns:
        (q,) precision and (q,) ones.

    Source:
        Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, section 8.4.
    """
    return ranking.hits(k) / k, np.ones(len(ranking.num_relevant))
