"""An HTTP client that keeps to its own clock, however slow the server is.

Requests leave at random (Poisson) times of a fixed rate, and latency counts from the moment a
request should have left, so that a server that stalls cannot hide it ("coordinated omission").
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        seconds: How long it took.
        latencies: Seconds from the planned start to the end of the answer, of answers with 200.
        statuses: How many answers had each status; 0 stands for a connection that failed.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rps(self) -> float:
        """Answers with 200 a second."""
        return self.statuses[200] / self.seconds

    @property
    def errors(self) -> int:
        """Answers other than 200 and 429."""
        return self.statuses.total() - self.statuses[200] - self.statuses[429]

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the latency in milliseconds."""
        return float(np.percentile(self.latencies, percent) * 1e3) if self.latencies else np.nan


class _Connection(asyncio.Protocol):
    def __init__(self, client: Client) -> None:
        self._client = client
        self._buffer = b""
        self._planned = -1.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def send(self, request: bytes, planned: float) -> None:
        self._planned = planned
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._buffer.index(b"content-length: ") + 16
        length = int(self._buffer[at : self._buffer.index(b"\r", at)])
        if len(self._buffer) < head + 4 + length:
            return
        status = int(self._buffer[9:12])
        self._buffer = b""
        planned, self._planned = self._planned, -1.0
        self._client.answered(self, status, planned)

    def connection_lost(self, _: Exception | None) -> None:
        self._client.lost(self, self._planned >= 0)


class Client:
    """Sends prepared requests to one address.

    Args:
        port: Port on 127.0.0.1.
        requests: Whole HTTP requests, sent in turn.
        connections: Most connections; a request that finds none free waits, and its clock runs.
    """

    def __init__(self, port: int, requests: list[bytes], connections: int = 1024) -> None:
        self._port = port
        self._requests = requests
        self._most = connections
        self._free: deque[_Connection] = deque()
        self._open = 0
        self._sent = 0
        self._waiting: deque[float] = deque()
        self._outcome = Outcome()
        self._closed_until = 0.0
        self._opening: set[asyncio.Task[None]] = set()

    async def open_loop(self, rate: float, seconds: float, seed: int = 0) -> Outcome:
        """Send `rate` requests a second at random times."""
        gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))
        times = np.cumsum(gaps)
        self._outcome = outcome = Outcome()
        start = perf_counter()
        for time in times:
            due = start + time
            delay = due - perf_counter()
            if delay > 0.0002:
                await asyncio.sleep(delay)
            elif self._sent % 32 == 0:
                await asyncio.sleep(0)
            self._start(due)
        outcome.seconds = perf_counter() - start
        await self._settle(len(times))
        return outcome

    async def closed_loop(self, connections: int, seconds: float) -> Outcome:
        """Keep a fixed number of requests under way: how much the server can do."""
        self._outcome = outcome = Outcome()
        start = perf_counter()
        self._closed_until = start + seconds
        for _ in range(connections):
            self._start(perf_counter())
        await asyncio.sleep(seconds)
        outcome.seconds = perf_counter() - start
        count, self._closed_until = outcome.statuses.total(), 0.0
        await asyncio.sleep(0.5)
        outcome.statuses[200] -= outcome.statuses.total() - count  # those that came too late
        return outcome

    def close(self) -> None:
        """Close all connections."""
        while self._free:
            self._free.popleft()._transport.close()

    def answered(self, connection: _Connection, status: int, planned: float) -> None:
        now = perf_counter()
        self._outcome.statuses[status] += 1
        if status == 200:
            self._outcome.latencies.append(now - planned)
        if now < self._closed_until:
            connection.send(self._next(), now)
        elif self._waiting:
            connection.send(self._next(), self._waiting.popleft())
        else:
            self._free.append(connection)

    def lost(self, connection: _Connection, busy: bool) -> None:
        self._open -= 1
        if busy:
            self._outcome.statuses[0] += 1
        with contextlib.suppress(ValueError):
            self._free.remove(connection)

    def _start(self, planned: float) -> None:
        if self._free:
            self._free.popleft().send(self._next(), planned)
        elif self._open < self._most:
            self._open += 1
            task = asyncio.ensure_future(self._connect(planned))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        else:
            self._waiting.append(planned)

    async def _connect(self, planned: float) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, made = await loop.create_connection(
                lambda: _Connection(self), "127.0.0.1", self._port
            )
        except OSError:
            self._open -= 1
            self._outcome.statuses[0] += 1
            return
        made.send(self._next(), planned)

    def _next(self) -> bytes:
        self._sent += 1
        return self._requests[self._sent % len(self._requests)]

    async def _settle(self, sent: int) -> None:
        deadline = perf_counter() + 10
        while self._outcome.statuses.total() < sent and perf_counter() < deadline:
            await asyncio.sleep(0.02)
        self._outcome.statuses[0] += sent - self._outcome.statuses.total()
