"""How much a live state remembers."""

from dataclasses import dataclass
from datetime import timedelta

from shortlist.data.histories import MAX_HISTORY
from shortlist.index.numbers import as_integer


@dataclass(frozen=True)
class Retention:
    """How much is kept of what users did, and for how long keys are known.

    Items need no retention: of each the latest state is kept.

    Args:
        per_user: Interactions of a user that are kept, the latest appended.
        age: Interactions with a timestamp older than this are dropped; None keeps them.
        keys: For how long a key that comes again is recognised.

    Raises:
        ValueError: A number below 1, or a time that is not positive.

    Example:
        >>> Retention(per_user=100, age=timedelta(days=90)).per_user
        100
    """

    per_user: int = MAX_HISTORY
    age: timedelta | None = None
    keys: timedelta = timedelta(days=7)

    def __post_init__(self) -> None:
        as_integer(self.per_user, "per_user", 1)
        for name in ("age", "keys"):
            span = getattr(self, name)
            if span is None and name == "age":
                continue
            if not isinstance(span, timedelta) or span <= timedelta(0):
                raise ValueError(f"`{name}` must be a positive timedelta, got {span!r}.")
