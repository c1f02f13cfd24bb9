"""A program that appends to a live state until it is killed; see test_kills.py.

It reads numbers, one a line. For each it starts a process that appends changes from that number
on, and prints the process's id, then `ack N` for each change acknowledged, and `end`.
"""

import os
import sys
from itertools import count

from shortlist.live import Change, Interaction, ItemRemoval, ItemUpsert, LiveState, Retention

ITEMS = 20


def changes(number: int) -> list[Change]:
    """Change number `number`: an interaction and something of an item."""
    item = number % ITEMS
    gone = number // ITEMS % 3 == 2
    return [
        Interaction(0, number, number),
        ItemRemoval(item) if gone else ItemUpsert(item, {"number": number}, [number]),
    ]


def append(url: str, start: int) -> None:
    with LiveState.open(url, retention=Retention(per_user=10**9)) as state:
        for number in count(start):
            state.append(changes(number), key=f"key {number}")
            os.write(1, b"ack %d\n" % number)


def main(url: str) -> None:
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os.write(1, b"pid %d\n" % os.getpid())
            append(url, int(line))
        os.waitpid(child, 0)
        os.write(1, b"end\n")


if __name__ == "__main__":
    main(sys.argv[1])
