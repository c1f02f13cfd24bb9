"""The house keeps its floors: imports go down, and the light rooms stay light."""

import ast
import re
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
    "live": 4,
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


def modules_imported_by(path: Path, module: str) -> set[str]:
    """The modules of Shortlist that a source file imports, not counting those for types alone."""
    imported = set()
    waiting: list[ast.AST] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting.extend(node.orelse)
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                imported.add(inner if inner in MODULES else node.module)
        elif isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        waiting.extend(ast.iter_child_nodes(node))
    return {name for name in imported if name in MODULES and name != module}


def name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES}


def circles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """The groups of names that reach each other along the arrows."""

    def reached(start: str) -> set[str]:
        found: set[str] = set()
        waiting = [start]
        while waiting:
            for name in arrows[waiting.pop()] - found:
                found.add(name)
                waiting.append(name)
        return found

    from_each = {name: reached(name) for name in arrows}
    groups = [
        {other for other in found if name in from_each[other]} for name, found in from_each.items()
    ]
    return [group for i, group in enumerate(groups) if group and group not in groups[:i]]


def test_a_circle_is_found_and_a_fork_is_none() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
    assert circles({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []


def test_modules_import_each_other_in_no_circle() -> None:
    # A package's `__init__` gathers its modules' names, so the modules under it are what counts.
    arrows = {
        name: {other for other in modules_imported_by(path, name) if other in MODULES}
        for name, path in MODULES.items()
    }
    for name, others in arrows.items():
        arrows[name] = {other for other in others if not name.startswith(f"{other}.")}
    assert circles(arrows) == []


def test_rooms_import_each_other_in_no_circle() -> None:
    arrows: dict[str, set[str]] = {room: set() for room in FLOORS}
    for path in SOURCES:
        arrows[room_of(path)] |= imports_of(path) - {room_of(path)}
    assert circles(arrows) == []


def test_what_is_private_to_a_room_stays_in_it() -> None:
    strangers = {
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in SOURCES
        for name in modules_imported_by(path, name_of(path))
        if any(part.startswith("_") for part in name.split(".")[2:])
        and name.split(".")[1] != room_of(path)
    }
    assert strangers == set()


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


def test_warnings_of_a_compiler_are_errors_in_our_own_checks_alone() -> None:
    root = Path(__file__).parents[1]
    builds = [root / "CMakeLists.txt", *(root / "native").rglob("CMakeLists.txt")]
    text = "".join(path.read_text(encoding="utf-8") for path in builds)
    asked = "if(SHORTLIST_WERROR)\n  add_compile_options(-Werror)\nendif()"
    assert text.count(asked) == text.count("-Werror") == 1
    assert re.search(r"option\(SHORTLIST_WERROR [^)]* OFF\)", text)
    assert "WERROR" not in (root / "pyproject.toml").read_text(encoding="utf-8")
