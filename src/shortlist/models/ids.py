"""Ids that must be known."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.data import DataError, Vocabulary


def known_indices(vocabulary: Vocabulary, ids: npt.ArrayLike, what: str) -> npt.NDArray[np.int64]:
    """Returns the (n,) indices of ids that must all be known.

    Args:
        vocabulary: The ids there are.
        ids: (n,) ids, or one.
        what: What an id stands for, `"user"` or `"item"`, for the error.

    Raises:
        DataError: Naming the first unknown id, and the nearest match or the ids there are.

    Example:
        >>> known_indices(Vocabulary(["alien", "brazil"]), ["alein"], "film")
        Traceback (most recent call last):
        shortlist.data.errors.DataError: unknown film 'alein'; did you mean 'alien'?
    """
    array = np.atleast_1d(np.asarray(ids))
    indices = vocabulary.encode(array)
    if not indices.all():
        raise DataError(_describe(vocabulary, array[np.argmin(indices)], what))
    return indices


def _describe(vocabulary: Vocabulary, unknown: Any, what: str) -> str:
    names = [str(known) for known in vocabulary.ids]
    if vocabulary.id_type is str:
        near = difflib.get_close_matches(str(unknown), names, n=1)
        if near:
            return f"unknown {what} {str(unknown)!r}; did you mean {near[0]!r}?"
    span = f"'{names[0]}'…'{names[-1]}'" if len(names) > 1 else repr(names[0])
    return f"unknown {what} '{unknown}'; {len(names):,} {what}s, ids like {span}"
