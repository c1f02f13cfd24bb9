"""An HTTP client that keeps to its own clock, however slow the server is.

Requests leave at random (Poisson) times of a fixed rate, and latency counts from the moment a
request should have left, so that a server that stalls cannot hide it ("coordinated omission").
Plain sockets, because the client shares the machine with the server: a request costs it 30 µs, half
of what it costs with asyncio and uvloop.
"""

from __future__ import annotations

import errno
import select
import socket
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

_TOO_LATE = 0.1  # seconds behind its own clock, after which the client does not send a request
_AT_ONCE = 64  # requests sent before the client looks for answers again
_SETTLE = 10.0  # seconds to wait for the last answers


@dataclass
class Outcome:
    """What came of a run.

    Attributes:
        seconds: How long requests were sent.
        ended: When the last was sent, by `perf_counter`.
        sent: Requests sent.
        unsent: Requests the client could not send: no connection was free, or it was too late.
        latencies: Seconds from the planned start to the end of the answer, of answers with 200.
        statuses: How many answers had each status; 0 stands for a request without an answer.
    """

    seconds: float = 0.0
    ended: float = 0.0
    sent: int = 0
    unsent: int = 0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rps(self) -> float:
        """Answers with 200 a second."""
        return self.statuses[200] / self.seconds

    @property
    def offered_rps(self) -> float:
        """Requests sent a second."""
        return self.sent / self.seconds

    @property
    def failed(self) -> int:
        """Requests sent that were answered with something other than 200, or not at all."""
        return self.sent - self.statuses[200]

    def percentile_ms(self, percent: float) -> float:
        """A percentile of the latency in milliseconds."""
        return float(np.percentile(self.latencies, percent) * 1e3) if self.latencies else np.nan


class _Connection:
    __slots__ = ("buffer", "fd", "planned", "request", "socket")

    def __init__(self, port: int, request: bytes, planned: float) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self.socket.fileno()
        self.request = request  # sent once it is connected
        self.planned = planned  # of the request under way; below 0 if there is none
        self.buffer = b""
        code = self.socket.connect_ex(("127.0.0.1", port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, "cannot connect")


class Client:
    """Sends prepared requests to one address.

    Args:
        port: Port on 127.0.0.1.
        requests: Whole HTTP requests, sent in turn.
        connections: Most connections; a request that finds none free is not sent.
    """

    def __init__(self, port: int, requests: list[bytes], connections: int = 4096) -> None:
        self._port = port
        self._requests = requests
        self._most = connections
        self._poll = select.epoll()
        self._open: dict[int, _Connection] = {}
        self._free: list[_Connection] = []
        self._turn = 0
        self._again_until = 0.0
        self._outcome = Outcome()

    def open_loop(self, rate: float, seconds: float, seed: int = 0) -> Outcome:
        """Send `rate` requests a second at random times."""
        gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))
        outcome = self._outcome = Outcome()
        start = perf_counter()
        due = (start + np.cumsum(gaps)).tolist()
        at = 0
        while at < len(due):
            now = perf_counter()
            until = min(at + _AT_ONCE, len(due))
            while at < until and due[at] <= now:
                self._send(due[at], now)
                at += 1
            if at < len(due):
                self._receive(due[at] - perf_counter())
        outcome.ended = perf_counter()
        outcome.seconds = outcome.ended - start
        self._settle()
        return outcome

    def closed_loop(self, connections: int, seconds: float) -> Outcome:
        """Keep a fixed number of requests under way: how much the server can do."""
        outcome = self._outcome = Outcome()
        start = perf_counter()
        self._again_until = start + seconds
        for _ in range(connections):
            self._send(start, start)
        while perf_counter() < self._again_until:
            self._receive(0.01)
        self._settle()
        outcome.ended = perf_counter()
        outcome.seconds = outcome.ended - start
        return outcome

    def close(self) -> None:
        """Close all connections."""
        for connection in self._open.values():
            connection.socket.close()
        self._open.clear()
        self._free.clear()
        self._poll.close()

    def _send(self, planned: float, now: float) -> None:
        if now - planned > _TOO_LATE or not (self._free or len(self._open) < self._most):
            self._outcome.unsent += 1
            return
        self._turn += 1
        request = self._requests[self._turn % len(self._requests)]
        self._outcome.sent += 1
        if self._free:
            self._write(self._free.pop(), request, planned)
            return
        connection = _Connection(self._port, request, planned)
        self._open[connection.fd] = connection
        self._poll.register(connection.fd, select.EPOLLOUT)

    def _write(self, connection: _Connection, request: bytes, planned: float) -> None:
        connection.planned = planned
        try:
            connection.socket.send(request)  # far below the size of the buffer: sent whole
        except OSError:
            self._lost(connection)

    def _receive(self, seconds: float) -> None:
        """Wait so long for answers, to the microsecond (epoll itself has milliseconds)."""
        if seconds > 0:
            select.select([self._poll], [], [], seconds)
        for fd, event in self._poll.poll(0, _AT_ONCE):
            connection = self._open[fd]
            if event & select.EPOLLOUT:
                self._poll.modify(fd, select.EPOLLIN)
                self._write(connection, connection.request, connection.planned)
                continue
            try:
                data = connection.socket.recv(1 << 16)
            except OSError:
                data = b""
            if data:
                self._read(connection, connection.buffer + data)
            else:
                self._lost(connection)

    def _read(self, connection: _Connection, answer: bytes) -> None:
        head = answer.find(b"\r\n\r\n")
        at = answer.find(b"content-length: ", 0, head) + 16
        if head < 0 or len(answer) < head + 4 + int(answer[at : answer.index(b"\r", at)]):
            connection.buffer = answer
            return
        connection.buffer = b""
        status, now = int(answer[9:12]), perf_counter()
        self._outcome.statuses[status] += 1
        if status == 200:
            self._outcome.latencies.append(now - connection.planned)
        connection.planned = -1.0
        self._free.append(connection)
        if now < self._again_until:
            self._send(now, now)

    def _lost(self, connection: _Connection) -> None:
        if connection.planned >= 0:
            self._outcome.statuses[0] += 1
        else:
            self._free.remove(connection)
        del self._open[connection.fd]
        connection.socket.close()

    def _settle(self) -> None:
        outcome, deadline = self._outcome, perf_counter() + _SETTLE
        while outcome.statuses.total() < outcome.sent and perf_counter() < deadline:
            self._receive(0.01)
        for connection in [one for one in self._open.values() if one.planned >= 0]:
            self._lost(connection)
