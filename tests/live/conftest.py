"""Live states to test on: a file of SQLite, and a PostgreSQL server of the tests' own."""

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shortlist.live import LiveState


def programs() -> Path | None:
    """Where PostgreSQL's programs are, if it is installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    on_path = shutil.which("initdb")
    found = [*debian, *([Path(on_path).parent] if on_path else [])]
    whole = [folder for folder in found if (folder / "pg_ctl").exists()]
    return whole[-1] if whole else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Callable[..., str]]:
    """Makes an empty schema on a server of the tests' own; returns its URL."""
    folder_of_programs = programs()
    if folder_of_programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="pip install 'shortlist[postgres]'")
    import psycopg

    # Short, since the path of a socket may have 107 bytes, and open to the user who runs it.
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    as_user = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        shutil.chown(folder, "nobody", "nogroup")

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(folder_of_programs / program), *arguments],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(folder)},
            **as_user,
        )

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8", "--no-sync")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c max_connections=60"
    run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    address = f"host={folder}"

    def make(database: str = "postgres") -> str:
        schema = f"s{uuid.uuid4().hex}"
        url = f"postgresql://tests@/{database}?{address}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
        return f"{url}&options=-csearch_path%3D{schema}"

    try:
        yield make
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new state can be made."""
    if request.param == "sqlite":
        return str(tmp_path / "live.sqlite")
    made: str = request.getfixturevalue("postgresql")()
    return made


@pytest.fixture
def state(url: str) -> Iterator[LiveState]:
    with LiveState.open(url) as opened:
        yield opened
