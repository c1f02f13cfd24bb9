"""The Keras side of training: batches of pairs and the model they train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from shortlist.models.inputs import Inputs
from shortlist.models.objectives import Objective


class Batches(keras.utils.PyDataset):
    """Shuffled batches of columns held in memory.

    Args:
        columns: Arrays of equal length; `user` and `candidate` are indices.
        query_inputs: From the users and candidates of a batch to the query tower's inputs.
        candidate_inputs: From the candidates of a batch to the candidate tower's inputs.
        batch_size: Rows in a batch; the last of an epoch may be shorter.
        seed: Seed of the order; None keeps the order of the rows.
    """

    def __init__(
        self,
        columns: dict[str, npt.NDArray[Any]],
        query_inputs: Callable[[npt.NDArray[Any], npt.NDArray[Any]], Any],
        candidate_inputs: Inputs,
        batch_size: int,
        seed: int | None,
    ) -> None:
        super().__init__()
        self._columns = columns
        self._query_inputs = query_inputs
        self._candidate_inputs = candidate_inputs
        self._batch_size = batch_size
        self._rows = len(columns["user"])
        self._rng = None if seed is None else np.random.default_rng(seed)
        self._order = np.arange(self._rows)
        self.on_epoch_end()

    def __len__(self) -> int:
        """Returns the number of batches."""
        return -(-self._rows // self._batch_size)

    def __getitem__(self, at: int) -> tuple[dict[str, Any]]:
        """Returns batch number `at`."""
        rows = self._order[at * self._batch_size : (at + 1) * self._batch_size]
        batch: dict[str, Any] = {name: column[rows] for name, column in self._columns.items()}
        users, candidates = batch.pop("user"), batch["candidate"]
        batch["query_inputs"] = self._query_inputs(users, candidates)
        batch["candidate_inputs"] = self._candidate_inputs(candidates)
        return (batch,)

    def on_epoch_end(self) -> None:
        """Draws the order of the next epoch."""
        if self._rng is not None:
            self._rng.shuffle(self._order)


class Pairs(keras.Model):
    """Two towers side by side, trained by an objective.

    Args:
        query_tower: From `query_inputs` to (b, d) embeddings.
        candidate_tower: From `candidate_inputs` to (b, d) embeddings.
        objective: The loss of a batch.
    """

    def __init__(
        self, query_tower: keras.Model, candidate_tower: keras.Model, objective: Objective
    ) -> None:
        super().__init__()
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.objective = objective

    def call(self, batch: dict[str, Any], training: bool = False) -> tuple[Any, Any]:
        """Returns the embeddings of both sides."""
        return (
            self.query_tower(batch["query_inputs"], training=training),
            self.candidate_tower(batch["candidate_inputs"], training=training),
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the objective's loss plus the towers' own (weight decay and the like)."""
        del y, sample_weight, training
        queries, candidates = y_pred
        return sum(self.losses, start=self.objective(queries, candidates, x))


class BatchProgress(keras.callbacks.Callback):
    """Calls a function after every batch."""

    def __init__(self, advance: Any) -> None:
        super().__init__()
        self._advance = advance

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Reports one batch done."""
        del batch, logs
        self._advance()
