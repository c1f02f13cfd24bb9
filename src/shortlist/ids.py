"""Ids: whatever holds them comes in, int64 or str goes out, and no id is changed on the way.

Every room that takes ids from a user takes them through `as_ids`. So one id means the same
everywhere: 64 bits stay 64 bits, bytes are UTF-8, a float is refused rather than rounded, and -1
and "" are ids like any other. Padding is told by its score or its row, never by an id.
"""

from __future__ import annotations

import difflib
import re
import uuid
from collections.abc import Iterable, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[Any]  # int64, or object holding nothing but str

_NESTED = (list, tuple, np.ndarray)
_UNKNOWN_TO_NUMPY = ("Int128", "UInt128")  # of Polars
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}")
_COMPARED = 100_000  # ids in which `unknown_id` looks for one that is near: about a second
_LONGEST_SHOWN = 100  # characters of an id in a sentence


def as_ids(values: Any, argument: str = "ids", *, ndim: int | None = 1) -> Ids:
    """Returns ids as an array of int64, or an object array of str.

    Args:
        values: Ids in a sequence, a NumPy array of integers, text or bytes (UTF-8), a pandas,
            Polars or Arrow column, or a tensor of JAX, TensorFlow or PyTorch. UUIDs are their text.
        argument: The name of the argument in error messages.
        ndim: How many dimensions there must be; None takes any number.

    Returns:
        An array of the shape of `values`. It shares memory with an int64 array; otherwise it is
        new. Nothing at all gives an empty int64 array.

    Raises:
        ValueError: An id is missing, a float, a bool, an integer beyond 64 bits, or bytes that are
            no UTF-8; some are integers and some text; or the number of dimensions is another.

    Example:
        >>> as_ids([b"alien", "brazil"])
        array(['alien', 'brazil'], dtype=object)
        >>> as_ids([1, 2.5])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: `ids` must be integers or text, got the float 2.5 at position 1 ...
    """
    array = _as_array(values, argument)
    kind = array.dtype.kind
    if kind == "i":
        ids: Ids = array.astype(np.int64, copy=False)
    elif kind == "u":
        ids = _signed(array, argument)
    elif kind == "O":
        ids = _of_objects(array.ravel().tolist(), argument).reshape(array.shape)
    elif kind in "UTS":
        ids = _of_objects(array.ravel().tolist(), argument).reshape(array.shape)
        ids = ids.astype(object, copy=False)
    elif array.size == 0:
        ids = array.astype(np.int64)
    else:
        raise _refused(argument, array.flat[0].item(), 0)
    if ndim is not None and ids.ndim != ndim:
        dimensions = "one dimension" if ndim == 1 else f"{ndim} dimensions"
        raise ValueError(f"`{argument}` must have {dimensions}, got shape {ids.shape}.")
    return ids


def as_id(value: Any, argument: str = "id") -> int | str:
    """Returns one id as an int or a str.

    Args:
        value: An integer, text, bytes or UUID, of Python or NumPy, or a tensor of no dimensions.
        argument: The name of the argument in error messages.

    Raises:
        ValueError: It is no id.

    Example:
        >>> as_id(np.uint8(7)), as_id(b"alien")
        (7, 'alien')
    """
    plain = _plain(value)
    if plain is None:
        shown = "None" if value is None else f"the {type(value).__name__} {_short(value)}"
        raise ValueError(f"`{argument}` must be an integer or text, got {shown}.")
    if isinstance(plain, int) and not -(2**63) <= plain < 2**63:
        raise ValueError(
            f"`{argument}` must fit in 64 bits, got {_short(plain)}; give such ids as text."
        )
    return plain


def parse_id(value: Any, text: bool, argument: str = "id") -> int | str | None:
    """Returns an id that came as JSON or text, as the kind that the ids there are.

    42 and "42" name the same. An integer has one spelling: "007", "+7" and " 7" do not name 7.

    Args:
        value: As for `as_id`.
        text: Whether the ids there are, are str.
        argument: The name of the argument in error messages.

    Returns:
        The id, or None for text where ids are integers and none is spelled so.

    Raises:
        ValueError: It is no id.

    Example:
        >>> parse_id("42", text=False), parse_id(42, text=True), parse_id("007", text=False)
        (42, '42', None)
    """
    given = as_id(value, argument)
    if text or isinstance(given, int):
        return str(given) if text else given
    if not _INTEGER.fullmatch(given):
        return None
    number = int(given)
    return number if -(2**63) <= number < 2**63 else None


