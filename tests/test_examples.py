"""Every example runs from beginning to end, in its short form, on the embedded sample."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(path for path in EXAMPLES.glob("*.py") if path.stem != "movies")


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_an_example_runs(script: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "MPLBACKEND": "agg"}
    environment.pop("SHORTLIST_ML100K", None)
    done = subprocess.run(
        [sys.executable, str(script), "--short"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") > 5


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_what_an_example_printed_is_kept_beside_it(script: Path) -> None:
    assert (EXAMPLES / "output" / f"{script.stem}.txt").read_text().strip()
