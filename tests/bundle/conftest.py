"""Small bundles to save, damage and load."""

from pathlib import Path

import pytest

from .parts import Parts


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def saved(parts: Parts, tmp_path: Path) -> Path:
    parts.save(tmp_path / "model")
    return tmp_path / "model"
