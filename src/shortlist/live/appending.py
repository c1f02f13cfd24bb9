"""Appending to the log: all of a call or nothing, in place of what it supersedes."""

import time
from dataclasses import replace
from typing import Any

from shortlist.live.changes import (
    Change,
    Interaction,
    ItemRemoval,
    ItemUpsert,
    LogEntry,
    Receipt,
    digest,
)
from shortlist.live.database import Rows, Transaction
from shortlist.live.errors import KeyReusedError
from shortlist.live.retention import Retention
from shortlist.live.rows import COLUMNS, read_rows, to_row

MAX_CHANGES = 10_000  # in one call, all of which one transaction holds
_LONGEST_KEY = 200
_ASKED = 500  # ids in one statement
_KINDS = {"int64": "integers", "str": "text"}


def append(
    transaction: Transaction,
    changes: list[Change],
    key: str | None,
    retention: Retention,
    place: str,
) -> Receipt:
    """Append changes that `check` has passed.

    Args:
        transaction: Beside which no other writer runs.
        changes: What to append.
        key: As for `LiveState.append`.
        retention: How much is remembered.
        place: Where the log is, for error messages.

    Raises:
        ValueError: Ids of another kind than those in the log.
        KeyReusedError: The key came before, with other changes.
    """
    hashed = None if key is None else digest(changes)
    if key is not None and (before := known(transaction, key, hashed)):
        return before
    ((last, last_time),) = transaction.run("SELECT last, last_time FROM live_state")
    _settle_kinds(transaction, changes)
    now = max(milliseconds(), last_time)
    receipt = Receipt(last + 1, last + len(changes))
    _store(transaction, receipt.first, now, changes, place)
    _forget(transaction, now, changes, retention)
    if key is not None:
        transaction.run(
            "INSERT INTO live_keys VALUES (?, ?, ?, ?, ?)",
            (key, hashed, receipt.first, receipt.last, now),
        )
    transaction.run("UPDATE live_state SET last = ?, last_time = ?", (receipt.last, now))
    return receipt


