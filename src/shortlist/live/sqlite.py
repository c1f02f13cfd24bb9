"""A live state in a SQLite file."""

import contextlib
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shortlist.live.database import Rows, Transaction
from shortlist.live.errors import LiveStateError

_BUSY_SECONDS = 10.0
_POLL_SECONDS = 0.02
_LEAST_BYTES = 4_096
_APPLICATION_ID = 0x534C4953  # "SLIS", by which `file` and SQLite tell whose file it is
_REMEDIES = {
    "SQLITE_FULL": "Free space on its disk and try again.",
    "SQLITE_BUSY": f"Another process held it for {_BUSY_SECONDS:.0f} s; try again.",
    "SQLITE_READONLY": "Make the file and its folder writable.",
    "SQLITE_CANTOPEN": "Make the file and its folder readable and writable.",
    "SQLITE_IOERR": "Look at its disk (full, or broken), and try again.",
}
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


class SQLite:
    """A SQLite file in WAL mode: a commit is on the disk, and readers never wait for a writer.

    Args:
        path: The file; its folder must be there.
    """

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = path
        self._writing, self._reading = threading.Lock(), threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None

    def prepare(self, tables: Sequence[str], first: Sequence[Any]) -> None:
        """Open the file; where there is none, make it with the tables, whole or not at all."""
        with self._failures():
            if not self._path.exists():
                self._make(tables, first)
            # It was made with its tables; SQLite would take a shorter file for a new one.
            if (size := self._path.stat().st_size) < _LEAST_BYTES:
                raise self._damaged(f"it has {size} bytes")
            self._writer, self._reader = self._connect(self._path), self._connect(self._path)
            found = self._reader.execute(
                "SELECT count(*) FROM sqlite_master WHERE name IN "
                "('live_state', 'live_changes', 'live_keys')"
            ).fetchone()
            if found != (3,):
                raise LiveStateError(
                    f"{self.place} is a SQLite file, but no live state; give another path."
                )

    def _make(self, tables: Sequence[str], first: Sequence[Any]) -> None:
        """Make the file under another name and then give it its own, which another may do too."""
        partial = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}.partial")
        try:
            connection = self._connect(partial, "rwc")
            with contextlib.closing(connection):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
                connection.execute("BEGIN IMMEDIATE")
                for table in tables:
                    connection.execute(table.format(integer="INTEGER", bytes="BLOB"))
                marks = ", ".join("?" * len(first))
                connection.execute(f"INSERT INTO live_state VALUES ({marks})", first)  # noqa: S608
                connection.execute("COMMIT")
            with contextlib.suppress(FileExistsError):
                os.link(partial, self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        finally:
            for leftover in ("", "-wal", "-shm"):
                Path(f"{partial}{leftover}").unlink(missing_ok=True)

    def _connect(self, path: Path, mode: str = "rw") -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that no other writer runs beside; on the disk when the block ends well."""
        with self._writing, self._failures():
            connection = _open(self._writer, self.place)
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield _Statements(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """Statements that change nothing, each of which sees all that is committed."""
        with self._reading, self._failures():
            yield _Statements(_open(self._reader, self.place))

    def wait(self, seconds: float) -> None:
        """Wait a little: a read takes 20 µs, and nothing tells when another process commits."""
        time.sleep(min(seconds, _POLL_SECONDS))

    def check(self) -> None:
        """Raise a `LiveStateError` where the file is damaged."""
        with self.read() as transaction:
            ((said,),) = transaction.run("PRAGMA integrity_check(1)")
        if said != "ok":
            raise self._damaged(said)

    def close(self) -> None:
        """Close the file."""
        with self._writing, self._reading, self._failures():
            for connection in (self._writer, self._reader):
                if connection is not None:
                    connection.close()
            self._writer = self._reader = None

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Let an error of SQLite say what to do about it."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith(_DAMAGED):
                raise self._damaged(str(error)) from error
            remedy = next((_REMEDIES[start] for start in _REMEDIES if name.startswith(start)), "")
            raise LiveStateError(
                f"the live state {self.place} failed: {error}. Nothing of this call was kept, and "
                f"all that was acknowledged before is. {remedy}".rstrip()
            ) from error
        except UnicodeDecodeError as error:  # of text in the file, or of what SQLite says of it
            raise self._damaged("a text in it is no UTF-8") from error
        except OSError as error:
            raise LiveStateError(
                f"the live state {self.place} cannot be opened: {error.strerror or error}. "
                "Give a path in a folder that is there and can be written to."
            ) from error

    def _damaged(self, why: str) -> LiveStateError:
        return LiveStateError(
            f"the live state {self.place} is damaged: {why}. Restore it from a backup, or move it "
            "away with the files beside it that end in -wal and -shm: what came after the bundle "
            "is then forgotten."
        )


class _Statements:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        return self._connection.execute(statement, values).fetchall()

    def run_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.executemany(statement, rows)


def _open(connection: sqlite3.Connection | None, place: str) -> sqlite3.Connection:
    if connection is None:
        raise LiveStateError(f"the live state {place} is closed; open it again.")
    return connection
