"""A writer that is killed loses nothing that was acknowledged, and applies nothing twice.

20 kills of writers and 2 of servers on each database; `make kills` makes 1,000 and 100.
"""

import contextlib
import http.client
import importlib.util
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from types import ModuleType

from shortlist.live import Interaction, LiveState

from .parts import saved

KILLS = int(os.environ.get("SHORTLIST_KILLS", "20"))
PROGRAM = Path(__file__).with_name("killed.py")


def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("killed", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_after_every_kill_the_log_holds_each_acknowledged_change_once(url: str) -> None:
    rng = random.Random(0)
    writer = subprocess.Popen(
        [sys.executable, str(PROGRAM), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    acknowledged = -1
    try:
        for _ in range(KILLS):
            # As a client does: what was not acknowledged comes again, with the same key.
            writer.stdin.write(f"{acknowledged + 1}\n")
            child = int(told(writer, "pid"))
            if rng.random() < 0.7:  # in the stream of changes, otherwise mostly while it opens
                acknowledged = int(told(writer, "ack"))
            time.sleep(rng.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            while (line := writer.stdout.readline()) != "end\n":
                acknowledged = int(line.split()[1])
            with LiveState.open(url) as state:
                holds_all_once(state, acknowledged)
    finally:
        writer.stdin.close()
        writer.wait()
        writer.stdout.close()
    assert acknowledged > KILLS / 2


def told(writer: subprocess.Popen, what: str) -> str:
    word, number = writer.stdout.readline().split()
    assert word == what
    return number


def holds_all_once(state: LiveState, acknowledged: int) -> None:
    entries = state.changes(limit=10**9)
    had = [e.change.item_id for e in entries if isinstance(e.change, Interaction)]
    # The last may be there without its acknowledgement having arrived; PostgreSQL may even commit
    # it after its client was killed.
    assert had in (list(range(acknowledged + 1)), list(range(acknowledged + 2)))
    killed = program()
    latest = {number % killed.ITEMS: killed.changes(number)[1] for number in had}
    found = [e.change for e in entries if not isinstance(e.change, Interaction)]
    assert sorted(found, key=lambda change: change.item_id) == [
        latest[item] for item in sorted(latest)
    ]
    assert entries == [] or entries[-1].sequence == 2 * len(had)


SERVE = """
import sys
from shortlist.serving import ServiceSettings, serve
serve(sys.argv[1], ServiceSettings(port=int(sys.argv[2]), live=sys.argv[3]))
"""


def post(port: int, path: str, body: object, key: str) -> dict:
    headers = {"content-type": "application/json", "idempotency-key": key}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/{path}", json.dumps(body).encode(), headers
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def wait_until_open(port: int, process: subprocess.Popen) -> None:
    while True:
        assert process.poll() is None
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)


def test_a_server_that_is_killed_has_kept_what_it_acknowledged(url: str, tmp_path: Path) -> None:
    saved(tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rng = random.Random(1)
    number, kills = 0, max(1, KILLS // 10)
    for _ in range(kills):
        server = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(tmp_path / "model"), str(port), url]
        )
        try:
            wait_until_open(port, server)
            killer = threading.Timer(rng.uniform(0.2, 0.6), server.kill)
            killer.start()
            with contextlib.suppress(OSError, http.client.HTTPException):
                while True:  # what was not acknowledged comes again, with the same key
                    item, user = f"f{number % 8}", f"guest {number}"
                    event = {"user_id": user, "item_id": item, "timestamp": number}
                    kept = post(port, "events", {"events": [event]}, f"key {number}")
                    assert kept == {"first": number + 1, "last": number + 1}
                    number += 1
            killer.join()
        finally:
            server.kill()
            server.wait()
    assert number > 0
    with LiveState.open(url) as state:
        events = [entry.change for entry in state.changes()]
    assert len(events) in (number, number + 1)  # the last answer may not have arrived
    assert events == [Interaction(f"guest {n}", f"f{n % 8}", n) for n in range(len(events))]
