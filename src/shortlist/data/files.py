"""Tables from files, with the line of each row kept for error messages."""

from pathlib import Path

import numpy as np
import polars as pl

from shortlist.data.columns import Source
from shortlist.data.errors import DataError


def read_csv(
    path: str | Path,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    infer: bool = False,
) -> tuple[pl.DataFrame, Source]:
    """Read a CSV file with a header; blank lines are left out.

    Args:
        path: The file.
        separator: One character.
        encoding: The encoding of the text.
        infer: Whether to give columns types; otherwise all are text.

    Raises:
        DataError: A file that is empty, in another encoding, or no table.
        FileNotFoundError: No such file.
    """
    path = _existing(path)
    if len(separator) != 1:
        raise DataError(f"`separator` must be one character, got {separator!r}.")
    try:
        frame = pl.read_csv(
            path,
            separator=separator,
            encoding="utf8" if encoding.lower() in ("utf-8", "utf8", "utf-8-sig") else encoding,
            infer_schema=infer,
            infer_schema_length=None,
        )
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path.name} is empty.") from error
    except (pl.exceptions.PolarsError, UnicodeDecodeError, LookupError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path.name} cannot be read as CSV in {encoding}: {reason}.") from error
    lines = np.arange(2, len(frame) + 2)
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if blank.any():
        frame, lines = frame.filter(~blank), lines[~blank.to_numpy()]
    return frame, Source(path.name, lines)


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
