"""Text with columns, as people have it: whatever separates them, in whatever encoding."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from shortlist.data.columns import Source, decimal_points
from shortlist.data.errors import DataError

_SEPARATORS = ",;\t|"
_HEAD = 65_536  # bytes that tell separator and header
_BOMS = (  # the longer first: UTF-32 begins as UTF-16 does
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def parse_csv(
    content: Path | bytes,
    name: str,
    *,
    separator: str | None = None,
    encoding: str | None = None,
    header: Sequence[str] | None = None,
    types: Mapping[str, Any] | None = None,
) -> tuple[pl.DataFrame, Source]:
    """Read a table of text; blank lines are left out, and every value stays text.

    Args:
        content: A path, or what the file holds; compressed with gzip, zlib, bzip2, xz or zstd.
        name: Its name in error messages.
        separator: One character; without it, what splits the header and the first rows best of
            comma, semicolon, tab and |.
        encoding: The encoding of the text: without it what a byte-order mark says, else UTF-8.
        header: The columns of a file without a header, where quotes are letters like others.
        types: The types columns should have; if they do not, all come as text.

    Raises:
        DataError: A file that is empty, in another encoding, or no table.
    """
    content = _in_utf8(unpacked(content, name), name, encoding)
    head = _head(content)
    skipped = 0
    if header is None:
        if head.lower().startswith("sep=") and len(head.partition("\n")[0].strip()) == len("sep=;"):
            separator, skipped = separator or head[4], 1  # as Excel writes it
            head = head.partition("\n")[2]
        if "\n" not in head and "\r" in head:  # line ends of old Macintoshes
            content = _bytes(content).replace(b"\r", b"\n")
            head = head.replace("\r", "\n")
    separator = separator or _sniffed(head, "\t" if ".tsv" in name.lower() else ",")
    options: dict[str, Any] = {
        "separator": separator,
        "has_header": header is None,
        "new_columns": header,
        "quote_char": '"' if header is None else None,
        "skip_rows": skipped,
    }
    try:
        frame = None if types is None else _typed(content, types, options)
        if frame is None:
            frame = pl.read_csv(content, infer_schema=False, **options)
    except pl.exceptions.NoDataError:
        raise DataError(f"{name} is empty.") from None
    except pl.exceptions.PolarsError as error:
        frame = _again(content, name, options, error)
    first_line, repeated = 1, tuple[str, ...]()
    if header is None:
        given = _header(head, separator, len(frame.columns)) or frame.columns
        blank = len(head) - len(head.lstrip("\r\n"))
        first_line += 1 + skipped + head[:blank].count("\n") + sum(n.count("\n") for n in given)
        names = [column.strip() for column in given]
        repeated = tuple(dict.fromkeys(n for n in names if names.count(n) > 1))
        frame.columns = _different(names)
    line, frame = _lines(frame, first_line)
    return frame, Source(name, line, typed=False, decimal_comma=separator == ";", repeated=repeated)


def with_types(frame: pl.DataFrame, source: Source, text: Sequence[str] = ()) -> pl.DataFrame:
    """Return a table of text with the columns that are all numbers, or true and false, as such.

    Args:
        frame: The table; columns that are not text are left alone.
        source: Whence it came.
        text: Columns to leave as text.
    """
    return frame.with_columns(
        _inferred(frame[name], source)
        for name, dtype in frame.schema.items()
        if dtype == pl.String and name not in text
    )


def _inferred(series: pl.Series, source: Source) -> pl.Series:
    given = series.str.strip_chars()
    if source.decimal_comma and given.drop_nulls().str.contains(r"^-?\d+(,\d+)?$").all():
        given = decimal_points(given)
    known = given.drop_nulls()
    if known.is_empty():
        return series
    if known.is_in(("true", "false")).all():
        return given == "true"
    if known.str.contains(r"^[+-]?0\d").any():  # digits that are no number: a code, a phone
        return series
    for dtype in (pl.Int64, pl.Float64):
        numbers = given.cast(dtype, strict=False)
        if numbers.null_count() == given.null_count():
            return numbers
    return series


def unpacked(content: Path | bytes, name: str) -> Path | bytes:
    """Return what a compressed file holds; any other as it is.

    Raises:
        DataError: A damaged file, or one of a kind that holds no table of text.
    """
    magic = _start(content, 8)
    if magic.startswith(b"PK\x03\x04"):
        raise DataError(f"{name} is a zip or a spreadsheet; unpack it, or save it as CSV.")
    unpack: Callable[[bytes], bytes] | None = None
    if magic.startswith(b"\x1f\x8b"):
        unpack = gzip.decompress
    elif magic.startswith(b"BZh"):
        unpack = bz2.decompress
    elif magic.startswith(b"\xfd7zXZ\x00"):
        unpack = lzma.decompress
    elif magic.startswith(b"\x28\xb5\x2f\xfd"):
        unpack = _zstd
    elif magic[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        unpack = zlib.decompress
    if unpack is None:
        return content
    try:
        return unpack(_bytes(content))
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{name} cannot be unpacked: {error}.") from error


def _zstd(packed: bytes) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
        unpacked: bytes = stream.read()
        return unpacked


def _bytes(content: Path | bytes) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _start(content: Path | bytes, count: int) -> bytes:
    if isinstance(content, bytes):
        return content[:count]
    with content.open("rb") as file:
        return file.read(count)


def _in_utf8(content: Path | bytes, name: str, encoding: str | None) -> Path | bytes:
    start = _start(content, 4)
    marked = next((known for bom, known in _BOMS if start.startswith(bom)), None)
    if marked is None and encoding is None and b"\0" in start:
        guess = "utf-16-be" if start.startswith(b"\0") else "utf-16-le"
        raise DataError(
            f"{name} is no UTF-8 and says no other encoding.", remedy=("encoding", guess)
        )
    chosen = marked or encoding or "utf-8"
    try:
        if codecs.lookup(chosen).name in ("utf-8", "utf-8-sig"):
            return content
    except LookupError:
        problem = f"`encoding` must be one that Python knows, as 'cp1252' is, got {chosen!r}."
        raise DataError(problem) from None
    raw = _bytes(content)
    try:
        return raw.decode(chosen).encode()
    except UnicodeDecodeError as error:
        raise _undecodable(raw, name, error) from None


def _undecodable(raw: bytes, name: str, error: UnicodeDecodeError) -> DataError:
    line = raw[: error.start].count(b"\n") + 1
    return DataError(
        f"{name}, line {line}: the byte {raw[error.start]:#04x} is no text in {error.encoding}.",
        remedy=("encoding", "cp1252"),
    )


def _head(content: Path | bytes) -> str:
    start = _start(content, _HEAD)
    return start.decode("utf-8-sig", errors="replace")


def _sniffed(head: str, preferred: str) -> str:
    """Return the separator that splits the rows as it splits the header, into most columns."""

    def fit(separator: str) -> tuple[float, int, bool]:
        widths = [len(record) for record in _records(head, separator)]
        if not widths or widths[0] == 1:
            return 0.0, 0, separator == preferred
        # A separator at the end of a line is no column.
        same = sum(abs(width - widths[0]) <= 1 for width in widths) / len(widths)
        return same, widths[0], separator == preferred

    return max(_SEPARATORS, key=fit)


def _records(head: str, separator: str) -> list[list[str]]:
    """Return the header and some rows."""
    try:
        found = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        return list(islice((record for record in found if record), 20))
    except csv.Error:
        return []


def _header(head: str, separator: str, width: int) -> list[str] | None:
    """Return the names in the header, or None where it is not read as the table was."""
    records = _records(head, separator)
    return records[0] if records and len(records[0]) == width else None


def _different(names: Sequence[str]) -> list[str]:
    """Return names that are all different, as a data frame needs them."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        count = seen[name] = seen.get(name, 0) + 1
        out.append(name if count == 1 else f"{name}_duplicated_{count - 2}")
    return out


