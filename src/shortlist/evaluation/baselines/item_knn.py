"""ItemKNN: items like those the user chose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shortlist.data import Interactions
from shortlist.evaluation.baselines.linear import (
    Chosen,
    LinearRecommender,
    check_memory,
    co_occurrence,
    zeros_and_ones,
)
from shortlist.index.numbers import as_integer


class ItemKNN(LinearRecommender):
    """Scores an item by the cosines to the items the user chose, among its nearest neighbours.

    Needs memory for a few (items, items) matrices.

    Args:
        train: Interactions.
        neighbors: Items that count for each item, the most similar ones; ties count all.

    Raises:
        MemoryError: The items are too many for this machine; how much it would take is said.
        ValueError: `neighbors` is no integer, or below 1.

    Example:
        >>> from shortlist.data import Interactions
        >>> train = Interactions.from_arrays([1, 1, 2, 2, 3, 4], list("ababac"))
        >>> ItemKNN(train).recommend([3], k=1).ids.tolist()
        [['b']]

    Source:
        Deshpande and Karypis, "Item-based top-N recommendation algorithms", ACM TOIS 2004.
    """

    def __init__(self, train: Interactions, *, neighbors: int = 100) -> None:
        self._neighbors = as_integer(neighbors, "neighbors", 1)
        super().__init__(train)

    def _fit(self, chosen: Chosen, num_items: int) -> npt.NDArray[np.floating]:
        check_memory("ItemKNN", num_items, matrices=5)
        together = co_occurrence(chosen, num_items)
        norms = np.sqrt(np.diag(together))
        cosines = together / np.outer(norms, norms)
        np.fill_diagonal(cosines, 0.0)
        kept = min(self._neighbors, len(cosines))
        least = np.partition(cosines, -kept, axis=1)[:, [-kept]]
        return np.where(cosines >= least, cosines, 0.0)

    def _embed(self, chosen: Chosen) -> npt.NDArray[np.floating]:
        return zeros_and_ones(chosen, len(self._items.ids))
