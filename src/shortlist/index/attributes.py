"""Attributes of candidates: whatever holds them comes in, columns of one type go out."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_NAMES = {bool: "bool", int: "int64", float: "float64", str: "str"}
_LARGEST = 2**63 - 1


class Column(NamedTuple):
    """An attribute as the engine takes it.

    Attributes:
        name: Its name.
        type: "int64", "float64", "bool", "str", or a list of these, such as "list[str]".
        values: Of that type; an object array for text. Of lists all values, one after another.
        ends: Of lists, how many values there are up to the end of each; else None.
        missing: Which candidates have no value; None where all have.
    """

    name: str
    type: str
    values: NDArray[Any]
    ends: NDArray[np.int64] | None
    missing: NDArray[np.bool_] | None


def as_columns(attributes: Any, rows: int, known: Mapping[str, str]) -> list[Column]:
    """Reads attributes.

    Args:
        attributes: A mapping of names to columns, or a frame: sequences, NumPy arrays, columns of
            pandas, Polars or Arrow. None and NaN are missing values, dates their ISO text.
        rows: How many candidates there are.
        known: The types of the attributes that the index has.

    Raises:
        ValueError: A column has another length, values of several types, or of another type than
            the index has.
    """
    if attributes is None:
        return []
    names = getattr(attributes, "column_names", None)  # of Arrow
    if names is None:
        names = (
            attributes if isinstance(attributes, Mapping) else getattr(attributes, "columns", None)
        )
    if names is None:
        raise TypeError(
            "`attributes` must be a mapping of names to columns, or a frame, got "
            f"{type(attributes).__name__}."
        )
    columns = []
    for name in names:
        if not isinstance(name, str) or not name:
            raise ValueError(f"`attributes` must have names that are text, got {name!r}.")
        values = _listed(attributes[name])
        if len(values) != rows:
            raise ValueError(
                f"`attributes[{name!r}]` must have one value for each of the {rows} embeddings, "
                f"got {len(values)}."
            )
        column = _column(name, values, known.get(name))
        if column is not None:
            columns.append(column)
    return columns


def _listed(values: Any) -> list[Any]:
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(values, method):
            listed: list[Any] = getattr(values, method)()
            return listed
    return list(values)


def _column(name: str, values: list[Any], known: str | None) -> Column | None:
    """None where all values are missing and the index has no such attribute."""
    plain = [_plain(value) for value in values]
    missing = np.array([value is None for value in plain], bool)
    there = [value for value in plain if value is not None]
    are_lists = known.startswith("list") if known and not there else _are_lists(name, there)
    flat = [one for value in there for one in value] if are_lists else there
    kind = _kind(name, flat)
    wanted = known.removeprefix("list[").removesuffix("]") if known else None
    if kind is None:
        if wanted is None:
            return None
        kind = wanted
    if wanted == "float64" and kind == "int64":
        kind = wanted
    found = f"list[{kind}]" if are_lists else kind
    if known is not None and found != known:
        raise ValueError(
            f"`attributes[{name!r}]` must be {known}, as it is in this index, got {found}."
        )
    if are_lists:
        lengths = [0 if value is None else len(value) for value in plain]
        ends = np.cumsum(lengths, dtype=np.int64)
        return Column(name, found, _array(flat, kind), ends, _or_none(missing))
    zero = "" if kind == "str" else 0
    filled = [zero if value is None else value for value in plain]
    return Column(name, found, _array(filled, kind), None, _or_none(missing))


def _plain(value: Any) -> Any:
    """A value as bool, int, float, str or a list of these; None where it is missing."""
    if isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if value != value else value
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        members = [_plain(member) for member in value]
        return sorted(members) if isinstance(value, set | frozenset) else members
    return value


def _are_lists(name: str, values: list[Any]) -> bool:
    lists = [isinstance(value, list) for value in values]
    if any(lists) and not all(lists):
        raise ValueError(f"`attributes[{name!r}]` must be all lists or none, got both.")
    return bool(lists) and lists[0]


def _kind(name: str, values: list[Any]) -> str | None:
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return "float64"
    if len(kinds) > 1 or not kinds <= set(_NAMES):
        shown = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"`attributes[{name!r}]` must hold numbers, text or booleans, all of one type, got "
            f"{shown}."
        )
    if kinds == {int} and not all(-_LARGEST - 1 <= value <= _LARGEST for value in values):
        raise ValueError(f"`attributes[{name!r}]` must fit in 64 bits; give such numbers as text.")
    return _NAMES[kinds.pop()] if kinds else None


def _array(values: list[Any], kind: str) -> NDArray[Any]:
    if kind != "str":
        return np.array(values, dtype=kind)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _or_none(missing: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    return missing if missing.any() else None
