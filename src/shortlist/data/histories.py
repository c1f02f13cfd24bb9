"""Who had what, in time order."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.io.plugins import register_io_source

from shortlist.data.columns import Source, as_series, id_series
from shortlist.data.errors import DataError
from shortlist.data.interactions import Interactions, check_interactions
from shortlist.data.storage import BLOCK, Column, Growing, blocks, column, counts, grouped, release
from shortlist.data.times import time_column
from shortlist.data.vocabulary import Vocabulary
from shortlist.ids import Ids, are_text, as_id, as_ids, check_kind

# A query tower is shown at most this many of a user's items, the latest.
MAX_HISTORY = 1_024


class Histories:
    """The items of each user, oldest first.

    Where interactions have times, those of a user stand in the order of their times, and those of
    one time in the order of their rows. Where there are no times, the order of the rows counts.
    A user who had an item twice has it twice. A user who is not here has had nothing.

    Made by `from_interactions`, `from_lists` or `read_parquet`.

    Attributes:
        users: (u,) ids of the users, sorted: int64, or object (str).
        item_ids: (m,) ids of the different items, sorted.
        times: (n,) int64 seconds since 1970, user after user; None where there are no times.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2], [30, 10, 20], timestamp=[9, 5, 7])
        >>> histories = Histories.from_interactions(views)
        >>> histories[1]
        array([10, 30])
        >>> [items.tolist() for items in histories.before([1, 2], times=9)]
        [[10], [20]]
    """

    def __init__(
        self,
        users: Ids,
        offsets: npt.NDArray[np.int64],
        codes: npt.NDArray[np.int32],
        item_ids: Ids,
        times: npt.NDArray[np.int64] | None,
    ) -> None:
        self.users = users
        self.item_ids = item_ids
        self.times = times
        self._offsets = offsets  # user number i has the interactions offsets[i] to offsets[i + 1]
        self._codes = codes  # positions in `item_ids`

    @classmethod
    def from_interactions(cls, interactions: Interactions | pl.DataFrame) -> Histories:
        """Collects histories.

        Args:
            interactions: Interactions, or a Polars frame with the columns `user_id`, `item_id` and,
                where known, `timestamp`, of which numbers count seconds since 1970. The order of
                the rows counts where there are no times.

        Raises:
            DataError: A frame with missing columns, ids or times.
        """
        if isinstance(interactions, pl.DataFrame):
            names = [name for name in _COLUMNS if name in interactions.columns]
            if interactions.is_empty() and names[:2] == ["user_id", "item_id"]:
                return cls.empty()
            unit = _unit_of(interactions["timestamp"]) if "timestamp" in names else None
            interactions = Interactions.from_polars(interactions.select(names), time_unit=unit)
        check_interactions(interactions, "interactions")
        if _DERIVED not in interactions.derived:
            interactions.derived[_DERIVED] = cls.of_rows(
                interactions.user_ids,
                interactions.user.rows,
                interactions.item_ids,
                interactions.item.rows,
                interactions.values.get("timestamp"),
            )
        histories: Histories = interactions.derived[_DERIVED]
        return histories

    @classmethod
    def of_rows(
        cls,
        users: Ids,
        user_rows: npt.NDArray[np.int32],
        items: Ids,
        item_rows: npt.NDArray[np.int32],
        times: npt.NDArray[np.int64] | None,
    ) -> Histories:
        """Collects histories of users and items given by their rows.

        Args:
            users: (u,) ids, sorted.
            user_rows: (n,) the user of each interaction, as a row of `users`.
            items: (m,) ids, sorted.
            item_rows: (n,) the item of each interaction.
            times: (n,) seconds since 1970, or None.
        """
        offsets = _offsets(counts(user_rows, len(users)))
        columns: list[Column] = [user_rows, item_rows]
        if times is not None:
            columns.append(times)
        # Users one after the other in groups, each of which can be sorted in memory.
        number = min(-(-len(user_rows) // BLOCK), 250)
        starts = np.array([0, len(user_rows)])
        if number > 1:
            of_user = (offsets[:-1] * number // len(user_rows)).astype(np.uint8)
            groups = column(len(user_rows), np.uint8)
            for block in blocks(len(groups), groups, user_rows):
                groups[block] = of_user[user_rows[block]]
            columns, starts = grouped(columns, groups, number)
        codes = column(len(user_rows), np.int32)
        sorted_times = None if times is None else column(len(user_rows), np.int64)
        for start, end in pairwise(starts.tolist()):
            names = ("user", "item", "time")
            part = pl.DataFrame(
                {name: each[start:end] for name, each in zip(names, columns, strict=False)}
            ).sort("user", *(["time"] if times is not None else []), maintain_order=True)
            codes[start:end] = part["item"].to_numpy()
            if sorted_times is not None:
                sorted_times[start:end] = part["time"].to_numpy()
                release(sorted_times)
            release(codes, *columns)
        return cls(users, offsets, codes, items, sorted_times)

    @classmethod
    def from_lists(cls, lists: Sequence[Any], argument: str = "histories") -> Histories:
        """Collects the histories of users 0, 1, … from one sequence of item ids for each.

        Args:
            lists: Item ids of each user, oldest first; some may be empty.
            argument: The name of the argument in error messages.

        Raises:
            ValueError: Ids that are none, or of different kinds.

        Example:
            >>> Histories.from_lists([["b", "a"], []]).lengths
            array([2, 0])
        """
        if isinstance(lists, str) or not isinstance(lists, Iterable):
            raise DataError(
                f"`{argument}` must hold a sequence of item ids for each user, got {lists!r}."
            )
        parts = [as_ids(items, f"{argument}[{user}]") for user, items in enumerate(lists)]
        filled = [part for part in parts if len(part)]
        for part in filled:
            check_kind(part, are_text(filled[0]), argument, "its first items")
        together = np.concatenate(filled) if filled else np.zeros(0, np.int64)
        item_ids, codes = np.unique(together, return_inverse=True)
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        return cls(np.arange(len(parts)), _offsets(lengths), codes.astype(np.int32), item_ids, None)

    @classmethod
    def empty(cls) -> Histories:
        """Returns the histories of nobody."""
        return cls.from_lists([])

    @classmethod
    def read_parquet(cls, path: str | Path) -> Histories:
        """Reads what `write_parquet` wrote, or any table of interactions with its columns.

        Raises:
            DataError: The file cannot be read, or is no such table.
        """
        try:
            rows = pl.scan_parquet(path, hive_partitioning=False, glob=False)
            names, length = rows.collect_schema().names(), rows.select(pl.len()).collect().item()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise DataError(f"{path} cannot be read: {error}") from None
        if not length and {"user_id", "item_id"} <= set(names):
            return cls.empty()
        return cls.from_interactions(Interactions.from_parquet(path, time_unit="s"))

    def write_parquet(self, path: str | Path) -> None:
        """Writes a Parquet file with a row per interaction: `to_frame`, some users at a time."""
        schema = self._frame(slice(0, 0)).schema

        def frames(columns: Any, predicate: Any, rows: Any, size: Any) -> Iterator[pl.DataFrame]:
            del columns, predicate, rows, size  # all is written
            yield from (self._frame(users) for users in _pieces(self.lengths))

        register_io_source(frames, schema=schema).sink_parquet(path)

    def to_frame(self) -> pl.DataFrame:
        """Returns the interactions as a table: `user_id`, `item_id` and, where known, `timestamp`.

        The users stand in their order, the interactions of each oldest first.
        """
        return self._frame(slice(0, len(self)))

    def _frame(self, users: slice) -> pl.DataFrame:
        """The interactions of some users, which follow one another."""
        rows = slice(*self._offsets[[users.start, users.stop]])
        owners = np.repeat(np.arange(users.start, users.stop), self.lengths[users])
        columns = {
            "user_id": self._user_column.gather(pl.Series(owners)),
            "item_id": self._item_column.gather(pl.Series(self._codes[rows])),
        }
        if self.times is not None:
            columns["timestamp"] = pl.Series(self.times[rows])
            release(self.times)
        release(self._codes)
        return pl.DataFrame(columns)

    @cached_property
    def _user_column(self) -> pl.Series:
        return id_series(self.users, "users")

    @cached_property
    def _item_column(self) -> pl.Series:
        return id_series(self.item_ids, "items")

    def __len__(self) -> int:
        """Returns the number of users."""
        return len(self.users)

    def __iter__(self) -> Iterator[int | str]:
        """Iterates over the ids of the users."""
        return iter(self.users.tolist())

    def __contains__(self, user: object) -> bool:
        """Returns whether a user is here."""
        try:
            return self._row(user) >= 0
        except ValueError:
            return False

    def __getitem__(self, user: Any) -> Ids:
        """Returns the item ids of one user, oldest first; none for a user who is not here.

        Raises:
            ValueError: The id is of another kind than those here.
        """
        row = self._row(user)
        return self._items(self._offsets[row] if row >= 0 else 0, self._offsets[row + 1])

    def __call__(self, users: Any) -> list[Ids]:
        """Returns the item ids of each user, oldest first; none for users who are not here.

        Args:
            users: (q,) ids.

        Raises:
            ValueError: Ids of another kind than those here.
        """
        return self._lists(*self._bounds(users))

    def before(self, users: Any, times: Any) -> list[Ids]:
        """Returns what each user had had strictly before a moment, oldest first.

        What happened in the same second as the moment is left out, as is all that came later.

        Args:
            users: (q,) ids, repeated or not.
            times: (q,) moments, or one for all: seconds since 1970, date-times or ISO 8601 text.

        Raises:
            ValueError: These histories have no times, or `times` does not fit.
        """
        return self._lists(*self._bounds(users, times))

    def excluded(self, users: Any, exclude: Sequence[Any] | None = None) -> list[Ids]:
        """Returns what each user must not get: what they have had, and what `exclude` adds.

        Args:
            users: (q,) ids.
            exclude: One sequence of item ids per user; None adds nothing.

        Raises:
            ValueError: Not one sequence a user, or ids of another kind than the items here.
        """
        had = self(users)
        if exclude is None:
            return had
        if not hasattr(exclude, "__len__"):
            raise DataError(
                f"`exclude` must hold one sequence for each of {len(had)} users, got {exclude!r}."
            )
        if len(exclude) != len(had):
            raise DataError(
                f"`exclude` must hold one sequence for each of {len(had)} users, "
                f"got {len(exclude)}."
            )
        both = []
        for own, more in zip(had, exclude, strict=True):
            further = as_ids(more, "exclude")
            if len(self.item_ids):
                check_kind(further, are_text(self.item_ids), "exclude", "these items")
            both.append(np.concatenate([own, further]) if len(own) else further)
        return both

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(u,) int64, how many items each user has had."""
        return np.diff(self._offsets)

    @property
    def items(self) -> Ids:
        """(n,) item ids, user after user, those of each oldest first."""
        return self._items(0, len(self._codes))

    def popularity(self) -> npt.NDArray[np.int64]:
        """Returns (m,) int64, how many users have had each of `item_ids`.

        Example:
            >>> Histories.from_lists([["b", "a", "b"], ["b"]]).popularity()
            array([1, 2])
        """
        found = np.zeros(len(self.item_ids), np.int64)
        for users in _pieces(self.lengths):
            start, end = self._offsets[[users.start, users.stop]]
            owners = np.repeat(np.arange(users.stop - users.start), self.lengths[users])
            pairs = pl.Series(owners * len(found) + self._codes[start:end]).unique().to_numpy()
            found += np.bincount(pairs % len(found), minlength=len(found))
            release(self._codes)
        return found

    def latest(self, n: int) -> Histories:
        """Returns the same with the last `n` items of each user only."""
        if not isinstance(n, Integral) or n < 0:
            raise ValueError(f"`n` must be a whole number of at least 0, got {n!r}.")
        to_come = np.repeat(self._offsets[1:], self.lengths) - np.arange(len(self._codes))
        return self._kept(to_come <= n)

    def distinct(self) -> Histories:
        """Returns the same with each item of a user once, where they had it last."""
        pairs = np.repeat(np.arange(len(self)), self.lengths) * len(self.item_ids) + self._codes
        _, last = np.unique(pairs[::-1], return_index=True)
        kept = np.zeros(len(pairs), bool)
        kept[len(pairs) - 1 - last] = True
        return self._kept(kept)

    def among(self, items: Any) -> Histories:
        """Returns the same without the items that are not among `items`, which are ids."""
        ids = as_ids(items, "items")
        if len(self.item_ids):
            check_kind(ids, are_text(self.item_ids), "items", "these histories")
        return self._kept(np.isin(self.item_ids, ids)[self._codes])

    def encoded(self, users: Vocabulary, items: Vocabulary) -> Histories:
        """Returns the same by the indices that vocabularies give to users and items.

        Every index of `users` is there; 0, the unknown user, has had nothing. Items that `items`
        does not know are left out.

        Example:
            >>> views = Interactions.from_arrays(["a", "a", "b"], ["x", "y", "x"])
            >>> histories = Histories.from_interactions(views)
            >>> users, items = Vocabulary(["a", "b"]), Vocabulary(["z", "y", "x"])
            >>> histories.encoded(users, items)([0, 1, 2])
            [array([], dtype=int64), array([3, 2]), array([3])]
        """
        starts, ends = self._bounds(users.ids)
        of_item = items.encode(self.item_ids)
        lengths = np.zeros(users.size, np.int64)
        codes, times = Growing(np.int32), Growing(np.int64)
        for some in _pieces(ends - starts):
            places = _ranges(starts[some], ends[some])
            indices = of_item[self._codes[places]]
            owners = np.repeat(np.arange(some.stop - some.start), (ends - starts)[some])
            known = indices > 0
            lengths[1:][some] = np.bincount(owners[known], minlength=some.stop - some.start)
            codes.append(indices[known] - 1)
            if self.times is not None:
                times.append(self.times[places][known])
                release(self.times)
            release(self._codes)
        return Histories(
            np.arange(users.size),
            _offsets(lengths),
            codes.whole(),
            np.arange(1, items.size),
            None if self.times is None else times.whole(),
        )

    def padded(
        self, users: Any, n: int = MAX_HISTORY, *, width: int | None = None, before: Any = None
    ) -> npt.NDArray[np.int32]:
        """Returns the last items of each user as rows of equal length; for `encoded` histories.

        Args:
            users: (b,) indices of users.
            n: How many items to keep at most, the last ones.
            width: Columns to return, at least the longest kept; None for just those, at least 1.
            before: Moments as in `before`, to keep only what was known then; None keeps all.

        Returns:
            (b, width) int32 indices of items, oldest first, padded with 0 at the end.

        Example:
            >>> lists = Histories.from_lists([[5, 7, 6], [4]])
            >>> lists.padded([1, 0], 2)
            array([[4, 0],
                   [7, 6]], dtype=int32)
        """
        if are_text(self.item_ids) or (len(self.item_ids) and self.item_ids[0] < 1):
            raise ValueError("`padded` needs items counted from 1; `encoded` gives them.")
        starts, ends = self._bounds(users, before)
        starts = np.maximum(starts, ends - n)
        lengths = ends - starts
        width = max(1, int(lengths.max(initial=0))) if width is None else width
        out = np.zeros((len(starts), width), np.int32)
        places = _ranges(starts, ends)
        out[np.arange(width) < lengths[:, None]] = self.item_ids[self._codes[places]]
        return out

    def __eq__(self, other: object) -> bool:
        """Returns whether the same users had the same items in the same order at the same times."""
        if not isinstance(other, Histories):
            return NotImplemented
        if self.times is None or other.times is None:
            if self.times is not other.times:
                return False
        elif not np.array_equal(self.times, other.times):
            return False
        return (
            np.array_equal(self.users, other.users)
            and np.array_equal(self._offsets, other._offsets)
            and np.array_equal(self.items, other.items)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Histories({len(self._codes):,} items of {len(self):,} users)"

    def _row(self, user: Any) -> int:
        """The position of a user; -1 for one who is not here."""
        known = as_id(user, "user")
        if len(self.users) and isinstance(known, str) != are_text(self.users):
            check_kind(as_ids([known]), are_text(self.users), "user", "these users")
        row = bisect_left(self.users, known)
        return row if row < len(self.users) and self.users[row] == known else -1

    def _bounds(
        self, users: Any, before: Any = None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the interactions of each user begin and end; nothing for users not here."""
        ids = as_ids(users, "users")
        if not len(self.users):
            return np.zeros(len(ids), np.int64), np.zeros(len(ids), np.int64)
        check_kind(ids, are_text(self.users), "users", "these users")
        rows = np.searchsorted(self.users, ids).clip(max=len(self.users) - 1)
        here = self.users[rows] == ids
        starts = self._offsets[rows]
        ends = np.where(here, self._offsets[rows + 1], starts)
        if before is None:
            return starts, ends
        return starts, self._first_not_before(starts, ends, _moments(before, len(ids)))

    def _first_not_before(
        self,
        starts: npt.NDArray[np.int64],
        ends: npt.NDArray[np.int64],
        moments: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """For each range of interactions the first that is not before a moment: binary search."""
        if self.times is None:
            raise DataError(
                "what was known at a moment needs times: the interactions have no 'timestamp'."
            )
        low, high = starts.copy(), ends.copy()
        while (searching := low < high).any():
            middle = (low + high) // 2
            earlier = np.zeros(len(low), bool)
            earlier[searching] = self.times[middle[searching]] < moments[searching]
            low = np.where(searching & earlier, middle + 1, low)
            high = np.where(searching & ~earlier, middle, high)
        return low

    def _items(self, start: int, end: int) -> Ids:
        ids: Ids = self.item_ids[self._codes[start:end]]
        return ids

    def _lists(self, starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> list[Ids]:
        return [
            self._items(start, end)
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def _kept(self, mask: npt.NDArray[np.bool_]) -> Histories:
        """The interactions where `mask` is true, of the same users."""
        if mask.all():
            return self
        before = np.concatenate([[0], np.cumsum(mask)])
        return Histories(
            self.users,
            before[self._offsets],
            self._codes[mask],
            self.item_ids,
            None if self.times is None else self.times[mask],
        )


_DERIVED = "histories"
_COLUMNS = ("user_id", "item_id", "timestamp")


def _offsets(lengths: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _ranges(starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """start, start + 1, …, end - 1 of each pair, one after the other."""
    lengths = ends - starts
    shift = starts - np.cumsum(lengths) + lengths
    return np.repeat(shift, lengths) + np.arange(lengths.sum())


def _pieces(lengths: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Yields users one after the other, so many at a time as have some million interactions."""
    offsets, start = _offsets(lengths), 0
    while start < len(lengths):
        end = int(np.searchsorted(offsets, offsets[start] + BLOCK, side="right")) - 1
        yield slice(start, max(end, start + 1))
        start = max(end, start + 1)


def _moments(times: Any, count: int) -> npt.NDArray[np.int64]:
    """Moments as `count` int64 seconds since 1970."""
    if isinstance(times, str) or not hasattr(times, "__len__"):
        times = [times]
    if isinstance(times, list) and any(isinstance(one, np.generic) for one in times):
        times = np.array(times)
    if len(times) not in (1, count):
        raise DataError(f"`times` must be one moment or {count}, got {len(times)}.")
    if not len(times):
        return np.zeros(0, np.int64)
    source = Source("the moments")
    series = as_series(times, "times", source)
    seconds = time_column(series, source, _unit_of(series)).to_numpy()
    return np.broadcast_to(seconds, count)


def _unit_of(times: pl.Series) -> Literal["s"] | None:
    """Numbers are seconds here; text and dates have no unit."""
    return "s" if times.dtype.is_numeric() else None