def are_text(ids: Ids) -> bool:
    """Whether ids that `as_ids` returned are str."""
    return ids.dtype == object


def check_kind(ids: Ids, text: bool, argument: str, of: str) -> None:
    """Refuses ids of the other kind than those they are to be found among.

    Args:
        ids: What `as_ids` returned; none at all are of either kind.
        text: Whether the ids there are, are str.
        argument: The name of the argument in error messages.
        of: Whose ids those are, for example "this index".

    Raises:
        ValueError: The kinds differ.

    Example:
        >>> check_kind(as_ids(["7"]), False, "exclude", "this index")
        Traceback (most recent call last):
        ValueError: `exclude` must be integers, as the ids of this index are; got the str '7'.
    """
    if ids.size and are_text(ids) != text:
        kinds = "text" if text else "integers"
        first = f"the int {ids.flat[0]}" if text else f"the str {ids.flat[0]!r}"
        raise ValueError(f"`{argument}` must be {kinds}, as the ids of {of} are; got {first}.")


def first_repeated(ids: Ids) -> int | None:
    """Returns the position of the first id that stands further ahead too, or None.

    Example:
        >>> first_repeated(as_ids(["a", "b", "a"]))
        2
    """
    _, first = np.unique(ids, return_index=True)
    if len(first) == len(ids):
        return None
    again = np.ones(len(ids), bool)
    again[first] = False
    return int(np.argmax(again))


def unknown_id(
    what: str, value: object, ids: Sequence[Any] | Ids, *, compared: int = _COMPARED
) -> str:
    """Returns the sentence for an id that is not known: the nearest one, or what ids look like.

    Args:
        what: What an id stands for, for example "user".
        value: The id that is not known.
        ids: The ids there are.
        compared: With more ids than this, the nearest is not looked for: it takes about 10 µs each.

    Example:
        >>> unknown_id("film", "alein", ["alien", "brazil"])
        "unknown film 'alein'; did you mean 'alien'?"
        >>> unknown_id("user", 9999, [1, 42, 943])
        "unknown user '9999'; 3 users, ids like '1'…'943'"
    """
    sentence = f"unknown {what} {_short(str(value))}"
    if not len(ids):
        return f"{sentence}; there are no {what}s"
    if isinstance(ids[0], str) and len(ids) <= compared and len(str(value)) <= _LONGEST_SHOWN:
        near = difflib.get_close_matches(str(value), [str(known) for known in ids], n=1)
        if near:
            return f"{sentence}; did you mean {near[0]!r}?"
    first, last = _short(str(ids[0])), _short(str(ids[-1]))
    like = first if len(ids) == 1 else f"{first}…{last}"
    return f"{sentence}; {len(ids):,} {what}{'' if len(ids) == 1 else 's'}, ids like {like}"


def _as_array(values: Any, argument: str) -> NDArray[Any]:
    """Whatever holds ids as an array, no value changed: mixed ones stay objects."""
    if type(values) is list:  # most often so, and asking what else it might be takes longer
        return _of_sequence(values, argument)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        return np.array(values.tolist(), dtype=object)
    if isinstance(values, np.ndarray):
        return values
    library = type(values).__module__.partition(".")[0]
    if library == "torch":
        array: NDArray[Any] = values.detach().cpu().numpy()
        return array
    if library == "pyarrow":
        # By way of Python, because NumPy would see integers with a null among them as floats.
        return _of_sequence(values.to_pylist(), argument)
    if library == "polars" and hasattr(values, "rows"):  # a frame
        return _of_sequence(values.rows(), argument)
    if library == "polars" and _is_kept_by_python(values):
        return _of_sequence(values.to_list(), argument)
    if library == "pandas" and getattr(values, "ndim", 0) == 1 and _has_tuples_or_gaps(values):
        return _of_sequence(values.astype(object).tolist(), argument)
    if library in ("tensorflow", "keras"):
        if not hasattr(values, "numpy"):
            raise ValueError(f"`{argument}` must hold values, got the symbolic {values!r}.")
        return np.asarray(values.numpy())
    if isinstance(values, str | bytes | Set) or not isinstance(values, Iterable):
        given = f"the {type(values).__name__} {values!r}"
        raise ValueError(f"`{argument}` must be a sequence of ids, got {given}.")
    if hasattr(values, "__array__"):
        return np.asarray(values)
    return _of_sequence(list(values), argument)


