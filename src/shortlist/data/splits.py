"""Train and test, and what leaks from one into the other."""

import warnings
from dataclasses import dataclass, replace
from datetime import date
from numbers import Real
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.columns import Source
from shortlist.data.errors import DataError
from shortlist.data.interactions import Interactions, check_interactions
from shortlist.data.pairs import check_id_types, stand_in
from shortlist.data.storage import blocks, counts
from shortlist.data.times import time_column


@dataclass(frozen=True)
class Leakage:
    """What a model may have seen of the test interactions, or cannot have seen.

    Attributes:
        test: Test interactions in all.
        in_train: Those whose user chose the same item in train too.
        unseen_users: Users of test without any interaction in train.
        unseen_items: Items of test without any interaction in train.
        of_unseen_users: Test interactions of those users.
        of_unseen_items: Test interactions of those items.
        before_train_end: Test interactions earlier than the latest of train (a model may have
            learnt from their future); None without times.
        tied: Test interactions at the very time of one of the same user's in train, so that
            which came first is not known; None without times.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2, 2], [7, 8, 7, 9])
        >>> print(split_leave_last_out(views).leakage())
        0 of 2 test interactions stand in train too
        0 users unseen in train (0 interactions)
        2 items unseen in train (2 interactions)
    """

    test: int
    in_train: int
    unseen_users: int
    unseen_items: int
    of_unseen_users: int
    of_unseen_items: int
    before_train_end: int | None
    tied: int | None

    def __str__(self) -> str:
        lines = [
            f"{self.in_train:,} of {self.test:,} test interactions stand in train too",
            f"{self.unseen_users:,} users unseen in train ({self.of_unseen_users:,} interactions)",
            f"{self.unseen_items:,} items unseen in train ({self.of_unseen_items:,} interactions)",
        ]
        if self.before_train_end is not None:
            lines.append(f"{self.before_train_end:,} earlier than the end of train")
        if self.tied is not None:
            lines.append(f"{self.tied:,} at the very time of one of the same user's in train")
        return "\n".join(lines)


class SplitWarning(UserWarning):
    """The data did not allow the split that was asked for; the split's `remark` says the same."""


@dataclass(frozen=True)
class Split:
    """Interactions to learn from and interactions to be judged by.

    Attributes:
        train: Learn from these.
        test: Be judged by these.
        remark: Where the data did not allow the split that was asked for: what came instead.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2, 2], [7, 8, 7, 9])
        >>> split = split_leave_last_out(views)
        >>> len(split.train), len(split.test)
        (2, 2)
    """

    train: Interactions
    test: Interactions
    remark: str = ""

    def leakage(self) -> Leakage:
        """Report what of test stands in train, and what of test does not occur in train.

        Raises:
            DataError: The ids are integers in one part and text in the other.

        Example:
            >>> views = Interactions.from_arrays([1, 1, 2, 2], [7, 8, 7, 9])
            >>> split_leave_last_out(views).leakage().unseen_items
            2
        """
        check_id_types(self.test, self.train)
        train, test = self.train, self.test
        new_users = test.user.rows_in(train.user) < 0
        new_items = test.item.rows_in(train.item) < 0
        timed = "timestamp" in train.values and "timestamp" in test.values
        return Leakage(
            test=len(test),
            in_train=int(np.count_nonzero(stand_in(test, train))),
            unseen_users=int(new_users.sum()),
            unseen_items=int(new_items.sum()),
            of_unseen_users=int(counts(test.user.rows, len(new_users))[new_users].sum()),
            of_unseen_items=int(counts(test.item.rows, len(new_items))[new_items].sum()),
            before_train_end=int((test.values["timestamp"] < train.values["timestamp"].max()).sum())
            if timed
            else None,
            tied=_tied(test, train) if timed else None,
        )


def _tied(test: Interactions, train: Interactions) -> int:
    """Count the test interactions at the very time of one of the same user's in train."""
    key = ["user", "time"]
    users = test.user.rows_in(train.user)
    wanted = pl.DataFrame({"user": users[test.user.rows], "time": test.values["timestamp"]})
    found = [wanted.clear()]
    times = train.values["timestamp"]
    for rows in blocks(len(train), train.user.rows, times):
        theirs = pl.DataFrame({"user": train.user.rows[rows].astype(np.int64), "time": times[rows]})
        found.append(theirs.join(wanted, on=key, how="semi").unique())
    return len(wanted.join(pl.concat(found), on=key, how="semi"))


Manner = Literal["random", "time", "last"]


def hold_out(
    interactions: Interactions, how: Manner = "random", *, test: float = 0.2, seed: int = 0
) -> Split:
    """Split in the manner named, as the command line and its files do.

    Args:
        interactions: At least two; with times for `"time"`.
        how: `"random"`, the latest by `"time"`, or the `"last"` of each user.
        test: The share of test, for random and time.
        seed: Of the random split.

    Returns:
        Train and test.

    Raises:
        DataError: An unknown manner, or as the split of that manner.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2], [7, 8, 9], timestamp=[10, 30, 20])
        >>> hold_out(views, "last").test.item_ids
        array([8])
    """
    if how == "random":
        return split_random(interactions, test=test, seed=seed)
    if how == "time":
        return split_by_time(interactions, test=test)
    if how == "last":
        return split_leave_last_out(interactions)
    raise DataError(f"`how` must be 'random', 'time' or 'last', got {how!r}.")


