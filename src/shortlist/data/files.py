"""Tables from files, with the line of each row kept for error messages."""

import codecs
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shortlist.data.columns import Source
from shortlist.data.errors import DataError


def read_csv(
    path: str | Path,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    text: Sequence[str] | None = None,
) -> tuple[pl.DataFrame, Source]:
    """Read a CSV file with a header; blank lines are left out.

    Args:
        path: The file.
        separator: One character.
        encoding: The encoding of the text.
        text: The columns to leave as text, if they are there; None for all.

    Raises:
        DataError: A file that is empty, in another encoding, or no table.
        FileNotFoundError: No such file.
    """
    path = _existing(path)
    if len(separator) != 1:
        raise DataError(f"`separator` must be one character, got {separator!r}.")
    return parse_csv(path, path.name, separator=separator, encoding=encoding, text=text)


def parse_csv(
    content: Path | bytes,
    name: str,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    text: Sequence[str] | None = None,
    header: Sequence[str] | None = None,
    types: Mapping[str, Any] | None = None,
) -> tuple[pl.DataFrame, Source]:
    """Read the text of a CSV file.

    Args:
        content: A path, or what the file holds.
        name: Its name in error messages.
        separator: One character.
        encoding: The encoding of the text.
        text: The columns to leave as text, if they are there; None for all.
        header: The columns of a file without a header, where quotes are letters like others.
        types: The types columns should have; if they do not, all come as text.

    Raises:
        DataError: A file that is empty, in another encoding, or no table.
    """
    options: dict[str, Any] = {
        "separator": separator,
        "has_header": header is None,
        "new_columns": header,
        "quote_char": '"' if header is None else None,
    }
    try:
        readable = _in_utf8(content, encoding)
        frame = None if types is None else _typed(readable, types, options)
        if frame is None:
            frame = pl.read_csv(
                readable,
                infer_schema=text is not None,
                infer_schema_length=None,
                schema_overrides=dict.fromkeys(text or (), pl.String),
                **options,
            )
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{name} is empty.") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError, LookupError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{name} cannot be read as CSV in {encoding}: {reason}.") from error
    lines = np.arange(len(frame)) + (2 if header is None else 1)
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if blank.any():
        frame, lines = frame.filter(~blank), lines[~blank.to_numpy()]
    return frame, Source(name, lines)


def _in_utf8(content: Path | bytes, encoding: str) -> Path | bytes:
    if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
        return content
    raw = content.read_bytes() if isinstance(content, Path) else content
    return raw.decode(encoding).encode()


def _typed(
    content: Path | bytes, types: Mapping[str, Any], options: Mapping[str, Any]
) -> pl.DataFrame | None:
    """Return the table with columns of these types, or None where values do not fit them."""
    try:
        return pl.read_csv(content, schema_overrides=types, **options)
    except pl.exceptions.PolarsError:
        return None


def read_parquet(path: str | Path) -> tuple[pl.DataFrame, Source]:
    """Read a Parquet file.

    Raises:
        DataError: A file that is no Parquet.
        FileNotFoundError: No such file.
    """
    path = _existing(path)
    try:
        return pl.read_parquet(path), Source(path.name)
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path.name} cannot be read as Parquet: {reason}.") from error


def _existing(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}.")
    return path