def _is_kept_by_python(series: Any) -> bool:
    """Whether NumPy would change values of a Polars series: gaps, and integers of 128 bits."""
    return hasattr(series, "dtype") and (
        series.null_count() > 0 or str(series.dtype) in _UNKNOWN_TO_NUMPY
    )


def _has_tuples_or_gaps(column: Any) -> bool:
    """The same of a pandas column, where an index of several levels holds tuples."""
    return getattr(column, "nlevels", 1) > 1 or bool(column.isna().any())


def _of_sequence(values: list[Any], argument: str) -> NDArray[Any]:
    """A list as an array of integers where it holds nothing else, else of objects."""
    kinds = set(map(type, values))
    if kinds == {int}:
        try:
            return np.array(values, dtype=np.int64)
        except OverflowError:
            pass  # `_of_objects` says which
    if kinds and all(issubclass(kind, _NESTED) for kind in kinds):
        parts = [_as_array(part, argument) for part in values]
        if len({part.shape for part in parts}) > 1:
            raise ValueError(f"`{argument}` must have rows of one length.")
        if len({part.dtype.kind for part in parts}) == 1:
            return np.stack(parts)
        return np.stack([part.astype(object) for part in parts])
    array = np.empty(len(values), dtype=object)
    for position, value in enumerate(values):  # not at once: NumPy would look into sequences
        array[position] = value
    return array if len(values) else array.astype(np.int64)


def _of_objects(values: list[Any], argument: str) -> Ids:
    if set(map(type, values)) == {str}:
        ids = np.empty(len(values), dtype=object)
        ids[:] = values
        return ids
    plain: list[Any] = []
    for position, value in enumerate(values):
        one = _plain(value)
        if one is None:
            raise _refused(argument, value, position)
        if plain and isinstance(one, str) != isinstance(plain[0], str):
            raise ValueError(
                f"`{argument}` must be all integers or all text, got {plain[0]!r} at position 0 "
                f"and {one!r} at position {position}."
            )
        if isinstance(one, int) and not -(2**63) <= one < 2**63:
            raise ValueError(
                f"`{argument}` must fit in 64 bits, got {one} at position {position}; "
                "give such ids as text."
            )
        plain.append(one)
    if plain and isinstance(plain[0], str):
        ids = np.empty(len(plain), dtype=object)
        ids[:] = plain
        return ids
    return np.array(plain, dtype=np.int64)


def _plain(value: Any) -> int | str | None:
    """One value as int or str; None where it is no id."""
    if not isinstance(value, int | str | bytes):
        if isinstance(value, uuid.UUID):
            return str(value)
        if getattr(value, "shape", None) == ():  # a scalar of NumPy, or a tensor of one value
            value = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value).item()
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return None


def _short(value: object) -> str:
    """The text of a value in a sentence, however long the value is."""
    if isinstance(value, int) and value.bit_length() > 4 * _LONGEST_SHOWN:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to write long ones
    if isinstance(value, list | tuple | dict):
        return f"of {len(value):,}"
    shown = repr(value)
    return shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"


def _signed(array: NDArray[Any], argument: str) -> NDArray[np.int64]:
    limit = np.iinfo(np.int64).max
    if array.size and int(array.max()) > limit:
        position = int(np.argmax(array.ravel() > limit))
        raise ValueError(
            f"`{argument}` must fit in 64 bits with a sign, got {array.flat[position]} at position "
            f"{position}; give such ids as text."
        )
    return array.astype(np.int64)


def _refused(argument: str, value: object, position: int) -> ValueError:
    where = f"at position {position}."
    if type(value).__name__ in ("NoneType", "NAType", "NaTType") or value != value:
        return ValueError(f"`{argument}` must have no missing ids, got {value!r} {where}")
    if isinstance(value, bytes):
        return ValueError(f"`{argument}` given as bytes must be UTF-8, got {value!r} {where}")
    got = f"the {type(value).__name__} {value!r} {where}"
    if isinstance(value, float):
        got = f"{got[:-1]} (where some are missing, pandas makes floats of integers)."
    return ValueError(f"`{argument}` must be integers or text, got {got}")
