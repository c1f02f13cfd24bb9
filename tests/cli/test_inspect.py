import shutil

from shortlist.bundle import Bundle
from shortlist.cli.app import run


def test_inspect_says_what_a_bundle_holds_and_how_it_was_made(answer, bundle) -> None:
    document = answer("inspect", str(bundle))
    assert document["users"] == 40
    assert document["candidates"] == 60
    assert document["dimensions"] == 8
    assert document["format_version"] == 1
    assert document["files"]["index.slx"] > 0
    assert "versions" in document["run"]


def test_inspect_tells_people_what_matters_on_one_screen(bundle, capsys) -> None:
    assert run(["inspect", str(bundle)]) == 0
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) < 24
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "users 40, 40 with a history" in lines
    assert "candidates 60 of 8 dimensions, by dot" in lines
    assert "objective retrieval" in lines
    (head,) = (place for place, line in enumerate(lines) if line.startswith("hit rate @"))
    recommenders = [line.split(" 0.")[0] for line in lines[head:] if " 0." in line]
    assert recommenders == ["this model", "Popularity"]


def test_inspect_passes_over_what_training_did_not_write(bundle, tmp_path, capsys) -> None:
    other = shutil.copytree(bundle, tmp_path / "other")
    made = {"data": "mine", "arguments": None, "history": {}, "metrics": 1}
    Bundle.update(other, settings=Bundle.load(bundle).index.settings, run=made)
    assert run(["inspect", str(other)]) == 0
    printed = capsys.readouterr().out
    assert "candidates" in printed
    assert "hit rate" not in printed


def test_inspect_of_no_bundle_exits_with_4(fail, tmp_path) -> None:
    code, said = fail("inspect", str(tmp_path))
    assert code == 4
    assert "it has no MANIFEST.json" in said
