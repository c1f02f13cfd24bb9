"""The same list for everyone: what most users chose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shortlist.data import Histories, Interactions
from shortlist.evaluation.baselines.baseline import Baseline
from shortlist.index import Index, IndexConfig


class Popularity(Baseline):
    """Scores every item by the number of users who interacted with it.

    Args:
        train: Interactions to count.

    Example:
        >>> from shortlist.data import Interactions
        >>> train = Interactions.from_arrays([1, 2, 2], [10, 10, 20])
        >>> Popularity(train).recommend([1], k=1, exclude_seen=False).ids
        array([[10]])
    """

    def __init__(self, train: Interactions) -> None:
        self.seen = Histories.from_interactions(train)
        self._index = Index.build(
            self.seen.popularity().astype(np.float32)[:, None],
            self.seen.item_ids,
            config=IndexConfig(exact=True),
        )

    def embed_queries(self, user_ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Returns the same for every user, known or not: (q, 1) ones."""
        return np.ones((len(np.asarray(user_ids)), 1), np.float32)

    def embed_histories(self, histories: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Returns the same for every history: (q, 1) ones."""
        return np.ones((len(histories), 1), np.float32)

    def _exact(self) -> Index:
        return self._index
