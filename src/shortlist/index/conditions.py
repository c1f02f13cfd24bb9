"""Conditions on attributes: `(col("year") >= 1990) & col("genres").contains("drama")`.

A missing value matches no condition, nor the opposite of one: neither `col("year") >= 1990` nor
`~(col("year") >= 1990)` finds a candidate without a year. That is how Polars and SQL filter.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Value = bool | int | float | str

_RANGES = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}  # in JSON, as Qdrant spells them
_FIT: dict[str, tuple[type, ...]] = {
    "int64": (int, float),
    "float64": (int, float),
    "bool": (bool,),
    "str": (str,),
}
_OPPOSITE = {">": "<=", ">=": "<", "<": ">=", "<=": ">"}


class Condition:
    """What a candidate must meet. Made with `col`; combined by `&`, `|` and `~`.

    `and`, `or` and `not` do not work on conditions, because Python asks them for one truth value.

    Example:
        >>> recent = (col("year") >= 1990) & ~col("genres").contains("horror")
        >>> recent
        (col('year') >= 1990) & ~col('genres').contains('horror')
        >>> Condition.from_json(recent.to_json()) == recent
        True
    """

    __slots__ = ()

    def __and__(self, other: Condition) -> Condition:
        return _joined(All, self, other)

    def __or__(self, other: Condition) -> Condition:
        return _joined(Any_, self, other)

    def __invert__(self) -> Condition:
        raise NotImplementedError

    def __bool__(self) -> bool:
        raise TypeError(
            "A condition has no truth value: combine conditions by `&`, `|` and `~`, each in "
            'brackets, as in (col("year") >= 1990) & (col("year") < 2000).'
        )

    def to_json(self) -> dict[str, Any]:
        """The condition as plain data for JSON; `from_json` reads it."""
        return self._json()

    def _json(self) -> dict[str, Any]:
        raise NotImplementedError

    def _plan(self, types: Mapping[str, str]) -> tuple[Any, ...]:
        """The condition as the engine takes it, for attributes of these types.

        Raises:
            ValueError: An attribute is unknown, or of another type than what it is compared with.
        """
        raise NotImplementedError

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Condition:
        """Reads a condition from plain data, spelled as Qdrant's filters are.

        Args:
            document: Either one condition or several. Several have the keys `must` (all of these),
                `should` (at least one of these) and `must_not` (none of these), each a list. One is
                `{"key": name, "match": {"value": v}}`, `{"key": name, "contains": {"value": v}}`
                for lists, each also with `{"any": [v, ...]}` for one of several values;
                `{"key": name, "range": {"gte": 1990, "lt": 2000}}`, also with `gt` and `lte`; or
                `{"is_empty": {"key": name}}` for a missing value.

        Raises:
            ValueError: It is something else.

        Example:
            >>> Condition.from_json(
            ...     {"must": [{"key": "year", "range": {"gte": 1990, "lt": 2000}}]}
            ... )
            (col('year') >= 1990) & (col('year') < 2000)
        """
        return _read(document)


@dataclass(frozen=True, repr=False)
class Term(Condition):
    """A condition on one attribute: `test` is "in", "contains", "missing", or a comparison."""

    name: str
    test: str
    values: tuple[Value, ...]
    negated: bool = False

    def __invert__(self) -> Condition:
        if self.test in _OPPOSITE:
            return Term(self.name, _OPPOSITE[self.test], self.values)
        return Term(self.name, self.test, self.values, not self.negated)

    def __repr__(self) -> str:
        column = f"col({self.name!r})"
        if self.test == "missing":
            return f"{'~' * self.negated}{column}.is_missing()"
        if self.test in _OPPOSITE:
            return f"({column} {self.test} {self.values[0]!r})"
        if self.test == "in" and len(self.values) == 1:
            return f"({column} {'!=' if self.negated else '=='} {self.values[0]!r})"
        method = f"is_in({list(self.values)!r})"
        if self.test == "contains":
            several = len(self.values) != 1
            method = (
                f"contains_any({list(self.values)!r})"
                if several
                else f"contains({self.values[0]!r})"
            )
        return f"{'~' * self.negated}{column}.{method}"

    def _json(self) -> dict[str, Any]:
        one: dict[str, Any]
        if self.test == "missing":
            one = {"is_empty": {"key": self.name}}
        elif self.test in _OPPOSITE:
            spelled = next(word for word, sign in _RANGES.items() if sign == self.test)
            one = {"key": self.name, "range": {spelled: self.values[0]}}
        else:
            word = "contains" if self.test == "contains" else "match"
            one_value = len(self.values) == 1
            given = {"value": self.values[0]} if one_value else {"any": list(self.values)}
            one = {"key": self.name, word: given}
        return {"must_not": [one]} if self.negated else one

    def _plan(self, types: Mapping[str, str]) -> tuple[Any, ...]:
        kind = types.get(self.name)
        if kind is None:
            raise _unknown(self.name, types)
        is_list = kind.startswith("list[")
        if self.test not in ("contains", "missing") and is_list:
            raise ValueError(
                f"`{self.name}` is a {kind}: ask for its values by "
                f"col({self.name!r}).contains(...), not by {self!r}."
            )
        if self.test == "contains" and not is_list:
            raise ValueError(
                f"`{self.name}` has one {kind}, no list: compare it by == or is_in, "
                f"not by {self!r}."
            )
        kind = kind.removeprefix("list[").removesuffix("]")
        integers, reals, texts = [], [], []
        for value in self.values:
            if type(value) not in _FIT[kind] or (kind == "bool" and self.test in _OPPOSITE):
                raise ValueError(
                    f"`{self.name}` is {types[self.name]}: it cannot be compared as in {self!r}."
                )
            if kind == "str":
                texts.append(value)
            elif kind == "float64":
                reals.append(float(value))
            elif value == int(value) and -(2**63) <= value < 2**63:
                integers.append(int(value))
            elif self.test in _OPPOSITE:  # nothing else equals a whole number of 64 bits
                reals.append(float(value))
        return self.test, self.name, integers, reals, texts, self.negated


@dataclass(frozen=True, repr=False)
class _Several(Condition):
    parts: tuple[Condition, ...]

    def __repr__(self) -> str:
        sign = " & " if isinstance(self, All) else " | "
        shown = [f"({part!r})" if isinstance(part, _Several) else repr(part) for part in self.parts]
        return sign.join(shown)


class All(_Several):
    """All of several conditions."""

    def __invert__(self) -> Condition:
        return Any_(tuple(~part for part in self.parts))

    def _json(self) -> dict[str, Any]:
        return {"must": [part._json() for part in self.parts]}

    def _plan(self, types: Mapping[str, str]) -> tuple[Any, ...]:
        return "all", [part._plan(types) for part in self.parts]


class Any_(_Several):  # noqa: N801  (typing has the name without)
    """At least one of several conditions."""

    def __invert__(self) -> Condition:
        return All(tuple(~part for part in self.parts))

    def _json(self) -> dict[str, Any]:
        return {"should": [part._json() for part in self.parts]}

    def _plan(self, types: Mapping[str, str]) -> tuple[Any, ...]:
        return "any", [part._plan(types) for part in self.parts]


class Attribute:
    """An attribute of candidates, made by `col`; compared with a value it gives a `Condition`."""

    __slots__ = ("name",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"`name` must be a str, got {type(name).__name__}.")
        self.name = name

    def __eq__(self, value: object) -> Condition:  # type: ignore[override]
        return Term(self.name, "in", (_value(value),))

    def __ne__(self, value: object) -> Condition:  # type: ignore[override]
        return Term(self.name, "in", (_value(value),), negated=True)

    def __lt__(self, value: Any) -> Condition:
        return Term(self.name, "<", (_value(value),))

    def __le__(self, value: Any) -> Condition:
        return Term(self.name, "<=", (_value(value),))

    def __gt__(self, value: Any) -> Condition:
        return Term(self.name, ">", (_value(value),))

    def __ge__(self, value: Any) -> Condition:
        return Term(self.name, ">=", (_value(value),))

    def is_in(self, values: Iterable[Any]) -> Condition:
        """Whether the value is one of these."""
        return Term(self.name, "in", _values(values))

    def is_between(self, low: Any, high: Any) -> Condition:
        """Whether the value lies from `low` to `high`, both included."""
        return All((self >= low, self <= high))

    def contains(self, value: Any) -> Condition:
        """Whether the list has this value."""
        return Term(self.name, "contains", (_value(value),))

    def contains_any(self, values: Iterable[Any]) -> Condition:
        """Whether the list has one of these values."""
        return Term(self.name, "contains", _values(values))

    def is_missing(self) -> Condition:
        """Whether there is no value."""
        return Term(self.name, "missing", ())

    def __repr__(self) -> str:
        return f"col({self.name!r})"


def col(name: str) -> Attribute:
    """An attribute of the candidates, to make conditions of.

    `==`, `!=`, `<`, `<=`, `>`, `>=`, `is_in` and `is_between` are for attributes with one value,
    `contains` for lists, `is_missing` for both. Text is ordered by its characters' numbers.

    Args:
        name: As in `Index.build(..., attributes=)`.

    Example:
        >>> col("year").is_in([1999, 2001]) | ~(col("country") == "FR")
        col('year').is_in([1999, 2001]) | (col('country') != 'FR')
    """
    return Attribute(name)


def as_condition(where: Any, argument: str = "where") -> Condition:
    """A condition, or one given as plain data.

    Raises:
        TypeError: It is something else.
        ValueError: The plain data is no condition.
    """
    if isinstance(where, Condition):
        return where
    if isinstance(where, Mapping):
        return _read(where)
    raise TypeError(
        f'`{argument}` must be a condition, such as col("year") >= 1990, or its JSON form, '
        f"got {type(where).__name__}."
    )


def _joined(kind: type[_Several], *conditions: Condition) -> Condition:
    parts: list[Condition] = []
    for condition in conditions:
        if not isinstance(condition, Condition):
            raise TypeError(
                f"Conditions combine with conditions, got {type(condition).__name__}; put each in "
                'brackets, as in (col("year") >= 1990) & (col("year") < 2000).'
            )
        parts += condition.parts if isinstance(condition, kind) else (condition,)
    return kind(tuple(parts))


def _values(values: Any) -> tuple[Value, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"`values` must be a sequence of values, got {type(values).__name__}.")
    return tuple(_value(value) for value in values)


def _value(value: Any) -> Value:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dt.date):
        value = value.isoformat()
    if not isinstance(value, bool | int | float | str):
        raise TypeError(
            f"Attributes compare with numbers, text and booleans, got {type(value).__name__}; "
            'missing values are found by col("year").is_missing().'
        )
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("NaN equals nothing; missing values are found by .is_missing().")
    return value


def _read(document: Any) -> Condition:
    if not isinstance(document, Mapping):
        raise _unreadable(document)
    keys = set(document)
    if keys and keys <= {"must", "should", "must_not"}:
        parts: list[Condition] = []
        for key, values in document.items():
            if not isinstance(values, list | tuple) or not values:
                raise ValueError(f"`{key}` in a condition must be a list of conditions, not empty.")
            own = [_read(value) for value in values]
            if key == "should":
                own = [own[0] if len(own) == 1 else Any_(tuple(own))]
            parts += [~one for one in own] if key == "must_not" else own
        return parts[0] if len(parts) == 1 else All(tuple(parts))
    if keys == {"is_empty"} and set(document["is_empty"]) == {"key"}:
        return col(document["is_empty"]["key"]).is_missing()
    tests = keys - {"key"}
    if "key" not in keys or len(tests) != 1:
        raise _unreadable(document)
    attribute, test = col(document["key"]), tests.pop()
    given = document[test]
    if not isinstance(given, Mapping) or not given:
        raise _unreadable(document)
    if test in ("match", "contains") and set(given) in ({"value"}, {"any"}):
        values = _values(given["any"]) if "any" in given else (_value(given["value"]),)
        return Term(attribute.name, "in" if test == "match" else "contains", values)
    if test == "range" and set(given) <= set(_RANGES):
        bounds = [Term(attribute.name, _RANGES[word], (_value(v),)) for word, v in given.items()]
        return bounds[0] if len(bounds) == 1 else All(tuple(bounds))
    raise _unreadable(document)


def _unknown(name: str, types: Mapping[str, str]) -> ValueError:
    if not types:
        return ValueError(
            f"The index has no attribute {name!r}: it was built without `attributes`."
        )
    near = difflib.get_close_matches(name, types, n=1)
    there = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(map(repr, types))}."
    return ValueError(f"The index has no attribute {name!r}; {there}")


def _unreadable(document: Any) -> ValueError:
    return ValueError(
        "A condition as JSON must have `must`, `should` or `must_not`, or a `key` with `match`, "
        f"`range` or `contains`, or `is_empty`; got {document!r:.200}."
    )
