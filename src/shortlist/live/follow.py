"""A bundle that follows a live state."""

import copy
import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from shortlist.bundle import Bundle
from shortlist.live.appending import MAX_CHANGES, milliseconds
from shortlist.live.bundles import LiveBundle
from shortlist.live.changes import (
    Change,
    Interaction,
    ItemRemoval,
    ItemUpsert,
    LogEntry,
    Receipt,
)
from shortlist.live.checks import check_fit
from shortlist.live.errors import LiveStateError
from shortlist.live.state import LiveState

logger = logging.getLogger("shortlist.live")

_WAIT_SECONDS = 0.5


class Follower:
    """Applies the changes of a live state to a bundle, in order, each batch at once.

    `current` is what answers: a bundle with all changes up to one place of the log. It never
    changes; the next one takes its place.

    A bundle may say what it has learnt already: `Bundle.save(..., run={"live": state.mark()})`,
    with the mark taken before its training data was read, or `run={"live": {"time": seconds}}` for
    all up to a moment since 1970. Changes up to there are left out where
    the bundle agrees with them: an item that it holds, one removed that it does not hold, what a
    user did with an item that it holds. All others are applied again.

    As a context manager it follows in a thread of its own; without, call `refresh`.

    Args:
        bundle: What was learnt.
        state: What changed since.

    Attributes:
        current: What answers now.
        refused: Items of the log that could not be placed, and why; they are as before.
        lag_seconds: From the append of the latest change to its application here.

    Raises:
        LiveStateError: The state cannot be read, is of another kind of ids, or was shortened
            beyond what this bundle has learnt.
    """

    def __init__(self, bundle: Bundle, state: LiveState) -> None:
        self.bundle = bundle
        self.state = state
        self.refused: dict[int | str, str] = {}
        self.lag_seconds = 0.0
        self._saved = copy.copy(bundle.index)
        self._index = copy.copy(bundle.index)
        self._learnt = _learnt(bundle.run, state)
        if self._learnt < state.dropped:
            raise LiveStateError(
                f"the log of {state.place} begins after change {state.dropped}, which a newer "
                f"bundle has learnt, and this bundle has learnt up to {self._learnt}; load the "
                "newer one."
            )
        self.current = LiveBundle(
            bundle.tower, copy.copy(bundle.index), bundle.items, bundle.histories
        )
        self._applying = threading.Lock()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.refresh()

    @property
    def position(self) -> int:
        """The place in the log up to which changes are applied."""
        return self.current.sequence

    def append(self, changes: Iterable[Change], *, key: str | None = None) -> Receipt:
        """Check changes against the bundle, append them to the log, and apply them here.

        Args:
            changes: As for `LiveState.append`.
            key: As for `LiveState.append`.

        Returns:
            Their places in the log. `current` holds them now.

        Raises:
            ValueError: They do not fit the bundle, or as `LiveState.append` says.
            KeyReusedError: As `LiveState.append`.
            LiveStateError: As `LiveState.append`.
        """
        given = list(changes)
        try:
            check_fit((one for one in given if isinstance(one, Change)), self.bundle, self.current)
        except ValueError:
            # A call that comes again is answered as before, whatever changed since.
            known = None if key is None else self.state.receipt(given, key)
            if known is None:
                raise
            return known
        receipt = self.state.append(given, key=key)
        try:
            self.refresh()
        except LiveStateError as error:  # they are durable, and applied by the next refresh
            logger.warning("changes are kept, and not applied yet: %s", error)
        return receipt

    def refresh(self) -> int:
        """Apply all that is new in the log.

        Returns:
            How many entries of the log that were.

        Raises:
            LiveStateError: The log cannot be read; what was applied stays.
        """
        with self._applying:
            count, last = 0, self.state.last
            while entries := self.state.changes(self.position):
                self._apply(entries)
                count += len(entries)
                if len(entries) < MAX_CHANGES:
                    break
            if self.position < last:  # the latest changes may have no entry any more
                self.current = replace(self.current, sequence=last)
            return count

    def take_over(self) -> int:
        """Drop from the log what this bundle has learnt.

        A server with an older bundle goes on with what it has applied; started again, it needs
        this bundle.

        Returns:
            How many entries were dropped.
        """
        learnt: list[int] = []
        after = 0
        while entries := self.state.changes(after):
            learnt += [entry.sequence for entry in entries if self._has_learnt(entry)]
            after = entries[-1].sequence
            if after > self._learnt:
                break
        self.state.drop(learnt, self._learnt)
        return len(learnt)

    def start(self) -> None:
        """Follow in a thread, until `close`."""
        self._thread = threading.Thread(target=self._follow, name="live", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; the state stays open."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                if self.state.wait(self.position, _WAIT_SECONDS):
                    self.refresh()
            except Exception as error:  # what was applied goes on answering, whatever happens
                if not self._stopped.is_set():
                    logger.error("following the live state failed: %s", error)
                self._stopped.wait(_WAIT_SECONDS)

    def _has_learnt(self, entry: LogEntry) -> bool:
        if entry.sequence > self._learnt:
            return False
        holds = bool(self._saved.rows([entry.change.item_id])[0] >= 0)
        return holds != isinstance(entry.change, ItemRemoval)

    def _apply(self, entries: Sequence[LogEntry]) -> None:
        self._check_kinds(entries)
        upserts: dict[int | str, ItemUpsert] = {}
        removed: list[int | str] = []
        events = dict(self.current.events)
        most = self.state.retention.per_user
        for entry in entries:
            if self._has_learnt(entry):
                continue
            match entry.change:
                case ItemUpsert() as upsert:
                    upserts[upsert.item_id] = upsert
                case ItemRemoval(item):
                    removed.append(item)
                case Interaction(user, item):
                    events[user] = (*events.get(user, ()), item)[-most:]
        placed = self._placed(upserts)
        if removed:
            self._index.delete(removed)
        items = self.current.items
        known: dict[int | str, Mapping[str, Any]] = {}
        for item in placed:
            attributes = upserts[item].attributes
            if attributes is not None or item not in items:
                known[item] = attributes or {}
        if placed:
            self._upsert(placed, known)
        if placed or removed:
            known = {item: attributes for item, attributes in known.items() if item in placed}
            items = items.changed(copy.copy(self._index), known, removed)
        index = copy.copy(self._index) if placed or removed else self.current.index
        self.current = LiveBundle(
            self.bundle.tower,
            index,
            items,
            self.bundle.histories,
            entries[-1].sequence,
            events,
        )
        self.lag_seconds = max(0.0, (milliseconds() - entries[-1].time) / 1000)

    def _check_kinds(self, entries: Sequence[LogEntry]) -> None:
        text = self.bundle.items.text
        for entry in entries:
            if isinstance(entry.change.item_id, str) != text:
                kinds = ("integers", "text")
                raise LiveStateError(
                    f"ids of items in {self.state.place} are {kinds[not text]}, and those of the "
                    f"bundle are {kinds[text]}: this is the live state of another bundle."
                )

    def _placed(
        self, upserts: Mapping[int | str, ItemUpsert]
    ) -> dict[int | str, npt.NDArray[np.float32]]:
        """Return the embedding of each item that has one; the others are refused, with a reason."""
        placed = {}
        for item, upsert in upserts.items():
            try:
                placed[item] = self._embedding(upsert)
            except ValueError as error:
                self._refuse(item, str(error))
            else:
                self.refused.pop(item, None)
        return placed

    def _embedding(self, upsert: ItemUpsert) -> npt.NDArray[np.float32]:
        dim = self.bundle.index.dim
        if upsert.embedding is not None and len(upsert.embedding) == dim:
            return upsert.embedding
        if upsert.attributes is not None and self.bundle.candidate_tower is not None:
            made: npt.NDArray[np.float32]
            (made,) = self.bundle.candidate_tower.embed([upsert.item_id], [upsert.attributes])
            if not np.isfinite(made).all():
                raise ValueError("the candidate tower gives it an embedding that is not finite")
            return made
        if upsert.embedding is not None:
            raise ValueError(f"its embedding has {len(upsert.embedding)} dimensions, not {dim}")
        if self._saved.rows([upsert.item_id])[0] < 0:
            raise ValueError("it has no embedding, and the bundle has no candidate tower")
        own: npt.NDArray[np.float32] = self._saved.vectors([upsert.item_id])[0]
        return own

    def _upsert(
        self,
        placed: dict[int | str, npt.NDArray[np.float32]],
        known: Mapping[int | str, Mapping[str, Any]],
    ) -> None:
        """Put items into the index; those that it refuses are taken out of `placed`."""

        def attributes(ids: list[int | str]) -> dict[str, list[Any]]:
            """What searches can ask of them by `where`, as far as the index has it."""
            rows = [
                known[item] if item in known else self.current.items.details(item) for item in ids
            ]
            return {name: [row.get(name) for row in rows] for name in self._index.attributes}

        ids = list(placed)
        try:
            self._index.upsert(np.stack(list(placed.values())), ids, attributes(ids))
        except ValueError:
            for item, embedding in list(placed.items()):
                try:
                    self._index.upsert(embedding[None], [item], attributes([item]))
                except ValueError as error:
                    del placed[item]
                    self._refuse(item, str(error))

    def _refuse(self, item: int | str, why: str) -> None:
        self.refused[item] = why
        logger.warning("item %r of the live state is left as it was: %s", item, why)


def _learnt(run: Mapping[str, Any], state: LiveState) -> int:
    """Return the place up to which a bundle says it has learnt from this state."""
    mark = run.get("live")
    if not isinstance(mark, Mapping):
        return 0
    moment = mark.get("time")
    if isinstance(moment, int | float):
        return state.at(moment)
    if mark.get("state") != state.id:
        return 0
    change = mark.get("change")
    return change if isinstance(change, int) and 0 <= change <= state.last else 0
