"""Mean of 1 / rank of the true candidate."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.metrics._rank_metric import RankMetric


@keras.saving.register_keras_serializable(package="shortlist")
class MeanReciprocalRank(RankMetric):
    """Mean of 1 / rank of the true candidate among all candidates, 0 beyond rank k.

    Ids, ties and approximate layers are treated as in `FactorizedTopK`.

    Args:
        candidates: A layer of `shortlist.layers`, or (n, d) embeddings.
        candidate_ids: (n,) ids of embeddings; `None` numbers the rows. A layer has its own.
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
        if k < 1:
            raise ValueError(f"`k` must be at least 1, got {k!r}.")
        super().__init__(candidates, candidate_ids, depth=int(k), name=name)

    def _values_of_ranks(self) -> NDArray[np.float64]:
        return 1.0 / np.arange(1, self.depth + 1, dtype=np.float64)[:, None]

    def result(self) -> Any:
        """Returns the mean so far."""
        return self._means()[0]

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "k": self.depth}
