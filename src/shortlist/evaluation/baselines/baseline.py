"""What all baselines share: recommendation by the dot product of embeddings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shortlist.data import Histories
from shortlist.ids import as_ids
from shortlist.index import Index, SearchResult


class Baseline(ABC):
    """Embeds users, known by id or by what they chose, and finds their best candidates exactly.

    Attributes:
        seen: What each user had in training.
    """

    seen: Histories

    @abstractmethod
    def embed_queries(self, user_ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Returns the (q, d) embeddings of users given by id."""

    @abstractmethod
    def embed_histories(self, histories: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Returns the (q, d) embeddings of users given by the ids of the items they chose."""

    @abstractmethod
    def _exact(self) -> Index:
        """Returns the exact index of all candidates."""

    def recommend(
        self,
        user_ids: npt.ArrayLike,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[npt.ArrayLike] | None = None,
    ) -> SearchResult:
        """Returns each user's k best candidates, by exact search.

        Args:
            user_ids: (q,) ids; users unknown in train are served too.
            k: Number of candidates a user.
            exclude_seen: Whether to leave out what the user had in training.
            exclude: One sequence of item ids per user, left out as well.

        Returns:
            Scores, ids and rows of shape (q, k), best first; padded where a user has fewer.

        Raises:
            ValueError: Ids of another kind than in train, or not one `exclude` a user.
        """
        users = as_ids(user_ids, "user_ids")
        exclude = self.seen.excluded(users, exclude) if exclude_seen else exclude
        return self._exact().search(self.embed_queries(users), k, exclude=exclude)

    def recommend_from(
        self,
        histories: Sequence[npt.ArrayLike],
        k: int = 10,
        *,
        exclude: Sequence[npt.ArrayLike] | None = None,
    ) -> SearchResult:
        """Returns the k best candidates for users who are known by what they chose.

        Args:
            histories: One sequence of item ids per user, oldest first.
            k: Number of candidates a user.
            exclude: One sequence of item ids per user to leave out; None leaves out the histories.

        Returns:
            Scores, ids and rows of shape (q, k), best first.

        Raises:
            ValueError: Ids of another kind than in train.
        """
        exclude = histories if exclude is None else exclude
        return self._exact().search(self.embed_histories(histories), k, exclude=exclude)
