"""Ids as they come in requests, and as a bundle has them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl


def id_series(ids: npt.NDArray[Any]) -> pl.Series:
    """Return ids as a series of Int64 or String."""
    if ids.dtype.kind in "iu":
        return pl.Series(ids.astype(np.int64))
    return pl.Series(ids.tolist(), dtype=pl.String)


def unknown(kind: str, value: object, ids: pl.Series) -> str:
    """Return the sentence that says an id is not known, and which ids are.

    Example:
        >>> unknown("user", "9999", pl.Series(["1", "42", "943"]))
        "unknown user '9999'; 3 users, ids like '1'…'943'"
    """
    there = f", ids like {ids[0]!r}…{ids[-1]!r}" if len(ids) else ""
    return f"unknown {kind} {value!r}; {len(ids)} {kind}s{there}"


def parse_id(value: Any, ids: pl.Series) -> int | str | None:
    """Return a value as an id of the type of `ids`: "42" and 42 name the same user.

    Args:
        value: What came with a request.
        ids: The ids there are; their type counts.

    Returns:
        The id, or None where the value cannot be one.
    """
    if ids.dtype == pl.String:
        return str(value) if isinstance(value, int | str) and value is not True else None
    return _as_int(value)


def _as_int(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 19:
            return None
        value = int(text)
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None
