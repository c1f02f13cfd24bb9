from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from shortlist.data import DataError, Interactions
from shortlist.evaluation import evaluate
from shortlist.evaluation.baselines import EASE, IALS, ItemKNN, Popularity
from shortlist.index import Index, IndexConfig

TRAIN = Interactions.from_arrays([1, 1, 2, 3], [10, 20, 10, 30])
TEST = Interactions.from_arrays([1, 2, 2], [30, 20, 30])


def always(*items: int) -> Any:
    """A recommender that gives everyone the same list, less what is excluded."""

    def answer(users: Any, k: int, exclude: Any) -> Any:
        left_out = exclude if exclude is not None else [[]] * len(users)
        lists = [[item for item in items if item not in out] for out in map(set, left_out)]
        return [row[:k] for row in lists]

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


def test_a_recommender_that_does_not_exclude_what_it_gave_is_refused() -> None:
    tied = (np.array([[5.0, 5.0]]), np.array([[1, 2]]))
    test = Interactions.from_arrays([1], [1])
    with pytest.raises(ValueError, match="user 1 with the item 1, which it was told to exclude"):
        evaluate(lambda u, k, e: tied, test, exclude_seen=False, ks=(1,))


def test_a_recommender_that_shows_what_was_seen_is_refused_where_that_takes_up_a_place() -> None:
    test = Interactions.from_arrays([1], [30])
    late = evaluate(lambda u, k, e: [[30, 10]], test, train=TRAIN, ks=(1,))
    assert late["hit_rate@1"] == 1.0
    with pytest.raises(ValueError, match=r"item 10, which.* had it in train; exclude_seen=False"):
        evaluate(lambda u, k, e: [[30, 10]], test, train=TRAIN, ks=(2,))
    tied = ([[2.0, 1.0, 1.0]], [[30, 40, 10]])
    with pytest.raises(ValueError, match="item 10"):
        evaluate(lambda u, k, e: tied, test, train=TRAIN, ks=(2,))


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


@pytest.mark.parametrize(("item", "other"), [(-1, 7), (0, 7), ("", "a")])
def test_no_id_is_padding(item: Any, other: Any) -> None:
    # What interactions refuse as missing, a recommender may have all the same.
    test = Interactions.from_polars(pl.DataFrame({"user_id": [1, 2], "item_id": [other, other]}))
    frame = test.frame.with_columns(item_id=pl.Series([item, other]))
    test = Interactions(frame)
    short = ([[2.0, -np.inf, -np.inf], [2.0, 1.0, -np.inf]], [[item] * 3, [item, other, item]])
    result = evaluate(lambda u, k, e: short, test, exclude_seen=False, ks=(1, 2, 3))
    assert [result[f"hit_rate@{k}"] for k in (1, 2, 3)] == [0.5, 1.0, 1.0]
    assert result["map@3"] == pytest.approx((1 + 1 / 2) / 2)


@pytest.mark.parametrize("make", [Popularity, ItemKNN, EASE, IALS])
def test_the_item_minus_one_is_found_once(make: Any) -> None:
    train = Interactions.from_arrays([1, 1, 2, 2, 3], [-1, 7, 7, 8, 8])
    test = Interactions.from_arrays([2, 3], [-1, 7])
    result = evaluate(make(train), test, train=train, ks=(10,))
    assert result["hit_rate@10"] == 1.0
    assert result["recall@10"] == 1.0


def test_ids_may_be_text_with_an_empty_one_in_train() -> None:
    frame = pl.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": ["", "a", "a", "b", "b"]})
    train, test = Interactions(frame), Interactions(pl.DataFrame({"user_id": [2], "item_id": [""]}))
    assert evaluate(Popularity(train), test, train=train, ks=(9,))["hit_rate@9"] == 1.0


