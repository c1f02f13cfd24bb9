import copy
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import polars as pl
import pytest

from shortlist.data import DataError, Interactions
from shortlist.models import Catalogue, TwoTower

VIEWS = Interactions.from_arrays([1, 1, 2, 2, 3], [10, 20, 10, 30, 40])


def trained(**options: object) -> TwoTower:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4, seed=1, **options)
    model.fit(VIEWS, epochs=1, batch_size=4, progress=False)
    return model


@pytest.fixture(scope="module")
def model() -> TwoTower:
    return trained(history=True)


@pytest.mark.parametrize("nothing", [[], (), np.array([], np.int64), np.array([], object)])
def test_nothing_asked_is_nothing_answered(model: TwoTower, nothing: object) -> None:
    for answer in (
        model.recommend(nothing, 3),
        model.recommend(nothing, 3, exclude_seen=False),
        model.recommend(nothing, 3, exclude=[]),
        model.recommend_from(nothing, 3),
        model.similar(nothing, 3),
    ):
        assert answer.ids.shape == answer.scores.shape == answer.rows.shape == (0, 3)
        assert answer.ids.dtype == np.int64
    for embed in (model.embed_queries, model.embed_histories, model.embed_candidates):
        assert embed(nothing).shape == (0, 4)
        assert embed(nothing).dtype == np.float32


def test_an_empty_history_is_a_user_without_one(model: TwoTower) -> None:
    assert model.recommend_from([[]], 2).ids.shape == (1, 2)
    np.testing.assert_array_equal(
        model.embed_histories([[], [10]])[:1], model.embed_histories([[]])
    )


def test_one_id_is_a_list_of_one(model: TwoTower) -> None:
    expected = model.recommend([1], 2).ids
    for one in (1, np.int32(1), np.array(1), np.array([1]), (1,)):
        np.testing.assert_array_equal(model.recommend(one, np.int64(2)).ids, expected)
    np.testing.assert_array_equal(model.similar(10, 2).ids, model.similar([10], 2).ids)
    texts = Interactions.from_arrays(["ann", "bob"], ["x", "y"])
    named = TwoTower.from_interactions(texts, embedding_dim=2)
    assert named.recommend("ann", 1, exclude_seen=False).ids.shape == (1, 1)
    np.testing.assert_array_equal(
        named.recommend(b"ann", 1, exclude_seen=False).ids,
        named.recommend(np.array(["ann"]), 1, exclude_seen=False).ids,
    )


def test_ids_may_be_in_anything_that_has_an_order(model: TwoTower) -> None:
    expected = model.recommend([1, 2], 2).ids
    for ids in (range(1, 3), iter([1, 2]), (user for user in (1, 2)), pl.Series([1, 2])):
        np.testing.assert_array_equal(model.recommend(ids, 2).ids, expected)
    for ids in ({1, 2}, {1: "a", 2: "b"}.keys()):
        with pytest.raises(ValueError, match="`user_ids` must be a sequence of ids, got the"):
            model.recommend(ids, 2)


def test_a_user_asked_twice_is_answered_twice(model: TwoTower) -> None:
    twice = model.recommend([2, 1, 2], 3)
    np.testing.assert_array_equal(twice.ids[0], twice.ids[2])


def test_more_than_there_are_is_padded_and_less_than_one_refused(model: TwoTower) -> None:
    result = model.recommend([1], 50)
    assert set(result.ids[0][:2]) == {30, 40}
    assert (result.rows[0][2:] == -1).all()
    assert np.isneginf(result.scores[0][2:]).all()
    for k in (0, -1, 2.5, "3", None):
        with pytest.raises((ValueError, TypeError)):
            model.recommend([1], k)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ([1, 9], "unknown user '9'; 3 users, ids like '1'…'3'"),
        (["1"], "`user_ids` must be integers, as the ids of this model's users are"),
        ([1.0], "`user_ids` must be integers or text, got the float 1.0"),
        ([None], "`user_ids` must have no missing ids"),
        ([[1, 2]], "`user_ids` must have one dimension"),
    ],
)
def test_users_who_are_none_are_named(model: TwoTower, asked: object, message: str) -> None:
    for exclude_seen in (True, False):
        with pytest.raises(ValueError, match=message):
            model.recommend(asked, 2, exclude_seen=exclude_seen)


def test_unknown_items_are_named(model: TwoTower) -> None:
    with pytest.raises(DataError, match="unknown item '99'"):
        model.recommend_from([[10], [99]])
    with pytest.raises(DataError, match="unknown item '99'"):
        model.embed_candidates([10, 99])
    with pytest.raises(ValueError, match="this model's items"):
        model.recommend_from([["10"]])
    with pytest.raises(DataError, match="one sequence for each of 1 users, got 2"):
        model.recommend([1], exclude=[[10], [20]])
    with pytest.raises(ValueError, match="`exclude` must be integers"):
        model.recommend([1], exclude=[["10"]])
    assert model.recommend([1], 4, exclude=[[99]]).ids[0, 0] in (30, 40)  # not there: no matter


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("objective", ["retrieval", Catalogue(), "fitted only"])
def test_a_copy_answers_alike_and_is_its_own(copied, objective: object) -> None:
    fitted_only = objective == "fitted only"
    model = trained(objective="retrieval" if fitted_only else objective)
    if not fitted_only:
        model.recommend([1], 2)
        model.similar([10], 2)
    again = copied(model)
    for answer in ("recommend", "similar"):
        asked = [1, 2] if answer == "recommend" else [10, 20]
        ours, theirs = getattr(model, answer)(asked, 3), getattr(again, answer)(asked, 3)
        np.testing.assert_array_equal(ours.ids, theirs.ids)
        np.testing.assert_array_equal(ours.scores, theirs.scores)
    assert again.seen == model.seen
    before = model.embed_queries([1, 2])
    again.fit(VIEWS, epochs=2, batch_size=4, progress=False)
    np.testing.assert_array_equal(model.embed_queries([1, 2]), before)
    assert not np.array_equal(again.embed_queries([1, 2]), before)


def test_a_spawned_worker_answers_alike(tmp_path: Path, model: TwoTower) -> None:
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(model))
    code = (
        "import pickle, sys\n"
        "model = pickle.loads(open(sys.argv[1], 'rb').read())\n"
        "print(model.recommend([1, 2], 2).ids.tolist())"
    )
    out = subprocess.check_output([sys.executable, "-c", code, path], text=True)
    assert out.strip() == str(model.recommend([1, 2], 2).ids.tolist())


def test_a_tower_and_its_histories_must_agree_on_names() -> None:
    model = trained(history=True)
    parts = model.query_tower, model.candidate_tower, model.users, model.items
    with pytest.raises(ValueError, match="has an input called 'history': say history=True"):
        TwoTower(*parts)
    ids = keras.Input((), dtype="int32", name="user")
    past = keras.Input((None,), dtype="int32", name="past")
    table = keras.layers.Embedding(5, 4)
    tower = keras.Model(
        {"user": ids, "past": past}, table(ids) + keras.ops.mean(table(past), axis=1)
    )
    with pytest.raises(ValueError, match=r"an input called 'history'; it has \['user', 'past'\]"):
        TwoTower(tower, *parts[1:], history=True)


def test_embeddings_that_are_no_numbers_are_explained() -> None:
    model = trained()
    weights = [np.full_like(weight, np.nan) for weight in model.candidate_tower.get_weights()]
    model.candidate_tower.set_weights(weights)
    with pytest.raises(ValueError, match="the candidate tower gives embeddings that are not fin"):
        model.index()
