"""A SQLite file that is damaged, full, locked or not ours is told, and loses nothing."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shortlist.live import Interaction, ItemRemoval, ItemUpsert, LiveState, LiveStateError


def filled(path: Path, changes: int = 60) -> list:
    """A file with its log in it, and nothing beside it; its entries."""
    with LiveState.open(path) as state:
        for n in range(changes):
            state.append(
                [
                    ItemUpsert(f"f{n}", {"title": f"Film {n}", "year": n}, np.full(32, n)),
                    Interaction(f"u{n % 7}", f"f{n}", n),
                ],
                key=f"k{n}",
            )
        entries = state.changes()
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    return entries


def test_a_commit_is_on_the_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    """SQLite's documentation: in WAL mode FULL syncs the log at every commit, NORMAL does not."""
    with LiveState.open(tmp_path / "live.sqlite") as state:
        state.append([ItemRemoval(1)])
        with state._database.write() as transaction:
            assert transaction.run("PRAGMA synchronous") == [(2,)]
            assert transaction.run("PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize("seed", range(6))
def test_a_file_with_bytes_changed_is_refused_or_reads_the_same(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "live.sqlite"
    entries = filled(path)
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    for _ in range(15):
        damaged = whole.copy()
        for at in rng.integers(0, len(whole), size=int(rng.choice([1, 4, 64]))):
            damaged[at] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        with contextlib.suppress(LiveStateError), LiveState.open(path) as state:
            assert state.changes() == entries
        for beside in tmp_path.glob("live.sqlite-*"):
            beside.unlink()


def test_a_file_that_was_cut_is_refused_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    filled(path)
    whole = path.read_bytes()
    for length in (0, 1, 100, 5000, len(whole) // 2, len(whole) - 4096):
        path.write_bytes(whole[:length])
        with pytest.raises(LiveStateError, match=r"is damaged: .*Restore it from a backup"):
            LiveState.open(path)


def test_a_row_that_another_hand_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE live_changes SET item_id = 'f99' WHERE sequence = 3")
    connection.close()
    with (
        LiveState.open(path) as state,
        pytest.raises(LiveStateError, match=r"change 3 has another checksum .* Restore it from a"),
    ):
        state.changes()


def test_another_file_is_no_live_state(tmp_path: Path) -> None:
    text, other = tmp_path / "text", tmp_path / "other.sqlite"
    text.write_text("this is no database at all, however long it may be" * 100)
    with pytest.raises(LiveStateError, match="is damaged: file is not a database"):
        LiveState.open(text)
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE films (id)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(LiveStateError, match="is a SQLite file, but no live state"):
        LiveState.open(other)
    assert other.read_bytes() == before


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    filled(path, 1)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE live_state SET version = 2")
    connection.close()
    with pytest.raises(LiveStateError, match=r"has version 2; .* up to 1\. Install a newer"):
        LiveState.open(path)


UNTIL_FULL = """
import resource, sys
from shortlist.live import ItemUpsert, LiveState, LiveStateError
with LiveState.open(sys.argv[1]) as state:
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    number = 0
    try:
        while True:
            state.append([ItemUpsert(number, {"title": "x" * 1000})], key=str(number))
            number += 1
    except LiveStateError as error:
        print(error)
    print(number, len(state.changes()))
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def fill_up(path: Path, *limit: str) -> int:
    """Appends until there is no more room; how many changes were acknowledged."""
    result = subprocess.run(
        [sys.executable, "-c", UNTIL_FULL, str(path), *limit],
        capture_output=True,
        text=True,
        check=True,
    )
    said, numbers = result.stdout.strip().splitlines()
    assert "Nothing of this call was kept, and all that was acknowledged before is." in said
    assert "disk" in said
    acknowledged, read = map(int, numbers.split())
    assert acknowledged == read > 5
    return acknowledged


def holds(path: Path, acknowledged: int) -> None:
    with LiveState.open(path) as state:
        items = [entry.change.item_id for entry in state.changes()]
        assert items == list(range(acknowledged))
        state.append([ItemRemoval(-1)])
        assert state.last == acknowledged + 1


def test_a_file_that_may_not_grow_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    acknowledged = fill_up(path, str(300_000))
    holds(path, acknowledged)


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, check=False).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        acknowledged = fill_up(disk / "live.sqlite")
        for file in disk.iterdir():  # the same files where there is room
            shutil.copy(file, tmp_path / file.name)
        holds(tmp_path / "live.sqlite", acknowledged)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_that_may_not_be_written_is_told() -> None:
    with pytest.raises(LiveStateError, match="Make the file and its folder readable and writable"):
        LiveState.open("/proc/live.sqlite")  # where root may not write either


def test_two_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    code = (
        "import sys; from shortlist.live import Interaction, LiveState\n"
        "with LiveState.open(sys.argv[1]) as state:\n"
        "    for n in range(20): state.append([Interaction(int(sys.argv[2]), n, 0)])"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(number)]) for number in (1, 2)
    ]
    assert [writer.wait() for writer in writers] == [0, 0]
    with LiveState.open(path) as state:
        entries = state.changes()
        assert [entry.sequence for entry in entries] == list(range(1, 41))
        for user in (1, 2):
            own = [e.change.item_id for e in entries if e.change.user_id == user]
            assert own == list(range(20))


def test_a_writer_that_another_holds_up_too_long_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shortlist.live.sqlite._BUSY_SECONDS", 0.05)
    path = tmp_path / "live.sqlite"
    with LiveState.open(path) as state:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LiveStateError, match="Another process held it"):
            state.append([ItemRemoval(1)])
        assert state.last == 0  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        state.append([ItemRemoval(1)])
        assert state.last == 1
