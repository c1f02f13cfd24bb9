import warnings
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import (
    DataError,
    Interactions,
    Split,
    SplitWarning,
    hold_out,
    split_by_time,
    split_leave_last_out,
    split_random,
)


def interactions(rows: list[tuple[int, int, int]]) -> Interactions:
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_arrays(users, items, timestamp=times, weight=range(len(rows)))


TABLES = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 20)), min_size=5, max_size=60
).map(interactions)


def rows(part: Interactions) -> list[float]:
    """Return which rows of the whole stand in a part: their weights number them."""
    return part.frame["weight"].to_list()


def assert_partition(whole: Interactions, split: Split) -> None:
    assert sorted(rows(split.train) + rows(split.test)) == list(range(len(whole)))
    assert rows(split.train) == sorted(rows(split.train))
    assert rows(split.test) == sorted(rows(split.test))


@given(TABLES, st.floats(0.2, 0.8), st.integers(0, 9))
def test_a_random_split_is_a_partition_of_the_size_asked_for(
    whole: Interactions, test: float, seed: int
) -> None:
    split = split_random(whole, test=test, seed=seed)
    assert_partition(whole, split)
    assert len(split.test) == round(test * len(whole))


def test_a_random_split_depends_on_its_seed_alone() -> None:
    whole = Interactions.from_arrays(range(100), range(100), weight=range(100))
    first = split_random(whole, seed=1)
    assert rows(first.test) == rows(split_random(whole, seed=1).test)
    assert rows(first.test) != rows(split_random(whole, seed=2).test)


@given(TABLES, st.integers(1, 20))
def test_train_lies_before_the_time_and_test_does_not(whole: Interactions, at: int) -> None:
    times = whole.frame["timestamp"].to_numpy()
    if not (times < at).any() or not (times >= at).any():
        with pytest.raises(DataError, match=r"leaves (test|train) empty"):
            split_by_time(whole, at=at)
        return
    split = split_by_time(whole, at=at)
    assert_partition(whole, split)
    assert split.train.frame["timestamp"].max() < at <= split.test.frame["timestamp"].min()
    assert split.leakage().before_train_end == 0


@given(TABLES, st.floats(0.05, 0.95))
def test_a_split_by_share_parts_no_second_and_holds_out_at_most_it(
    whole: Interactions, test: float
) -> None:
    asked = int(test * len(whole) + 1e-9)
    times = whole.frame["timestamp"].to_numpy()
    latest = int((times == times.max()).sum())
    if not asked or latest == len(whole):
        with pytest.raises(DataError, match=r"leaves (test|train) empty"):
            split_by_time(whole, test=test)
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        split = split_by_time(whole, test=test)
    assert_partition(whole, split)
    assert split.train.frame["timestamp"].max() < split.test.frame["timestamp"].min()
    assert len(split.test) == latest or len(split.test) <= asked
    assert bool(split.remark) == (latest > asked) == bool(said)


def test_a_split_by_share_has_at_most_that_share_in_test() -> None:
    whole = interactions([(0, i, t) for i, t in enumerate([1, 2, 3, 3, 3, 4, 5, 6, 7, 8])])
    assert rows(split_by_time(whole, test=0.7).test) == [5, 6, 7, 8, 9]
    assert rows(split_by_time(whole, test=0.8).test) == [2, 3, 4, 5, 6, 7, 8, 9]


