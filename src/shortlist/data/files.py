"""Tables from files: one, a folder, or all that a pattern names; text, Parquet, Arrow or JSON."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import polars as pl

from shortlist.data.columns import Source
from shortlist.data.csv_files import parse_csv, unpacked, with_types
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


def read_table(
    path: str | Path,
    *,
    kind: Kind | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> tuple[pl.DataFrame, Source]:
    """Read a table from a file, from all files of a folder, or from those a pattern names.

    The folders `column=value` that files stand in become columns.

    Args:
        path: A file; a folder, whose files are read in the order of their names, those of folders
            within included; or a pattern such as `views/*.parquet`.
        kind: What the files are; without it their names and first bytes tell.
        separator: Of text, one character; without it, the header tells.
        encoding: Of text.

    Returns:
        The table, and where its values came from.

    Raises:
        DataError: A file that cannot be read, files of several kinds, or columns whose types
            differ from file to file.
        FileNotFoundError: No such file.
    """
    if separator is not None and len(separator) != 1:
        raise DataError(f"`separator` must be one character, got {separator!r}.")
    path = Path(path)
    if path.is_file():
        return _read(path, path.name, kind, separator, encoding)
    root, files = _files(path)
    kinds = {kind or _kind(file) for file in files}
    if len(kinds) > 1:
        raise DataError(
            f"{path} holds files of several kinds: {', '.join(sorted(kinds))}; name those of one "
            f"with a pattern, such as {path / '*.parquet'}."
        )
    tables: list[pl.DataFrame] = []
    sources: list[tuple[int, Source]] = []
    partitions: set[str] = set()
    start = 0
    for file in files:
        table, source = _read(file, str(file.relative_to(root)), kind, separator, encoding)
        said = _partitions(file.relative_to(root))
        partitions.update(name for name in said if name not in table.columns)
        tables.append(
            table.with_columns(
                pl.lit(value, dtype=pl.String).alias(name)
                for name, value in said.items()
                if name not in table.columns
            )
        )
        sources.append((start, source))
        start += len(table)
    _check_types(tables, [source for _, source in sources])
    try:
        whole = pl.concat(tables, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the files of {path} do not fit together: {_reason(error)}.") from error
    if sources[0][1].typed:
        whole = whole.with_columns(_numbers_if_all(whole[name]) for name in partitions)
    return whole, replace(
        sources[0][1],
        name=path.name,
        parts=tuple(sources),
        repeated=tuple({name for _, source in sources for name in source.repeated}),
    )


def read_features(
    path: str | Path, ids: Sequence[str], text: str, *, separator: str | None, encoding: str | None
) -> tuple[pl.DataFrame, Source]:
    """Read a table of features, in which text that is all numbers becomes numbers.

    Args:
        path: As in `read_table`.
        ids: What the column of ids may be called; the first there is, stays text.
        text: A column that stays text too.
        separator: As in `read_table`; a file that it does not separate is looked at itself.
        encoding: As in `read_table`.
    """
    table, source = read_table(path, separator=separator, encoding=encoding)
    if separator is not None and len(table.columns) == 1:
        table, source = read_table(path, encoding=encoding)
    kept = [name for name in ids if name in table.columns][:1]
    return (table if source.typed else with_types(table, source, (*kept, text))), source


def _read(
    path: Path, name: str, kind: Kind | None, separator: str | None, encoding: str | None
) -> tuple[pl.DataFrame, Source]:
    kind = kind or _kind(path)
    if kind == "CSV":
        return parse_csv(path, name, separator=separator, encoding=encoding)
    try:
        if kind == "Parquet":
            return pl.read_parquet(path, hive_partitioning=False), Source(name)
        if kind == "Arrow":
            return pl.read_ipc(path), Source(name)
        content = unpacked(path, name)
        if kind == "JSON lines":
            return pl.read_ndjson(content, infer_schema_length=None), Source(name)
        return pl.read_json(content, infer_schema_length=None), Source(name)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{name} cannot be read as {kind}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _kind(path: Path) -> Kind:
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


def _files(path: Path) -> tuple[Path, list[Path]]:
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
    files = [file for each in found for file in (_files(each)[1] if each.is_dir() else [each])]
    if not files:
        raise FileNotFoundError(f"there is no file {str(path)!r}.")
    return root, files


def _partitions(path: Path) -> dict[str, str | None]:
    """Return what the folders of a path say, as `column=value`."""
    said = (part.partition("=") for part in path.parts[:-1] if "=" in part)
    return {
        name: None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)
        for name, _, value in said
    }


def _numbers_if_all(series: pl.Series) -> pl.Series:
    numbers = series.cast(pl.Int64, strict=False)
    return numbers if numbers.cast(pl.String).equals(series) else series


def _check_types(tables: Sequence[pl.DataFrame], sources: Sequence[Source]) -> None:
    """Refuse columns that are text in one file and not in another."""
    first: dict[str, tuple[Any, str]] = {}
    for table, source in zip(tables, sources, strict=True):
        for column, dtype in table.schema.items():
            if dtype == pl.Null:
                continue
            known, name = first.setdefault(column, (dtype, source.name))
            if (known == pl.String) != (dtype == pl.String):
                raise DataError(
                    f"column {column!r} is {known} in {name} and {dtype} in {source.name}; "
                    "the files must agree."
                )
