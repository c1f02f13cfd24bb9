import asyncio
import contextlib
import http.client
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from shortlist.serving import Limits, ServiceSettings

from .conftest import Running, running

BURST = 200


async def _burst(served: Running) -> Counter[int]:
    body = b'{"user_id": "u0"}'
    request = (
        b"POST /api/v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    connections = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(BURST)]
    for _, writer in connections:
        writer.write(request)
    statuses: Counter[int] = Counter()
    for reader, writer in connections:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        statuses[int(head[9:12])] += 1
        if b" 429 " in head:
            assert b"retry-after: 1\r\n" in head
        writer.close()
    return statuses


async def _bursts(served: Running, connections: int, rounds: int) -> Counter[int]:
    body = b'{"user_id": "u0"}'
    request = b"POST /api/v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    opened = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(connections)]
    statuses: Counter[int] = Counter()
    for _ in range(rounds):
        for _, writer in opened:
            writer.write(request)
        for reader, _ in opened:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            statuses[int(head[9:12])] += 1
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
            await reader.readexactly(int(length))
    for _, writer in opened:
        writer.close()
        await writer.wait_closed()
    return statuses


def test_a_burst_gets_only_200_and_429_and_then_all_is_well(models: Path):
    with running(models, ServiceSettings(name="m", limits=Limits(waiting=4))) as served:
        statuses = asyncio.run(_burst(served))
        assert set(statuses) <= {200, 429}
        assert statuses.total() == BURST
        assert statuses[429] > 0
        assert served.request("/api/v1/recommend", {"user_id": "u0"})[0] == 200


def test_bursts_one_after_the_other_are_each_answered_up_to_the_limit(models: Path):
    """What has been answered does not count against those that come next."""
    limit = 40
    with running(models, ServiceSettings(name="m", limits=Limits(waiting=limit))) as served:
        answered = asyncio.run(_bursts(served, connections=limit, rounds=10))
        assert answered == {200: 10 * limit}
        assert "shortlist_in_flight 1.0" in served.request("/metrics")[2].decode()


def test_long_work_does_not_keep_short_work_waiting(models: Path):
    """Exact searches go to threads; what is quick is answered meanwhile, and health too."""
    with running(models, ServiceSettings(name="m")) as served:
        body = {"instances": [{"user_id": "u0", "k": 1000}] * 256}
        assert served.request("/v1/models/m:predict", body)[0] == 200
        assert served.json("/api/v1/recommend", {"user_id": "u0", "exact": True})[0] == 200
        text = served.request("/metrics")[2].decode()
        assert "shortlist_queued 0.0" in text
        assert "shortlist_in_flight 1.0" in text  # this very request


def _request(*headers: bytes, version: bytes = b"1.1", body: bytes = b'{"user_id": "u0"}') -> bytes:
    lines = [b"POST /api/v1/recommend HTTP/" + version, b"Host: x", *headers]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def full(models: Path) -> Iterator[Running]:
    """A service whose queue is always full."""
    with running(models, ServiceSettings(name="m", limits=Limits(waiting=0))) as served:
        yield served


@contextlib.contextmanager
def _connected(served: Running) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as one:
        yield one


def _next(one: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(one)
    answer.begin()
    answer.read()
    return answer


def test_a_refused_client_may_ask_again_on_the_same_connection(full: Running):
    with _connected(full) as one:
        for _ in range(3):
            one.sendall(_request())
            answer = _next(one)
            assert answer.status == 429
            assert answer.headers["date"]
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["x-content-type-options"] == "nosniff"
        one.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert _next(one).status == 200


def test_requests_sent_in_one_go_are_refused_one_by_one(full: Running):
    with _connected(full) as one:
        one.sendall(_request() * 3)
        received = b""
        while received.count(b"requests are waiting") < 3:
            received += one.recv(65536)
        assert received.count(b"HTTP/1.1 429 ") == 3


@pytest.mark.parametrize("request_", [_request(b"Connection: close"), _request(version=b"1.0")])
def test_a_connection_that_is_to_be_closed_is_closed_after_a_refusal(
    full: Running, request_: bytes
):
    with _connected(full) as one:
        one.sendall(request_)
        answer = _next(one)
        assert (answer.status, answer.headers["connection"]) == (429, "close")
        assert one.recv(1) == b""


def test_a_refusal_waits_for_the_body_and_keeps_nothing_of_it(full: Running):
    with _connected(full) as one:
        request = _request(body=b" " * 3_000_000)
        one.sendall(request[:-1])
        one.settimeout(0.2)
        with pytest.raises(TimeoutError):
            one.recv(1)
        one.settimeout(10)
        one.sendall(request[-1:])
        assert _next(one).status == 429
        one.sendall(_request())
        assert _next(one).status == 429


def test_who_asks_before_sending_the_body_is_refused_without_it(full: Running):
    with _connected(full) as one:
        one.sendall(_request(b"Expect: 100-continue").partition(b"{")[0])
        assert one.recv(65536).startswith(b"HTTP/1.1 429 ")


def test_refusals_are_counted_by_route_and_are_not_under_way(models: Path):
    with running(models, ServiceSettings(name="m", limits=Limits(waiting=0))) as served:
        for _ in range(3):
            assert served.request("/v1/models/m:predict?x=1", {"instances": ["u0"]})[0] == 429
        text = served.request("/metrics")[2].decode()
        assert 'shortlist_shed_total{reason="queue"} 3.0' in text
        assert 'shortlist_requests_total{route="/v1/models",status="429"} 3.0' in text
        assert "shortlist_in_flight 1.0" in text


def test_many_new_clients_at_once_are_all_taken(models: Path):
    """More than the event loop takes at a turn."""
    with running(models) as served, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(_connected(served)) for _ in range(200)]
        for one in clients:
            one.sendall(_request())
        assert Counter(_next(one).status for one in clients) == {200: 200}


def test_requests_of_clients_that_leave_are_not_under_way(models: Path):
    with running(models) as served:
        for sent in (_request() * 20, _request()[:-1], _request() * 20 + b"POST /", b"GET /liv"):
            with _connected(served) as one:
                one.sendall(sent)
        for _ in range(100):
            text = served.request("/metrics")[2].decode()
            if "shortlist_in_flight 1.0" in text:
                break
        assert "shortlist_in_flight 1.0" in text


def test_requests_sent_in_one_go_are_answered_in_order(models: Path):
    with running(models) as served, _connected(served) as one:
        ks = [3, 1, 2, 8, 1]
        bodies = [b'{"user_id": "u3", "k": %d, "exact": true}' % k for k in ks]
        one.sendall(b"".join(_request(body=body) for body in bodies))
        file = one.makefile("rb")
        for k in ks:
            length = 0
            while (line := file.readline().strip()) != b"":
                if line.startswith(b"content-length: "):
                    length = int(line.partition(b" ")[2])
            assert file.read(length).count(b'"score"') == k


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\n" + b"X: a\r\n" * 6000 + b"\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 200),
        (_request(body=b'{"user_id": "u0"}'.ljust(200_000)), 200),
        (b"GET /livez HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHost: x\r\n\r\n", 200),
        (
            b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            200,
        ),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
        (b"GET /liv\xc3\xa9z HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"NONSENSE\r\n\r\n", 400),
    ],
)
def test_a_request_line_and_headers_are_read_as_http_says(
    served: Running, request_: bytes, status: int
):
    with _connected(served) as one:
        one.sendall(request_)
        assert _next(one).status == status


def test_only_requests_for_answers_are_refused(full: Running):
    """Who watches the service hears how it is, however full it is."""
    for path in ("/livez", "/readyz", "/metrics", "/api/v1/model", "/v2/models/m/ready"):
        assert full.request(path)[0] == 200
        assert full.request(path, method="HEAD")[0] == 200
