"""Numbers of settings: those of NumPy become Python's, and what is no number is refused."""

from __future__ import annotations

from numbers import Real
from operator import index
from typing import Any

import numpy as np


def as_integer(value: Any, argument: str, least: int, most: int | None = None) -> int:
    """Returns a whole number as an int.

    Args:
        value: An int, or an integer of NumPy or of a tensor library; a bool is none.
        argument: The name of the argument in error messages.
        least: The least it may be.
        most: The most it may be; None sets no limit.

    Raises:
        ValueError: It is no integer, or out of its range.

    Example:
        >>> as_integer(np.int64(50), "leaves", 1)
        50
    """
    if isinstance(value, bool | np.bool_) or not hasattr(value, "__index__"):
        raise ValueError(f"`{argument}` must be an integer, got {value!r}.")
    try:
        number = index(value)
    except TypeError:  # an array of several, or of floats
        raise ValueError(f"`{argument}` must be an integer, got {value!r}.") from None
    _check(number, argument, least, most)
    return number


def as_real(
    value: Any, argument: str, least: float | None = None, most: float | None = None
) -> float:
    """Returns a finite real number as a float.

    Args:
        value: A float or int, of Python or NumPy; a bool is none.
        argument: The name of the argument in error messages.
        least: The least it may be; None, here and below, sets no limit.
        most: The most it may be.

    Raises:
        ValueError: It is no finite number, or out of its range.

    Example:
        >>> as_real(np.float32(0.5), "stop")
        0.5
    """
    if getattr(value, "shape", None) == ():
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"`{argument}` must be a number, got {value!r}.")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"`{argument}` must be finite, got {number}.")
    _check(number, argument, least, most)
    return number


def as_flag(value: Any, argument: str) -> bool:
    """Returns True or False as a bool.

    Args:
        value: A bool, of Python or NumPy.
        argument: The name of the argument in error messages.

    Raises:
        ValueError: It is something else.

    Example:
        >>> as_flag(np.True_, "exact")
        True
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{argument}` must be True or False, got {value!r}.")
    return bool(value)


def _check(number: float, argument: str, least: float | None, most: float | None) -> None:
    if (least is not None and number < least) or (most is not None and number > most):
        limits = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"`{argument}` must be {limits}, got {number}.")
