import asyncio
from collections import Counter
from pathlib import Path

from shortlist.serving import Limits, Settings

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
    with running(models, Settings(name="m", limits=Limits(waiting=4))) as served:
        statuses = asyncio.run(_burst(served))
        assert set(statuses) <= {200, 429}
        assert statuses.total() == BURST
        assert statuses[429] > 0
        assert served.request("/api/v1/recommend", {"user_id": "u0"})[0] == 200


def test_bursts_one_after_the_other_are_each_answered_up_to_the_limit(models: Path):
    """What has been answered does not count against those that come next."""
    limit = 40
    with running(models, Settings(name="m", limits=Limits(waiting=limit))) as served:
        answered = asyncio.run(_bursts(served, connections=limit, rounds=10))
        assert answered == {200: 10 * limit}
        assert "shortlist_in_flight 1.0" in served.request("/metrics")[2].decode()


def test_long_work_does_not_keep_short_work_waiting(models: Path):
    """Exact searches go to threads; what is quick is answered meanwhile, and health too."""
    with running(models, Settings(name="m")) as served:
        body = {"instances": [{"user_id": "u0", "k": 1000}] * 256}
        assert served.request("/v1/models/m:predict", body)[0] == 200
        assert served.json("/api/v1/recommend", {"user_id": "u0", "exact": True})[0] == 200
        text = served.request("/metrics")[2].decode()
        assert "shortlist_queued 0.0" in text
        assert "shortlist_in_flight 1.0" in text  # this very request