def test_more_than_the_share_at_the_latest_time_is_held_out_and_said() -> None:
    whole = interactions([(0, i, 86_400 * t) for i, t in enumerate([1, 2, 3, 3, 4, 5, 9, 9, 9, 9])])
    remark = "4 of 10 interactions are held out, more than the share of 0.2 asked for"
    with pytest.warns(SplitWarning, match=remark):
        split = split_by_time(whole, test=0.2)
    assert rows(split.test) == [6, 7, 8, 9]
    assert split.remark.startswith(remark)
    assert split_by_time(whole, test=0.4).remark == ""
    assert rows(split_by_time(whole, test=0.65).test) == [4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("share", [0.29, 0.57, 0.07, 0.58])
def test_a_share_is_not_rounded_down_by_its_last_bit(share: float) -> None:
    whole = interactions([(0, i, i) for i in range(100)])
    assert len(split_by_time(whole, test=share).test) == round(share * 100)


def test_a_time_may_be_a_date_or_a_datetime_or_text() -> None:
    whole = interactions([(0, 1, 0), (0, 2, 86_400)])
    for at in (
        datetime(1970, 1, 2),
        datetime(1970, 1, 2, tzinfo=UTC),
        date(1970, 1, 2),
        "1970-01-02",
        "1970-01-01T23:30:00Z",
    ):
        assert rows(split_by_time(whole, at=at).test) == [1]


@given(TABLES)
def test_leave_last_out_holds_out_the_last_of_every_user_with_two(whole: Interactions) -> None:
    by_user: dict[int, list[tuple[int, int]]] = {}
    for row, (user, time) in enumerate(
        zip(whole.frame["user_id"], whole.frame["timestamp"], strict=True)
    ):
        by_user.setdefault(user, []).append((time, row))
    expected = sorted(max(seen)[1] for seen in by_user.values() if len(seen) > 1)
    if not expected:
        return
    split = split_leave_last_out(whole)
    assert_partition(whole, split)
    assert rows(split.test) == expected


def test_of_several_at_the_latest_time_the_last_row_is_held_out_and_counted() -> None:
    whole = interactions([(0, 1, 5), (0, 2, 9), (0, 3, 9), (1, 1, 2), (1, 2, 3), (2, 1, 9)])
    split = split_leave_last_out(whole)
    assert rows(split.test) == [2, 4]
    assert split.leakage().tied == 1
    assert "1 at the very time of one of the same user's in train" in str(split.leakage())


def test_without_times_the_last_row_is_last() -> None:
    whole = Interactions.from_arrays([1, 2, 1, 2], [7, 8, 9, 9])
    assert split_leave_last_out(whole).test.frame["item_id"].to_list() == [9, 9]


def test_features_go_with_both_parts() -> None:
    whole = Interactions.from_arrays([1, 2], [7, 8], users={"user_id": [1, 2], "age": [30, 40]})
    split = split_random(whole, test=0.5)
    assert split.train.users is whole.users
    assert split.test.users is whole.users


def test_leakage_counts_what_train_holds_of_test() -> None:
    train = Interactions.from_arrays([1, 1, 2], [7, 8, 7], timestamp=[10, 20, 30])
    test = Interactions.from_arrays(
        [1, 1, 2, 3, 3], [7, 9, 9, 7, 8], timestamp=[25, 30, 31, 40, 50]
    )
    leakage = Split(train, test).leakage()
    assert leakage.test == 5
    assert leakage.in_train == 1
    assert (leakage.unseen_users, leakage.of_unseen_users) == (1, 2)
    assert (leakage.unseen_items, leakage.of_unseen_items) == (1, 2)
    assert leakage.before_train_end == 1
    assert "1 of 5 test interactions stand in train too" in str(leakage)


def test_parts_with_ids_of_different_types_are_both_named() -> None:
    train, test = Interactions.from_arrays([1], [7]), Interactions.from_arrays([1], ["7"])
    with pytest.raises(DataError, match=r"'item_id' is text, such as '7', .* integer, such as 7,"):
        Split(train, test).leakage()


def test_leakage_in_time_is_unknown_without_times() -> None:
    part = Interactions.from_arrays([1], [7])
    assert Split(part, part).leakage().before_train_end is None
    assert Split(part, part).leakage().tied is None


@pytest.mark.parametrize("test", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(test: float) -> None:
    whole = interactions([(0, 1, 1), (0, 2, 2)])
    for split in (split_random, split_by_time):
        with pytest.raises(DataError, match="between 0 and 1"):
            split(whole, test=test)


def test_an_empty_part_is_refused() -> None:
    whole = interactions([(0, 1, 1), (1, 2, 2)])
    with pytest.raises(DataError, match="leaves test empty"):
        split_random(whole, test=0.1)
    with pytest.raises(DataError, match="leaves test empty"):
        split_by_time(whole, test=0.4)
    with pytest.raises(DataError, match="leaves train empty"):
        split_by_time(whole, at=0)
    with pytest.raises(DataError, match="leaves test empty"):
        split_leave_last_out(whole)


def test_splitting_by_time_needs_times() -> None:
    with pytest.raises(DataError, match="needs a column 'timestamp'"):
        split_by_time(Interactions.from_arrays([1, 2], [7, 8]))


def test_a_split_is_named_as_on_the_command_line() -> None:
    whole = interactions([(0, 1, 1), (0, 2, 4), (1, 1, 3), (1, 3, 2)])
    for how, expected in (
        ("random", split_random(whole, test=0.25, seed=3)),
        ("time", split_by_time(whole, test=0.25)),
        ("last", split_leave_last_out(whole)),
    ):
        held_out = hold_out(whole, how, test=0.25, seed=3)  # type: ignore[arg-type]
        assert held_out.test.frame.equals(expected.test.frame)
    with pytest.raises(DataError, match="`how` must be 'random', 'time' or 'last', got 'first'"):
        hold_out(whole, "first")  # type: ignore[arg-type]


@pytest.mark.parametrize("test", ["a", None, [0.2], float("nan")])
def test_a_share_that_is_no_number_is_refused(test: Any) -> None:
    views = Interactions.from_arrays(range(10), range(10), timestamp=range(10))
    for split in (split_random, split_by_time):
        with pytest.raises(DataError, match="`test` must be between 0 and 1, got"):
            split(views, test=test)
    with pytest.raises(DataError, match=r"column .at.: expected seconds since 1970 or a date"):
        split_by_time(views, at=[5])


@pytest.mark.parametrize("split", [split_random, split_by_time, split_leave_last_out])
def test_tables_are_not_split(split: Any) -> None:
    with pytest.raises(TypeError, match="`interactions` must be Interactions, got dict"):
        split({"user_id": [1, 2], "item_id": [1, 2]})


def test_a_seed_that_is_none_is_refused() -> None:
    views = Interactions.from_arrays(range(10), range(10))
    for seed in (-1, "a"):
        with pytest.raises(DataError, match="`seed` must be a whole number of at least 0, got"):
            split_random(views, seed=seed)
    assert (
        split_random(views, seed=np.int64(3)).test.item_ids.tolist()
        == split_random(views, seed=3).test.item_ids.tolist()
    )
