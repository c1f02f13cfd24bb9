"""How far a training is, on stderr: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

LINE_SECONDS = 60.0


class TrainingProgress:
    """Shows epochs, loss, the monitored metric, the rate and the time left.

    On a terminal it is a bar. Elsewhere it is a line after every epoch, and one a minute.

    Args:
        shown: True for the bar, False for nothing; None for the bar on a terminal, lines elsewhere.
        line_seconds: Seconds from one line to the next within an epoch.
    """

    def __init__(self, shown: bool | None, line_seconds: float = LINE_SECONDS) -> None:
        self._with_bar = sys.stderr.isatty() if shown is None else shown
        self._with_lines = shown is None and not self._with_bar
        self._line_seconds = line_seconds
        self._bar: Any = None
        self._doing = "preparing"
        self._epochs = self._batches = 0  # of the whole training, and of an epoch
        self._epoch = self._done = self._before = 0  # epochs done; batches done, and before now
        self._rows, self._called = 0.0, "rows"
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

    def start(
        self, epochs: int, batches: int, rows: int, called: str = "interactions", done: int = 0
    ) -> None:
        """Reports that all is prepared.

        Args:
            epochs: Epochs at most.
            batches: Batches in an epoch.
            rows: What an epoch learns from.
            called: What these are called.
            done: Batches done in an earlier run.
        """
        self._epochs, self._batches = epochs, batches
        self._rows, self._called = rows / batches, called
        self._epoch, self._done, self._before = done // batches, done, done
        self._doing = "starting"
        self._started = time.perf_counter()
        if self._bar is not None:
            self._bar.update(self._task, total=epochs * batches, completed=done)
            self._bar.update(self._task, state=f"epoch {self._epoch + 1}/{epochs}")
        self.say(f"{epochs} epochs of {batches:,} batches, {rows:,} {called} in each")

    def advance(self) -> None:
        """Reports one batch done."""
        self._done += 1
        self._doing = "learning"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, pace=self.pace())

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
        self.say(f"{at}, loss {loss:.4f}{measured}; {self.pace()}")

    def say(self, line: str) -> None:
        """Writes a line where there is no terminal."""
        if self._with_lines:
            self._write(line)

    def resumed(self, path: Path, epoch: int | None, batches: int = 0) -> None:
        """Reports from where a training goes on.

        Args:
            path: Of the checkpoint.
            epoch: The epoch that goes on, from 0; None where there was no checkpoint.
            batches: How many of its batches are done.
        """
        if epoch is None:
            self.say(f"there is no checkpoint {path} to go on from: starting anew")
        else:
            self.say(f"going on from {path}: {_place(epoch, batches)}")

    def stopped(self, path: Path, epoch: int, batches: int) -> None:
        """Reports that SIGTERM ends the training, on a terminal too; see `resumed`."""
        if self._bar is not None:
            self._bar.stop()
        if self.shown:
            where = _place(epoch, batches)
            self._write(f"stopped by SIGTERM in {where}; resume goes on from {path}")

    def _start_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._bar = Progress(
            TextColumn("[bold]training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TextColumn("[dim]{task.fields[pace]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task("", total=None, state=self._doing, pace="")

    def _keep_writing(self) -> None:
        while not self._ended.wait(self._line_seconds):
            if not self._batches:
                self._write(f"{self._doing}; {self.pace()}")
                continue
            batch = self._done - self._epoch * self._batches
            where = f"epoch {self._epoch + 1}/{self._epochs}, batch {batch:,} of {self._batches:,}"
            self._write(f"{where}, {self._doing}; {self.pace()}")

    def pace(self) -> str:
        """Returns how fast it is, measuring included, and how long it takes yet at most."""
        passed = time.perf_counter() - self._started
        done = self._done - self._before
        if not done:
            return f"{duration(passed)} so far"
        rate = done / passed
        left = (self._epochs * self._batches - self._done) / rate
        return (
            f"{rate * self._rows:,.0f} {self._called} a second, {duration(passed)} so far, "
            f"at most {duration(left)} left"
        )

    @staticmethod
    def _write(line: str) -> None:
        sys.stderr.write(f"training: {line}\n")
        sys.stderr.flush()


def _place(epoch: int, batches: int) -> str:
    return f"epoch {epoch + 1}, after {batches:,} batches"


def duration(seconds: float) -> str:
    """Returns seconds as people say them.

    Example:
        >>> duration(7.4), duration(200), duration(9_000)
        ('7 s', '3 min 20 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
