"""Hit rate: the share of held-out positives that are found."""

import numpy as np
import numpy.typing as npt

from shortlist.evaluation.ranking import Ranking


def hit_rate(ranking: Ranking, k: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Hit rate@k: the share of all held-out positives found in their query's first k.

    ::

        hit rate@k = Σ_q |top k of q ∩ positives of q| / Σ_q |positives of q|

    Every held-out interaction counts alike, as in the top-k categorical accuracy of TensorFlow
    Recommenders; `recall` counts every query alike.

    Args:
        ranking: Ranks of q queries, at least k of them or all there are.
        k: Number of ranks that count.

    Returns:
        (q,) positives found and (q,) positives there are.
    """
    return ranking.hits(k), ranking.num_relevant.astype(np.float64)
