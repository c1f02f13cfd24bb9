"""The error of this room: bad data, with the place where it stands."""

import difflib
from collections.abc import Iterable


class DataError(ValueError):
    """Data that cannot be used as it is; the message names source, column, row and value.

    Args:
        message: What is wrong, as a sentence.
        remedy: The reading option that may mend it, and a value for it. The message says it as a
            Python argument; the command line says it as its own option.

    Attributes:
        problem: The message without the remedy.
        remedy: As given.

    Example:
        >>> print(DataError("orders.csv is no UTF-8.", remedy=("encoding", "cp1252")))
        orders.csv is no UTF-8. Pass encoding='cp1252'.
    """

    def __init__(self, message: str, *, remedy: tuple[str, object] | None = None) -> None:
        said = "" if remedy is None else f" Pass {remedy[0]}={remedy[1]!r}."
        super().__init__(message + said)
        self.problem = message
        self.remedy = remedy


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which of `names` is most like `name`, to end an error message with.

    Args:
        name: The name that was not found.
        names: The names there are.

    Returns:
        `"; did you mean 'x'?"` where one is near, else the list of all names, with its full stop.

    Example:
        >>> nearest("user", ["user_id", "rating"])
        "; did you mean 'user_id'?"
        >>> nearest("zz", ["user_id", "rating"])
        "; there are 'user_id', 'rating'."
    """
    known = list(names)
    lowered = {other.lower().replace("_", ""): other for other in reversed(known)}
    matches = difflib.get_close_matches(name.lower().replace("_", ""), lowered, n=1, cutoff=0.6)
    if matches:
        return f"; did you mean {lowered[matches[0]]!r}?"
    return f"; there are {', '.join(map(repr, known))}." if known else "; there are none."
