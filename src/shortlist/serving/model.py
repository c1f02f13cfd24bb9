"""One loaded version of a model, answering queries."""

import asyncio
import copy
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
import polars as pl

from shortlist.bundle import Bundle, BundleError
from shortlist.bundle.answering import Answering
from shortlist.ids import Ids, parse_id, unknown_id
from shortlist.live import Follower, LiveState
from shortlist.serving.errors import RequestError
from shortlist.serving.metrics import Metrics
from shortlist.serving.settings import Limits

_AT_ONCE_SECONDS = 0.001
_WARM_UP = 20
_COMPARED = 1_000  # ids in which one near an unknown one is looked for: 10 ms

T = TypeVar("T")


class ServedModel:
    """A bundle that has been loaded, checked and warmed.

    Args:
        bundle: The bundle.
        version: Its number.
        state: What changed since, if anything may.

    Attributes:
        bundle: What answers; `now` gives it with the changes until now.
        saved: The bundle as it was saved.
        follower: What applies the changes.
    """

    def __init__(self, bundle: Bundle, version: int, state: LiveState | None = None) -> None:
        self.saved = bundle
        self.bundle: Answering = bundle
        self.version = version
        self.query_seconds = self._warm_up()
        self.follower = None if state is None else Follower(bundle, state)

    @classmethod
    def load(cls, folder: Path, version: int, state: LiveState | None = None) -> "ServedModel":
        """Load a version, let it answer a few queries to itself, and apply the changes there are.

        Raises:
            BundleError: The bundle is bad, or cannot answer.
            LiveStateError: The live state fails, or does not belong to this bundle.
        """
        return cls(Bundle.load(folder, mmap=True), version, state)

    def now(self) -> "ServedModel":
        """Return the model with all changes until now, for one request: it changes no more."""
        if self.follower is None:
            return self
        view = copy.copy(self)
        view.bundle = self.follower.current
        return view

    @property
    def user_ids_are_text(self) -> bool:
        """Whether the ids of users are text."""
        return bool(self.bundle.tower.user_ids.dtype == pl.String)

    def _warm_up(self) -> float:
        users = self.bundle.tower.users.ids[:_WARM_UP].tolist()
        if not users:
            raise BundleError("the bundle knows no user, so that there is nobody to recommend to.")
        took = []
        for user in users:
            start = perf_counter()
            result = self.bundle.recommend([user], 10)
            took.append(perf_counter() - start)
            found = result.rows[0] >= 0
            if not np.isfinite(result.scores[0][found]).all():
                raise BundleError(f"the scores of user {user!r} are not finite.")
        return median(took)

    def quick(self, queries: int, k: int, exact: bool) -> bool:
        """Whether that many queries take so little time that a thread would cost more."""
        return not exact and k <= 100 and queries * self.query_seconds < _AT_ONCE_SECONDS

    def user(self, value: Any) -> int | str:
        """Return a user id as the bundle has it: "42" and 42 name the same user.

        Raises:
            RequestError: It cannot be an id (400), or is not known (404).
        """
        tower = self.bundle.tower
        user = _parsed(value, tower.user_ids, "user_id")
        if user is None or not self.bundle.knows(user):
            raise _unknown("user", value, tower.users.ids)
        return user

    def item(self, value: Any, argument: str = "item_id") -> int | str:
        """Return an item id as the bundle has it.

        Raises:
            RequestError: It cannot be an id (400), or is not known (404).
        """
        items = self.bundle.items
        item = _parsed(value, items.ids, argument)
        if item is None or item not in items:
            raise _unknown("item", value, items.id_array)
        return item

    def known_items(self, values: Sequence[Any], argument: str) -> list[int | str]:
        """Return those of the values that are items; unknown ones are left out.

        Raises:
            RequestError: One cannot be an id (400).
        """
        items = self.bundle.items
        parsed = (_parsed(value, items.ids, argument) for value in values)
        return [item for item in parsed if item is not None and item in items]


def _parsed(value: Any, ids: pl.Series, argument: str) -> int | str | None:
    try:
        return parse_id(value, ids.dtype == pl.String, argument)
    except ValueError as error:
        raise RequestError(400, str(error)) from None


def _unknown(what: str, value: object, ids: Ids) -> RequestError:
    return RequestError(404, unknown_id(what, value, ids, compared=_COMPARED))


class Workers:
    """Threads for what takes long, so that what does not is answered meanwhile.

    Args:
        limits: How long a request may wait for a thread.
        metrics: Where waiting is counted.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        count = os.cpu_count() or 1
        self._limits = limits
        self._metrics = metrics
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="search")
        self._free = asyncio.Semaphore(count)

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` on a thread.

        Raises:
            RequestError: No thread became free in time (429).
        """
        start = perf_counter()
        self._metrics.queued += 1
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                await self._free.acquire()
        except TimeoutError:
            self._metrics.shed["deadline"] += 1
            raise RequestError(
                429, f"No worker within {self._limits.queue_seconds} s.", retry_after=1
            ) from None
        finally:
            self._metrics.queued -= 1
        self._metrics.stages["wait"].observe(perf_counter() - start)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._free.release()

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
