"""How far a training is, on stderr: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

LINE_SECONDS = 60.0


class TrainingProgress:
    """Shows epochs, loss, the monitored metric, the rate and the time left.

    On a terminal it is a bar. Elsewhere it is a line after every epoch, and one a minute.

    Args:
        epochs: Epochs at most.
        batches: Batches in an epoch.
        shown: True for the bar, False for nothing; None for the bar on a terminal, lines elsewhere.
        line_seconds: Seconds from one line to the next within an epoch.
    """

    def __init__(
        self, epochs: int, batches: int, shown: bool | None, line_seconds: float = LINE_SECONDS
    ) -> None:
        self._epochs = epochs
        self._batches = batches
        self._with_bar = sys.stderr.isatty() if shown is None else shown
        self._with_lines = shown is None and not self._with_bar
        self._line_seconds = line_seconds
        self._bar: Any = None
        self._epoch = 0  # epochs done
        self._done = 0  # batches done
        self._doing = "starting"
        self._ended = threading.Event()
        self._started = time.perf_counter()

    @property
    def shown(self) -> bool:
        """Whether anybody reads it."""
        return self._with_bar or self._with_lines

    def __enter__(self) -> TrainingProgress:
        self._started = time.perf_counter()
        if self._with_bar:
            self._start_bar()
        if self._with_lines:
            self._write(f"{self._epochs} epochs of {self._batches:,} batches")
            threading.Thread(target=self._keep_writing, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._bar is not None:
            self._bar.stop()

    def advance(self) -> None:
        """Reports one batch done."""
        self._done += 1
        self._doing = "learning"
        if self._bar is not None:
            self._bar.advance(self._task)

    def measuring(self, monitor: str) -> None:
        """Reports that the epoch's batches are done and the metric is being measured."""
        self._doing = f"measuring {monitor}"

    def epoch(self, loss: float, monitor: str, value: float | None) -> None:
        """Reports one epoch done."""
        measured = "" if value is None else f", {monitor} {value:.4f}"
        self._epoch += 1
        self._done, self._doing = self._epoch * self._batches, "learning"
        at = f"epoch {self._epoch}/{self._epochs}"
        if self._bar is not None:
            self._bar.update(self._task, state=f"{at} loss {loss:.4f}{measured}")
        if self._with_lines:
            self._write(f"{at}, loss {loss:.4f}{measured}; {self._pace()}")

    def _start_bar(self) -> None:
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

    def _keep_writing(self) -> None:
        while not self._ended.wait(self._line_seconds):
            batch = self._done - self._epoch * self._batches
            where = f"epoch {self._epoch + 1}/{self._epochs}, batch {batch:,} of {self._batches:,}"
            self._write(f"{where}, {self._doing}; {self._pace()}")

    def _pace(self) -> str:
        """How fast it is, measuring included, and how long it takes yet at most."""
        passed = time.perf_counter() - self._started
        if not self._done:
            return f"{_duration(passed)} so far"
        rate = self._done / passed
        left = (self._epochs * self._batches - self._done) / rate
        return (
            f"{rate:,.1f} batches a second, {_duration(passed)} so far, "
            f"at most {_duration(left)} left"
        )

    @staticmethod
    def _write(line: str) -> None:
        sys.stderr.write(f"training: {line}\n")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> _duration(7.4), _duration(200), _duration(9_000)
        ('7 s', '3 min 20 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