def milliseconds() -> int:
    """Return the time now, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def check(changes: list[Change], key: Any) -> None:
    """Refuse what cannot be appended to any log.

    Raises:
        ValueError: As `LiveState.append` says.
    """
    if not 1 <= len(changes) <= MAX_CHANGES:
        raise ValueError(
            f"`changes` must be from 1 to {MAX_CHANGES:,}, got {len(changes):,}; append them in "
            "several calls."
        )
    if key is not None and not (isinstance(key, str) and 1 <= len(key) <= _LONGEST_KEY):
        raise ValueError(f"`key` must be text of 1 to {_LONGEST_KEY} characters.")
    if key is not None and not key.isprintable():
        raise ValueError("`key` must be text of printable characters.")
    kinds: dict[str, bool] = {}
    for position, change in enumerate(changes):
        if not isinstance(change, Change):
            raise ValueError(
                "`changes` must be ItemUpsert, ItemRemoval or Interaction, got "
                f"{type(change).__name__} at position {position}."
            )
        ids = {"item": change.item_id}
        if isinstance(change, Interaction):
            ids["user"] = change.user_id
        for what, value in ids.items():
            text = isinstance(value, str)
            if kinds.setdefault(what, text) != text:
                raise ValueError(
                    f"ids of {what}s must be all integers or all text, got {value!r} at position "
                    f"{position}."
                )


def _settle_kinds(transaction: Transaction, changes: list[Change]) -> None:
    """Refuse ids of another kind than those in the log; the first decide."""
    ((item, user),) = transaction.run("SELECT item_kind, user_kind FROM live_state")
    users = [change.user_id for change in changes if isinstance(change, Interaction)]
    for what, known, ids in (("item", item, [changes[0].item_id]), ("user", user, users)):
        if not ids:
            continue
        kind = "str" if isinstance(ids[0], str) else "int64"
        if known is None:
            transaction.run(f"UPDATE live_state SET {what}_kind = ?", (kind,))  # noqa: S608
        elif known != kind:
            raise ValueError(
                f"ids of {what}s must be {_KINDS[known]}, as those in this live state are; "
                f"got {_KINDS[kind]}."
            )


def _store(
    transaction: Transaction, first: int, now: int, changes: list[Change], place: str
) -> None:
    """Write the latest of each item in place of what was known of it, and the interactions."""
    latest = _latest(transaction, changes, place)
    items: dict[int | str, LogEntry] = {}
    entries = []
    for sequence, change in enumerate(changes, start=first):
        match change:
            case Interaction():
                seconds = now // 1000 if change.timestamp is None else change.timestamp
                entries.append(LogEntry(sequence, now, replace(change, timestamp=seconds)))
            case _:
                whole = _merged(latest.get(change.item_id), change)
                latest[change.item_id] = whole
                items[change.item_id] = LogEntry(sequence, now, whole)
    transaction.run_many(
        "DELETE FROM live_changes WHERE user_id IS NULL AND item_id = ?",
        [(str(item),) for item in items],
    )
    marks = ", ".join("?" * len(COLUMNS.split(",")))
    transaction.run_many(
        f"INSERT INTO live_changes ({COLUMNS}) VALUES ({marks})",  # noqa: S608
        [to_row(entry) for entry in (*items.values(), *entries)],
    )


def _latest(
    transaction: Transaction, changes: list[Change], place: str
) -> dict[int | str, ItemUpsert | ItemRemoval]:
    """Return what is known of the items that are upserted in part."""
    wanted = [
        str(change.item_id)
        for change in changes
        if isinstance(change, ItemUpsert)
        and (change.attributes is None or change.embedding is None)
    ]
    rows: Rows = []
    for start in range(0, len(wanted), _ASKED):
        asked = wanted[start : start + _ASKED]
        marks = ", ".join("?" * len(asked))
        rows += transaction.run(
            f"SELECT {COLUMNS} FROM live_changes "  # noqa: S608
            f"WHERE user_id IS NULL AND item_id IN ({marks})",
            asked,
        )
    found = (entry.change for entry in read_rows(transaction, rows, place))
    return {one.item_id: one for one in found if not isinstance(one, Interaction)}


def _forget(
    transaction: Transaction, now: int, changes: list[Change], retention: Retention
) -> None:
    """Apply the retention."""
    users = {str(change.user_id) for change in changes if isinstance(change, Interaction)}
    transaction.run_many(
        "DELETE FROM live_changes WHERE user_id = ? AND sequence <= (SELECT sequence FROM "
        "live_changes WHERE user_id = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
        [(user, user, retention.per_user) for user in users],
    )
    if users and retention.age is not None:
        oldest = now // 1000 - int(retention.age.total_seconds())
        transaction.run(
            "DELETE FROM live_changes WHERE user_id IS NOT NULL AND timestamp < ?", (oldest,)
        )
    remembered = now - int(retention.keys.total_seconds() * 1000)
    transaction.run("DELETE FROM live_keys WHERE time < ?", (remembered,))


def known(transaction: Transaction, key: str, hashed: bytes | None) -> Receipt | None:
    """Return the receipt of a call that came before with this key, or None.

    Raises:
        KeyReusedError: It came with other changes.
    """
    rows = transaction.run("SELECT digest, first, last FROM live_keys WHERE key = ?", (key,))
    if not rows:
        return None
    ((before, first, last),) = rows
    if before != hashed:
        raise KeyReusedError(
            f"the key {key!r} came before with other changes; choose a new key for each call."
        )
    return Receipt(first, last)


def _merged(
    before: ItemUpsert | ItemRemoval | None, change: ItemUpsert | ItemRemoval
) -> ItemUpsert | ItemRemoval:
    """A change with what it leaves as it was."""
    if isinstance(change, ItemRemoval) or before is None:
        return change
    if isinstance(before, ItemRemoval):  # what was known before the removal does not come back
        return change if change.attributes is not None else replace(change, attributes={})
    return ItemUpsert(
        change.item_id,
        before.attributes if change.attributes is None else change.attributes,
        before.embedding if change.embedding is None else change.embedding,
    )
