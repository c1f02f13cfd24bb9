import subprocess
import sys

import pytest

import shortlist
from shortlist.cli.app import run


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("demo", "train", "evaluate", "recommend", "similar", "doctor"):
        assert f"\n  {command} " in text


def test_help_needs_no_framework_and_no_tables() -> None:
    code = (
        "import sys\n"
        "from shortlist.cli.app import run\n"
        "run(['--help'])\n"
        "heavy = ('keras', 'jax', 'numpy', 'polars', 'rich', 'tensorflow', 'torch')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.splitlines()[-1] == "[]", printed.stderr


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"shortlist {shortlist.__version__}\n"


def test_wrong_usage_exits_with_2(fail) -> None:
    assert fail("recommend")[0] == 2
    assert fail("demmo")[0] == 2
    assert fail("doctor", "--jso")[0] == 2


def test_bad_data_exit_with_3_and_say_what_is_near(fail) -> None:
    code, said = fail("demo", "--dataset", "ml-100")
    assert code == 3
    assert said == "error: no data set and no file is called 'ml-100'; did you mean 'ml-100k'?\n"


def test_a_bad_bundle_exits_with_4(fail, tmp_path) -> None:
    code, said = fail("recommend", str(tmp_path), "--user", "1")
    assert code == 4
    assert "is not a bundle" in said
    assert "Traceback" not in said


def test_debug_shows_the_traceback(tmp_path) -> None:
    with pytest.raises(ValueError, match="is not a bundle"):
        run(["recommend", str(tmp_path), "--user", "1", "--debug"])
