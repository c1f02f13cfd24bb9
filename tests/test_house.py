"""The house keeps its floors: imports go down, and the light rooms stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import shortlist

SOURCE = Path(shortlist.__file__).parent
FLOORS = {
    "_native": 0,
    "_extras": 0,
    "embeddings": 1,
    "html": 1,
    "ids": 1,
    "index": 1,
    "scann": 1,
    "data": 1,
    "layers": 2,
    "losses": 2,
    "metrics": 2,
    "evaluation": 3,
    "models": 3,
    "bundle": 4,
    "serving": 5,
    "cli": 6,
}


def imports_of(path: Path) -> set[str]:
    """The rooms of Shortlist that a source file imports, wherever in the file it does."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "shortlist" and len(parts) > 1 and parts[1] in FLOORS:
                rooms.add(parts[1])
    return rooms


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


SOURCES = sorted(
    path for path in SOURCE.rglob("*.py") if path.name != "__init__.py" or path.parent != SOURCE
)


def test_every_source_file_belongs_to_a_room_with_a_floor() -> None:
    assert {room_of(path) for path in SOURCES} <= set(FLOORS)


def test_imports_never_go_up() -> None:
    upward = [
        f"{path.relative_to(SOURCE)} imports {room}"
        for path in SOURCES
        for room in imports_of(path)
        if FLOORS[room] > FLOORS[room_of(path)]
    ]
    assert upward == []


@pytest.mark.parametrize(
    "room", ["shortlist", "shortlist.index", "shortlist.data", "shortlist.scann"]
)
def test_light_rooms_import_no_framework(room: str) -> None:
    code = (
        f"import sys, {room}\n"
        "print([m for m in ('keras', 'jax', 'tensorflow', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_engine_needs_numpy_alone() -> None:
    code = "import sys, shortlist.index; print('polars' in sys.modules, 'pyarrow' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False False"
