"""What the linear baselines share: a user is a bag of items, a score is a dot product."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shortlist.data import Interactions, UserItems, Vocabulary
from shortlist.index import Index, IndexConfig, SearchResult

# The rows of the items that each user chose, ascending, each once.
Chosen = list[npt.NDArray[np.int64]]


class LinearRecommender(ABC):
    """A baseline whose scores are dot products with an embedding of the user's items.

    Args:
        train: Interactions; that an item was chosen counts, not how often or how it was rated.
    """

    def __init__(self, train: Interactions) -> None:
        self._items = Vocabulary.from_ids(train.item_ids)
        self._seen = UserItems(train)
        chosen = self._rows(self._seen(self._seen.users))
        self._index = Index.build(
            self._fit(chosen, len(self._items.ids)).astype(np.float32),
            self._items.ids,
            config=IndexConfig(exact=True),
        )

    @abstractmethod
    def _fit(self, chosen: Chosen, num_items: int) -> npt.NDArray[np.floating]:
        """Learns from the items each user chose; returns (items, d) embeddings of the items."""

    @abstractmethod
    def _embed(self, chosen: Chosen) -> npt.NDArray[np.floating]:
        """Returns (q, d) embeddings of users who chose these items."""

    def recommend(
        self,
        user_ids: npt.ArrayLike,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[npt.ArrayLike] | None = None,
    ) -> SearchResult:
        """Returns the k best items of each user.

        Args:
            user_ids: (q,) ids; a user unknown in train is one who chose nothing.
            k: Number of items a user.
            exclude_seen: Whether to leave out what the user had in training.
            exclude: One sequence of item ids per user, left out as well.

        Returns:
            Scores and ids of shape (q, k), best first.
        """
        users = np.asarray(user_ids)
        exclude = self._seen.excluded(users, exclude) if exclude_seen else exclude
        return self._search(self._seen(users), k, exclude)

    def recommend_from(
        self,
        histories: Sequence[npt.ArrayLike],
        k: int = 10,
        *,
        exclude: Sequence[npt.ArrayLike] | None = None,
    ) -> SearchResult:
        """Returns the k best items for users who are known by what they chose.

        Args:
            histories: One sequence of item ids per user; items unknown in train are passed over.
            k: Number of items a user.
            exclude: One sequence of item ids per user to leave out; None leaves out the histories.

        Returns:
            Scores and ids of shape (q, k), best first.
        """
        return self._search(histories, k, histories if exclude is None else exclude)

    def _search(
        self,
        histories: Sequence[npt.ArrayLike],
        k: int,
        exclude: Sequence[npt.ArrayLike] | None,
    ) -> SearchResult:
        queries = self._embed(self._rows(histories)).astype(np.float32)
        return self._index.search(queries, k, exclude=exclude)

    def _rows(self, histories: Sequence[npt.ArrayLike]) -> Chosen:
        """Returns the rows, among all items, of what each user chose, each once."""
        rows = []
        for history in histories:
            ids = np.asarray(history)
            known = np.unique(self._items.encode(ids)) if len(ids) else np.zeros(0, np.int64)
            rows.append(known[known > 0] - 1)
        return rows


def zeros_and_ones(chosen: Chosen, num_items: int) -> npt.NDArray[np.float32]:
    """Returns (q, items) with 1 where an item was chosen."""
    matrix = np.zeros((len(chosen), num_items), np.float32)
    for row, items in enumerate(chosen):
        matrix[row, items] = 1.0
    return matrix


def co_occurrence(chosen: Chosen, num_items: int) -> npt.NDArray[np.float64]:
    """Returns the (items, items) numbers of users who chose both."""
    counts = np.zeros((num_items, num_items))
    for start in range(0, len(chosen), 1024):
        block = zeros_and_ones(chosen[start : start + 1024], num_items)
        counts += block.T @ block
    return counts
