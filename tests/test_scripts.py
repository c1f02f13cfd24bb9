"""Every script that takes arguments explains them."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    path
    for folder in ("benchmarks", "examples", "tools", "docs/figures")
    for path in (ROOT / folder).glob("*.py")
    if path.stem != "movies"
    and ("argparse" in path.read_text() or "arguments(" in path.read_text())
)


def test_there_are_scripts_in_every_folder_that_has_some() -> None:
    assert {path.parent.name for path in SCRIPTS} >= {"benchmarks", "examples"}


@pytest.mark.parametrize("script", SCRIPTS, ids=[f"{s.parent.name}-{s.stem}" for s in SCRIPTS])
def test_a_script_explains_itself(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.syspath_prepend(str(script.parent))
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(script), run_name="__main__")
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: {script.name}")
    assert len(printed.splitlines()) > 3
