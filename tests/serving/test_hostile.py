"""What no well-meaning client sends. SHORTLIST_MALFORMED and SHORTLIST_SLOW set how much of it."""

import contextlib
import gzip
import os
import random
import select
import socket
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

from shortlist.serving import Limits, ServiceSettings

from .conftest import Running, running

MALFORMED = int(os.environ.get("SHORTLIST_MALFORMED", "200"))
SLOW = int(os.environ.get("SHORTLIST_SLOW", "100"))

PATHS = [
    b"/api/v1/recommend",
    b"/api/v1/similar",
    b"/v1/models/m:predict",
    b"/v2/models/m/infer",
    b"/api/v1/items",
    b"/nothing",
]
GOOD = b'{"user_id": "u0", "inputs": ["u0"]}'


def _post(path: bytes, body: bytes, *headers: bytes, length: bytes | None = None) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Host: x", b"Connection: close", *headers]
    lines.append(b"Content-Length: " + (b"%d" % len(body) if length is None else length))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _malformed(seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    deep = b"[" * 100_000
    bodies = [
        deep,
        b'{"a":' * 100_000,
        b'{"user_id":' + deep,
        b'{"inputs":' + deep,
        b'{"user_id":"\xff\xfe"}',
        b"\xff" * 1000,
        b'{"user_id":NaN}',
        b'{"user_id":"u0","k":Infinity}',
        b'{"user_id":"u0","k":1e400}',
        b'{"user_id":"u0","k":-1}',
        b'{"user_id":"u0","k":99999999999999999999999}',
        b'{"user_id":"\\ud800"}',
        b'{"instances":[' + b"1," * 50_000 + b"1]}",
        b"\x00" * 100,
        GOOD[:-1],
        b"{}" * 3,
        b" " * 1_100_000,
    ]
    bomb = gzip.compress(b"0" * (32 << 20))
    while True:
        path = rng.choice(PATHS)
        kind = rng.randrange(11)
        if kind == 0:
            yield _post(path, rng.choice(bodies))
        elif kind == 1:  # lengths that are none, or not this one
            lengths = [b"-1", b"+5", b"5, 6", b"0x10", b"1e3", b"9" * 40, b"", b"\x00", b"10 10"]
            yield _post(path, GOOD, length=rng.choice(lengths))
        elif kind == 2:
            extra = [b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Content-Length: 900"]
            yield _post(path, GOOD, rng.choice(extra))
        elif kind == 3:
            compressed = [
                bomb,
                bomb[:-10],
                zlib.compress(b"0" * (8 << 20)),
                b"no gzip",
                b"\x1f\x8b",
            ]
            name = rng.choice([b"gzip", b"deflate", b"br", b"gzip, gzip", b"\xff"])
            yield _post(path, rng.choice(compressed), b"Content-Encoding: " + name)
        elif kind == 4:  # chunks that are none
            chunk = rng.choice(
                [b"zz\r\nx\r\n", b"-5\r\nx", b"fffffffffffffffff\r\nx", b"5\r\nab\r\n"]
            )
            head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            yield head + chunk
        elif kind == 5:  # tensors whose lengths lie
            header = b"Inference-Header-Content-Length: " + rng.choice(
                [b"99999", b"-3", b"x", b"0"]
            )
            yield _post(b"/v2/models/m/infer", GOOD, header)
        elif kind == 6:
            yield rng.randbytes(rng.randrange(1, 3000))
        elif kind == 7:
            verb = rng.choice([b"GET", b"BREW", b"CONNECT", b"TRACE", b"", b"POST" * 50])
            target = rng.choice([b"http://[", b"*", b"//", b"/%zz", b"/" + b"a" * 70_000, b"/\xff"])
            yield (
                verb + b" " + target + b" HTTP/" + rng.choice([b"1.1", b"9.9", b"x"]) + b"\r\n\r\n"
            )
        elif kind == 8:
            headers = [
                b"X: " + b"a" * 70_000,
                b"X\x00: 1",
                b": no name",
                b"No colon",
                b"Host: a\r\nHost: b",
                b" folded",
                *[b"X-%d: 1" % n for n in range(3000)],
            ]
            yield b"GET /livez-not HTTP/1.1\r\n" + b"\r\n".join(headers) + b"\r\n\r\n"
        elif kind == 9:  # a good request with one byte changed
            request = bytearray(_post(path, GOOD))
            request[rng.randrange(len(request))] = rng.randrange(256)
            yield bytes(request)
        else:  # a good request that ends early
            request = _post(path, GOOD)
            yield request[: rng.randrange(1, len(request) - 1)]


def _status(served: Running, request: bytes) -> int | None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as one:
        answer = b""
        with contextlib.suppress(OSError):
            one.sendall(request)
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_WR)
            while part := one.recv(65536):
                answer += part
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def test_malformed_requests_get_4xx_or_a_closed_connection(models: Path):
    settings = ServiceSettings(name="m", limits=Limits(receive_seconds=2.0))
    with running(models, settings) as served:
        for number, request in zip(range(MALFORMED), _malformed(11), strict=False):
            status = _status(served, request)
            # A changed byte may leave a request that is good.
            assert status is None or status < 500, (number, status, request[:200])
            if number % 20 == 0:
                assert served.request("/api/v1/recommend", {"user_id": "u0"})[0] == 200
        text = served.request("/metrics")[2].decode()
        assert 'status="5' not in text


def test_many_slow_senders_are_closed_while_others_are_served(models: Path):
    """They send a byte every 0.2 s; all must be closed within 10 s, by the default limits."""
    with running(models, ServiceSettings(name="m")) as served:
        starts = [
            b"P",
            b"POST /api/v1/recommend HTTP/1.1\r\n",
            _post(b"/api/v1/recommend", b"")[:-7],
        ]
        slow = {}
        for number in range(SLOW):
            one = socket.create_connection(("127.0.0.1", served.port))
            one.sendall(starts[number % len(starts)])
            slow[one.fileno()] = one
        begun = time.monotonic()
        latencies = []
        while slow and time.monotonic() - begun < 10:
            start = time.monotonic()
            assert served.request("/api/v1/recommend", {"user_id": "u0"})[0] == 200
            latencies.append(time.monotonic() - start)
            poll = select.poll()
            for number in slow:
                poll.register(number, select.POLLIN)
            for number, _ in poll.poll(0):
                slow.pop(number).close()
            for one in slow.values():
                with contextlib.suppress(OSError):
                    one.sendall(b"1")
            time.sleep(0.2)
        assert not slow, f"{len(slow)} are still open"
        assert len(latencies) > 10
        assert sorted(latencies)[len(latencies) // 2] < 1
