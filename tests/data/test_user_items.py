import polars as pl
import pytest

from shortlist.data import DataError, Interactions, UserItems

SEEN = UserItems(Interactions.from_arrays(["b", "a", "b", "c"], [10, 20, 30, 10]))


def test_each_user_has_their_items_in_the_order_of_the_table() -> None:
    assert [items.tolist() for items in SEEN(["b", "a", "c"])] == [[10, 30], [20], [10]]


def test_an_unknown_user_has_none() -> None:
    assert [items.tolist() for items in SEEN(["zoe", "a"])] == [[], [20]]


def test_users_and_interactions_are_counted() -> None:
    assert SEEN.users.tolist() == ["a", "b", "c"]
    assert len(SEEN) == 4


def test_given_items_join_the_seen_ones() -> None:
    joined = SEEN.excluded(["a", "zoe"], [[30, 40], []])
    assert [items.tolist() for items in joined] == [[20, 30, 40], []]
    assert [items.tolist() for items in SEEN.excluded(["c"], None)] == [[10]]


def test_one_sequence_a_user_is_needed() -> None:
    with pytest.raises(DataError, match="one sequence for each of 2 users, got 1"):
        SEEN.excluded(["a", "b"], [[1]])


def test_any_table_with_both_columns_will_do() -> None:
    table = pl.DataFrame({"user_id": [2, 1], "item_id": ["x", "y"], "more": [0, 0]})
    assert UserItems(table)([2])[0].tolist() == ["x"]
