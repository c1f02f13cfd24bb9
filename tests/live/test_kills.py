"""A writer that is killed loses nothing that was acknowledged, and applies nothing twice.

20 kills of each database; `make kills` makes 1,000.
"""

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

from shortlist.live import Interaction, LiveState

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
    # The last may be there without its acknowledgement having arrived.
    assert had in (list(range(acknowledged + 1)), list(range(acknowledged + 2)))
    killed = program()
    latest = {number % killed.ITEMS: killed.changes(number)[1] for number in had}
    found = [e.change for e in entries if not isinstance(e.change, Interaction)]
    assert sorted(found, key=lambda change: change.item_id) == [
        latest[item] for item in sorted(latest)
    ]
    assert state.last == 2 * len(had)