FORMS: dict[str, Any] = {
    "lists": lambda scores, ids: (scores.tolist(), ids.tolist()),
    "pair": lambda scores, ids: (scores, ids),
    "list_of_arrays": lambda scores, ids: [scores, ids],
    "integer_scores": lambda scores, ids: (scores.astype(int), ids),
    "ids": lambda scores, ids: ids,
    "rows_of_arrays": lambda scores, ids: list(ids),
    "objects": lambda scores, ids: ids.astype(object),
    "ragged": lambda scores, ids: [ids[0], ids[1, :1].tolist()],
    "object_of_lists": lambda scores, ids: pd.Series(ids.tolist()).to_numpy(),
    "pandas": lambda scores, ids: (pd.DataFrame(scores), pd.DataFrame(ids)),
    "pandas_column_of_lists": lambda scores, ids: pd.Series(ids.tolist(), index=[5, 3]),
    "polars": lambda scores, ids: pl.DataFrame(ids),
    "polars_column_of_lists": lambda scores, ids: pl.Series(ids.tolist()),
    "arrow": lambda scores, ids: pl.Series(ids.tolist()).to_arrow(),
    "uint8": lambda scores, ids: (scores.astype("float16"), ids.astype("uint8")),
    "mapping_like": lambda scores, ids: pd.DataFrame(
        {"scores": scores.tolist(), "ids": ids.tolist()}
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_answers_come_in_many_forms(form: str) -> None:
    scores, ids = np.array([[3.0, 2.0], [5.0, 1.0]]), np.array([[30, 40], [20, 50]])
    result = evaluate(
        lambda u, k, e: FORMS[form](scores, ids), TEST, train=TRAIN, ks=(1, np.int64(2), 2)
    )
    assert result.ks == (1, 2)
    assert result["hit_rate@1"] == pytest.approx(2 / 3)
    assert result["hit_rate@2"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_answers_may_be_tensors(backend: str) -> None:
    pytest.importorskip(backend)
    scores, ids = np.array([[3.0, 2.0], [5.0, 1.0]], "float32"), np.array([[30, 40], [20, 50]])
    if backend == "jax":
        import jax.numpy as jnp

        answer = jnp.asarray(scores, "bfloat16"), jnp.asarray(ids)
    elif backend == "tensorflow":
        import tensorflow as tf

        answer = tf.constant(scores), tf.constant(ids)
    else:
        import torch

        answer = torch.tensor(scores, dtype=torch.bfloat16, requires_grad=True), torch.tensor(ids)
    result = evaluate(lambda u, k, e: answer, TEST, train=TRAIN, ks=(1,))
    assert result["hit_rate@1"] == pytest.approx(2 / 3)


def test_text_may_come_as_bytes() -> None:
    test = Interactions.from_arrays([1, 2], ["a", "é"])
    answer = np.array([[b"a"], ["é".encode()]], object)
    assert evaluate(lambda u, k, e: answer, test, exclude_seen=False, ks=(1,))["mrr@1"] == 1.0


def test_ids_of_64_bits_are_told_apart() -> None:
    test = Interactions.from_arrays([1, 2], [2**53, 2**53])
    answer = [[2**53], [2**53 + 1]]
    assert evaluate(lambda u, k, e: answer, test, exclude_seen=False, ks=(1,))["mrr@1"] == 0.5


def test_a_list_shorter_than_k_is_a_miss_beyond_its_end() -> None:
    result = evaluate(lambda u, k, e: [[30], []], TEST, train=TRAIN, ks=(1, 100))
    assert result["hit_rate@1"] == result["hit_rate@100"] == pytest.approx(1 / 3)
    assert result["precision@100"] == pytest.approx(1 / 200)


def test_more_ranks_than_an_index_gives_at_once() -> None:
    items = np.arange(25_000)
    test = Interactions.from_arrays([1] * 3, [0, 15_000, 24_000])
    ks = (1, 10_000, 20_000, 30_000)
    ids_alone = evaluate(always(*items), test, exclude_seen=False, ks=ks)
    index = Index.build(-items[:, None].astype("float32"), config=IndexConfig(exact=True))
    searched = evaluate(
        index, test, exclude_seen=False, ks=ks, queries=lambda u: np.ones((len(u), 1), "float32")
    )
    assert ids_alone.metrics == pytest.approx(searched.metrics)
    found = [ids_alone[f"hit_rate@{k}"] for k in ks]
    assert found == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1])


@pytest.mark.parametrize(
    ("test", "column"),
    [
        (Interactions.from_arrays(["1"], [30]), "user_id"),
        (Interactions.from_arrays([1], ["30"]), "item_id"),
    ],
)
def test_ids_of_two_types_in_test_and_train_are_refused(test: Interactions, column: str) -> None:
    with pytest.raises(
        DataError, match=rf"{column}' is text, such as '\d+', in `test` and an integer, such as 1"
    ):
        evaluate(always(30), test, train=TRAIN)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ks": (0,)}, "`ks` must be one or more numbers of at least 1"),
        ({"ks": ()}, "`ks` must be one or more"),
        ({"ks": (1.5,)}, "`ks` must be one or more"),
        ({"ks": 10}, "`ks` must be one or more"),
        ({"ks": ("10",)}, "`ks` must be one or more"),
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
    nobody = Interactions(TRAIN.frame.clear())
    with pytest.raises(ValueError, match="of 3, 3 are of users unknown in train"):
        evaluate(always(30), TEST, train=nobody)
    with pytest.raises(ValueError, match="of 0, 0 are of users unknown"):
        evaluate(always(30), nobody, train=TRAIN)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (([[1.0, 2.0]] * 2, [[1, 2]] * 2), "descending order; those for user 1 are not"),
        (([[3.0, -np.inf, 2.0]] * 2, [[1, 2, 3]] * 2), "descending order"),
        (([[np.nan]] * 2, [[1]] * 2), "numbers for scores, got NaN"),
        (([[None]] * 2, [[1]] * 2), "numbers for scores, got NaN"),
        (([["a"]] * 2, [[1]] * 2), "numbers for scores"),
        ([[1]], r"asked for 2 users, must answer .* got \(1, 1\) ids"),
        (([[1.0]] * 2, [[1, 2]] * 2), r"got \(2, 2\) ids and \(2, 1\) scores"),
        (([1.0, 2.0], [1, 2]), "one list for each user, got 1 for one"),
        (np.array([30, 20]), "one list for each user"),
        (["30", "20"], "one list for each user, got '30' for one"),
        ([{30}, {20}], "one list for each user"),
        ({1: [30], 2: [20]}, "one list a user, got dict"),
        (None, "one list a user, got NoneType"),
        (([[1.0]] * 2,), "a tuple of 1"),
        (np.zeros((2, 0)), "answered without any: no columns"),
        ([[], []], "answered without any: no columns"),
        ([[20, 30, 20], [20]], "user 1 with the id 20 twice"),
        (([[5.0, 5.0], [1.0, 0.5]], [[30, 30], [20, 30]]), "user 1 with the id 30 twice"),
        ([[30.0], [20.0]], "must be integers or text, got the float 30.0"),
        ([[30], [None]], "must have no missing ids"),
        ([["30"], ["20"]], "must be integers, as the ids of `test` are; got the str '30'"),
        ([[30], ["20"]], "all integers or all text"),
        (
            pd.DataFrame({"user_id": [1, 2], "item_id": [30, 20]}),
            r"one row for each user, got a data frame with the columns \['user_id', 'item_id'\]",
        ),
    ],
)
def test_a_bad_answer_is_refused(answer: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"The recommender.*{message}"):
        evaluate(lambda u, k, e: answer, TEST, train=TRAIN)


