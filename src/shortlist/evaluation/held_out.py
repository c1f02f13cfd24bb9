"""Who is asked in an evaluation, and what should come back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data import Interactions
from shortlist.data.pairs import check_id_types, pair_numbers, stand_in


@dataclass(frozen=True)
class Queries:
    """Who asks, when, and what should come back.

    Attributes:
        users: (q,) user ids.
        at: (q,) seconds since 1970, or None where it does not matter.
        items: (n,) ids of the positives, those of one query standing together.
        counts: (q,) how many of them are each query's.
    """

    users: npt.NDArray[Any]
    at: npt.NDArray[np.int64] | None
    items: npt.NDArray[Any]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of_users(cls, pairs: pl.DataFrame) -> Queries:
        """Returns one query a user."""
        pairs = pairs.select("user_id", "item_id").sort("user_id", maintain_order=True)
        users = pairs["user_id"].rle().struct.unnest()
        return cls(
            users["value"].to_numpy(),
            None,
            pairs["item_id"].to_numpy(),
            users["len"].to_numpy().astype(np.int64),
        )

    @classmethod
    def at_their_times(cls, pairs: pl.DataFrame) -> Queries:
        """Returns one query an interaction."""
        if "timestamp" not in pairs.columns:
            raise ValueError(
                "A model that knows when queries are asked is evaluated on `test` with a column "
                "'timestamp', and there is none; at_their_times=False asks once for each user."
            )
        users, items = pairs["user_id"].to_numpy(), pairs["item_id"].to_numpy()
        return cls(users, pairs["timestamp"].to_numpy(), items, np.ones(len(users), np.int64))

    def __len__(self) -> int:
        return len(self.users)

    @property
    def wanted(self) -> list[npt.NDArray[Any]]:
        """The positives of each query."""
        return np.split(self.items, self._starts[1:-1])

    def take(self, asked: npt.NDArray[np.bool_]) -> Queries:
        """Returns those of the queries for which `asked`, (q,), is true."""
        at = None if self.at is None else self.at[asked]
        kept = np.repeat(asked, self.counts)
        return Queries(self.users[asked], at, self.items[kept], self.counts[asked])

    def block(self, start: int, size: int) -> Queries:
        """Returns consecutive queries."""
        rows = slice(start, start + size)
        at = None if self.at is None else self.at[rows]
        first, last = self._starts[[start, min(start + size, len(self))]]
        return Queries(self.users[rows], at, self.items[first:last], self.counts[rows])

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        """(q + 1,) where the positives of each query begin."""
        return np.concatenate([[0], np.cumsum(self.counts)])


def held_out(
    test: Interactions, train: Interactions | None, exclude_seen: bool
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Returns the held-out interactions that count, each pair once, and how many do not.

    Args:
        test: The held-out interactions.
        train: What was trained on; whoever does not stand there is left out.
        exclude_seen: Whether pairs that also stand in train are left out.

    Raises:
        DataError: `test` and `train` have ids of different types.
        ValueError: No interaction is left.
    """
    if train is not None:
        check_id_types(test, train)
    kept = pl.Series(pair_numbers(test, test)).is_first_distinct().to_numpy()
    total = int(np.count_nonzero(kept))
    left_out = {"unknown_users": 0, "seen_in_train": 0}
    if train is not None:
        known = kept & (test.user.rows_in(train.user) >= 0)[test.user.rows]
        left_out["unknown_users"] = total - int(np.count_nonzero(known))
        kept = known
    if train is not None and exclude_seen:
        unseen = kept & ~stand_in(test, train)
        left_out["seen_in_train"] = int(np.count_nonzero(kept) - np.count_nonzero(unseen))
        kept = unseen
    if not kept.any():
        raise ValueError(
            f"`test` holds no interaction to evaluate: of {total}, {left_out['unknown_users']} are "
            f"of users unknown in train and {left_out['seen_in_train']} also stand in train."
        )
    return test.take(kept).frame, left_out
