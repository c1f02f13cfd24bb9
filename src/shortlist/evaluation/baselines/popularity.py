"""The same list for everyone: what most users chose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data import Interactions, UserItems
from shortlist.index import Index, IndexConfig, SearchResult


class Popularity:
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
        counts = train.frame.group_by("item_id").agg(pl.col("user_id").n_unique()).sort("item_id")
        self._index = Index.build(
            counts["user_id"].to_numpy().astype(np.float32)[:, None],
            counts["item_id"].to_numpy(),
            config=IndexConfig(exact=True),
        )
        self._seen = UserItems(train)

    def recommend(
        self,
        user_ids: npt.ArrayLike,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[npt.ArrayLike] | None = None,
    ) -> SearchResult:
        """Returns the k most popular items each user may get.

        Args:
            user_ids: (q,) ids; users unknown in train are served too.
            k: Number of items a user.
            exclude_seen: Whether to leave out what the user had in training.
            exclude: One sequence of item ids per user, left out as well.

        Returns:
            Scores (numbers of users) and ids of shape (q, k), best first.
        """
        users = np.asarray(user_ids)
        exclude = self._seen.excluded(users, exclude) if exclude_seen else exclude
        return self._index.search(np.ones((len(users), 1), np.float32), k, exclude=exclude)
