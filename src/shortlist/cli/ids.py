"""Ids as they are typed."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from shortlist.data import DataError
from shortlist.ids import are_text, parse_id, unknown_id


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
    parsed = parse_id(text, are_text(ids))
    if parsed is None or not (ids == parsed).any():
        raise DataError(unknown_id(what, text, ids))
    return parsed
