"""The Keras side of training: what is trained, and epoch after epoch until it is good."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import keras

from shortlist.models.objectives import Objective
from shortlist.models.progress import TrainingProgress
from shortlist.models.training_log import TrainingLog


class Towers(keras.Model):
    """Two towers side by side, trained by an objective.

    Args:
        query_tower: From a batch's `query_inputs` to (b, d) embeddings.
        candidate_tower: From `candidate_inputs` to embeddings.
        objective: The loss of a batch.
        candidate_inputs: The same candidates for every batch; None takes the batch's own.
    """

    def __init__(
        self,
        query_tower: keras.Model,
        candidate_tower: keras.Model,
        objective: Objective,
        candidate_inputs: Any = None,
    ) -> None:
        super().__init__()
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.objective = objective

        def same_for_all(batch: dict[str, Any]) -> Any:  # Keras would wrap a dict as an attribute
            return batch["candidate_inputs"] if candidate_inputs is None else candidate_inputs

        self._candidate_inputs = same_for_all

    def call(self, batch: dict[str, Any], training: bool = False) -> tuple[Any, Any]:
        """Returns the embeddings of both sides."""
        return (
            self.query_tower(batch["query_inputs"], training=training),
            self.candidate_tower(self._candidate_inputs(batch), training=training),
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


def train_epochs(
    towers: Towers,
    batches: keras.utils.PyDataset,
    optimizer: keras.optimizers.Optimizer,
    *,
    epochs: int,
    decay: bool,
    measure: Callable[[], float] | None,
    monitor: str,
    patience: int,
    progress: bool | None,
) -> TrainingLog:
    """Trains until `measure` no longer improves, and keeps the weights of the best epoch.

    Args:
        towers: What to train.
        batches: What to learn from.
        optimizer: As it is, its learning rate that of the first epoch.
        epochs: Passes over the batches, at most.
        decay: Whether the learning rate falls in equal steps to almost 0.
        measure: Gives the figure to watch, after every epoch; None trains for all epochs.
        monitor: What the figure is called.
        patience: Epochs without improvement after which training stops.
        progress: Whether to show a bar on stderr; None shows it on a terminal.

    Returns:
        The course of the training.
    """
    started = time.perf_counter()
    towers.compile(optimizer=optimizer)
    learning_rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
    losses: list[float] = []
    measured: list[float] = []
    best, best_weights = 0, None
    shown = sys.stderr.isatty() if progress is None else progress
    with TrainingProgress(epochs, len(batches), shown) as bar:
        for epoch in range(epochs):
            if decay:
                optimizer.learning_rate = learning_rate * (1 - epoch / epochs)
            result = towers.fit(
                batches,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,  # Keras would shuffle again, by its global seed
                verbose=0,
                callbacks=[_Advance(bar.advance)] if shown else [],
            )
            losses.append(float(result.history["loss"][-1]))
            if measure is not None:
                measured.append(measure())
                if measured[-1] > max(measured[:-1], default=-1.0):
                    best, best_weights = epoch, towers.get_weights()
            bar.epoch(losses[-1], monitor, measured[-1] if measured else None)
            if measure is not None and epoch - best >= patience:
                break
    if best_weights is not None:
        towers.set_weights(best_weights)
    return TrainingLog(
        loss=tuple(losses),
        validation=tuple(measured),
        monitor=monitor,
        best_epoch=(len(losses) - 1 if measure is None else best) + 1,
        seconds=time.perf_counter() - started,
    )


class _Advance(keras.callbacks.Callback):
    """Calls a function after every batch."""

    def __init__(self, advance: Callable[[], None]) -> None:
        super().__init__()
        self._advance = advance

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Reports one batch done."""
        del batch, logs
        self._advance()
