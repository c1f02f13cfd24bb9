"""Average precision: precision at every positive."""

import numpy as np
import numpy.typing as npt

from shortlist.evaluation.ranking import Ranking


def average_precision(
    ranking: Ranking, k: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean average precision@k: the precision at the rank of each positive, mean over positives.

    ::

        AP@k  = Σ_{i=1..k} rel_i · precision@i / |positives|
        MAP@k = mean_q AP@k of q

    The divisor is all positives of the query (the definition of TREC), not min(k, positives). Among
    tied candidates the expected hits above a positive at place j of a group of n with r positives
    are those of the groups before plus j (r - 1) / (n - 1).

    Args:
        ranking: Ranks of q queries, at least k of them or all there are.
        k: Number of ranks that count.

    Returns:
        (q,) average precision and (q,) ones.

    Source:
        Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, section 8.4;
        ties: McSherry and Najork, ECIR 2008.
    """
    probability = ranking.probability[:, :k]
    others = np.maximum(ranking.group_size[:, :k] - 1, 1)
    tied_above = ranking.place[:, :k] * (ranking.group_relevant[:, :k] - 1) / others
    hits_up_to_here = ranking.hits_before[:, :k] + 1 + tied_above
    ranks = np.arange(1, probability.shape[1] + 1)
    total = (probability * hits_up_to_here / ranks).sum(axis=1)
    return total / ranking.num_relevant, np.ones(len(total))