def _typed(
    content: Path | bytes, types: Mapping[str, Any], options: Mapping[str, Any]
) -> pl.DataFrame | None:
    """Return the table with columns of these types, or None where values do not fit them."""
    try:
        return pl.read_csv(content, schema_overrides=types, **options)
    except pl.exceptions.PolarsError:
        return None


def _again(
    content: Path | bytes, name: str, options: Mapping[str, Any], error: Exception
) -> pl.DataFrame:
    """Read what Polars refuses, or say on which line it is no table.

    Separators at the end of a line and quotes in the middle of a value do no harm.
    """
    raw = _bytes(content)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as undecodable:
        raise _undecodable(raw, name, undecodable) from error
    if options["quote_char"] is None:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{name} cannot be read as CSV: {reason}.") from error
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=options["separator"], strict=True)
    rows: list[list[str | None]] = []
    header: list[str] | None = None
    line = 1
    try:
        for record in reader:
            if reader.line_num <= options["skip_rows"] or (header is None and not record):
                pass
            elif header is None:
                header = record
            elif any(record[len(header) :]):
                raise DataError(
                    f"{name}, line {line}: {len(record)} values, and the header has "
                    f"{len(header)} columns, separated by {options['separator']!r}."
                )
            else:
                padded = record[: len(header)] + [""] * (len(header) - len(record))
                rows.append([value or None for value in padded])
            line = reader.line_num + 1
    except csv.Error as wrong:
        raise DataError(f"{name}, line {line}: a quote is out of place ({wrong}).") from error
    names = _different(header or [])
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _lines(frame: pl.DataFrame, first_line: int) -> tuple[Callable[[int, str], int], pl.DataFrame]:
    """Return a table without its blank rows, and what tells the line of a value.

    A row begins a line later than the one before, and later still for each line break in it.
    """
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    kept = None
    last = frame.to_series(-1).is_null()  # most rows are no blank: look at one column first
    if last.any():
        maybe = frame.filter(last).with_columns(pl.col(texts).str.strip_chars().replace("", None))
        blank = np.zeros(len(frame), bool)
        blank[last.to_numpy()] = maybe.select(pl.all_horizontal(pl.all().is_null())).to_series()
        kept = np.flatnonzero(~blank)
    whole = frame

    def line(row: int, column: str) -> int:
        row = row if kept is None else int(kept[row])
        above = whole.head(row)
        breaks: int = sum(int(above[name].str.count_matches("\n").sum()) for name in texts)
        own = whole.columns.index(column) if column in whole.columns else 0
        ahead = [whole[row, name] for name in whole.columns[:own] if name in texts]
        breaks += sum(str(value).count("\n") for value in ahead if value)
        return first_line + row + breaks

    return line, frame if kept is None or len(kept) == len(frame) else frame[kept]
