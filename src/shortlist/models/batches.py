"""What is learnt from, batch by batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from shortlist.data import Histories
from shortlist.data.histories import MAX_HISTORY
from shortlist.models.catalogue import Catalogue
from shortlist.models.inputs import HISTORY, Arrays, Inputs


class Batches(keras.utils.PyDataset):
    """An epoch of batches. Its seed and its number alone decide what is in it.

    So a training that was interrupted goes on with the batches that it would have had.

    Args:
        rows: Of what is learnt from.
        batch_size: Rows in a batch; the last of an epoch may be smaller.
        seed: Seed of the order, and of all else that is drawn; None keeps the order.
    """

    def __init__(self, rows: npt.NDArray[np.int64], batch_size: int, seed: int | None) -> None:
        super().__init__()
        self._rows = self._order = rows
        self._batch_size = batch_size
        self._seed = seed
        self.start(0)

    def start(self, epoch: int, done: int = 0) -> None:
        """Draws the order of an epoch.

        Args:
            epoch: Its number, from 0.
            done: Its first batches, which are skipped.
        """
        self._epoch, self._done = epoch, done
        if self._seed is not None:
            self._order = self._drawn(0).permutation(self._rows)

    def __len__(self) -> int:
        """Returns the number of batches that are not skipped."""
        return -(-len(self._order) // self._batch_size) - self._done

    def __getitem__(self, at: int) -> tuple[dict[str, Any]]:
        """Returns one of them."""
        at += self._done
        rows = self._order[at * self._batch_size : (at + 1) * self._batch_size]
        return (self.batch(rows, at),)

    def batch(self, rows: npt.NDArray[np.int64], at: int) -> dict[str, Any]:
        """Returns what is learnt from some rows, which are batch number `at` of the epoch."""
        raise NotImplementedError

    def _drawn(self, number: int) -> np.random.Generator:
        """A generator for one purpose in this epoch."""
        return np.random.default_rng([self._seed or 0, self._epoch, number])


class PairBatches(Batches):
    """Batches of users and the candidates they chose, the columns held in memory.

    Args:
        columns: Arrays of equal length; `user` and `candidate` are indices.
        query_inputs: From indices of users to the query tower's inputs.
        candidate_inputs: From indices of candidates to the candidate tower's inputs.
        batch_size: Rows in a batch; the last of an epoch may be smaller.
        seed: Seed of the order; None keeps the order of the rows.
        histories: The items of each user, if the query tower takes them, encoded; the candidate of
            a row is left out of its own history.
        times: When each row was, in seconds since 1970: its history ends before. None gives every
            row the whole history of its user.
        moments: Further inputs of the query tower, with a row per interaction.
    """

    def __init__(
        self,
        columns: dict[str, npt.NDArray[Any]],
        query_inputs: Inputs,
        candidate_inputs: Inputs,
        batch_size: int,
        seed: int | None = None,
        *,
        histories: Histories | None = None,
        times: npt.NDArray[np.int64] | None = None,
        moments: Arrays | None = None,
    ) -> None:
        super().__init__(np.arange(len(columns["user"])), batch_size, seed)
        self._columns = columns
        self._query_inputs = query_inputs
        self._candidate_inputs = candidate_inputs
        self._histories = histories
        self._times = times
        self._width = 1 if histories is None else _longest(histories, MAX_HISTORY)
        self._moments = moments or {}

    def batch(self, rows: npt.NDArray[np.int64], at: int) -> dict[str, Any]:
        """Returns these interactions."""
        del at
        batch: dict[str, Any] = {name: column[rows] for name, column in self._columns.items()}
        users, candidates = batch.pop("user"), batch["candidate"]
        queries = self._query_inputs(users)
        if self._histories is not None:
            before = None if self._times is None else self._times[rows]
            items = self._histories.padded(users, MAX_HISTORY, width=self._width, before=before)
            queries = {**queries, HISTORY: np.where(items == candidates[:, None], 0, items)}
        if self._moments:
            queries = {**queries, **{name: array[rows] for name, array in self._moments.items()}}
        batch["query_inputs"] = queries
        batch["candidate_inputs"] = self._candidate_inputs(candidates)
        return batch


class UserBatches(Batches):
    """Shuffled batches of users, their items parted anew in every epoch.

    Args:
        histories: The items of each user, encoded; those of user 0, who is unknown, are none.
        query_inputs: From indices of users to the query tower's inputs.
        history: Whether the query tower also takes the items not hidden.
        objective: How to part them.
        batch_size: Users in a batch; the last of an epoch may be smaller.
        seed: Seed of order and parts.
    """

    def __init__(
        self,
        histories: Histories,
        query_inputs: Inputs,
        history: bool,
        objective: Catalogue,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(np.flatnonzero(histories.lengths), batch_size, seed)
        self._histories = histories
        self._query_inputs = query_inputs
        self._history = history
        self._objective = objective
        self._width = _longest(histories, objective.max_history)

    def batch(self, rows: npt.NDArray[np.int64], at: int) -> dict[str, Any]:
        """Returns these users, their items parted."""
        users, rng = rows, self._drawn(1 + at)
        items = self._histories.padded(users, self._width, width=self._width)
        unknown = rng.random(len(users)) < self._objective.unknown_users
        # Unknown users mostly come with few items: from one to as many as the rest, log-uniform.
        few = np.maximum((items > 0).sum(axis=1), 1.0) ** -rng.random(len(users))
        shown = (1 - self._objective.hidden) * np.where(unknown, few, 1.0)
        hidden = rng.random(items.shape) >= shown[:, None]
        known: npt.NDArray[np.int32] = np.where(hidden, 0, items)
        queries = self._query_inputs(np.where(unknown, 0, users))
        if self._history:
            queries = {**queries, HISTORY: known}
        return {"query_inputs": queries, "known": known, "hidden": np.where(hidden, items, 0)}


def _longest(histories: Histories, most: int) -> int:
    """The length of the longest history, of which the last `most` items count."""
    return min(int(histories.lengths.max(initial=1)), most)
