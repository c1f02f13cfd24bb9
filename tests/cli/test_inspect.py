from shortlist.cli.app import run


def test_inspect_says_what_a_bundle_holds_and_how_it_was_made(answer, bundle) -> None:
    document = answer("inspect", str(bundle))
    assert document["users"] == 40
    assert document["candidates"] == 60
    assert document["dimensions"] == 8
    assert document["format_version"] == 1
    assert document["files"]["index.slx"] > 0
    assert "versions" in document["run"]


def test_inspect_prints_a_table_for_people(bundle, capsys) -> None:
    assert run(["inspect", str(bundle)]) == 0
    printed = capsys.readouterr().out
    assert "candidates" in printed
    assert "query_tower.onnx" in printed


def test_inspect_of_no_bundle_exits_with_4(fail, tmp_path) -> None:
    code, said = fail("inspect", str(tmp_path))
    assert code == 4
    assert "it has no MANIFEST.json" in said
