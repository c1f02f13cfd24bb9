import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Interactions
from shortlist.data.pairs import check_id_types, pair_numbers, stand_in

PAIRS = st.lists(st.tuples(st.integers(-2, 4), st.sampled_from("abcd")), min_size=1)


def interactions(pairs: list[tuple[int, str]]) -> Interactions:
    return Interactions.from_arrays(*zip(*pairs, strict=True))


@given(PAIRS, PAIRS)
def test_a_pair_stands_in_the_other_part_or_not(ours, theirs) -> None:
    found = stand_in(interactions(ours), interactions(theirs))
    assert found.tolist() == [pair in set(theirs) for pair in ours]


@given(PAIRS, PAIRS)
def test_pairs_have_one_number_where_they_are_equal(ours, whole) -> None:
    numbers = pair_numbers(interactions(ours), interactions(whole))
    users, items = {user for user, _ in whole}, {item for _, item in whole}
    known = [user in users and item in items for user, item in ours]
    assert ((numbers >= 0) == np.array(known)).all()
    given_numbers = {
        pair: number for pair, number in zip(ours, numbers, strict=True) if number >= 0
    }
    assert len(set(given_numbers.values())) == len(given_numbers)
    assert all(
        given_numbers[pair] == number
        for pair, number in zip(ours, numbers, strict=True)
        if number >= 0
    )


@pytest.mark.usefixtures("on_disk")
def test_pairs_are_found_in_every_block() -> None:
    whole = interactions([(number, "a") for number in range(23)])
    assert stand_in(interactions([(22, "a"), (3, "b"), (0, "a")]), whole).tolist() == [
        True,
        False,
        True,
    ]


def test_ids_of_two_types_are_refused() -> None:
    with pytest.raises(DataError, match=r"'user_id' is an integer, such as 1, in `test` and text"):
        check_id_types(Interactions.from_arrays([1], ["a"]), Interactions.from_arrays(["u"], ["a"]))