def split_random(interactions: Interactions, *, test: float = 0.2, seed: int = 0) -> Split:
    """Draw the test interactions at random.

    Args:
        interactions: At least two.
        test: The share of test, between 0 and 1; rounded to whole interactions.
        seed: The same seed gives the same split.

    Returns:
        Every interaction in train or in test, in the order they had.

    Raises:
        DataError: A share out of range, or one that leaves a part empty.

    Example:
        >>> views = Interactions.from_arrays(range(10), range(10))
        >>> split = split_random(views, test=0.2)
        >>> len(split.train), len(split.test)
        (8, 2)
    """
    check_interactions(interactions, "interactions")
    _check_share(test)
    rows = np.arange(len(interactions), dtype=np.int32)
    _generator(seed).shuffle(rows)
    held_out = np.zeros(len(interactions), bool)
    held_out[rows[: round(test * len(interactions))]] = True
    return _split(interactions, held_out, f"`test` = {test}")


def split_by_time(
    interactions: Interactions, *, at: float | str | date | None = None, test: float = 0.2
) -> Split:
    """Learn from what came before a time, be judged by what came then and after.

    Args:
        interactions: With times.
        at: The time: seconds since 1970, a date, a datetime (UTC where it names no zone) or ISO
            8601 text.
        test: Without `at`: the share of test. The time is chosen so that test is at most this
            share, and no two interactions of one second are parted. Where more than this share
            have the latest time of all, as in data by the day, test is all of those; the split's
            `remark` and a `SplitWarning` say so.

    Returns:
        What came before, as train, and the rest, as test.

    Raises:
        DataError: No times, a share out of range, or a time that leaves a part empty.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2], [7, 8, 9], timestamp=[10, 30, 20])
        >>> split_by_time(views, at=20).train.item_ids
        array([7])
    """
    check_interactions(interactions, "interactions")
    times = _times(interactions)
    if at is not None:
        if not isinstance(at, Real):
            at = float(time_column(pl.Series("at", [at]), Source("`at`", options=False))[0])
        return _split(interactions, times >= at, f"`at` = {at:g}")
    _check_share(test)
    asked = int(test * len(times) + 1e-9)  # 0.29 * 100 is 28.999…
    if not asked:
        raise DataError(f"`test` = {test} leaves test empty ({len(times)} interactions).")
    boundary = np.partition(times, -asked)[-asked]
    if np.count_nonzero(times >= boundary) > asked:
        later = times[times > boundary]
        boundary = later.min() if len(later) else boundary
    split = _split(interactions, times >= boundary, f"`test` = {test}")
    if len(split.test) <= asked:
        return split
    remark = (
        f"{len(split.test):,} of {len(times):,} interactions are held out, more than the share of "
        f"{test} asked for: so many have the latest time."
    )
    warnings.warn(remark, SplitWarning, stacklevel=2)
    return replace(split, remark=remark)


def split_leave_last_out(interactions: Interactions) -> Split:
    """Be judged by the last interaction of every user who has at least two.

    Args:
        interactions: Ordered by their times, if they have any, then by their rows: of several at
            a user's latest time the last row is held out (`leakage().tied` counts such users). A
            user of one interaction stays in train.

    Returns:
        The last interaction of each such user as test, all others as train.

    Raises:
        DataError: No user has two interactions.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2], [7, 8, 9], timestamp=[10, 30, 20])
        >>> split_leave_last_out(views).test.item_ids
        array([8])
    """
    check_interactions(interactions, "interactions")
    users = interactions.user.rows
    times = interactions.values.get("timestamp")
    size = len(interactions.user.ids)
    last = np.zeros(size, np.int64)  # the row of each user's last interaction
    latest = np.full(size, np.iinfo(np.int64).min)
    for rows in blocks(len(users), users, *([] if times is None else [times])):
        here = users[rows]
        places = np.arange(rows.start, rows.stop)
        if times is not None:
            np.maximum.at(latest, here, times[rows])
            is_latest = times[rows] == latest[here]
            here, places = here[is_latest], places[is_latest]
        np.maximum.at(last, here, places)
    held_out = np.zeros(len(users), bool)
    held_out[last[counts(users, size) > 1]] = True
    return _split(interactions, held_out, "leaving the last of each user out")


def _times(interactions: Interactions) -> npt.NDArray[np.int64]:
    if "timestamp" not in interactions.values:
        raise DataError("splitting by time needs a column 'timestamp', and there is none.")
    return interactions.values["timestamp"]


def _generator(seed: int) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError):
        raise DataError(f"`seed` must be a whole number of at least 0, got {seed!r}.") from None


def _check_share(test: float) -> None:
    if not isinstance(test, Real) or not 0 < test < 1:
        raise DataError(f"`test` must be between 0 and 1, got {test}.")


def _split(interactions: Interactions, held_out: npt.NDArray[np.bool_], how: str) -> Split:
    for part, rows in (("test", held_out), ("train", ~held_out)):
        if not rows.any():
            raise DataError(f"{how} leaves {part} empty ({len(interactions)} interactions).")
    return Split(interactions.take(~held_out), interactions.take(held_out))
