"""Ids as they are typed."""

from __future__ import annotations

import difflib
from typing import Any

import numpy.typing as npt

from shortlist.data import DataError


def known_id(ids: npt.NDArray[Any], text: str, what: str) -> Any:
    """Returns the id that was typed, of the type the ids have.

    Args:
        ids: (n,) the ids there are; int64 or str.
        text: What was typed.
        what: What an id stands for, `"user"` or `"item"`, for the error.

    Raises:
        DataError: There is no such id; with the nearest match, or what ids look like.

    Example:
        >>> import numpy as np
        >>> known_id(np.array([7, 9]), "9", "user")
        9
        >>> known_id(np.array([7, 9]), "10", "user")
        Traceback (most recent call last):
        shortlist.data.errors.DataError: unknown user '10'; 2 users, ids like '7'…'9'
    """
    names = [str(known) for known in ids]
    if text in names:
        return ids[names.index(text)].item() if ids.dtype.kind in "iu" else text
    near = difflib.get_close_matches(text, names, n=1) if ids.dtype.kind not in "iu" else []
    if near:
        raise DataError(f"unknown {what} {text!r}; did you mean {near[0]!r}?")
    raise DataError(
        f"unknown {what} {text!r}; {len(names):,} {what}s, ids like {names[0]!r}…{names[-1]!r}"
    )
