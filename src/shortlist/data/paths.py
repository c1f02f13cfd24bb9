"""Which files a path names: one, all of a folder, or all that a pattern matches."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from shortlist.data.errors import DataError

Kind = Literal["CSV", "Parquet", "Arrow", "JSON lines", "JSON"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt", ".psv", ".dat"), "CSV"),
    **dict.fromkeys((".parquet", ".pq", ".parq"), "Parquet"),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), "Arrow"),
    **dict.fromkeys((".jsonl", ".ndjson"), "JSON lines"),
    ".json": "JSON",
}
_PACKED = (".gz", ".zst", ".zstd", ".bz2", ".xz", ".zz")


def is_path(name: str) -> bool:
    """Whether there is a file or folder of this name, or files that it names as a pattern."""
    return Path(name).exists() or bool(_matches(Path(name))[1])


def kind_of(path: Path) -> Kind:
    """Return what a file is, by its first bytes or its name."""
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"PAR1"):
        return "Parquet"
    if start == b"ARROW1":
        return "Arrow"
    return _KINDS.get(_suffix(path), "CSV")


def _suffix(path: Path) -> str:
    name = path.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return Path(name).suffix


def _matches(pattern: Path) -> tuple[Path, list[Path]]:
    """Return the folder a pattern starts from, and what it matches in it."""
    parts = pattern.parts
    fixed = next((n for n, part in enumerate(parts) if set(part) & set("*?[")), len(parts))
    root, rest = Path(*parts[:fixed]), parts[fixed:]
    return root, sorted(root.glob(str(Path(*rest)))) if rest else []


def files_of(path: Path) -> tuple[Path, list[Path]]:
    """Return the files of a folder or of a pattern, and the folder they have in common."""
    if path.is_dir():
        files = [
            file
            for file in sorted(path.rglob("*"))
            if file.is_file()
            and not any(part[0] in "._" for part in file.relative_to(path).parts)
            and (_suffix(file) in _KINDS or file.name.startswith("part-"))
        ]
        if not files:
            raise DataError(f"the folder {str(path)!r} holds no table.")
        return path, files
    root, found = _matches(path)
    files = [file for each in found for file in (files_of(each)[1] if each.is_dir() else [each])]
    if not files:
        raise FileNotFoundError(f"there is no file {str(path)!r}.")
    return root, files


def partitions(path: Path) -> dict[str, str | None]:
    """Return what the folders of a path say, as `column=value`."""
    said = (part.partition("=") for part in path.parts[:-1] if "=" in part)
    return {
        name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
        for name, _, value in said
    }


def partitions_of_numbers(root: Path, files: Sequence[Path]) -> set[str]:
    """Return which columns that folders name hold integers written plainly, and nothing else."""
    text: set[str] = set()
    numbers: set[str] = set()
    for folder in {file.parent for file in files}:
        for name, value in partitions(folder.relative_to(root) / "file").items():
            plain = value is not None and str(_integer(value)) == value
            (numbers if plain or value is None else text).add(name)
    return numbers - text


def _integer(text: str) -> int | None:
    """Return the integer of 64 bits that a text is, or None."""
    try:
        number = int(text)
    except ValueError:
        return None
    return number if -(2**63) <= number < 2**63 else None
