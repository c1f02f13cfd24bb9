"""What is learnt from, batch by batch."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from shortlist.data import Histories
from shortlist.data.histories import MAX_HISTORY
from shortlist.data.shuffle import Shuffled
from shortlist.models.catalogue import Catalogue
from shortlist.models.inputs import HISTORY, Arrays, Inputs

AHEAD = 4  # batches made before they are asked for


class Batches(keras.utils.PyDataset):
    """An epoch of batches. Its seed and its number alone decide what is in it.

    So a training that was interrupted goes on with the batches that it would have had. A thread
    makes the next batches while the model learns from one.

    Args:
        columns: Of what is learnt from, of equal length, by name.
        batch_size: Rows in a batch; the last of an epoch may be smaller.
        seed: Seed of the order, and of all else that is drawn; None keeps the order.

    Attributes:
        called: What the rows are.
        size: Rows in an epoch.
    """

    called = "interactions"

    def __init__(
        self, columns: Mapping[str, npt.NDArray[Any]], batch_size: int, seed: int | None
    ) -> None:
        super().__init__()
        self._all = dict(columns)
        self.size = len(next(iter(columns.values())))
        self._batch_size = batch_size
        self._seed = seed
        self._thread = ThreadPoolExecutor(1, "batches")
        self._made: dict[int, Future[dict[str, Any]]] = {}
        self.start(0)

    def start(self, epoch: int, done: int = 0) -> None:
        """Draws the order of an epoch.

        Args:
            epoch: Its number, from 0.
            done: Its first batches, which are skipped.
        """
        for future in self._made.values():
            future.cancel()
        self._epoch, self._done = epoch, done
        self._made = {}
        if self._seed is not None:
            # Drawn by the thread, when its first batch is made.
            self._order = cache(partial(Shuffled, self._all, self._seeds(0)))

    @property
    def in_epoch(self) -> int:
        """Batches in an epoch."""
        return -(-self.size // self._batch_size)

    def __len__(self) -> int:
        """Returns the number of batches that are not skipped."""
        return self.in_epoch - self._done

    def __getitem__(self, at: int) -> tuple[dict[str, Any]]:
        """Returns one of them."""
        for soon in range(at, min(at + 1 + AHEAD, len(self))):
            if soon not in self._made:
                self._made[soon] = self._thread.submit(self._make, soon + self._done)
        return (self._made.pop(at).result(),)

    def _make(self, at: int) -> dict[str, Any]:
        start, end = at * self._batch_size, (at + 1) * self._batch_size
        if self._seed is None:
            return self.batch({name: each[start:end] for name, each in self._all.items()}, at)
        return self.batch(self._order().read(start, end), at)

    def batch(self, rows: dict[str, npt.NDArray[Any]], at: int) -> dict[str, Any]:
        """Returns what is learnt from some rows, given by their values.

        Args:
            rows: The columns, at these rows.
            at: The number of the batch in the epoch.
        """
        raise NotImplementedError

    def _drawn(self, number: int) -> np.random.Generator:
        """A generator for one purpose in this epoch."""
        return np.random.default_rng(self._seeds(number))

    def _seeds(self, number: int) -> list[int]:
        return [self._seed or 0, self._epoch, number]


class PairBatches(Batches):
    """Batches of users and the candidates they chose.

    Args:
        columns: Arrays of equal length; `user` and `candidate` are indices. Without `weight` all
            weigh the same.
        query_inputs: From indices of users to the query tower's inputs.
        candidate_inputs: From indices of candidates to the candidate tower's inputs.
        batch_size: Rows in a batch; the last of an epoch may be smaller.
        seed: Seed of the order; None keeps the order of the rows.
        shares: Share of the interactions that chose each candidate, by index: `probability`.
        histories: The items of each user, if the query tower takes them, encoded; the candidate of
            a row is left out of its own history.
        times: When each row was, in seconds since 1970: its history ends before. None gives every
            row the whole history of its user.
        moments: Further inputs of the query tower, with a row per interaction.
        further: The further negatives of a batch, where there is a seed: how many are drawn evenly
            from the candidates, and how many are those of the interactions before.
    """

    def __init__(
        self,
        columns: dict[str, npt.NDArray[Any]],
        query_inputs: Inputs,
        candidate_inputs: Inputs,
        batch_size: int,
        seed: int | None = None,
        *,
        shares: npt.NDArray[np.float32] | None = None,
        histories: Histories | None = None,
        times: npt.NDArray[np.int64] | None = None,
        moments: Arrays | None = None,
        further: tuple[int, int] = (0, 0),
    ) -> None:
        more: dict[str, npt.NDArray[Any]] = {}
        if times is not None and histories is not None:
            more["time"] = times
        if moments:
            more["row"] = np.arange(len(columns["user"]), dtype=np.int32)
        super().__init__({**columns, **more}, batch_size, seed)
        self._query_inputs = query_inputs
        self._candidate_inputs = candidate_inputs
        self._shares = shares
        self._histories = histories
        self._width = 1 if histories is None else _longest(histories, MAX_HISTORY)
        self._moments = moments or {}
        uniform, before = further if seed is not None else (0, 0)
        self._uniform, self._before = uniform, max(min(before, self.size - batch_size), 0)

    def batch(self, rows: dict[str, npt.NDArray[Any]], at: int) -> dict[str, Any]:
        """Returns these interactions, and further negatives of all of them."""
        batch: dict[str, Any] = dict(rows)
        users, candidates = batch.pop("user"), batch["candidate"]
        batch.setdefault("weight", np.ones(len(users), np.float32))
        drawn = self._further(at)
        pool = batch["candidate"] = np.concatenate([candidates, *drawn])
        if self._shares is not None:
            evenly = self._uniform / len(pool)  # the share of the pool that is drawn so
            chances = (1 - evenly) * self._shares[pool] + evenly / (len(self._shares) - 1)
            batch["probability"] = chances.astype(np.float32)
        queries = self._query_inputs(users)
        if self._histories is not None:
            before = batch.pop("time", None)
            items = self._histories.padded(users, MAX_HISTORY, width=self._width, before=before)
            queries = {**queries, HISTORY: np.where(items == candidates[:, None], 0, items)}
        if self._moments:
            row = batch.pop("row")
            queries = {**queries, **{name: array[row] for name, array in self._moments.items()}}
        batch["query_inputs"] = queries
        batch["candidate_inputs"] = self._candidate_inputs(pool)
        return batch

    def _further(self, at: int) -> list[npt.NDArray[np.int32]]:
        """Candidates of the interactions before a batch, and others drawn evenly."""
        drawn = []
        if self._before:
            end = at * self._batch_size
            start = end - self._before
            if start < 0:  # The order is a circle: before its first comes its last.
                around = self.size + start, self.size + min(end, 0)
                drawn.append(self._order().read(*around)["candidate"])
            if end > 0:
                drawn.append(self._order().read(max(start, 0), end)["candidate"])
        if self._uniform and self._shares is not None:
            everything = len(self._shares)
            drawn.append(self._drawn(1 + at).integers(1, everything, self._uniform, np.int32))
        return drawn


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

    called = "users"

    def __init__(
        self,
        histories: Histories,
        query_inputs: Inputs,
        history: bool,
        objective: Catalogue,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__({"user": np.flatnonzero(histories.lengths)}, batch_size, seed)
        self._histories = histories
        self._query_inputs = query_inputs
        self._history = history
        self._objective = objective
        self._width = _longest(histories, objective.max_history)

    def batch(self, rows: dict[str, npt.NDArray[Any]], at: int) -> dict[str, Any]:
        """Returns these users, their items parted."""
        users, rng = rows["user"], self._drawn(1 + at)
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
