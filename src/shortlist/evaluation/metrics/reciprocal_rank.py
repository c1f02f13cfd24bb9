"""Reciprocal rank: how high the first positive stands."""

import numpy as np
import numpy.typing as npt

from shortlist.evaluation.ranking import Ranking


def reciprocal_rank(
    ranking: Ranking, k: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean reciprocal rank@k: one over the rank of the first held-out positive, 0 beyond k.

    ::

        MRR@k = mean_q 1 / (rank of the first positive of q),  0 where that rank exceeds k

    Among tied candidates the first positive stands at each place with the chance that no positive
    came before it: with r positives left among n places, the next place holds one with chance r/n.

    Args:
        ranking: Ranks of q queries, at least k of them or all there are.
        k: Number of ranks that count.

    Returns:
        (q,) reciprocal rank and (q,) ones.

    Source:
        Voorhees, "The TREC-8 question answering track report", 1999.
    """
    left = ranking.group_size[:, :k] - ranking.place[:, :k]
    found = np.minimum(ranking.group_relevant[:, :k] / left, 1.0)
    none_before = np.ones_like(found)
    none_before[:, 1:] = np.cumprod(1.0 - found, axis=1)[:, :-1]
    first_here = np.where(ranking.hits_before[:, :k] == 0, none_before * found, 0.0)
    ranks = np.arange(1, found.shape[1] + 1)
    return (first_here / ranks).sum(axis=1), np.ones(len(found))
