"""HTTP/1.1 with deadlines that a slow client cannot stretch, and a quick no when the queue is full.

uvicorn bounds the idle time between requests only; a client that sends one byte a second would hold
a connection for ever. Here headers and body must have arrived within a fixed time of the first
byte, and an answer must be taken within another. A request beyond those that may wait is refused
before anything is made of it: the more a refusal costs, the less is answered under overload.
"""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shortlist.serving.metrics import Metrics
from shortlist.serving.settings import Limits

LARGEST_HEAD = 32 << 10


def guarded_protocol(limits: Limits, metrics: Metrics, refusal: bytes) -> type[HttpToolsProtocol]:
    """Return a protocol for uvicorn's `http` setting.

    Args:
        limits: The deadlines, and how many requests may wait.
        metrics: Where to count the connections closed and the requests refused.
        refusal: Headers and body of the answer to a request that is one too many.
    """

    class GuardedProtocol(HttpToolsProtocol):
        _refused = False
        _receiving: asyncio.TimerHandle | None = None
        _sending: asyncio.TimerHandle | None = None
        _head = 0
        _whole = False

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._receiving = self.loop.call_later(limits.receive_seconds, self._close)

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self._head += len(data)
            self._whole = False
            super().data_received(data)
            if not self._whole and self._receiving is None:
                self._receiving = self.loop.call_later(limits.receive_seconds, self._close)
            if self._head > LARGEST_HEAD and not self.transport.is_closing():
                self.send_400_response(f"A request head may have {LARGEST_HEAD} bytes.")

        def on_message_begin(self) -> None:
            self._whole = False
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            scope: dict[str, Any] = self.scope  # type: ignore[assignment]
            scope["shortlist.arrived"] = time.perf_counter()
            self._refused = metrics.in_flight >= limits.waiting and self._may_be_refused()
            if not self._refused:
                super().on_headers_complete()

        def _may_be_refused(self) -> bool:
            # Others are looked at when their turn comes: what waits behind an answer on the same
            # connection, and a body that is sent only when it is asked for.
            alone: bool = self.cycle is None or self.cycle.response_complete
            post = self.parser.get_method() == b"POST"
            return post and alone and not self.expect_100_continue

        def _refuse(self) -> None:
            self._refused = False
            parser = self.parser
            keep = parser.get_http_version() != "1.0" and parser.should_keep_alive()
            head = [b"HTTP/1.1 429 Too Many Requests\r\n"]
            head += [b"%b: %b\r\n" % field for field in self.server_state.default_headers]
            if not keep:
                head.append(b"connection: close\r\n")
            self.transport.write(b"".join([*head, refusal]))
            if keep:
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
            else:
                self.transport.close()
            metrics.shed["queue"] += 1
            took = time.perf_counter() - self.scope["shortlist.arrived"]  # type: ignore[typeddict-item]
            metrics.answered(self.url.partition(b"?")[0].decode("latin-1"), 429, took)

        def _start_asgi_task(self, cycle: Any, app: Any) -> None:
            # uvicorn's own set of tasks still holds those that have just ended when the next
            # requests are read: by it, a server that answers a full queue sheds the whole next one.
            metrics.in_flight += 1
            cycle.scope["shortlist.waiting"] = metrics.in_flight
            super()._start_asgi_task(cycle, app)

        def on_body(self, body: bytes) -> None:
            self._head = 0
            if not self._refused:
                super().on_body(body)

        def on_message_complete(self) -> None:
            self._head = 0
            self._whole = True
            if self._receiving is not None:
                self._receiving.cancel()
                self._receiving = None
            if self._refused:
                self._refuse()
            else:
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

    return GuardedProtocol
