"""Mean of 1 / rank of the true candidate."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.metrics._rank_metric import TruncatedMean


@keras.saving.register_keras_serializable(package="shortlist")
class MeanReciprocalRank(TruncatedMean):
    """Mean of 1 / rank of the true candidate among all candidates, 0 beyond rank k.

    Ids, ties and approximate layers are treated as in `FactorizedTopK`.

    Args:
        candidates: A layer of `shortlist.layers`, (n, d) embeddings, or batches of them.
        candidate_ids: (n,) ids of embeddings; `None` numbers the rows. A layer and batches have
            their own.
        k: Ranks beyond k count 0.
        name: Name of the metric.

    Example:
        >>> metric = MeanReciprocalRank(np.array([[1.0], [2.0], [3.0]]))
        >>> metric.update_state([1, 2], np.array([[1.0], [1.0]]))  # ranks 2 and 1
        >>> float(metric.result())
        0.75
    """

    def __init__(
        self,
        candidates: Any,
        candidate_ids: Any = None,
        k: int = 100,
        name: str = "mean_reciprocal_rank",
    ) -> None:
        super().__init__(candidates, candidate_ids, k, name)

    def _values_of_ranks(self) -> NDArray[np.float64]:
        return 1.0 / np.arange(1, self.depth + 1, dtype=np.float64)[:, None]
