"""HTTP/1.1 with deadlines that a slow client cannot stretch.

uvicorn bounds the idle time between requests only; a client that sends one byte a second would hold
a connection for ever. Here headers and body must have arrived within a fixed time of the first
byte, and an answer must be taken within another.
"""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shortlist.serving.metrics import Metrics
from shortlist.serving.settings import Limits

LARGEST_HEAD = 32 << 10


def deadline_protocol(limits: Limits, metrics: Metrics) -> type[HttpToolsProtocol]:
    """Return a protocol for uvicorn's `http` setting.

    Args:
        limits: The deadlines.
        metrics: Where to count the connections closed.
    """

    class DeadlineProtocol(HttpToolsProtocol):
        _receiving: asyncio.TimerHandle | None = None
        _sending: asyncio.TimerHandle | None = None
        _head = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._receiving = self.loop.call_later(limits.receive_seconds, self._close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._receiving is None:
                self._receiving = self.loop.call_later(limits.receive_seconds, self._close)
            self._head += len(data)
            super().data_received(data)
            if self._head > LARGEST_HEAD and not self.transport.is_closing():
                self.send_400_response(f"A request head may have {LARGEST_HEAD} bytes.")

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            scope: dict[str, Any] = self.scope  # type: ignore[assignment]
            scope["shortlist.arrived"] = time.perf_counter()

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            # uvicorn's own set of tasks still holds those that have just ended when the next
            # requests are read: by it, a server that answers a full queue sheds the whole next one.
            metrics.in_flight += 1
            cycle.scope["shortlist.waiting"] = metrics.in_flight
            super()._start_asgi_task(cycle, app)

        def on_body(self, body: bytes) -> None:
            self._head = 0
            super().on_body(body)

        def on_message_complete(self) -> None:
            self._head = 0
            if self._receiving is not None:
                self._receiving.cancel()
                self._receiving = None
            super().on_message_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._sending = self.loop.call_later(limits.send_seconds, self._close)

        def resume_writing(self) -> None:
            if self._sending is not None:
                self._sending.cancel()
                self._sending = None
            super().resume_writing()

        def _close(self) -> None:
            self._cancel()
            if not self.transport.is_closing():
                metrics.closed += 1
                self.transport.abort()

        def _cancel(self) -> None:
            for timer in (self._receiving, self._sending):
                if timer is not None:
                    timer.cancel()
            self._receiving = self._sending = None

    return DeadlineProtocol
