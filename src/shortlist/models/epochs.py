"""Epoch after epoch until the towers are good, and on again after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import keras
import numpy as np
import numpy.typing as npt

from shortlist.models.batches import Batches
from shortlist.models.checkpoint import Checkpoint, CheckpointError
from shortlist.models.progress import TrainingProgress
from shortlist.models.retriever import NotFiniteError
from shortlist.models.stopping import Stopped, StopRequest
from shortlist.models.training import Towers, assign, values_of
from shortlist.models.training_log import TrainingLog


@dataclass
class Course:
    """How far a training is.

    Attributes:
        loss: Mean loss of each epoch done.
        validation: The monitored metric after each of them, where it is measured.
        batches: Batches done of the epoch that follows them.
        seconds: What all this took.
        best_weights: Those of the best epoch, where the metric is measured.
    """

    loss: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    batches: int = 0
    seconds: float = 0.0
    best_weights: list[npt.NDArray[Any]] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The epoch to come or begun, from 0."""
        return len(self.loss)

    @property
    def best(self) -> int:
        """The epoch whose weights are kept: the first of the best, or the last."""
        if self.validation:
            return self.validation.index(max(self.validation))
        return self.epoch - 1


@dataclass
class Epochs:
    """Trains towers until a metric no longer improves; they end with the best epoch's weights.

    Attributes:
        towers: What to train.
        batches: What to learn from.
        epochs: Passes over the batches, at most.
        decay: Whether the learning rate falls in equal steps to almost 0.
        measure: Gives the figure to watch, after every epoch; None trains for all epochs.
        monitor: What the figure is called.
        patience: Epochs without improvement after which training stops.
        progress: Where to report how far it is.
        checkpoint: Where to keep how far it is, after every epoch and when SIGTERM comes.
    """

    towers: Towers
    batches: Batches
    epochs: int
    decay: bool
    measure: Callable[[], float] | None
    monitor: str
    patience: int
    progress: TrainingProgress
    checkpoint: Checkpoint | None

    def run(self, optimizer: keras.optimizers.Optimizer, *, resume: bool) -> TrainingLog:
        """Trains.

        Args:
            optimizer: As it is, its learning rate that of the first epoch.
            resume: Whether to go on from the checkpoint, where there is one.

        Raises:
            ValueError: The training diverged, or the checkpoint is of another.
            OSError: The checkpoint cannot be written.
            Stopped: SIGTERM came; the checkpoint holds how far it was.
        """
        self._optimizer, self._course = optimizer, Course()
        self._stop = StopRequest(listens=self.checkpoint is not None)
        with self.towers.at_work(optimizer) as self._working, self._stop:
            learning_rate = _learning_rate(self._working)
            if resume:
                self._restore()
            course = self._course
            self._started = time.perf_counter() - course.seconds
            whole, size = self.batches.in_epoch, self.batches.size
            done = course.epoch * whole + course.batches
            self.progress.start(self.epochs, whole, size, self.batches.called, done)
            while not self._is_over():
                if self.decay:
                    rate = learning_rate * (1 - course.epoch / self.epochs)
                    self._working.learning_rate = rate
                self._learn()
                self._judge()
                self._save()
                if self._stop.asked:
                    self._leave()
            if course.best_weights:
                assign(self.towers.weights, course.best_weights)
        return TrainingLog(
            loss=tuple(course.loss),
            validation=tuple(course.validation),
            monitor=self.monitor,
            best_epoch=course.best + 1,
            seconds=time.perf_counter() - self._started,
        )

    def _is_over(self) -> bool:
        course = self._course
        waited = course.epoch - 1 - course.best
        return course.epoch == self.epochs or (bool(course.validation) and waited >= self.patience)

    def _learn(self) -> None:
        """Learns from what is left of the epoch's batches."""
        course = self._course
        self.batches.start(course.epoch, course.batches)
        if len(self.batches):
            self.towers.fit(
                self.batches,
                initial_epoch=course.epoch,
                epochs=course.epoch + 1,
                shuffle=False,  # Keras would shuffle again, by its global seed
                verbose=0,
                callbacks=[_Watch(self.towers, course, self._stop, self.progress)],
            )
        if not np.isfinite(self._loss()):
            raise self._diverged(f"the loss became {self._loss()}")
        if not _are_finite(self.towers.weights):
            raise self._diverged("weights became infinite or NaN")
        if self._stop.asked:
            self._save_and_leave()

    def _judge(self) -> None:
        """Measures what the epoch brought, and ends it."""
        course, loss = self._course, self._loss()
        value = None
        if self.measure is not None:
            self.progress.measuring(self.monitor)
            try:
                with self._stop.at_once():
                    value = self.measure()
            except NotFiniteError:
                raise self._diverged("embeddings became too large") from None
            except Stopped:
                self._save_and_leave()
            course.validation.append(value)
        course.loss.append(loss)
        course.batches = 0
        if value is not None and course.best == course.epoch - 1:
            course.best_weights = values_of(self.towers.weights)
        self.progress.epoch(loss, self.monitor, value)

    def _loss(self) -> float:
        return float(self.towers.get_metrics_result()["loss"])

    def _diverged(self, what: str) -> ValueError:
        return ValueError(
            f"training diverged in epoch {self._course.epoch + 1}: {what}. Lower the learning "
            f"rate, which was {_learning_rate(self._optimizer):g}. The model is as it was before "
            "this training."
        )

    def _parts(self) -> dict[str, list[Any]]:
        """The variables that a checkpoint keeps."""
        return {
            "weights": self.towers.variables,
            "optimizer": self._working.variables,
            "metrics": self.towers.metrics_variables,
        }

    def _save(self) -> None:
        if self.checkpoint is None:
            return
        course = self._course
        course.seconds = time.perf_counter() - self._started
        state = {
            name: getattr(course, name) for name in ("loss", "validation", "batches", "seconds")
        }
        parts = {
            name: [keras.ops.convert_to_numpy(variable) for variable in variables]
            for name, variables in self._parts().items()
        }
        self.checkpoint.write(state, {**parts, "best": course.best_weights})

    def _restore(self) -> None:
        if self.checkpoint is None:
            return
        path, saved = self.checkpoint.path, self.checkpoint.read()
        if saved is None:
            self.progress.resumed(path, None)
            return
        state, arrays = saved
        best = arrays.pop("best")
        for name, variables in self._parts().items():
            if [array.shape for array in arrays[name]] != [tuple(v.shape) for v in variables]:
                raise CheckpointError(
                    f"{path} holds {name} of other shapes than this training has. Start anew "
                    "without resuming."
                )
        for name, variables in self._parts().items():
            assign(variables, arrays[name])
        self._course = Course(**state, best_weights=best)
        self.progress.resumed(path, self._course.epoch, self._course.batches)

    def _save_and_leave(self) -> NoReturn:
        self._save()
        self._leave()

    def _leave(self) -> NoReturn:
        if self.checkpoint is not None:
            course = self._course
            self.progress.stopped(self.checkpoint.path, course.epoch, course.batches)
        raise Stopped


def _are_finite(variables: Iterable[Any]) -> bool:
    return all(bool(keras.ops.all(keras.ops.isfinite(variable))) for variable in variables)


def _learning_rate(optimizer: keras.optimizers.Optimizer) -> float:
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


class _Watch(keras.callbacks.Callback):
    """Counts batches, and ends the epoch early where that is due."""

    async_safe = True  # Keras need not wait for the batch to be done

    def __init__(
        self, towers: Towers, course: Course, stop: StopRequest, progress: TrainingProgress
    ) -> None:
        super().__init__()
        self._towers = towers  # Keras's own `model` puts back the weights in mid-epoch on JAX
        self._course = course
        self._stop = stop
        self._progress = progress
        self._metrics = values_of(towers.metrics_variables) if course.batches else []

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Puts back the mean loss of the batches before, which Keras forgets."""
        del epoch, logs
        if self._metrics:
            assign(self._towers.metrics_variables, self._metrics)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Reports one batch done; no further one where the loss is no number, or to stop."""
        del batch
        self._course.batches += 1
        self._progress.advance()
        if self._stop.asked or (logs is not None and not np.isfinite(logs["loss"])):
            self._towers.stop_training = True
