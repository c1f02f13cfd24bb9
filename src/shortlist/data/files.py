"""Tables from files: one, a folder, or all that a pattern names; text, Parquet, Arrow or JSON."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from shortlist.data.columns import Source
from shortlist.data.csv_files import parse_csv, unpacked, with_types
from shortlist.data.errors import DataError
from shortlist.data.paths import Kind, files_of, kind_of, partitions, partitions_of_numbers
from shortlist.data.storage import BLOCK


class Files:
    """A part of a table that lies in files and is not read yet.

    Args:
        kind: What the files are.
        types: The types of the columns of earlier parts, each with the first file that has it.

    Attributes:
        columns: Names of all columns.
    """

    def __init__(self, kind: Kind, types: dict[str, tuple[Any, str]]) -> None:
        self.columns: list[str] = []
        self._kind = kind
        self._types = types
        self._pieces: list[tuple[pl.LazyFrame, int, Source]] = []

    def add(self, rows: pl.LazyFrame, length: int, source: Source) -> None:
        """Add rows of a file."""
        self._pieces.append((rows, length, source))
        names = rows.collect_schema().names()
        self.columns += [name for name in names if name not in self.columns]

    def __len__(self) -> int:
        """Return the number of rows."""
        return sum(length for _, length, _ in self._pieces)

    def source(self, name: str) -> Source:
        """Return where the values came from: the table of this name."""
        if len(self._pieces) == 1:
            return self._pieces[0][2]
        lengths = [length for _, length, _ in self._pieces]
        starts = (sum(lengths[:at]) for at in range(len(lengths)))
        return Source(name, parts=tuple(zip(starts, (s for *_, s in self._pieces), strict=True)))

    def read(self, columns: Sequence[str]) -> pl.DataFrame:
        """Return the values of some columns; null where a file has no such column.

        Raises:
            DataError: A file that is damaged, or columns that do not fit together.
        """
        tables = []
        for rows, _, source in self._pieces:
            schema = rows.collect_schema()
            here = {name: schema[name] for name in columns if name in schema}
            _check_types(here, source.name, self._types)
            with _reading(source.name, self._kind):
                table = rows.select(list(here)).collect()
            # Polars makes floats of signed and unsigned integers together.
            small = [
                pl.col(name).cast(pl.Int64)
                for name, dtype in here.items()
                if dtype == pl.UInt64 and (table[name].to_numpy() < 2**63).all()
            ]
            tables.append(table.with_columns(small))
        return pl.concat(tables, how="diagonal_relaxed")


# A part of a table, and where its values came from.
Part = tuple[pl.DataFrame | Files, Source]


def scan_table(
    path: str | Path,
    *,
    kind: Kind | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> Iterator[Part]:
    """Yield a table part by part, so that one of more rows than fit in memory can be read.

    Parquet and Arrow come in parts of some million rows, whatever their files. Text and JSON come
    as one part.

    Args:
        path: As in `read_table`; the rest as well.
        kind: What the files are.
        separator: Of text.
        encoding: Of text.

    Raises:
        DataError: As `read_table`.
        FileNotFoundError: No such file.
    """
    root, files, kind = _found(Path(path), kind, separator)
    if kind not in ("Parquet", "Arrow"):
        yield _read_all(Path(path), root, files, kind, separator, encoding)
        return
    numbers = partitions_of_numbers(root, files)
    types: dict[str, tuple[Any, str]] = {}
    part = Files(kind, types)
    for file in files:
        name = str(file.relative_to(root))
        with _reading(name, kind):
            if kind == "Parquet":
                rows = pl.scan_parquet(file, hive_partitioning=False, glob=False)
            else:
                rows = pl.scan_ipc(file, glob=False)
            schema = rows.collect_schema()
            length = int(rows.select(pl.len()).collect().item())
        said = {
            column: value
            for column, value in partitions(file.relative_to(root)).items()
            if column not in schema
        }
        constants = [
            pl.lit(value, dtype=pl.String).cast(pl.Int64 if column in numbers else pl.String)
            for column, value in said.items()
        ]
        rows = rows.with_columns(
            value.alias(column) for column, value in zip(said, constants, strict=True)
        )
        for start in range(0, max(length, 1), BLOCK):
            count = min(BLOCK, length - start)
            part.add(rows.slice(start, count), count, Source(name, start=start))
            if len(part) >= BLOCK:
                yield part, part.source(Path(path).name)
                part = Files(kind, types)
    if part.columns:
        yield part, part.source(Path(path).name)


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
    root, files, kind = _found(Path(path), kind, separator)
    return _read_all(Path(path), root, files, kind, separator, encoding)


def _found(path: Path, kind: Kind | None, separator: str | None) -> tuple[Path, list[Path], Kind]:
    """Return the files of a table, the folder they have in common, and what they are."""
    if separator is not None and len(separator) != 1:
        raise DataError(f"`separator` must be one character, got {separator!r}.")
    root, files = (path.parent, [path]) if path.is_file() else files_of(path)
    kinds = {kind or kind_of(file) for file in files}
    if len(kinds) > 1:
        raise DataError(
            f"{path} holds files of several kinds: {', '.join(sorted(kinds))}; name those of one "
            f"with a pattern, such as {path / '*.parquet'}."
        )
    return root, files, kinds.pop()


def _read_all(
    path: Path,
    root: Path,
    files: Sequence[Path],
    kind: Kind,
    separator: str | None,
    encoding: str | None,
) -> tuple[pl.DataFrame, Source]:
    if path.is_file():
        return _read(path, path.name, kind, separator, encoding)
    tables: list[pl.DataFrame] = []
    sources: list[tuple[int, Source]] = []
    added: set[str] = set()
    types: dict[str, tuple[Any, str]] = {}
    start = 0
    for file in files:
        table, source = _read(file, str(file.relative_to(root)), kind, separator, encoding)
        said = partitions(file.relative_to(root))
        added.update(name for name in said if name not in table.columns)
        tables.append(
            table.with_columns(
                pl.lit(value, dtype=pl.String).alias(name)
                for name, value in said.items()
                if name not in table.columns
            )
        )
        _check_types(tables[-1].schema, source.name, types)
        sources.append((start, source))
        start += len(table)
    try:
        whole = pl.concat(tables, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"the files of {path} do not fit together: {_reason(error)}.") from error
    if sources[0][1].typed:
        numbers = partitions_of_numbers(root, files)
        whole = whole.with_columns(whole[name].cast(pl.Int64) for name in added if name in numbers)
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
    kind = kind or kind_of(path)
    if kind == "CSV":
        return parse_csv(path, name, separator=separator, encoding=encoding)
    with _reading(name, kind):
        if kind == "Parquet":
            return pl.read_parquet(path, hive_partitioning=False, glob=False), Source(name)
        if kind == "Arrow":
            return pl.read_ipc(path), Source(name)
        content = unpacked(path, name)
        if kind == "JSON lines":
            return pl.read_ndjson(content, infer_schema_length=None), Source(name)
        return pl.read_json(content, infer_schema_length=None), Source(name)


@contextmanager
def _reading(name: str, kind: Kind) -> Iterator[None]:
    """Let an error say which file it was."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{name} cannot be read as {kind}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _check_types(schema: Mapping[str, Any], name: str, first: dict[str, tuple[Any, str]]) -> None:
    """Refuse columns that are of one sort in one file and of another in this one.

    Args:
        schema: The types of the columns.
        name: The file.
        first: The type of each column in the first file that has it; this file's are added.
    """
    for column, dtype in schema.items():
        if dtype == pl.Null:
            continue
        known, other = first.setdefault(column, (dtype, name))
        if _sort(known) != _sort(dtype):
            raise DataError(
                f"column {column!r} is {known} in {other} and {dtype} in {name}; "
                "the files must agree."
            )


def _sort(dtype: Any) -> str:
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if dtype.is_numeric():
        return "number"
    return "time" if dtype.is_temporal() else "nested" if dtype.is_nested() else str(dtype)
