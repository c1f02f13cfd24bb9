"""Where a live state is kept."""

from pathlib import Path

import pytest

from shortlist.bundle.manifest import MANIFEST
from shortlist.live import LiveState, LiveStateError
from shortlist.live.places import state_file


def bundle(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / MANIFEST).touch()
    return folder


def test_a_bundle_stands_for_a_file_beside_it(tmp_path: Path) -> None:
    assert state_file(bundle(tmp_path / "films")) == tmp_path / "films.live.sqlite"


def test_versions_of_a_bundle_share_a_file(tmp_path: Path) -> None:
    versions = tmp_path / "films"
    for number in ("1", "2"):
        assert state_file(bundle(versions / number)) == versions / "live.sqlite"
    assert state_file(versions) == versions / "live.sqlite"


def test_a_path_and_a_url_of_a_file_are_one(tmp_path: Path) -> None:
    path = tmp_path / "live.sqlite"
    for url in (path, str(path), f"sqlite:///{path}"):
        with LiveState.open(url) as state:
            assert state.place == str(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["live.sqlite"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "must name a file, got nothing"),
        ("sqlite:///", "must name a file, got nothing"),
        ("mysql://host/db", "not in 'mysql'"),
        ("postgresql://user:p@ss@host/db", "'@', '/' and ':' of a password written as %40"),
        ("postgresql://host:port/db?what=1", "must read postgresql://user:password@host"),
    ],
)
def test_another_place_is_refused(url: str, said: str) -> None:
    with pytest.raises(LiveStateError, match=said):
        LiveState.open(url)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LiveStateError, match="holds no bundle"):
        LiveState.open(tmp_path)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LiveStateError, match="Make the file and its folder"):
        LiveState.open(tmp_path / "no" / "live.sqlite")
