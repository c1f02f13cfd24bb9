import shutil

from shortlist.cli.app import run


def test_a_whole_bundle_is_said_to_be_whole(answer, bundle, capsys) -> None:
    document = answer("verify", str(bundle))
    assert document["ok"] is True
    assert document["bytes"] > 0
    assert run(["verify", str(bundle)]) == 0
    assert document["fingerprint"] in capsys.readouterr().out


def test_a_damaged_bundle_exits_with_4_and_the_reason(fail, bundle, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    with (copy / "index.slx").open("r+b") as file:
        file.truncate(100)
    code, said = fail("verify", str(copy))
    assert code == 4
    assert "index.slx has 100 bytes" in said
    assert "it is truncated" in said
