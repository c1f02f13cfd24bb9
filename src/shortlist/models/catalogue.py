"""Training user by user against the whole catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from shortlist.models.embedding_bag import count
from shortlist.models.inputs import HISTORY, Histories, Inputs


@dataclass(frozen=True)
class Catalogue:
    """Full softmax: a part of each user's items predicts the rest among all candidates.

    In every epoch each item of a user is hidden with probability `hidden`. The query tower sees
    the items not hidden, as the feature `history`, and the hidden ones are the positives of one
    softmax over the catalogue, from which the items not hidden are left out: the multinomial
    likelihood of a user's choices given those known. A target is never part of its own history.

    All candidates are embedded in every step, so this is for catalogues up to some ten thousands;
    `Retrieval` samples.

    Attributes:
        hidden: Share of a user's items hidden in an epoch.
        unknown_users: Share of users who are shown as unknown and with fewer items, so that the
            model learns to serve those who were never in training and have just begun. On
            MovieLens 100k 0.3 serves them no better than 0.1, and the others worse.
        max_history: The last items of each user to learn from, at most.
        temperature: Scores are divided by it.

    Source:
        Liang et al., "Variational autoencoders for collaborative filtering", WWW 2018 (the
        likelihood); Covington, Adams and Sargin, "Deep neural networks for YouTube
        recommendations", RecSys 2016 (history as a bag of embeddings, the softmax).
    """

    hidden: float = 0.5
    unknown_users: float = 0.1
    max_history: int = 1024
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.hidden < 1:
            raise ValueError(f"`hidden` must be between 0 and 1, got {self.hidden}.")
        if not 0 <= self.unknown_users <= 1:
            raise ValueError(f"`unknown_users` must be from 0 to 1, got {self.unknown_users}.")
        if self.max_history < 2:
            raise ValueError(f"`max_history` must be at least 2, got {self.max_history}.")
        if not self.temperature > 0:
            raise ValueError(f"`temperature` must be above 0, got {self.temperature}.")

    @property
    def needs_ratings(self) -> bool:
        """An interaction is a positive, whatever its rating."""
        return False

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the scalar loss, mean over the hidden items.

        Args:
            queries: (b, d) embeddings.
            candidates: (n, d) embeddings of the candidates with index 1, 2, …, n.
            batch: `known` and `hidden`, (b, h) int32 indices of candidates padded with 0.
        """
        scores = ops.matmul(queries, ops.transpose(candidates)) / self.temperature
        size = ops.shape(candidates)[0] + 1
        known = count(batch["known"], size)[:, 1:]
        hidden = count(batch["hidden"], size)[:, 1:]
        scores = ops.where(known > 0, -1e30, ops.cast(scores, "float32"))
        loss = -ops.sum(hidden * ops.log_softmax(scores, axis=-1))
        return loss / ops.maximum(ops.sum(hidden), 1.0)


class UserBatches(keras.utils.PyDataset):
    """Shuffled batches of users, their items parted anew in every epoch.

    Args:
        histories: The items of each user; number 0 is the unknown user and left out.
        inputs: From indices of users to the inputs of the query tower.
        history: Whether the query tower also takes the items not hidden.
        objective: How to part them.
        batch_size: Users in a batch; the last of an epoch may be smaller.
        seed: Seed of order and parts.
    """

    def __init__(
        self,
        histories: Histories,
        inputs: Inputs,
        history: bool,
        objective: Catalogue,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._histories = histories
        self._inputs = inputs
        self._history = history
        self._objective = objective
        self._batch_size = batch_size
        self._width = histories.longest(objective.max_history)
        self._order = np.flatnonzero(histories.lengths)
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self) -> int:
        """Returns the number of batches."""
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, at: int) -> tuple[dict[str, Any]]:
        """Returns batch number `at`."""
        users = self._order[at * self._batch_size : (at + 1) * self._batch_size]
        items = self._histories.padded(users, self._width, self._width)
        unknown = self._rng.random(len(users)) < self._objective.unknown_users
        # Unknown users mostly come with few items: from one to as many as the rest, log-uniform.
        few = np.maximum((items > 0).sum(axis=1), 1.0) ** -self._rng.random(len(users))
        shown = (1 - self._objective.hidden) * np.where(unknown, few, 1.0)
        hidden = self._rng.random(items.shape) >= shown[:, None]
        known: npt.NDArray[np.int32] = np.where(hidden, 0, items)
        query = self._inputs(np.where(unknown, 0, users))
        if self._history:
            query = {**query, HISTORY: known}
        return ({"query": query, "known": known, "hidden": np.where(hidden, items, 0)},)

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        self._rng.shuffle(self._order)


class UsersAndCatalogue(keras.Model):
    """Two towers, trained by `Catalogue`.

    Args:
        query_tower: From the batch's `query` to (b, d) embeddings.
        candidate_tower: From `candidates` to (n, d) embeddings.
        objective: The loss of a batch.
        candidates: The inputs of the candidate tower for all candidates.
    """

    def __init__(
        self,
        query_tower: keras.Model,
        candidate_tower: keras.Model,
        objective: Catalogue,
        candidates: Any,
    ) -> None:
        super().__init__()
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self._objective = objective

        def all_candidates() -> Any:  # Keras would wrap a dict that is an attribute
            return candidates

        self._all_candidates = all_candidates

    def call(self, batch: dict[str, Any], training: bool = False) -> tuple[Any, Any]:
        """Returns the embeddings of the users and of all candidates."""
        return (
            self.query_tower(batch["query"], training=training),
            self.candidate_tower(self._all_candidates(), training=training),
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the objective's loss plus the towers' own."""
        del y, sample_weight, training
        queries, candidates = y_pred
        return sum(self.losses, start=self._objective(queries, candidates, x))
