"""A small data set on disk and a bundle trained from it by the command itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shortlist.cli.app import run

Command = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Even users choose even items, odd users odd ones."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 40, 1200)
    items = 2 * rng.integers(0, 30, 1200) + users % 2
    path = tmp_path_factory.mktemp("data") / "ratings.csv"
    frame = pl.DataFrame({"user_id": users, "item_id": items, "rating": 1 + items % 5})
    frame.unique(["user_id", "item_id"], maintain_order=True).write_csv(path)
    return path


@pytest.fixture(scope="session")
def bundle(ratings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "films"
    options = ["--epochs", "3", "--batch-size", "64", "--embedding-dim", "8"]
    assert run(["train", str(path), "--dataset", str(ratings), *options, "--json"]) == 0
    return path


@pytest.fixture
def answer(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command with --json and returns the one document it prints."""

    def ask(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == 0
        printed = capsys.readouterr()
        lines = printed.err.splitlines()
        assert all(line.startswith(("shortlist: ", "training: ", "search: ")) for line in lines)
        assert arguments[0] in ("train", "demo") or not lines
        document: dict[str, Any] = json.loads(printed.out)
        return document

    return ask


@pytest.fixture
def fail(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Runs a command that must fail; returns its exit code and what it said on stderr."""

    def ask(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code = run(arguments)
        printed = capsys.readouterr()
        assert printed.out == ""
        return code, printed.err

    return ask
