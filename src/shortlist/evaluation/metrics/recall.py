"""Recall: how much of what a query wanted is found."""

import numpy as np
import numpy.typing as npt

from shortlist.evaluation.ranking import Ranking


def recall(ranking: Ranking, k: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Recall@k: the share of a query's held-out positives found in its first k, mean over queries.

    ::

        recall@k = mean_q |top k of q ∩ positives of q| / |positives of q|

    Args:
        ranking: Ranks of q queries, at least k of them or all there are.
        k: Number of ranks that count.

    Returns:
        (q,) recall and (q,) ones.

    Source:
        Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, section 8.3.
    """
    return ranking.hits(k) / ranking.num_relevant, np.ones(len(ranking.num_relevant))
