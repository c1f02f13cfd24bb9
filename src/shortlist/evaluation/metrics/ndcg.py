"""NDCG: positives count more the higher they stand."""

import numpy as np
import numpy.typing as npt

from shortlist.evaluation.ranking import Ranking


def ndcg(ranking: Ranking, k: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Normalised discounted cumulative gain@k of binary relevance, mean over queries.

    ::

        DCG@k  = Σ_{i=1..k} rel_i / log2(i + 1)
        NDCG@k = DCG@k / DCG@k of the best possible order

    Args:
        ranking: Ranks of q queries, at least k of them or all there are.
        k: Number of ranks that count.

    Returns:
        (q,) NDCG and (q,) ones.

    Source:
        Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.
    """
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    probability = ranking.probability[:, :k]
    gain = probability @ discounts[: probability.shape[1]]
    best = np.cumsum(discounts)[np.minimum(ranking.num_relevant, k) - 1]
    return gain / best, np.ones(len(best))
