"""A change as a row of the log, and back."""

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from shortlist.live.changes import Change, Interaction, ItemRemoval, ItemUpsert, LogEntry
from shortlist.live.database import Rows, Transaction
from shortlist.live.errors import LiveStateError

COLUMNS = "sequence, time, kind, item_id, user_id, timestamp, attributes, embedding, checksum"
UPSERT, REMOVAL, INTERACTION = 1, 2, 3


def to_row(entry: LogEntry) -> tuple[Any, ...]:
    """Return the row of an entry: its `COLUMNS`. Ids become text; the log knows of which kind."""
    row: tuple[Any, ...]
    match entry.change:
        case ItemUpsert(item_id, attributes, embedding):
            row = (
                *(UPSERT, str(item_id), None, None),
                None if attributes is None else msgspec.json.encode(attributes).decode(),
                None if embedding is None else embedding.astype("<f4").tobytes(),
            )
        case ItemRemoval(item_id):
            row = (REMOVAL, str(item_id), None, None, None, None)
        case Interaction(user_id, item_id, timestamp):
            row = (INTERACTION, str(item_id), str(user_id), timestamp, None, None)
    row = (entry.sequence, entry.time, *row)
    return (*row, _checksum(row))


def read_rows(transaction: Transaction, rows: Rows, place: str) -> list[LogEntry]:
    """Return the entries of rows, in their order.

    Args:
        transaction: In which the rows were read.
        rows: Of each its `COLUMNS`.
        place: Where the log is, for error messages.

    Raises:
        LiveStateError: A row is not what `to_row` made.
    """
    ((item, user),) = transaction.run("SELECT item_kind, user_kind FROM live_state")
    if not {item, user} <= {None, "int64", "str"}:
        raise damaged(place, f"its ids are {item!r} and {user!r}, neither int64 nor str")
    try:
        return [_from_row(row, item == "str", user == "str") for row in rows]
    except (ValueError, TypeError) as error:
        raise damaged(place, str(error)) from error


def damaged(place: str, why: str) -> LiveStateError:
    """Return the error for a log that is not what was written."""
    return LiveStateError(
        f"the live state {place} is damaged: {why}. Restore it from a backup, or begin with an "
        "empty one: what came after the bundle is then forgotten."
    )


def _from_row(row: Sequence[Any], item_text: bool, user_text: bool) -> LogEntry:
    *content, checksum = row
    if _checksum(content) != checksum:
        raise ValueError(f"change {row[0]} has another checksum than it was written with")
    sequence, time, kind, item_id, user_id, timestamp, attributes, embedding = content
    item = item_id if item_text else int(item_id)
    change: Change
    if kind == UPSERT:
        change = ItemUpsert(
            item,
            None if attributes is None else msgspec.json.decode(attributes),
            None if embedding is None else np.frombuffer(embedding, "<f4"),
        )
    elif kind == REMOVAL:
        change = ItemRemoval(item)
    else:
        change = Interaction(user_id if user_text else int(user_id), item, timestamp)
    return LogEntry(sequence, time, change)


def _checksum(content: Sequence[Any]) -> int:
    # What a disk changes by itself is found, which neither database does for every byte.
    return zlib.crc32(repr(tuple(content)).encode())
