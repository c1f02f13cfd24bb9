"""Which candidates a search may return: allowed for all queries, or excluded query by query."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shortlist import _native

if TYPE_CHECKING:
    from shortlist.index.index import Index


class Filter:
    """The only candidates that searches may return, prepared once for use in many.

    `index.search(..., allow=ids)` prepares such a filter on every call; keeping one pays where the
    same candidates are allowed again and again.

    Args:
        index: The index that will be searched.
        allow: Ids (those not in the index are ignored), or a boolean mask over its rows, shape
            (len(index),).

    Raises:
        ValueError: The ids are of the wrong kind, or the mask has the wrong shape.

    Example:
        >>> from shortlist.index import Index
        >>> index = Index.build(np.eye(3, dtype=np.float32), ["a", "b", "c"])
        >>> cheap = Filter(index, ["a", "c"])
        >>> len(cheap)
        2
        >>> index.search([0.1, 0.9, 0.2], 2, allow=cheap).ids.tolist()
        ['c', 'a']
    """

    __slots__ = ("_engine", "_index")

    def __init__(self, index: Index, allow: Sequence[str] | ArrayLike) -> None:
        self._index = index._engine
        self._engine = allowed_rows(index._engine, allow)

    def __len__(self) -> int:
        """How many candidates are allowed."""
        return len(self._engine)

    def __repr__(self) -> str:
        return f"Filter({len(self):,} of {len(self._index):,} candidates)"


def allowed_rows(index: _native.Index, allow: Any) -> _native.Filter:
    """What `allow` (a `Filter`, ids or a mask) means to the engine."""
    if isinstance(allow, Filter):
        if allow._index is not index:
            raise ValueError("`allow` is a Filter of another index; make one of this index.")
        return allow._engine
    if isinstance(allow, str):
        raise ValueError(f"`allow` must be ids or a boolean mask, got the str {allow!r}.")
    mask = np.asarray(allow)
    return index.filter_rows(mask) if mask.dtype.kind == "b" else index.filter_ids(allow)


def flat_exclusions(exclude: Any, queries: int) -> tuple[Any, NDArray[np.int64]]:
    """The excluded ids of all queries one after another, and where those of each begin.

    Args:
        exclude: One sequence of ids for each query, or a (queries, e) array.
        queries: Number of queries.
    """
    if isinstance(exclude, np.ndarray) and exclude.ndim == 2:
        lengths = np.full(len(exclude), exclude.shape[1])
        flat: Any = exclude.ravel()
    else:
        parts = [_ids_of_one(ids) for ids in exclude]
        lengths = np.fromiter(map(len, parts), np.int64, len(parts))
        filled = [part for part in parts if len(part)]
        if {part.dtype for part in filled} == {np.dtype(np.int64)}:
            flat = np.concatenate(filled)
        else:
            flat = list(chain.from_iterable(part.tolist() for part in filled))
    if len(lengths) != queries:
        raise ValueError(
            f"`exclude` must have one sequence of ids for each of the {queries} queries, "
            f"got {len(lengths)}."
        )
    return flat, np.concatenate(([0], np.cumsum(lengths)))


def _ids_of_one(ids: Any) -> NDArray[Any]:
    if isinstance(ids, str) or np.ndim(ids) != 1:
        raise ValueError(
            f"`exclude` must have one sequence of ids for each query, got {ids!r} for one."
        )
    return np.asarray(ids)
