"""The live state: a durable log of what changed since a bundle was trained."""

import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from shortlist.live.appending import MAX_CHANGES, append, check, known
from shortlist.live.changes import Change, LogEntry, Receipt, digest
from shortlist.live.database import Database
from shortlist.live.errors import LiveStateError
from shortlist.live.places import open_database
from shortlist.live.retention import Retention
from shortlist.live.rows import COLUMNS, INTERACTION, UPSERT, damaged, read_rows
from shortlist.live.schema import TABLES, VERSION


class LiveState:
    """What changed since a bundle was trained, kept in SQLite or PostgreSQL.

    A change is on the disk when `append` returns. Several processes may append to one state and
    follow it: all see the same changes in the same order. Of each item the log keeps the latest
    change alone, and of each user the interactions that `retention` allows, so that it grows with
    the catalogue and not with time (Kafka calls such a log compacted).

    Made by `open`. It may be used from several threads, and as a context manager, which closes it.

    Example:
        >>> import tempfile
        >>> from shortlist.live import Interaction, ItemUpsert
        >>> folder = tempfile.TemporaryDirectory()
        >>> with LiveState.open(f"{folder.name}/films.sqlite") as state:
        ...     receipt = state.append([ItemUpsert(7, {"title": "Alien"}), Interaction(1, 7, 0)])
        ...     [entry.change for entry in state.changes(after=receipt.first)]
        [Interaction(user_id=1, item_id=7, timestamp=0)]
        >>> folder.cleanup()
    """

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self.retention = retention
        head = (str(uuid.uuid4()), VERSION, 0, 0, 0, None, None)
        database.prepare(TABLES, head)
        database.check()
        with database.read() as transaction:
            # The head last: others may append meanwhile.
            ((greatest,),) = transaction.run("SELECT max(sequence) FROM live_changes")
            rows = transaction.run("SELECT id, version, last FROM live_state")
        if len(rows) != 1 or not all(isinstance(number, int) for number in rows[0][1:]):
            raise damaged(self.place, "its head is not one row of an id and numbers")
        ((self.id, version, last),) = rows
        if version > VERSION:
            raise LiveStateError(
                f"the live state {self.place} has version {version}; this Shortlist reads up to "
                f"{VERSION}. Install a newer Shortlist to open it."
            )
        if (greatest or 0) > last:
            raise damaged(self.place, f"it holds change {greatest} and counts {last}")

    @classmethod
    def open(
        cls, url: str | os.PathLike[str], *, retention: Retention | None = None
    ) -> "LiveState":
        """Open a live state; one that is not there is made, empty.

        Args:
            url: `postgresql://user:password@host/database`; or a SQLite file, by its path or as
                `sqlite:///path`; or a bundle, or a folder of its versions, which stands for a
                SQLite file beside it.
            retention: How much is remembered; every process that appends to a state applies its
                own.

        Raises:
            LiveStateError: It cannot be opened, is damaged, is something else, or is of a newer
                version.
            MissingExtraError: PostgreSQL needs a package that is not installed.
        """
        database = open_database(url)
        try:
            return cls(database, retention or Retention())
        except BaseException:
            database.close()
            raise

    @property
    def place(self) -> str:
        """Where it is kept: the file, or the URL without its password."""
        return self._database.place

    def append(self, changes: Iterable[Change], *, key: str | None = None) -> Receipt:
        """Append changes to the log, all or none; when this returns they are on the disk.

        Args:
            changes: From 1 to 10,000, in their order.
            key: A name that the client chose for this call. Where the same comes again, as after
                an answer that was lost, nothing is applied twice and the receipt is the first's.

        Returns:
            Their places in the log.

        Raises:
            ValueError: No changes or too many, a key that is no text of 1 to 200 characters, or
                ids of another kind than those in the state.
            KeyReusedError: The key came before, with other changes.
            LiveStateError: The database failed; nothing was appended.
        """
        given = list(changes)
        check(given, key)
        with self._database.write() as transaction:
            return append(transaction, given, key, self.retention, self.place)

    def receipt(self, changes: Iterable[Change], key: str) -> Receipt | None:
        """Return the receipt of a call that came before; None for one that did not.

        Args:
            changes: Those of the call.
            key: Its key.

        Raises:
            ValueError: As `append`.
            KeyReusedError: The key came before, with other changes.
        """
        given = list(changes)
        check(given, key)
        with self._database.read() as transaction:
            return known(transaction, key, digest(given))

    def changes(self, after: int = 0, *, limit: int = MAX_CHANGES) -> list[LogEntry]:
        """Return what is in the log after a place, in order.

        Args:
            after: The place; 0 returns the log from its beginning.
            limit: At most so many entries, the first ones.

        Raises:
            LiveStateError: The log is damaged, or was shortened beyond `after` by `drop`: whoever
                follows must load the newest bundle and start again.
        """
        with self._database.read() as transaction:
            rows = transaction.run(
                f"SELECT {COLUMNS} FROM live_changes WHERE sequence > ? "  # noqa: S608
                "ORDER BY sequence LIMIT ?",
                (after, limit),
            )
            # Read after the rows, so that a log shortened meanwhile is noticed.
            ((dropped,),) = transaction.run("SELECT dropped FROM live_state")
            entries = read_rows(transaction, rows, self.place)
        if 0 < after < dropped:
            raise LiveStateError(
                f"the log of {self.place} begins after change {dropped}, and this follower stands "
                f"at {after}: load the newest bundle and follow from the beginning."
            )
        return entries

    def items(self) -> Iterator[LogEntry]:
        """Iterate over the latest upsert of each item that is there, in the order of the log."""
        yield from self._of_kind(UPSERT)

    def interactions(self) -> Iterator[LogEntry]:
        """Iterate over the interactions that are kept, in the order of the log."""
        yield from self._of_kind(INTERACTION)

    @property
    def last(self) -> int:
        """The place of the latest change; 0 before the first."""
        with self._database.read() as transaction:
            return int(transaction.run("SELECT last FROM live_state")[0][0])

    @property
    def dropped(self) -> int:
        """The place up to which a bundle has learnt and `drop` has shortened the log."""
        with self._database.read() as transaction:
            return int(transaction.run("SELECT dropped FROM live_state")[0][0])

    def mark(self) -> dict[str, Any]:
        """Return what a bundle keeps in `run["live"]` to say that it has learnt all until now.

        Take the mark before you read what the bundle learns from.
        """
        return {"state": self.id, "change": self.last}

    def at(self, moment: float) -> int:
        """Return the place of the latest change up to a moment, in seconds since 1970."""
        with self._database.read() as transaction:
            rows = transaction.run(
                "SELECT max(sequence) FROM live_changes WHERE time <= ?", (int(moment * 1000),)
            )
            return int(rows[0][0] or 0)

    def wait(self, after: int, seconds: float) -> bool:
        """Wait until there is a change after a place; return whether there is.

        Args:
            after: The place.
            seconds: How long to wait at most.
        """
        until = time.monotonic() + seconds
        while self.last <= after:
            left = until - time.monotonic()
            if left <= 0:
                return False
            self._database.wait(left)
        return True

    def drop(self, sequences: Sequence[int], until: int) -> None:
        """Drop entries that a bundle has learnt.

        Args:
            sequences: Their places, none after `until`.
            until: The place up to which the bundle has learnt; whoever follows from an earlier one
                must begin again with that bundle.

        Raises:
            ValueError: A place after `until`, or `until` after the end of the log.
            LiveStateError: The database failed; nothing was dropped.
        """
        if until > self.last or any(sequence > until for sequence in sequences):
            raise ValueError(
                f"`until` must be at least every one of `sequences` and at most {self.last}, the "
                f"end of the log; got {until}."
            )
        with self._database.write() as transaction:
            transaction.run_many(
                "DELETE FROM live_changes WHERE sequence = ?", [(one,) for one in sequences]
            )
            transaction.run("UPDATE live_state SET dropped = ? WHERE dropped < ?", (until, until))

    def close(self) -> None:
        """Close the file or the connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"LiveState({self.place!r})"

    def _of_kind(self, kind: int) -> Iterator[LogEntry]:
        after = 0
        while True:
            with self._database.read() as transaction:
                rows = transaction.run(
                    f"SELECT {COLUMNS} FROM live_changes WHERE sequence > ? AND kind = ? "  # noqa: S608
                    "ORDER BY sequence LIMIT ?",
                    (after, kind, MAX_CHANGES),
                )
                entries = read_rows(transaction, rows, self.place)
            yield from entries
            if len(entries) < MAX_CHANGES:
                return
            after = entries[-1].sequence
