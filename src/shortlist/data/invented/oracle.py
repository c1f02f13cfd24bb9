"""The best hit rate anyone can reach on the sample, from its true probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.errors import DataError
from shortlist.data.splits import Split
from shortlist.data.vocabulary import Vocabulary

_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Oracle:
    """The taste model itself as a recommender: no ranking has a higher expected hit rate.

    Attributes:
        user_ids: The viewers; int64 (viewers,).
        item_ids: The films; int64 (films,).
        utility: float32 (viewers, films): the next film of a viewer is drawn among those not yet
            seen with probability proportional to exp(utility).

    Example:
        >>> from shortlist.data import sample
        >>> oracle = sample().oracle
        >>> probabilities = oracle.probabilities(1, seen=[2])
        >>> float(probabilities[oracle.item_ids == 2][0]), round(float(probabilities.sum()), 6)
        (0.0, 1.0)
    """

    user_ids: npt.NDArray[np.int64]
    item_ids: npt.NDArray[np.int64]
    utility: npt.NDArray[np.float32]

    def probabilities(self, user_id: int, seen: Sequence[int] = ()) -> npt.NDArray[np.float64]:
        """Return how probable each film is as a viewer's next choice.

        Args:
            user_id: The viewer.
            seen: The films the viewer has seen; their probability is 0.

        Returns:
            float64 (films,), in the order of `item_ids`; the sum is 1.
        """
        utility = self.utility[_rows(self.user_ids, [user_id], "viewer")[0]].astype(np.float64)
        utility[_rows(self.item_ids, seen, "film")] = -np.inf
        weights = np.exp(utility - utility.max())
        probabilities: npt.NDArray[np.float64] = weights / weights.sum()
        return probabilities

    def hit_rates(self, split: Split, ks: Sequence[int] = (1, 5, 10, 50, 100)) -> dict[int, float]:
        """Return the share of test interactions among a viewer's k best films not seen in train.

        For each test interaction the films the viewer has in train are excluded, and the rest
        ranked by utility. No ranking has a higher expected hit rate on such a split. Divide a
        model's hit rate on the same test interactions, with seen items excluded, by this one to see
        how close the model comes to what is possible.

        Args:
            split: A split of this sample's interactions.
            ks: Cut-offs.

        Returns:
            The hit rate at each k.

        Raises:
            DataError: Interactions of another data set.
        """
        users, items = self._pairs(split.test.frame)
        seen = np.zeros(self.utility.shape, bool)
        seen[self._pairs(split.train.frame)] = True
        ranks = np.empty(len(users), np.int64)
        for start in range(0, len(users), _BLOCK):
            rows, targets = users[start : start + _BLOCK], items[start : start + _BLOCK]
            utility = np.where(seen[rows], -np.inf, self.utility[rows])
            own = np.take_along_axis(utility, targets[:, None], axis=1)
            ranks[start : start + _BLOCK] = (utility >= own).sum(axis=1)
        return {k: float((ranks <= k).mean()) for k in ks}

    def _pairs(self, frame: pl.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return (
            _rows(self.user_ids, frame["user_id"], "viewer"),
            _rows(self.item_ids, frame["item_id"], "film"),
        )


def _rows(
    known: npt.NDArray[np.int64], ids: Sequence[int] | pl.Series, kind: str
) -> npt.NDArray[np.int64]:
    rows = Vocabulary(known).encode(ids) - 1
    if (rows < 0).any():
        raise DataError(f"the sample has no {kind} {ids[int(rows.argmin())]!r}.")
    return rows
