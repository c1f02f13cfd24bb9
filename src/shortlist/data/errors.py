"""The error of this room: bad data, with the place where it stands."""

import difflib
from collections.abc import Iterable


class DataError(ValueError):
    """Data that cannot be used as it is; the message names source, column, row and value."""


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
