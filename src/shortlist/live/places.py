"""Where a live state is kept: from what a user gives to a database."""

import os
from pathlib import Path

from shortlist._extras import needs
from shortlist.bundle.manifest import MANIFEST
from shortlist.live.database import Database
from shortlist.live.errors import LiveStateError
from shortlist.live.sqlite import SQLite

_SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql://", "postgres://")
BESIDE = "live.sqlite"


def open_database(url: str | os.PathLike[str]) -> Database:
    """Return the database that a path or URL names.

    Raises:
        LiveStateError: It names none.
    """
    text = os.fspath(url)
    if text.startswith(_POSTGRESQL):
        with needs("A live state in PostgreSQL", "postgres"):
            from shortlist.live.postgres import PostgreSQL

        return PostgreSQL(text)
    if text.startswith(_SQLITE):
        text = text.removeprefix(_SQLITE)
    elif "://" in text:
        scheme = text.partition("://")[0]
        raise LiveStateError(
            f"a live state is kept in SQLite (a path, or sqlite:///path) or in PostgreSQL "
            f"(postgresql://…), not in {scheme!r}."
        )
    if not text:
        raise LiveStateError("the path of a live state must name a file, got nothing.")
    return SQLite(state_file(Path(text)))


def state_file(path: Path) -> Path:
    """Return the SQLite file of a path: the path itself, or the file beside a bundle.

    Versions of a bundle, which are folders named by numbers, share the file beside them.

    Raises:
        LiveStateError: The path is a folder that holds something else.

    Example:
        >>> state_file(Path("films.sqlite"))
        PosixPath('films.sqlite')
    """
    if not path.is_dir():
        return path
    whole = path.absolute()
    if (path / MANIFEST).exists():
        return whole.parent / (BESIDE if whole.name.isdigit() else f"{whole.name}.{BESIDE}")
    if any(path.glob(f"[0-9]*/{MANIFEST}")):
        return whole / BESIDE
    raise LiveStateError(
        f"{path} is a folder that holds no bundle; give the path of a bundle or of a file."
    )
