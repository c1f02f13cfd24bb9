"""A bundle with what changed since: what answers at one moment of the log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shortlist.bundle import QueryTower
from shortlist.bundle.answering import Answering
from shortlist.ids import Ids, as_ids


@dataclass(frozen=True)
class LiveBundle(Answering):
    """A bundle as it is at one place of a live state's log; it never changes.

    Args:
        sequence: The place.
        events: The ids of what users did after the bundle was trained, by user, oldest first.
    """

    sequence: int = 0
    events: Mapping[int | str, tuple[int | str, ...]] = field(default_factory=dict)

    def knows(self, user: object) -> bool:
        """Whether a user can be recommended to: known from training, or by what they did since."""
        return user in self.tower or (user in self.events and bool(self._there(user)))

    def history(self, user: int | str) -> Ids:
        """Return the ids of what a user has had until now, oldest first.

        What they did since training stands after what the bundle knows of them.
        """
        since = self.events.get(user)
        if since is None:
            return self.histories[user]
        before = self.histories[user]
        return np.concatenate([before, as_ids(since)]) if len(before) else as_ids(since)

    def embed(self, users: Sequence[int | str]) -> npt.NDArray[np.float32]:
        """Return the queries of known users, by what they have done until now.

        A query tower that takes a history reads what users did since training. One that takes
        features too is not told them again, so that users of training keep their embeddings. Users
        who came after training are embedded by their history, as `embed_history` does.

        Returns:
            float32 array of shape (n, d).

        Raises:
            UnknownUserError: A user who is not known, and has done nothing since.
        """
        if not any(user in self.events for user in users):
            return self.tower.embed(users)
        return np.concatenate([self._embed_one(self.tower, user) for user in users])

    def _embed_one(self, tower: QueryTower, user: int | str) -> npt.NDArray[np.float32]:
        since = self.events.get(user)
        if since is not None and user not in tower and (there := self._there(user)):
            return self.embed_history(there)
        if since is None or not tower.reads_history_again:
            return tower.embed([user])
        rows = self.items.positions(self.history(user).tolist())
        return tower.embed_new(rows[rows >= 0].tolist(), {}, user=user)

    def _there(self, user: object) -> list[int | str]:
        """What a user did since training with items that are there now."""
        since = list(self.events[user])  # type: ignore[index]
        rows = self.index.rows(since)
        return [item for item, row in zip(since, rows, strict=True) if row >= 0]
