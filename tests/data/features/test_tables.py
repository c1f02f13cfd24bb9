from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Interactions, split_random
from shortlist.data.features import candidate_table, example_table, query_table

Row = tuple[int, int, int]  # user, item, time
ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 9)), min_size=1, max_size=30
)


def interactions(rows: list[Row]) -> Interactions:
    users, items, times = zip(*rows, strict=True)
    return Interactions.from_arrays(users, [f"i{i}" for i in items], timestamp=times)


def recent_first(rows: list[Row]) -> list[str]:
    """The items of rows, latest first; of several at one time the last row first."""
    ordered = sorted(enumerate(rows), key=lambda numbered: (numbered[1][2], numbered[0]))
    return [f"i{item}" for _, (_, item, _) in reversed(ordered)]


@given(ROWS, ROWS, st.integers(1, 6))
def test_history_from_before_is_what_the_user_did_strictly_earlier(
    rows: list[Row], past: list[Row], length: int
) -> None:
    table = example_table(interactions(rows), past=interactions(past), history=length)
    for (user, _, time), history in zip(rows, table["history"].to_list(), strict=True):
        earlier = [row for row in past if row[0] == user and row[2] < time]
        assert history == recent_first(earlier)[:length]


@given(ROWS, ROWS, st.integers(1, 6))
def test_history_from_others_is_all_but_the_item_to_be_predicted(
    rows: list[Row], past: list[Row], length: int
) -> None:
    table = example_table(
        interactions(rows), past=interactions(past), history=length, history_from="others"
    )
    for (user, item, _), history in zip(rows, table["history"].to_list(), strict=True):
        others = [row for row in past if row[0] == user and row[1] != item]
        assert history == recent_first(others)[:length]


@given(ROWS, st.integers(0, 9), ROWS)
def test_what_comes_later_changes_no_history_from_before(
    rows: list[Row], now: int, future: list[Row]
) -> None:
    """The law of no leakage in time: examples up to now are the same whatever comes then."""
    until_now = [row for row in rows if row[2] <= now]
    if not until_now:
        return
    later = [(user, item, now + time) for user, item, time in future]
    alone = example_table(interactions(until_now))
    together = example_table(interactions(until_now + later))
    assert together["history"][: len(until_now)].to_list() == alone["history"].to_list()


@given(ROWS)
def test_no_example_of_a_random_split_holds_what_is_to_be_predicted(rows: list[Row]) -> None:
    pairs = sorted({(user, item) for user, item, _ in rows})
    if len(pairs) < 2:
        return
    whole = interactions([(user, item, 0) for user, item in pairs])
    split = split_random(whole, test=0.5)
    test = set(split.test.frame.select("user_id", "item_id").rows())
    for part in (split.train, split.test):
        table = example_table(part, past=split.train, history_from="others")
        for user, item, history in table.select("user_id", "item_id", "history").rows():
            assert item not in history
            assert not any((user, other) in test for other in history)


@given(ROWS, st.integers(1, 6))
def test_a_query_knows_all_of_its_past(rows: list[Row], length: int) -> None:
    table = query_table(interactions(rows), [9, 2, 0], history=length)
    assert table["user_id"].to_list() == [9, 2, 0]
    for user, history in table.select("user_id", "history").rows():
        assert history == recent_first([row for row in rows if row[0] == user])[:length]


def test_without_times_rows_tell_what_is_recent() -> None:
    views = Interactions.from_arrays([1, 1, 1], [7, 8, 9])
    assert query_table(views)["history"].to_list() == [[9, 8, 7]]
    assert example_table(views)["history"].to_list() == [[9, 8], [9, 7], [8, 7]]


def test_features_of_users_and_items_stand_in_every_row() -> None:
    views = Interactions.from_arrays(
        [1, 2, 1], ["a", "a", "b"],
        rating=[5, 4, 3],
        users={"user_id": [1], "age": [30]},
        items={"item_id": ["b", "a"], "title": ["Brazil", "Alien"]},
    )  # fmt: skip
    table = example_table(views, history=0)
    assert table.columns == ["user_id", "item_id", "rating", "age", "title"]
    assert table["age"].to_list() == [30, None, 30]
    assert table["title"].to_list() == ["Alien", "Alien", "Brazil"]
    assert query_table(views, history=0).rows() == [(1, 30), (2, None)]
    assert candidate_table(views).rows() == [("a", "Alien"), ("b", "Brazil")]
    assert candidate_table(views, ["c", "b"]).rows() == [("c", None), ("b", "Brazil")]


def test_long_tables_are_made_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(user, item, item) for user in range(5) for item in range(6)]
    expected = example_table(interactions(rows))
    monkeypatch.setattr("shortlist.data.features.tables._BLOCK", 50)
    assert example_table(interactions(rows)).equals(expected)


TIMED = Interactions.from_arrays([1], [2], timestamp=[3])
UNTIMED = Interactions.from_arrays([1], [2])
CLASHING = Interactions.from_arrays([1], [2], rating=[3], items={"item_id": [2], "rating": [9]})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: example_table(UNTIMED, history_from="before"), "needs a column 'timestamp'"),
        (lambda: example_table(TIMED, history_from="after"), "'before' or 'others', got 'after'"),  # type: ignore[arg-type]
        (lambda: example_table(CLASHING), "features of items have a column 'rating'"),
        (lambda: query_table(TIMED, ["1"]), "must be integers, .* got '1'"),
        (lambda: candidate_table(CLASHING, ["2"]), "`item_ids` must be Int64, .* got String"),
    ],
)
def test_what_is_wrong_is_named(make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_a_history_is_a_column_of_lists_of_ids() -> None:
    assert query_table(TIMED).schema["history"] == pl.List(pl.Int64)
    assert query_table(interactions([(1, 2, 3)])).schema["history"] == pl.List(pl.String)
