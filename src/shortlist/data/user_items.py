"""The items of each user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.errors import DataError
from shortlist.data.interactions import Interactions
from shortlist.data.vocabulary import Vocabulary


class UserItems:
    """Looks up which items each user interacted with.

    Args:
        interactions: Interactions, or a table with columns user_id and item_id.

    Attributes:
        users: (u,) user ids, sorted.
        items: (n,) item ids, those of one user standing together.

    Example:
        >>> seen = UserItems(pl.DataFrame({"user_id": [2, 1, 2], "item_id": [10, 10, 20]}))
        >>> [items.tolist() for items in seen([2, 3])]
        [[10, 20], []]
    """

    def __init__(self, interactions: Interactions | pl.DataFrame) -> None:
        frame = interactions if isinstance(interactions, pl.DataFrame) else interactions.frame
        frame = frame.select("user_id", "item_id").sort("user_id", maintain_order=True)
        self._vocabulary = Vocabulary.from_ids(frame["user_id"])
        self.users = self._vocabulary.ids
        self.items: npt.NDArray[Any] = frame["item_id"].to_numpy()
        counts = np.bincount(
            self._vocabulary.encode(frame["user_id"]), minlength=self._vocabulary.size
        )
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        """Returns the number of interactions."""
        return len(self.items)

    def __call__(self, user_ids: npt.ArrayLike) -> list[npt.NDArray[Any]]:
        """Returns the item ids of each user, in the order of the table; none if unknown."""
        rows = self._vocabulary.encode(np.asarray(user_ids))
        return [self.items[self._ends[row - 1] if row else 0 : self._ends[row]] for row in rows]

    def excluded(
        self, user_ids: npt.ArrayLike, exclude: Sequence[npt.ArrayLike] | None
    ) -> list[npt.NDArray[Any]]:
        """Returns the items of each user together with those of `exclude`, one sequence a user."""
        seen = self(user_ids)
        if exclude is None:
            return seen
        if len(exclude) != len(seen):
            raise DataError(
                f"`exclude` must hold one sequence for each of {len(seen)} users, "
                f"got {len(exclude)}."
            )
        return [
            np.concatenate([own, np.asarray(other, dtype=own.dtype)])
            for own, other in zip(seen, exclude, strict=True)
        ]
