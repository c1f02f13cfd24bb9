from typing import Any

import numpy as np
import pytest

from shortlist.data import Interactions
from shortlist.evaluation import evaluate
from shortlist.index import Index, IndexConfig

TRAIN = Interactions.from_arrays([1, 1, 2, 3], [10, 20, 10, 30])
TEST = Interactions.from_arrays([1, 2, 2], [30, 20, 30])


def always(*items: int) -> Any:
    """A recommender that gives everyone the same list, less what is excluded."""

    def answer(users: Any, k: int, exclude: Any) -> Any:
        left_out = exclude if exclude is not None else [[]] * len(users)
        lists = [[item for item in items if item not in set(out)] for out in map(list, left_out)]
        width = max(map(len, lists))
        return np.array([row + [-1] * (width - len(row)) for row in lists])[:, :k]

    return answer


def test_positives_are_matched_by_id() -> None:
    result = evaluate(always(30, 20, 10), TEST, train=TRAIN, exclude_seen=False, ks=(1, 2))
    assert result["hit_rate@1"] == pytest.approx(2 / 3)  # 30 for both users, of three positives
    assert result["recall@1"] == pytest.approx((1 + 1 / 2) / 2)
    assert result["hit_rate@2"] == 1.0
    assert (result.num_users, result.num_positives) == (2, 3)


def test_seen_items_are_kept_out_of_the_answers() -> None:
    result = evaluate(always(10, 20, 30), TEST, train=TRAIN, ks=(1,))
    assert result["hit_rate@1"] == pytest.approx(2 / 3)  # user 1 gets 30, user 2 gets 20
    kept = evaluate(always(10, 20, 30), TEST, train=TRAIN, exclude_seen=False, ks=(1,))
    assert kept["hit_rate@1"] == 0.0


@pytest.mark.parametrize("items", [5, 40])
def test_a_constant_scorer_gets_what_chance_gives(items: int) -> None:
    index = Index.build(np.ones((items, 2), "float32"), config=IndexConfig(exact=True))
    test = Interactions.from_arrays([1, 2, 3], [0, 0, 3])  # rows that come first among equals
    result = evaluate(
        index,
        test,
        exclude_seen=False,
        ks=(1, 3),
        queries=lambda u: np.ones((len(u), 2), "float32"),
    )
    assert result["hit_rate@1"] == pytest.approx(1 / items)
    assert result["hit_rate@3"] == pytest.approx(3 / items)
    first = sum(1 / rank for rank in (1, 2, 3)) / items
    assert result["mrr@3"] == pytest.approx(first)


def test_what_an_approximate_search_missed_at_first_does_not_join_a_tie() -> None:
    first = ([[5.0, 5.0]], [[1, 2]])  # what an index finds when it is asked for two
    rest = ([[7.0, 5.0, 1.0]], [[3, 4, 5]])  # asked for more: 3 was missed, 4 ties with 1 and 2

    def hit_rate(item: int) -> float:
        return evaluate(
            lambda users, k, exclude: tuple(map(np.array, rest if exclude else first)),
            Interactions.from_arrays([1], [item]),
            exclude_seen=False,
            ks=(1,),
        )["hit_rate@1"]

    assert [hit_rate(item) for item in (1, 2, 3, 4)] == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])


def test_a_recommender_that_does_not_exclude_is_refused() -> None:
    tied = (np.array([[5.0, 5.0]]), np.array([[1, 2]]))
    test = Interactions.from_arrays([1], [1])
    with pytest.raises(ValueError, match="told to exclude"):
        evaluate(lambda u, k, e: tied, test, exclude_seen=False, ks=(1,))


def test_one_user_at_a_time_gives_the_same_as_all_at_once() -> None:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 30, 300), rng.integers(0, 50, 300)
    half = Interactions.from_arrays(users[:150], items[:150])
    rest = Interactions.from_arrays(users[150:], items[150:])
    index = Index.build(rng.integers(0, 2, (50, 3)).astype("float32"))
    queries = rng.normal(size=(30, 3)).astype("float32")
    results = [
        evaluate(index, rest, train=half, ks=(5,), queries=lambda u: queries[u], block_size=size)
        for size in (1, 1000)
    ]
    assert results[0].metrics == pytest.approx(results[1].metrics)


def test_popularity_stands_beside() -> None:
    result = evaluate(always(30, 20), TEST, train=TRAIN, ks=(1,))
    assert list(result.baselines) == ["Popularity"]
    # Left for user 1: only 30. For user 2: 20 and 30, tied at one viewer each.
    assert result.baselines["Popularity"]["hit_rate@1"] == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_users_unknown_in_train_are_left_out_and_counted() -> None:
    test = Interactions.from_arrays([1, 99], [30, 10])
    result = evaluate(always(30), test, train=TRAIN, ks=(1,))
    assert result["hit_rate@1"] == 1.0
    assert result.left_out == {"unknown_users": 1, "seen_in_train": 0}


def test_positives_that_stand_in_train_are_left_out_only_where_they_cannot_come_back() -> None:
    test = Interactions.from_arrays([1, 1], [10, 30])
    assert evaluate(always(30), test, train=TRAIN, ks=(1,)).left_out["seen_in_train"] == 1
    kept = evaluate(always(30), test, train=TRAIN, exclude_seen=False, ks=(1,))
    assert kept.num_positives == 2


def test_a_repeated_positive_counts_once() -> None:
    test = Interactions.from_arrays([1, 1], [30, 30])
    assert evaluate(always(30), test, train=TRAIN, ks=(1,))["hit_rate@1"] == 1.0


def test_string_ids_work() -> None:
    train = Interactions.from_arrays(["a", "b"], ["x", "y"])
    test = Interactions.from_arrays(["a", "b"], ["y", "x"])
    assert evaluate(lambda u, k, e: [["y"], ["x"]], test, train=train, ks=(1,))["mrr@1"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ks": (0,)}, "`ks` must be one or more numbers of at least 1"),
        ({"ks": ()}, "`ks` must be one or more"),
        ({"train": None}, "`exclude_seen=True` needs `train`"),
        ({"block_size": 0}, "`block_size` must be at least 1"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(always(30), TEST, **{"train": TRAIN, **arguments})


def test_nothing_to_evaluate_is_an_error() -> None:
    with pytest.raises(ValueError, match="1 are of users unknown in train"):
        evaluate(always(30), Interactions.from_arrays([99], [10]), train=TRAIN)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (([[1.0, 2.0]] * 2, [[1, 2]] * 2), "descending order"),
        (([[np.nan]] * 2, [[1]] * 2), "NaN"),
        ([[1]], "asked for 2 users"),
    ],
)
def test_a_bad_answer_is_refused(answer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(lambda u, k, e: answer, TEST, train=TRAIN)


def test_an_index_needs_to_know_how_to_embed_users() -> None:
    with pytest.raises(ValueError, match="`queries` must turn user ids into"):
        evaluate(Index.build(np.eye(2, dtype="float32")), TEST, train=TRAIN)


def test_only_recommenders_are_evaluated() -> None:
    with pytest.raises(TypeError, match=r"`recommender` must have a `recommend` method.*got int"):
        evaluate(3, TEST, train=TRAIN)
