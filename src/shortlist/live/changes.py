"""What can change after training: items that come, change and go, and what users do."""

import datetime as dt
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from shortlist.embeddings import as_embeddings
from shortlist.ids import as_id

_INT64 = range(-(2**63), 2**63)
_LONGEST_ID = 1_000  # bytes; a PostgreSQL index takes no more than 2,700


@dataclass(frozen=True, eq=False)
class ItemUpsert:
    """An item as it is from now on, new or not.

    Args:
        item_id: The item.
        attributes: All that is known of it, by column of the bundle's items; columns left out are
            missing. None leaves what was known. Values are bool, int, float, str, dates, lists of
            these, or None.
        embedding: (d,) real numbers; kept until another is given. An item that was never given one
            has the embedding that the bundle's candidate tower makes of its attributes.

    Raises:
        ValueError: No id, nothing given, or a value of another type.

    Example:
        >>> ItemUpsert("alien", {"title": "Alien", "year": 1979}).attributes
        {'title': 'Alien', 'year': 1979}
    """

    item_id: int | str
    attributes: Mapping[str, Any] | None = None
    embedding: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        _set(self, "item_id", _id(self.item_id, "item_id"))
        if self.attributes is None and self.embedding is None:
            raise ValueError(
                f"item {self.item_id!r} must come with `attributes`, an `embedding` or both, "
                "got neither."
            )
        if self.attributes is not None:
            _set(self, "attributes", _attributes(self.attributes))
        if self.embedding is not None:
            _set(self, "embedding", _embedding(self.embedding))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ItemUpsert) and _as_sent(self) == _as_sent(other)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class ItemRemoval:
    """An item that nobody gets from now on.

    Args:
        item_id: The item; one that is not there is no error.

    Raises:
        ValueError: No id.
    """

    item_id: int | str

    def __post_init__(self) -> None:
        _set(self, "item_id", _id(self.item_id, "item_id"))


@dataclass(frozen=True)
class Interaction:
    """Something a user did with an item.

    Args:
        user_id: The user, known from training or not.
        item_id: The item.
        timestamp: When, in whole seconds since 1970; None is the moment it is appended.

    Raises:
        ValueError: No id, or a time that is no such number.
    """

    user_id: int | str
    item_id: int | str
    timestamp: int | None = None

    def __post_init__(self) -> None:
        _set(self, "user_id", _id(self.user_id, "user_id"))
        _set(self, "item_id", _id(self.item_id, "item_id"))
        if self.timestamp is not None:
            whole = isinstance(self.timestamp, int | np.integer)
            if not whole or isinstance(self.timestamp, bool) or int(self.timestamp) not in _INT64:
                raise ValueError(
                    "`timestamp` must be whole seconds since 1970 in 64 bits, "
                    f"got {self.timestamp!r:.60}."
                )
            _set(self, "timestamp", int(self.timestamp))


Change = ItemUpsert | ItemRemoval | Interaction


@dataclass(frozen=True)
class LogEntry:
    """A change in its place in the log.

    Args:
        sequence: Its place: a later change has a larger one.
        time: When it was appended, in milliseconds since 1970; never falls along the log.
        change: What changed; an upsert holds all that was given of the item until then.
    """

    sequence: int
    time: int
    change: Change


@dataclass(frozen=True)
class Receipt:
    """The places in the log of changes that are now durable.

    Args:
        first: Of the first.
        last: Of the last.
    """

    first: int
    last: int


def digest(changes: list[Change]) -> bytes:
    """Return a hash that only equal changes in the same order share.

    Example:
        >>> digest([ItemRemoval(7)]) == digest([ItemRemoval("7")])
        False
    """
    return hashlib.sha256(msgspec.json.encode([_as_sent(change) for change in changes])).digest()


def _as_sent(change: Change) -> list[Any]:
    match change:
        case ItemUpsert(item_id, attributes, embedding):
            raw = None if embedding is None else embedding.tobytes().hex()
            ordered = None if attributes is None else sorted(attributes.items())
            return ["upsert", item_id, ordered, raw]
        case ItemRemoval(item_id):
            return ["removal", item_id]
        case Interaction(user_id, item_id, timestamp):
            return ["interaction", user_id, item_id, timestamp]


def _set(change: object, name: str, value: object) -> None:
    object.__setattr__(change, name, value)  # the classes are frozen once they are made


def _id(value: Any, argument: str) -> int | str:
    known = as_id(value, argument)
    if isinstance(known, str):
        _check_text(known, argument)
        if "\0" in known or len(known.encode()) > _LONGEST_ID:
            raise ValueError(
                f"`{argument}` must be text of at most {_LONGEST_ID:,} bytes without the character "
                f"NUL, got {known[:40]!r} of {len(known.encode()):,} bytes."
            )
    return known


def _check_text(text: str, argument: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"`{argument}` must be text that UTF-8 can hold, got {text[:40]!r}."
        ) from None


def _attributes(given: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"`attributes` must be a mapping, got {type(given).__name__}.")
    plain = {}
    for name, value in given.items():
        if not isinstance(name, str):
            raise ValueError(f"`attributes` must be named by text, got {name!r:.60}.")
        _check_text(name, "attributes")
        many = isinstance(value, list | tuple | np.ndarray)
        plain[name] = [_plain(one, name) for one in value] if many else _plain(value, name)
    return plain


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dt.date):  # a date-time is one too
        return value.isoformat()
    if isinstance(value, str):
        _check_text(value, f"attributes[{name!r}]")
    good = (
        value is None
        or isinstance(value, bool | str)
        or (isinstance(value, int) and value in _INT64)
        or (isinstance(value, float) and math.isfinite(value))
    )
    if not good:
        raise ValueError(
            f"`attributes[{name!r}]` must be a bool, an int of 64 bits, a finite float, text, a "
            f"date, None, or a list of these; got the {type(value).__name__} {_shown(value)}."
        )
    return value


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"of {value.bit_length()} bits"
    return f"{value!r:.60}" if isinstance(value, float | str) else "given"


def _embedding(given: Any) -> npt.NDArray[np.float32]:
    array = as_embeddings(given, "embedding")
    if array.ndim != 1 or not array.size:
        raise ValueError(f"`embedding` must have shape (d,), got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"`embedding` must be finite, got {array[~np.isfinite(array)][0]}.")
    kept = array.copy()
    kept.flags.writeable = False
    return kept
