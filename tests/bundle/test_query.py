from pathlib import Path

import keras
import numpy as np
import polars as pl
import pytest

from shortlist.bundle import Bundle, BundleError
from shortlist.bundle.manifest import MANIFEST, write_manifest
from shortlist.data import Histories, Interactions
from shortlist.data.features import Bucket, Category, FeatureSpec
from shortlist.models import Catalogue, TwoTower

USERS, ITEMS, SEEN = 40, 60, 12


@pytest.fixture(scope="module")
def views() -> Interactions:
    rng = np.random.default_rng(0)
    people = pl.DataFrame(
        {
            "user_id": range(USERS),
            "age": rng.integers(10, 80, USERS),
            "work": [["baker", "writer"][n % 2] for n in range(USERS)],
        }
    )
    items = np.concatenate([rng.permutation(ITEMS)[:SEEN] for _ in range(USERS)])
    return Interactions.from_arrays(np.repeat(range(USERS), SEEN), items, users=people)


@pytest.fixture(scope="module", params=["history", "history and features", "features", "ids"])
def model(request: pytest.FixtureRequest, views: Interactions) -> TwoTower:
    features = FeatureSpec({"user_id": Category(), "age": Bucket(count=4), "work": Category()})
    model = TwoTower.from_interactions(
        views,
        embedding_dim=8,
        objective=Catalogue() if "history" in request.param else "retrieval",
        user_features=features if "features" in request.param else None,
        layer_sizes=(8,) if "and" in request.param else (),
        pooling="sqrt",
    )
    model.fit(views, epochs=3, batch_size=16, optimizer="adam", progress=False)
    return model


@pytest.fixture(scope="module")
def bundle(model: TwoTower, views: Interactions, tmp_path_factory) -> Bundle:
    path = tmp_path_factory.mktemp("models") / "1"
    items = pl.DataFrame({"id": model.items.ids})
    Bundle.save_model(path, model, items=items, interactions=views.frame)
    return Bundle.load(path)


def test_known_users_get_what_the_model_gives_them(model: TwoTower, bundle: Bundle):
    users = model.users.ids.tolist()
    ours, theirs = bundle.recommend(users, 5), model.recommend(users, 5)
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [1, 3, 40])
def test_a_history_gets_what_the_model_gives_it(model: TwoTower, bundle: Bundle, length: int):
    history = np.random.default_rng(length).permutation(model.items.ids)[:length].tolist()
    ours = bundle.recommend_for_history(history, 5)
    if not model.history:
        assert not bundle.tower.takes_history
        mean = model.embed_candidates(history).mean(0)
        np.testing.assert_allclose(bundle.embed_history(history)[0], mean, atol=1e-6)
        return
    theirs = model.recommend_from([history], 5)
    np.testing.assert_array_equal(ours.ids, theirs.ids)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-4, atol=1e-5)


def test_of_a_long_history_the_same_items_count_as_in_the_model(model: TwoTower, bundle: Bundle):
    history = np.random.default_rng(1).choice(model.items.ids, 1_500).tolist()
    if model.history:
        expected = model.embed_histories([history])
    else:
        expected = model.embed_candidates(history).mean(0, keepdims=True)
    np.testing.assert_allclose(bundle.embed_history(history), expected, rtol=1e-4, atol=1e-5)


def test_raw_values_of_a_newcomer_reach_the_tower(model: TwoTower, bundle: Bundle):
    if not bundle.tower.takes_features:
        with pytest.raises(ValueError, match="takes no features"):
            bundle.embed_history([1], {"age": 30})
        return
    values = {"age": 30, "work": "baker"}
    inputs = {**model.query_inputs.features.transform_one(values)}
    history = [3, 5, 8]
    if model.history:
        inputs["history"] = model.items.encode(history).astype(np.int32)[None]
    expected = np.asarray(model.query_tower(inputs, training=False))
    np.testing.assert_allclose(bundle.embed_history(history, values), expected, atol=1e-5)
    assert not np.allclose(bundle.embed_history(history, {"age": 70}), expected, atol=1e-3)
    assert bundle.embed_history([], values).shape == (1, 8)
    for bad in ({"aeg": 30}, {"age": "old"}, {"age": [1]}, {"work": {"a": 1}}, {"work": ["x"]}):
        with pytest.raises(ValueError, match=r"age|work"):
            bundle.embed_history(history, bad)


def test_embeddings_that_do_not_fit_are_refused(model: TwoTower, views: Interactions, tmp_path):
    Bundle.save_model(tmp_path / "1", model, items=pl.DataFrame({"id": model.items.ids}))
    path: Path = tmp_path / "1" / "users.npy"
    only_ids = not model.history and model.query_inputs.features is None
    assert path.exists() != only_ids  # a tower of ids holds the users itself
    if only_ids:
        return
    table = np.load(path)
    for bad in (table[1:], table[:, 1:], table.astype(np.float64), table[0]):
        np.save(path, bad)
        (tmp_path / "1" / MANIFEST).unlink()
        write_manifest(tmp_path / "1", "test")
        with pytest.raises(BundleError, match=r"users\.npy|embeddings of the users"):
            Bundle.load(tmp_path / "1")


def test_a_tower_that_calls_its_inputs_otherwise_is_refused(views: Interactions, tmp_path: Path):
    first = TwoTower.from_interactions(views, embedding_dim=4, history=True)
    user = keras.Input((), dtype="int32", name="viewer")
    past = keras.Input((None,), dtype="int32", name="history")
    table = keras.layers.Embedding(first.items.size, 4)
    tower = keras.Model(
        {"viewer": user, "history": past},
        keras.layers.Embedding(first.users.size, 4)(user) + keras.ops.mean(table(past), axis=1),
    )
    model = TwoTower(
        tower,
        first.candidate_tower,
        first.users,
        first.items,
        query_inputs=lambda indices: {"viewer": indices.astype(np.int32)},
        candidate_inputs=first.candidate_inputs,
        history=True,
    )
    model.seen = Histories.from_interactions(views)
    items = pl.DataFrame({"id": model.items.ids})
    message = r"has the inputs \['history', 'viewer'\], and a bundle can give it \['user_id', 'h"
    with pytest.raises(BundleError, match=message):
        Bundle.save_model(tmp_path / "1", model, items=items)
    assert list(tmp_path.iterdir()) == []
    Bundle.save(
        tmp_path / "1",
        query_tower=model.user_table(),
        users=model.users,
        index=model.index(),
        items=items,
    )
    assert "by the mean of the items" in (tmp_path / "1" / "README.md").read_text()


def test_a_bundle_says_how_those_it_does_not_know_are_served(model: TwoTower, bundle: Bundle):
    expected = [
        *(["their history"] if model.history else []),
        *(["user_id", "age", "work"] if model.query_inputs.features else []),
    ]
    by = ", ".join(expected) or "the mean of the items in their history"
    assert bundle.tower.newcomers == f"by {by}"


def test_nobody_asked_is_nothing_answered(bundle: Bundle):
    assert bundle.tower.embed([]).shape == (0, 8)
    assert bundle.recommend([], 3).ids.shape == (0, 3)
