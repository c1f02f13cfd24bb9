"""A virtual environment for each engine, because two of them share a module name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

PEERS = {
    "scann": "scann==1.4.2",
    "scann-core": "scann-core==0.2.1",
    "faiss": "faiss-cpu==1.15.1",
    "hnswlib": "hnswlib==0.8.0",
    "usearch": "usearch==2.26.6",
}


def python_for(engine: str, cache: Path) -> Path:
    """The interpreter that has `engine`: this one for Shortlist, else one made on first use."""
    return Path(sys.executable) if engine == "shortlist" else python_with(PEERS[engine], cache)


def python_with(packages: str, cache: Path) -> Path:
    """The interpreter of an environment with some packages, made on first use."""
    first, *_ = parts = packages.split()
    folder = cache / "environments" / first.replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"Creating an environment for {packages}", file=sys.stderr)
        if shutil.which("uv"):
            _run("uv", "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
            _run("uv", "pip", "install", "--quiet", "--python", str(python), *parts)
        else:
            _run(sys.executable, "-m", "venv", "--clear", str(folder))
            _run(str(python), "-m", "pip", "install", "--quiet", *parts)
        (folder / "complete").touch()
    return python


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)
