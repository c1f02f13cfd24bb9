"""What a live state needs of a database."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

Rows = list[tuple[Any, ...]]


class Transaction(Protocol):
    """Statements that apply together or not at all."""

    def run(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        """Run a statement with `?` for each value; return its rows."""

    def run_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once for each row of values."""


class Database(Protocol):
    """A place that keeps tables; safe to use from several threads.

    Every method raises a `LiveStateError` where the database fails.

    Attributes:
        place: The file, or the URL without its password, as people are told.
    """

    place: str

    def prepare(self, tables: Sequence[str], first: Sequence[Any]) -> None:
        """Make the tables, with `first` as the row of `live_state`, where there are none."""

    def write(self) -> AbstractContextManager[Transaction]:
        """A transaction that no other writer runs beside; on the disk when the block ends well."""

    def read(self) -> AbstractContextManager[Transaction]:
        """Statements that change nothing, each of which sees all that is committed."""

    def wait(self, seconds: float) -> None:
        """Wait until there may be something new, at most so long."""

    def check(self) -> None:
        """Raise a `LiveStateError` where the tables are damaged."""

    def close(self) -> None:
        """Let go of it."""