def test_what_pads_is_not_read_as_an_id() -> None:
    for nothing in (None, -1, "", np.nan):
        ids = np.array([[30, nothing, nothing], [20, 30, nothing]], object)
        scores = np.array([[1, -np.inf, -np.inf], [2, 1, -np.inf]])
        result = evaluate(lambda u, k, e, answer=(scores, ids): answer, TEST, train=TRAIN, ks=(3,))
        assert result["hit_rate@3"] == 1.0


def test_a_baseline_that_answers_badly_is_named() -> None:
    other = Interactions.from_arrays([1, 2], ["30", "20"])
    with pytest.raises(ValueError, match=r"Baseline 'Popularity' answered with ids .* integers"):
        evaluate(always(30), TEST, exclude_seen=False, baselines={"Popularity": Popularity(other)})


def test_tables_are_no_interactions() -> None:
    with pytest.raises(TypeError, match="`test` must be Interactions, got DataFrame"):
        evaluate(always(30), TEST.frame, train=TRAIN)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="`train` must be Interactions, got DataFrame"):
        evaluate(always(30), TEST, train=TRAIN.frame)  # type: ignore[arg-type]


@pytest.mark.parametrize("learn", [Popularity, ItemKNN, EASE, IALS])
def test_baselines_learn_from_interactions_only(learn: Any) -> None:
    for table in (None, pd.DataFrame({"user_id": [1], "item_id": [2]})):
        with pytest.raises(TypeError, match=r"must be Interactions, got .*read tables"):
            learn(table)


def test_baselines_have_names() -> None:
    with pytest.raises(TypeError, match=r"`baselines` must name each recommender.* got list"):
        evaluate(lambda *_: [[20]], TEST, train=TRAIN, ks=(1,), baselines=[Popularity(TRAIN)])
    with pytest.raises(ValueError, match="`exclude_seen` must be True or False, got 'yes'"):
        evaluate(lambda *_: [[20]], TEST, train=TRAIN, ks=(1,), exclude_seen="yes")


def test_an_index_needs_to_know_how_to_embed_users() -> None:
    with pytest.raises(ValueError, match="`queries` must turn user ids into"):
        evaluate(Index.build(np.eye(2, dtype="float32")), TEST, train=TRAIN)


def test_only_recommenders_are_evaluated() -> None:
    with pytest.raises(TypeError, match=r"`recommender` must have a `recommend` method.*got int"):
        evaluate(3, TEST, train=TRAIN)
