"""Which candidates a search may return: those allowed, less those excluded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import chain
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist import _native
from shortlist.embeddings import as_array
from shortlist.ids import Ids, as_ids, check_kind
from shortlist.index.conditions import Condition, as_condition

Parts = NDArray[Any] | list[Any]  # one for each query


class Searched(Protocol):
    """What a filter is made for: an `Index`."""

    _engine: _native.Index


class Filter:
    """The only candidates that searches may return, prepared once for use in many.

    `index.search(..., allow=ids)` prepares such a filter on every call. Keep one where the same
    candidates are allowed again and again. Copies of the index take it too. It is pickled with its
    index: one pickle of both holds the index once.

    After a change of the index, a filter made with a condition asks it of new candidates too. One
    made with ids or a mask allows the candidates that it allowed when it was made, by their ids.

    Args:
        index: The index that will be searched.
        allow: Ids (those not in the index are ignored), a boolean mask over its rows, shape
            (len(index),), or a condition on its attributes.

    Filters of one index combine: `a & b` allows what both allow, `a | b` what one of them does, and
    `~a` all others.

    Raises:
        ValueError: The ids are of the wrong kind, the mask has the wrong shape, or the condition
            does not fit the attributes.

    Example:
        >>> from shortlist.index import Index
        >>> index = Index.build(np.eye(3, dtype=np.float32), ["a", "b", "c"])
        >>> cheap = Filter(index, ["a", "c"])
        >>> len(cheap)
        2
        >>> index.search([0.1, 0.9, 0.2], 2, allow=cheap).ids.tolist()
        ['c', 'a']
    """

    __slots__ = ("__weakref__", "_engine", "_index")

    def __init__(self, index: Searched, allow: Sequence[str] | ArrayLike | Condition) -> None:
        self._index = index
        self._engine = allowed_rows(index._engine, allow)

    @classmethod
    def _of(cls, index: Searched, engine: _native.Filter) -> Filter:
        made = object.__new__(cls)
        made._index, made._engine = index, engine
        return made

    def __and__(self, other: Filter) -> Filter:
        if not isinstance(other, Filter):
            return NotImplemented
        return self._of(self._index, self._engine & other._engine)

    def __or__(self, other: Filter) -> Filter:
        if not isinstance(other, Filter):
            return NotImplemented
        return self._of(self._index, self._engine | other._engine)

    def __invert__(self) -> Filter:
        return self._of(self._index, ~self._engine)

    def __len__(self) -> int:
        """How many candidates of the index are allowed."""
        return self._index._engine.count_filter(self._engine)

    def __repr__(self) -> str:
        return f"Filter({len(self):,} of {len(self._index._engine):,} candidates)"

    def __reduce__(self) -> tuple[Any, ...]:
        # As the candidates that it allows now: a condition is not kept.
        return Filter, (self._index, self._index._engine.rows_of_filter(self._engine))


class Restrictions(NamedTuple):
    """What the searches for some queries may return, as the engine takes it.

    Attributes:
        exclude: Ids that they must not return.
        offsets: Where those of each query begin, and where the last end; None where all of
            `exclude` is for every query.
        allow: The only rows they may return; None allows all.
        allow_each: The same, for each query.
    """

    exclude: Ids | None = None
    offsets: NDArray[np.int64] | None = None
    allow: _native.Filter | None = None
    allow_each: list[_native.Filter] | None = None

    def of(self, query: int) -> Restrictions:
        """The restrictions of one query."""
        exclude = self.exclude
        if exclude is not None and self.offsets is not None:
            exclude = exclude[self.offsets[query] : self.offsets[query + 1]]
        return Restrictions(
            exclude, None, self.allow_each[query] if self.allow_each else self.allow
        )


def restrictions_of(
    index: _native.Index,
    exclude: Any,
    allow: Any,
    where: Any,
    queries: int | None,
    compiled: Callable[[Condition], _native.Filter],
) -> Restrictions:
    """What `exclude`, `allow` and `where` mean to the engine.

    Args:
        index: The index that is searched.
        exclude: Ids for all queries, or one sequence of ids for each; None for none.
        allow: A `Filter`, ids or a mask for all queries, or one of these for each; None for all.
        where: A condition for all queries, or one for each; None for none.
        queries: How many queries; None for one of one dimension, which takes ids only.
        compiled: Makes a filter of a condition, or finds one made before.

    Raises:
        ValueError: They are something else, ids of another kind, or for another number of queries.
    """
    excluded, offsets = None, None
    allowed: _native.Filter | None = None
    allowed_each: list[_native.Filter] | None = None
    if exclude is not None:
        exclude, parts = _divided(exclude, "exclude", queries)
        if parts is None:
            excluded = _ids(index, exclude, "exclude")
        else:
            excluded, offsets = _flat(index, parts)
    if allow is not None:
        allow, parts = _divided(allow, "allow", queries)
        if parts is None:
            allowed = allowed_rows(index, allow)
        else:
            allowed_each = [allowed_rows(index, part) for part in parts]
    if isinstance(where, list | tuple):
        if len(where) != queries:
            asked = "one query of shape (d,)" if queries is None else f"the {queries} queries"
            raise ValueError(
                f"`where` must be one condition for all queries, or one for each of {asked}, "
                f"got {len(where)}."
            )
        each = [compiled(as_condition(one)) for one in where]
        before: list[_native.Filter | None] = (
            list(allowed_each) if allowed_each else [allowed] * len(each)
        )
        allowed_each = [a if b is None else a & b for a, b in zip(each, before, strict=True)]
    elif where is not None:
        own = compiled(as_condition(where))
        if allowed_each is not None:
            allowed_each = [one & own for one in allowed_each]
        else:
            allowed = own if allowed is None else allowed & own
    return Restrictions(excluded, offsets, allowed, allowed_each)


def allowed_rows(index: _native.Index, allow: Any) -> _native.Filter:
    """What `allow` (a `Filter`, ids or a mask) means to the engine."""
    if isinstance(allow, Filter):
        return allow._engine
    if isinstance(allow, Condition):
        return index.filter_where(allow._plan(index.attribute_types))
    if _holds_bools(allow):
        return index.filter_rows(as_array(allow, "allow"))
    ids = _ids(index, allow, "allow")
    if len(ids) == len(index) > 2 and ids.dtype == np.int64 and ids.min() >= 0 and ids.max() <= 1:
        raise ValueError(
            "`allow` must be ids or a boolean mask, got integers that look like a mask: give "
            "allow.astype(bool), or each id once."
        )
    return index.filter_ids(ids)


def _ids(index: _native.Index, values: Any, argument: str) -> Ids:
    ids = as_ids(list(values) if isinstance(values, Set) else values, argument)
    check_kind(ids, index.ids_are_text, argument, "this index")
    return ids


def _flat(index: _native.Index, parts: Parts) -> tuple[Ids, NDArray[np.int64]]:
    """The excluded ids of all queries one after another, and where those of each begin."""
    if isinstance(parts, np.ndarray):
        flat: Any = parts.ravel()
        lengths = [parts.shape[1]] * len(parts)
    elif all(isinstance(part, list | tuple) for part in parts):
        flat = list(chain.from_iterable(parts))
        lengths = [len(part) for part in parts]
    else:
        each = [_ids(index, part, "exclude") for part in parts]
        lengths = [len(ids) for ids in each]
        filled = [ids for ids in each if len(ids)]
        flat = np.concatenate(filled) if filled else []
    ids = _ids(index, flat, "exclude")
    return ids, np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def _divided(values: Any, argument: str, queries: int | None) -> tuple[Any, Parts | None]:
    """The values, and what they are for each query; None where they are for all of them."""
    if type(values) is not list and isinstance(values, Iterator):
        values = list(values)  # it can be read once
    parts = None if isinstance(values, Filter) else _parts(values, argument)
    if parts is None:
        return values, None
    if queries is None:
        raise ValueError(f"`{argument}` must be ids, for a query of shape (d,); got one for each.")
    if len(parts) != queries:
        raise ValueError(
            f"`{argument}` must be ids for all queries, or one sequence of ids for each of the "
            f"{queries} queries, got {len(parts)}."
        )
    return values, parts


def _parts(values: Any, argument: str) -> Parts | None:
    """The rows of a 2-D array, or the members of a sequence that are sequences; else None."""
    if type(values) is np.ndarray and values.ndim == 1 and values.dtype != object:
        return None  # at once: a search takes some microseconds
    ndim = getattr(values, "ndim", None)
    if ndim == 2:
        bools = _holds_bools(values)
        return as_array(values, argument) if bools else as_ids(values, argument, ndim=2)
    if ndim == 1 and not _holds_lists(values):
        return None
    if isinstance(values, str | bytes) or not isinstance(values, Iterable) or ndim == 0:
        return None  # `as_ids` says what is wrong
    members = _members(values)
    if {type(member) for member in members} <= {int, str}:
        return None
    several = [_is_several(member) for member in members]
    if not any(several):
        return None
    if not all(several):
        one = members[several.index(False)]
        raise ValueError(
            f"`{argument}` must be ids for all queries, or one sequence of ids for each query; "
            f"got {one!r} for one of them."
        )
    return members


def _members(values: Any) -> list[Any]:
    for name in ("to_pylist", "to_list"):  # of Arrow; of pandas, Polars and ragged tensors
        if hasattr(values, name):
            members: list[Any] = getattr(values, name)()
            return members
    return list(values)


def _is_several(member: Any) -> bool:
    if isinstance(member, str | bytes | int | np.generic | UUID):
        return False
    if isinstance(member, Filter):
        return True
    return isinstance(member, Iterable) and getattr(member, "shape", None) != ()


def _holds_lists(values: Any) -> bool:
    """Whether each place of a column or an array can hold a list."""
    return str(getattr(values, "dtype", "")).lower().startswith(("list", "array", "object"))


def _holds_bools(values: Any) -> bool:
    if isinstance(values, list | tuple):
        return bool(values) and all(isinstance(value, bool | np.bool_) for value in values)
    kind = getattr(values, "dtype", getattr(values, "type", ""))
    return "bool" in str(kind).lower()
