"""The Keras side of training: what is trained, and epoch after epoch until it is good."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from shortlist.models.batches import Batches
from shortlist.models.catalogue import Catalogue
from shortlist.models.objectives import MultiTask, Objective, Retrieval
from shortlist.models.progress import TrainingProgress
from shortlist.models.retriever import NotFiniteError
from shortlist.models.row_steps import train_step
from shortlist.models.row_updates import RowOptimizer, row_optimizer
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
        self.rows: RowOptimizer | None = None

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

    def train_step(self, *arguments: Any) -> Any:
        """Does one step, of large tables by row where that is possible."""
        if self.rows is None:
            return super().train_step(*arguments)
        return train_step(self, self.rows, *arguments)

    @contextmanager
    def at_work(
        self, optimizer: keras.optimizers.Optimizer
    ) -> Iterator[keras.optimizers.Optimizer]:
        """Makes the model ready for training; yields the optimizer that is at work."""
        # XLA cannot call the kernels that the losses run in.
        calls_kernels = isinstance(self.objective, Retrieval | MultiTask | Catalogue)
        on_tensorflow = keras.backend.backend() == "tensorflow"
        jit_compile = False if on_tensorflow and calls_kernels else "auto"
        self.rows = row_optimizer(self, optimizer)
        if self.rows is None:
            self.compile(optimizer, jit_compile=jit_compile)
            yield optimizer
            return
        with self.rows.at_work(self):
            self.compile(self.rows.optimizer, jit_compile=jit_compile)
            yield self.rows.optimizer


def train_epochs(
    towers: Towers,
    batches: Batches,
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
        progress: See `TrainingProgress`.

    Returns:
        The course of the training.

    Raises:
        ValueError: The training diverged.
    """
    started = time.perf_counter()
    losses: list[float] = []
    measured: list[float] = []
    best, best_weights = 0, None
    with (
        towers.at_work(optimizer) as working,
        TrainingProgress(epochs, len(batches), progress) as shown,
    ):
        learning_rate = _learning_rate(working)
        for epoch in range(epochs):
            if decay:
                working.learning_rate = learning_rate * (1 - epoch / epochs)
            batches.start(epoch)
            result = towers.fit(
                batches,
                initial_epoch=epoch,
                epochs=epoch + 1,
                shuffle=False,  # Keras would shuffle again, by its global seed
                verbose=0,
                callbacks=[_Watch(towers, shown.advance if shown.shown else None)],
            )
            losses.append(float(result.history["loss"][-1]))
            if not np.isfinite(losses[-1]):
                raise _diverged(epoch, f"the loss became {losses[-1]}", optimizer)
            if not _are_finite(towers.weights):
                raise _diverged(epoch, "weights became infinite or NaN", optimizer)
            if measure is not None:
                shown.measuring(monitor)
                try:
                    measured.append(measure())
                except NotFiniteError:
                    raise _diverged(epoch, "embeddings became too large", optimizer) from None
                if measured[-1] > max(measured[:-1], default=-1.0):
                    best, best_weights = epoch, _values(towers.weights)
            shown.epoch(losses[-1], monitor, measured[-1] if measured else None)
            if measure is not None and epoch - best >= patience:
                break
        if best_weights is not None:
            _assign(towers.weights, best_weights)
    return TrainingLog(
        loss=tuple(losses),
        validation=tuple(measured),
        monitor=monitor,
        best_epoch=(len(losses) - 1 if measure is None else best) + 1,
        seconds=time.perf_counter() - started,
    )


@contextmanager
def all_or_nothing(towers: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Puts weights, random states and the optimizer back as they were if the training fails.

    An interrupt (Ctrl-C) is a failure like any other.

    Args:
        towers: What is trained, its weights already made.
        optimizer: What trains it.
    """
    if not optimizer.built:
        optimizer.build(towers.trainable_variables)
    variables = [*towers.variables, *optimizer.variables]
    before = _values(variables)
    try:
        yield
    except BaseException:
        _assign(variables, before)
        raise


def _values(variables: Iterable[Any]) -> list[npt.NDArray[Any]]:
    """Copies of the values, since a backend may reuse the memory of a variable."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: Iterable[Any], values: Iterable[npt.NDArray[Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _are_finite(variables: Iterable[Any]) -> bool:
    return all(bool(keras.ops.all(keras.ops.isfinite(variable))) for variable in variables)


def _learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _diverged(epoch: int, what: str, optimizer: keras.optimizers.Optimizer) -> ValueError:
    return ValueError(
        f"training diverged in epoch {epoch + 1}: {what}. Lower the learning rate, which was "
        f"{_learning_rate(optimizer):g}. The model is as it was before this training."
    )


class _Watch(keras.callbacks.Callback):
    """After every batch reports it, and ends the epoch where the loss is no number any more."""

    async_safe = True  # Keras need not wait for the batch to be done

    def __init__(self, towers: Towers, advance: Callable[[], None] | None) -> None:
        super().__init__()
        self._towers = towers  # Keras's own `model` puts back the weights in mid-epoch on JAX
        self._advance = advance

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Reports one batch done."""
        del batch
        if self._advance is not None:
            self._advance()
        if logs is not None and not np.isfinite(logs["loss"]):
            self._towers.stop_training = True
