"""A live state in a PostgreSQL database, for several servers on several machines."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from shortlist.live.database import Rows, Transaction
from shortlist.live.errors import LiveStateError

_CHANNEL = "shortlist_live"
_POLL_SECONDS = 0.5
_OPTIONS = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "application_name": "shortlist"}
# A writer that hangs must not hold the others up for ever, and one that commits must be on disk.
_SESSION = (
    "SET lock_timeout = '10s'",
    "SET idle_in_transaction_session_timeout = '30s'",
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'",
)


class PostgreSQL:
    """Tables in a PostgreSQL database; those who follow are told of a commit at once.

    Args:
        url: `postgresql://user:password@host:port/database`, with libpq's further options.

    Raises:
        LiveStateError: It is no such URL.
    """

    def __init__(self, url: str) -> None:
        try:
            options = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            options = None
        if options is None or url.partition("?")[0].count("@") > 1:
            raise LiveStateError(
                "the URL of the live state is none of PostgreSQL: it must read "
                "postgresql://user:password@host:port/database, with '@', '/' and ':' of a "
                "password written as %40, %2F and %3A."
            )
        self._options: dict[str, Any] = {**_OPTIONS, **options}
        host, port = options.get("host", "localhost"), options.get("port", 5432)
        self.place = f"postgresql://{host}:{port}/{options.get('dbname', '')}"
        self._writer, self._reader, self._listener = (_Line(self._connect) for _ in range(3))

    def prepare(self, tables: Sequence[str], first: Sequence[Any]) -> None:
        """Make the tables where there are none; of several who do so at once, one does."""
        with self._failures(), self._writer.connection() as connection, connection.transaction():
            statements = _Statements(connection)
            statements.run("SELECT pg_advisory_xact_lock(hashtext(?))", [_CHANNEL])
            if statements.run("SELECT to_regclass('live_state')") == [(None,)]:
                for table in tables:
                    statements.run(table.format(integer="BIGINT", bytes="BYTEA"))
                marks = ", ".join("?" * len(first))
                statements.run(f"INSERT INTO live_state VALUES ({marks})", first)  # noqa: S608

    def _connect(self) -> psycopg.Connection:
        connection = psycopg.connect(autocommit=True, **self._options)
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            raise LiveStateError(
                f"{self.place} must be a database with the encoding UTF8, got {encoding}; make one "
                "with: createdb --encoding=UTF8 --template=template0 NAME"
            )
        for statement in _SESSION:
            connection.execute(statement)
        return connection

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that no other writer runs beside; on the disk when the block ends well."""
        with self._failures(), self._writer.connection() as connection, connection.transaction():
            statements = _Statements(connection)
            statements.run("SELECT last FROM live_state FOR UPDATE")
            yield statements
            statements.run("SELECT pg_notify(?, '')", [_CHANNEL])

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """Statements that change nothing, each of which sees all that is committed."""
        with self._failures(), self._reader.connection() as connection:
            yield _Statements(connection)

    def wait(self, seconds: float) -> None:
        """Wait for a commit of anyone; the first call returns at once."""
        with self._failures(), self._listener.connection() as connection:
            if not self._listener.listens:
                connection.execute(f"LISTEN {_CHANNEL}")
                self._listener.listens = True
                return
            for _ in connection.notifies(timeout=min(seconds, _POLL_SECONDS), stop_after=1):
                pass

    def check(self) -> None:
        """Do nothing: the server checks its pages itself, and a row has its checksum."""

    def close(self) -> None:
        """Close the connections."""
        for line in (self._writer, self._reader, self._listener):
            line.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Let an error of PostgreSQL say what it means for the state."""
        try:
            yield
        except psycopg.Error as error:
            what = str(error).strip().partition("\n")[0].rstrip(".")
            raise LiveStateError(
                f"the live state {self.place} failed: {what}. All that was acknowledged before is "
                "kept; whether this call was is not known if the connection broke. Send it again "
                "with the same key."
            ) from error


class _Line:
    """A connection that is made when it is needed, and again when it broke."""

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._connection: psycopg.Connection | None = None
        self._closed = False
        self.listens = False

    @contextlib.contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        with self._lock:
            if self._closed:
                raise LiveStateError("the live state is closed; open it again.")
            if self._connection is None or self._connection.closed:
                self._connection, self.listens = self._connect(), False
            yield self._connection

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()


class _Statements:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        cursor = self._connection.execute(_marked(statement), values)
        return cursor.fetchall() if cursor.description else []

    def run_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(_marked(statement), rows)


def _marked(statement: str) -> str:
    return statement.replace("?", "%s")
