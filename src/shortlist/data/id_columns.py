"""The ids of several tables, all of one type: Int64 or String, as they came."""

from collections.abc import Sequence

import polars as pl

from shortlist.data.columns import Source, as_series, first, id_series
from shortlist.data.errors import DataError
from shortlist.ids import as_ids

# What other programs write where a value is missing.
_MISSING = ("null", "none", "nan", "na", "n/a", "<na>", "\\n", "nat")

_TEXT_IDS = ("text_ids", True)


def id_columns(
    columns: Sequence[tuple[object, str, Source]], *, text_ids: bool = False
) -> list[pl.Series]:
    """Return the ids of one kind, users' or items', from every table that has them.

    What comes from a text file has no type yet. It becomes integers where every id of every such
    table is a plain one (`7`, and not `007`, `7.0` or `A7`), else text, spaces around it removed.

    Args:
        columns: Each column with its name and its table; the interactions come first.
        text_ids: Whether all ids are to be text.

    Raises:
        DataError: A missing id, ids of mixed type, or tables with ids of different types.
    """
    read = [_checked(values, name, source, text_ids) for values, name, source in columns]
    if text_ids:
        return read
    sources = [source for _, _, source in columns]
    plain = [
        _plain(ids, source) if ids.dtype == pl.String and not source.typed else ids
        for ids, source in zip(read, sources, strict=True)
    ]
    if all(ids.dtype == pl.Int64 and not ids.null_count() for ids in plain):
        return plain
    if any(ids.dtype != pl.String and len(ids) for ids in read):
        raise _different(read, plain, sources)
    return [ids.cast(pl.String) for ids in read]


def _different(
    read: Sequence[pl.Series], plain: Sequence[pl.Series], sources: Sequence[Source]
) -> DataError:
    """Return the error for tables with ids of different types: it names two of them."""
    rows = [0 if numbers.dtype == pl.String else first(numbers.is_null()) for numbers in plain]
    text = next(n for n, ids in enumerate(plain) if ids.dtype == pl.String or ids.null_count())
    whole = next(n for n, ids in enumerate(read) if ids.dtype != pl.String and len(ids))
    # A text file can be mended where its first id that is no integer stands.
    shown, other = (
        (text, whole) if not sources[text].typed else (max(text, whole), min(text, whole))
    )
    kind = "text" if other == text else "integers"
    known = "the interactions" if other == 0 else sources[other].name
    ids, row = read[shown], rows[shown]
    return sources[shown].error(
        ids.name, row, ids[row], f"the ids of {known} are {kind}", _TEXT_IDS
    )


def _checked(values: object, column: str, source: Source, text: bool) -> pl.Series:
    """Return ids as Int64 or String, none missing; as String with `text`."""
    library = type(values).__module__.partition(".")[0]
    if library == "pyarrow" or (library == "pandas" and str(values.dtype) != "object"):  # type: ignore[attr-defined]
        values = as_series(values, column, source)
    if not isinstance(values, pl.Series):
        try:
            array = as_ids(values, column)
        except ValueError as error:
            raise DataError(f"{source.name}: {error}") from None
        values = id_series(array, column)
    ids = values.alias(column)
    if isinstance(ids.dtype, (pl.Categorical, pl.Enum)):
        ids = ids.cast(pl.String)
    if ids.dtype.is_float():
        ids = ids.fill_nan(None)
    if ids.dtype == pl.String and not source.typed:
        ids = ids.str.strip_chars()
    if ids.null_count():
        raise source.error(column, first(ids.is_null()), None, "the id is missing")
    if text and ids.dtype.is_integer():
        return ids.cast(pl.String)
    if ids.dtype == pl.String:
        if (empty := ids == "").any():
            raise source.error(column, first(empty), "", "the id is missing")
        return ids
    if ids.dtype == pl.Int64:
        return ids
    if ids.dtype.is_integer():
        try:
            return ids.cast(pl.Int64)
        except pl.exceptions.InvalidOperationError:
            row = first(ids.cast(pl.Int64, strict=False).is_null())
            problem = "an integer id must fit in 64 bits"
            raise source.error(column, row, ids[row], problem, _TEXT_IDS) from None
    if ids.dtype == pl.Null:
        return ids.cast(pl.Int64)
    if ids.dtype in (pl.Binary, pl.Object):
        try:
            return id_series(as_ids(ids.to_list(), column), column).alias(column)
        except ValueError as error:
            raise DataError(f"{source.name}: {error}") from None
    remedy = "ids must be integers or strings; convert them first"
    if ids.is_empty():
        raise DataError(f"{source.name}, column {column!r}: {remedy}, got {ids.dtype}.")
    raise source.error(column, 0, ids[0], f"{remedy} ({ids.dtype})")


def _plain(ids: pl.Series, source: Source) -> pl.Series:
    """Return text as Int64, null where it is no integer written plainly."""
    numbers = ids.cast(pl.Int64, strict=False)
    plain = (numbers.cast(pl.String) == ids).fill_null(False)
    if plain.all():
        return numbers
    others = ids.filter(~plain)
    if plain.any() and others.str.to_lowercase().is_in(_MISSING).all():
        row = first(~plain)
        raise source.error(ids.name, row, ids[row], "the id is missing", _TEXT_IDS)
    return pl.select(pl.when(plain).then(numbers)).to_series().alias(ids.name)
