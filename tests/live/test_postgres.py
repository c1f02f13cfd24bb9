"""A PostgreSQL database that breaks off, is of another encoding, or hangs is told."""

import threading
import time
from collections.abc import Callable

import pytest

from shortlist.live import Interaction, ItemRemoval, LiveState, LiveStateError

psycopg = pytest.importorskip("psycopg", reason="pip install 'shortlist[postgres]'")


def test_a_password_is_never_shown() -> None:
    with pytest.raises(LiveStateError) as caught:
        LiveState.open("postgresql://user:secret@127.0.0.1:1/films")
    assert "postgresql://127.0.0.1:1/films" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_of_another_encoding_is_refused(postgresql: Callable[..., str]) -> None:
    with psycopg.connect(postgresql(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(LiveStateError, match="must be a database with the encoding UTF8"):
        LiveState.open(postgresql("latin"))


def test_a_connection_that_broke_is_made_again(postgresql: Callable[..., str]) -> None:
    url = postgresql()
    with LiveState.open(url) as state:
        state.append([ItemRemoval(1)], key="first")
        state.wait(1, 0)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'shortlist'"
            )
        with pytest.raises(LiveStateError, match="Send it again with the same key"):
            state.append([ItemRemoval(2)], key="second")
        assert state.append([ItemRemoval(2)], key="second").last == 2
        with pytest.raises(LiveStateError, match="All that was acknowledged before is kept"):
            state.changes()
        assert [entry.change for entry in state.changes()] == [ItemRemoval(1), ItemRemoval(2)]


def test_a_commit_is_on_the_disk_though_the_server_would_not_wait(
    postgresql: Callable[..., str],
) -> None:
    url = postgresql() + "%20-csynchronous_commit%3Doff"
    with LiveState.open(url) as state, state._database.write() as transaction:
        assert transaction.run("SHOW synchronous_commit") == [("on",)]


def test_a_change_of_another_ends_the_waiting_at_once(postgresql: Callable[..., str]) -> None:
    """By LISTEN and NOTIFY: the poll alone would take half a second."""
    url = postgresql()
    with LiveState.open(url) as state, LiveState.open(url) as other:
        state.wait(0, 0.01)
        told: list[float] = []

        def follow() -> None:
            state.wait(0, 60)
            told.append(time.monotonic())

        follower = threading.Thread(target=follow)
        follower.start()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("LISTEN shortlist_live")
            other.append([Interaction(1, 1)])
            assert list(connection.notifies(timeout=30, stop_after=1))
        follower.join()
        assert told


def test_a_state_may_be_followed_where_another_is_in_the_same_database(
    postgresql: Callable[..., str],
) -> None:
    with LiveState.open(postgresql()) as state, LiveState.open(postgresql()) as other:
        state.append([ItemRemoval(1)])
        assert (other.last, other.changes()) == (0, [])
        assert state.id != other.id
