"""Items and events from the command line, kept where a service finds them."""

import json
import shutil
from pathlib import Path

import pytest

from shortlist.bundle import Bundle
from shortlist.cli.app import run
from shortlist.live import Follower, LiveState

from ..live.parts import saved, year_tower


@pytest.fixture
def model(tmp_path: Path) -> Path:
    saved(tmp_path / "model", candidate_tower=year_tower())
    return tmp_path / "model"


NEW = '{"id": "new", "attributes": {"title": "Alien", "year": 1979}}'


def test_items_are_added_listed_and_removed(answer, model: Path) -> None:
    place = str(model.with_name("model.live.sqlite"))
    assert answer("items", "add", str(model), NEW) == {"live": place, "first": 1, "last": 1}
    assert answer("items", "list", str(model), "--prefix", "ali") == {
        "items": [{"id": "new", "title": "Alien", "year": 1979}],
        "total": 9,
    }
    answer("items", "remove", str(model), "new", "f0")
    listed = answer("items", "list", str(model), "--limit", "2", "--offset", "1")
    assert [item["id"] for item in listed["items"]] == ["f2", "f3"]
    assert listed["total"] == 7


def test_events_are_added_and_known_to_who_follows(answer, model: Path) -> None:
    answer("events", "add", str(model), '{"user_id": "u1", "item_id": "f5", "timestamp": 7}')
    with LiveState.open(model) as state:
        assert Follower(Bundle.load(model), state).current.had("u1") == ["f5", "f1"]


def test_a_file_has_one_a_line(answer, model: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"id": f"n{n}", "attributes": {"year": n}}) for n in range(3)]
    (tmp_path / "new.jsonl").write_text("\n\n".join(lines) + "\n")
    assert answer("items", "add", str(model), f"@{tmp_path}/new.jsonl")["last"] == 3
    assert answer("items", "list", str(model))["total"] == 11


def test_a_call_that_comes_again_with_its_key_is_applied_once(answer, model: Path) -> None:
    first = answer("items", "add", str(model), NEW, "--key", "k")
    assert answer("items", "add", str(model), NEW, "--key", "k") == first
    assert first["last"] == 1


def test_changes_may_be_kept_elsewhere(answer, model: Path, tmp_path: Path) -> None:
    place = str(tmp_path / "other.sqlite")
    assert answer("items", "add", str(model), NEW, "--live", place)["live"] == place
    assert answer("items", "list", str(model))["total"] == 8
    assert answer("items", "list", str(model), "--live", place)["total"] == 9


def test_integer_ids_are_typed_as_they_are(answer, bundle: Path, tmp_path: Path) -> None:
    copied = tmp_path / "films"
    shutil.copytree(bundle, copied)
    answer("items", "remove", str(copied), "6")
    assert answer("items", "list", str(copied))["total"] == 59


def test_people_see_a_table(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["items", "add", str(model), NEW]) == 0
    assert "1 items put, kept in" in capsys.readouterr().out.replace("\n", " ")
    assert run(["items", "list", str(model), "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert "Alien" in shown
    assert "1 of 9 items" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["items", "add", "MODEL", "{"], "'{' is no JSON object"),
        (["items", "add", "MODEL", "{}"], "must have id and may have attributes, embedding"),
        (["items", "add", "MODEL", '{"id": 1, "x": 2}'], "must have id and may have"),
        (["items", "add", "MODEL", '{"id": "x", "attributes": {"yeer": 1}}'], "mean 'year'"),
        (["items", "remove", "MODEL", "a\0b"], "without the character NUL"),
        (["events", "add", "MODEL", '{"user_id": "u0"}'], "must have item_id, user_id and may"),
        (["events", "add", "MODEL", '{"user_id": "u0", "item_id": "f00"}'], "mean 'f0'"),
        (["items", "list", "MODEL", "--live", "mysql://x"], "not in 'mysql'"),
    ],
)
def test_what_cannot_be_done_is_told(fail, model: Path, arguments: list[str], said: str) -> None:
    code, told = fail(*[str(model) if word == "MODEL" else word for word in arguments])
    assert code == 3
    assert said in told


def test_a_bundle_that_is_not_there_is_an_error_of_the_bundle(fail, tmp_path: Path) -> None:
    assert fail("items", "list", str(tmp_path / "none"))[0] == 4
