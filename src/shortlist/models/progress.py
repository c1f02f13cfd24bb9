"""The progress bar of training."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class TrainingProgress:
    """A bar on stderr with epochs, loss and the monitored metric; silent when not shown.

    Args:
        epochs: Epochs at most.
        batches: Batches in an epoch.
        shown: Whether there is a bar at all.
    """

    def __init__(self, epochs: int, batches: int, shown: bool) -> None:
        self._epochs = epochs
        self._batches = batches
        self._shown = shown
        self._bar: Any = None

    def __enter__(self) -> TrainingProgress:
        if self._shown:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
            )

            self._bar = Progress(
                TextColumn("[bold]training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(
                "", total=self._epochs * self._batches, state=f"epoch 1/{self._epochs}"
            )
            self._done = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        """Reports one batch done."""
        self._bar.advance(self._task)

    def epoch(self, loss: float, monitor: str, value: float | None) -> None:
        """Reports one epoch done."""
        if self._bar is not None:
            self._done += 1
            measured = "" if value is None else f" {monitor} {value:.4f}"
            self._bar.update(
                self._task,
                state=f"epoch {self._done}/{self._epochs} loss {loss:.4f}{measured}",
            )
