import numpy as np

from shortlist.data import Interactions
from shortlist.evaluation.baselines import Popularity

TRAIN = Interactions.from_arrays([1, 2, 3, 1, 2, 1], ["a", "a", "a", "b", "b", "c"])


def test_items_come_by_their_number_of_users() -> None:
    result = Popularity(TRAIN).recommend([1, 2], k=3, exclude_seen=False)
    assert result.ids.tolist() == [["a", "b", "c"]] * 2
    np.testing.assert_array_equal(result.scores, [[3, 2, 1]] * 2)


def test_a_user_counts_once_for_an_item() -> None:
    train = Interactions.from_arrays([1, 1, 1, 2, 3], ["a", "a", "a", "b", "b"])
    assert Popularity(train).recommend([9], k=1).ids.tolist() == [["b"]]


def test_seen_and_given_items_are_left_out() -> None:
    popularity = Popularity(TRAIN)
    assert popularity.recommend([3], k=1).ids.tolist() == [["b"]]
    assert popularity.recommend([3], k=1, exclude=[["b"]]).ids.tolist() == [["c"]]


def test_a_user_who_saw_everything_gets_padding() -> None:
    assert Popularity(TRAIN).recommend([1], k=1).ids.tolist() == [[""]]
