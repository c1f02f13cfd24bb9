"""Every script that takes arguments says which."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = [
    script.relative_to(ROOT).as_posix()
    for folder in ("benchmarks", "examples", "tools")
    for script in sorted((ROOT / folder).glob("*.py"))
    if script.stem != "movies"  # a module of the examples
    and any(parsing in script.read_text() for parsing in ("ArgumentParser(", "arguments("))
]


def test_there_are_scripts():
    assert {"benchmarks/ann.py", "benchmarks/serving.py"} <= {*SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_explains_itself(script: str):
    command = [sys.executable, str(ROOT / script), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
