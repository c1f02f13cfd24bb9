"""Where the held-out positives stand in ranked lists, ties included."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Ranking:
    """The chance that each rank holds a held-out positive, for q queries and their first k ranks.

    Candidates with equal scores form a tie group. Every order within a group is taken as equally
    likely, and a metric is the expectation over these orders. So a scorer that gives all candidates
    one score gains nothing from the order in which they happen to stand.

    Attributes:
        group_size: (q, k) int64, candidates in the tie group of each rank.
        group_relevant: (q, k) int64, held-out positives in that group.
        place: (q, k) int64, position of the rank within its group, from 0.
        hits_before: (q, k) int64, held-out positives in the groups before.
        num_relevant: (q,) int64, held-out positives of the query, found or not.

    Source:
        McSherry and Najork, "Computing information retrieval performance measures efficiently in
        the presence of tied scores", ECIR 2008.
    """

    group_size: npt.NDArray[np.int64]
    group_relevant: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    hits_before: npt.NDArray[np.int64]
    num_relevant: npt.NDArray[np.int64]

    @classmethod
    def from_scores(
        cls,
        scores: npt.NDArray[np.floating],
        relevant: npt.NDArray[np.bool_],
        num_relevant: npt.NDArray[np.integer],
        k: int,
    ) -> Ranking:
        """Builds a ranking from retrieved lists.

        Args:
            scores: (q, w) scores in descending order. The tie group of rank k must be complete
                within the w columns.
            relevant: (q, w) whether each retrieved candidate is a held-out positive.
            num_relevant: (q,) held-out positives of each query, found or not.
            k: Ranks to keep.

        Returns:
            The ranking of the first min(k, w) ranks.

        Example:
            >>> ranking = Ranking.from_scores(
            ...     np.array([[2.0, 1.0, 1.0]]), np.array([[False, True, False]]), np.array([1]), 2
            ... )
            >>> ranking.probability  # the positive is second or third, with equal chance
            array([[0. , 0.5]])
        """
        width = scores.shape[1]
        columns = np.broadcast_to(np.arange(width), scores.shape)
        starts = np.ones(scores.shape, dtype=bool)
        starts[:, 1:] = scores[:, 1:] != scores[:, :-1]
        ends = np.ones(scores.shape, dtype=bool)
        ends[:, :-1] = starts[:, 1:]
        first = np.maximum.accumulate(np.where(starts, columns, 0), axis=1)
        last = np.minimum.accumulate(np.where(ends, columns, width)[:, ::-1], axis=1)[:, ::-1]
        hits = np.zeros((scores.shape[0], width + 1), dtype=np.int64)
        np.cumsum(relevant, axis=1, out=hits[:, 1:])
        before = np.take_along_axis(hits, first, axis=1)
        after = np.take_along_axis(hits, last + 1, axis=1)
        return cls(
            group_size=(last - first + 1)[:, :k],
            group_relevant=(after - before)[:, :k],
            place=(columns - first)[:, :k],
            hits_before=before[:, :k],
            num_relevant=np.asarray(num_relevant, dtype=np.int64),
        )

    @cached_property
    def probability(self) -> npt.NDArray[np.float64]:
        """(q, k) chance that each rank holds a positive; 0 or 1 where there are no ties."""
        chance: npt.NDArray[np.float64] = self.group_relevant / self.group_size
        return chance

    def hits(self, k: int) -> npt.NDArray[np.float64]:
        """(q,) expected number of positives in the first k ranks."""
        expected: npt.NDArray[np.float64] = self.probability[:, :k].sum(axis=1)
        return expected
