"""SIGTERM, by which operators and schedulers ask a program to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Stopped(SystemExit):
    """The program was asked to end, and how far it was is kept."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)  # as a shell reports it


class StopRequest:
    """Listens for SIGTERM, and ends the program when it suits.

    Only the main thread of a program can listen.

    Args:
        listens: Whether to listen; if not, SIGTERM does what it always does.

    Attributes:
        asked: Whether SIGTERM came.
    """

    def __init__(self, listens: bool) -> None:
        self.asked = False
        self._listens = listens and threading.current_thread() is threading.main_thread()
        self._suits = False
        self._former: Any = None

    def __enter__(self) -> StopRequest:
        if self._listens:
            self._former = signal.signal(signal.SIGTERM, self._come)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._listens:
            return
        signal.signal(signal.SIGTERM, self._former or signal.SIG_DFL)
        if self.asked and error is None:  # it came too late to stop here
            signal.raise_signal(signal.SIGTERM)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raises `Stopped` inside as soon as SIGTERM comes, or if it came before."""
        self._suits = True
        try:
            if self.asked:
                raise Stopped
            yield
        finally:
            self._suits = False

    def _come(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked = True
        if self._suits:
            raise Stopped
