import keras
import numpy as np
import polars as pl
import pytest

from shortlist.data import Histories, Interactions, Vocabulary, split_random
from shortlist.data.features import Category, FeatureSpec, Time
from shortlist.evaluation import evaluate
from shortlist.index import IndexConfig
from shortlist.models import MultiTask, Rating, Retrieval, TwoTower


@pytest.fixture(scope="module")
def camps() -> Interactions:
    """Even users choose even items and odd users odd ones; ratings are 5 and 1 within a camp."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 40, 3000)
    items = 2 * rng.integers(0, 15, 3000) + users % 2
    return Interactions.from_arrays(users, items, rating=np.where(items < 15, 5.0, 1.0))


def fitted(interactions: Interactions, **options: object) -> TwoTower:
    model = TwoTower.from_interactions(interactions, embedding_dim=8, seed=1)
    settings = {"epochs": 5, "batch_size": 250, "optimizer": keras.optimizers.Adam(0.02)}
    model.fit(interactions, **{**settings, "progress": False, **options})
    return model


@pytest.fixture(scope="module")
def model(camps: Interactions) -> TwoTower:
    return fitted(camps)


def test_users_get_what_their_camp_chooses(model: TwoTower) -> None:
    result = model.recommend(model.users.ids, k=10, exclude_seen=False)
    assert np.mean(result.ids % 2 == (model.users.ids % 2)[:, None]) > 0.95


@pytest.mark.parametrize("number", [0, 20])
def test_uniform_negatives_teach_about_items_that_nobody_chose(
    camps: Interactions, number: int
) -> None:
    few = camps.take(np.flatnonzero(camps.frame["item_id"].to_numpy() < 20))
    objective = Retrieval(num_uniform_negatives=number, num_cross_batch_negatives=number)
    model = TwoTower.from_interactions(camps, embedding_dim=8, objective=objective)
    unchosen = model.items.ids >= 20
    before = model.embed_candidates()
    model.fit(few, epochs=2, batch_size=256, progress=False)
    moved = np.abs(model.embed_candidates() - before).max(axis=1) > 1e-4
    assert moved[~unchosen].all()
    assert (moved[unchosen] == (number > 0)).all()


def test_similar_items_are_of_the_same_camp(model: TwoTower) -> None:
    result = model.similar(model.items.ids, k=5)
    assert np.mean(result.ids % 2 == (model.items.ids % 2)[:, None]) > 0.95
    assert not (result.ids == model.items.ids[:, None]).any()
    assert result.scores.max() <= 1 + 1e-5


def test_recommendations_are_the_best_dot_products(model: TwoTower) -> None:
    result = model.recommend([3, 4], k=4, exclude_seen=False)
    scores = model.embed_queries([3, 4]) @ model.embed_candidates().T
    best = np.argsort(-scores, axis=1)[:, :4]
    np.testing.assert_array_equal(result.ids, model.items.ids[best])
    np.testing.assert_allclose(result.scores, np.take_along_axis(scores, best, 1), rtol=1e-5)


def test_seen_and_given_items_are_left_out(camps: Interactions) -> None:
    few = camps.take(np.arange(300))
    trained = fitted(few, epochs=1, batch_size=300)
    seen = set(few.frame.filter(few.frame["user_id"] == 3)["item_id"])
    everything = trained.recommend([3], k=30)
    assert not seen & set(everything.ids[0].tolist())
    best = int(everything.ids[0, 0])
    assert best not in trained.recommend([3], k=30, exclude=[[best]]).ids


def test_the_seed_decides_and_the_global_one_is_left_alone(
    camps: Interactions, model: TwoTower
) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    again = fitted(camps)
    np.testing.assert_array_equal(again.embed_queries([1, 2]), model.embed_queries([1, 2]))
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_ratings_are_learnt_on_the_scale_from_0_to_1(camps: Interactions) -> None:
    model = TwoTower.from_interactions(camps, embedding_dim=8, objective="rating")
    before = model.loss(camps)
    history = model.fit(
        camps, epochs=20, batch_size=250, optimizer=keras.optimizers.Adam(0.02), progress=False
    )
    share = (camps.frame["rating"] == 5).mean()
    assert before == pytest.approx(share, abs=0.01)  # a dot product near 0 misses every 1
    assert model.loss(camps) < 0.01
    assert len(history.loss) == 20
    assert model.rating_range == (1.0, 5.0)


def test_the_loss_is_the_mean_squared_error(camps: Interactions) -> None:
    model = TwoTower.from_interactions(camps, embedding_dim=4, objective="rating", seed=3)
    model.rating_range = (1.0, 5.0)
    frame = camps.frame
    queries = model.embed_queries(frame["user_id"].to_numpy())
    candidates = model.embed_candidates(frame["item_id"].to_numpy())
    error = (queries * candidates).sum(axis=1) - (frame["rating"].to_numpy() - 1) / 4
    assert model.loss(camps, batch_size=750) == pytest.approx(np.mean(error**2), rel=1e-5)


def test_training_stops_early_and_keeps_the_best_epoch(camps: Interactions) -> None:
    split = split_random(camps, test=1 / 6, seed=0)
    model = TwoTower.from_interactions(split.train, embedding_dim=8)
    history = model.fit(
        split.train,
        epochs=40,
        batch_size=250,
        optimizer=keras.optimizers.Adam(0.05),
        validation=split.test,
        monitor="ndcg@5",
        patience=2,
        progress=False,
    )
    assert len(history.loss) < 40
    assert len(history.loss) == history.best_epoch + 2
    assert history.validation[history.best_epoch - 1] == max(history.validation)
    kept = evaluate(model, split.test, train=split.train, ks=(5,))
    assert kept["ndcg@5"] == pytest.approx(max(history.validation))


def test_an_interaction_of_weight_0_teaches_nothing() -> None:
    frame = {"user_ids": [0, 0, 1, 1], "item_ids": [0, 1, 0, 1], "rating": [1.0, 0.0, 0.0, 1.0]}
    weighted = Interactions.from_arrays(**frame, weight=[1.0, 0.0, 0.0, 1.0])
    model = TwoTower.from_interactions(weighted, embedding_dim=4, objective="rating")
    model.fit(
        weighted, epochs=60, batch_size=4, optimizer=keras.optimizers.Adam(0.1), progress=False
    )
    queries, candidates = model.embed_queries([0, 1]), model.embed_candidates([0, 1])
    scores = queries @ candidates.T
    np.testing.assert_allclose(np.diagonal(scores), [1.0, 1.0], atol=0.05)
    assert model.loss(weighted) < 1e-3


def test_string_ids_come_back_as_they_came() -> None:
    views = Interactions.from_arrays(["ann", "ann", "bob"], ["x", "y", "x"])
    model = fitted(views, epochs=1)
    assert model.recommend(["bob"], k=1).ids.tolist() == [["y"]]
    with pytest.raises(ValueError, match="unknown user 'anne'; did you mean 'ann'"):
        model.recommend(["anne"])


def test_an_unknown_user_is_named(model: TwoTower) -> None:
    with pytest.raises(ValueError, match="unknown user '9999'; 40 users, ids like '0'…'39'"):
        model.recommend([1, 9999])
    with pytest.raises(ValueError, match="unknown item '99'"):
        model.similar([99])


def test_an_unfitted_model_does_not_know_what_was_seen(camps: Interactions) -> None:
    model = TwoTower.from_interactions(camps)
    with pytest.raises(ValueError, match="needs a fitted model"):
        model.recommend([1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1, got 0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"monitor": "hits@10"}, "`monitor` must be one of"),
        ({"monitor": "ndcg"}, "`monitor` must be one of"),
    ],
)
def test_bad_settings_are_named(
    camps: Interactions, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TwoTower.from_interactions(camps).fit(camps, progress=False, **options)


def test_the_rating_objective_needs_ratings() -> None:
    views = Interactions.from_arrays([1, 2], [3, 4])
    with pytest.raises(ValueError, match="needs interactions with ratings"):
        TwoTower.from_interactions(views, objective="rating").fit(views, progress=False)


def test_an_unknown_objective_is_named(camps: Interactions) -> None:
    with pytest.raises(ValueError, match="`objective` must be one of"):
        TwoTower.from_interactions(camps, objective="ranking")
    assert isinstance(TwoTower.from_interactions(camps, objective="rating").objective, Rating)


def test_towers_of_ones_own_work(camps: Interactions) -> None:
    first = TwoTower.from_interactions(camps)

    def tower(size: int) -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((), dtype="int32"),
                keras.layers.Embedding(size, 8),
                keras.layers.Dense(4),
            ]
        )

    model = TwoTower(
        tower(first.users.size),
        tower(first.items.size),
        first.users,
        first.items,
        objective=Retrieval(temperature=1.0),
    )
    model.fit(camps, epochs=1, batch_size=1500, progress=False)
    assert model.embed_candidates().shape == (len(first.items), 4)
    assert len(model.index(IndexConfig(exact=True))) == len(first.items)


def test_a_model_with_histories_serves_users_who_were_not_in_training(camps: Interactions) -> None:
    model = TwoTower.from_interactions(camps, embedding_dim=8, objective="catalogue", seed=1)
    adam = keras.optimizers.Adam(0.02)
    model.fit(camps, epochs=40, batch_size=8, optimizer=adam, decay=True, progress=False)
    known = model.recommend(model.users.ids, k=10, exclude_seen=False)
    assert np.mean(known.ids % 2 == (model.users.ids % 2)[:, None]) > 0.95
    new = model.recommend_from([[0, 4, 8], [1, 5, 9]], k=5)
    np.testing.assert_array_equal(new.ids % 2, np.repeat([[0], [1]], 5, axis=1))
    assert not np.isin(new.ids, [0, 4, 8, 1, 5, 9]).any()


def test_a_history_never_holds_what_is_predicted(camps: Interactions) -> None:
    model = TwoTower.from_interactions(camps, embedding_dim=4, history=True)
    model.fit(camps, epochs=1, progress=False)
    (batch,) = model._pairs(camps, 500, seed=0)[0]
    histories = batch["query_inputs"]["history"]
    assert (histories > 0).sum(axis=1).min() > 0
    assert not (histories == batch["candidate"][:, None]).any()


def test_training_shows_what_came_before_and_nothing_later() -> None:
    rows = [1, 1, 1, 1], [30, 10, 20, 40], [30, 10, 20, 20]  # two in one second
    train = Interactions.from_arrays(*rows[:2], timestamp=rows[2])
    model = TwoTower.from_interactions(train, embedding_dim=4, history=True)
    model.fit(train, epochs=1, progress=False)
    (batch,) = model._pairs(train, 4, seed=None)[0]
    shown = batch["query_inputs"]["history"]
    known = [model.items.ids[indices[indices > 0] - 1].tolist() for indices in shown]
    assert known == [[10, 20, 40], [], [10], [10]]
    assert np.isfinite(model.loss(Interactions.from_arrays(*rows[:2])))  # no times: all the others
    (untimed,) = model._pairs(Interactions.from_arrays(*rows[:2]), 4, seed=None)[0]
    assert (untimed["query_inputs"]["history"] > 0).sum(axis=1).tolist() == [3, 3, 3, 3]


def remembering(train: Interactions, objective: str = "retrieval") -> TwoTower:
    """A model that scores an item by how often it stands in the history it is shown."""
    users, items = Vocabulary.from_ids(train.user_ids), Vocabulary.from_ids(train.item_ids)
    one_hot = keras.layers.CategoryEncoding(items.size, output_mode="count")
    user = keras.Input((1,), name="user", dtype="int32")
    past = keras.Input((None,), name="history", dtype="int32")
    query = keras.Model({"user": user, "history": past}, one_hot(past))
    candidate = keras.Input((1,), dtype="int32")
    model = TwoTower(
        query,
        keras.Model(candidate, one_hot(candidate)),
        users,
        items,
        objective=objective,
        query_inputs=lambda indices: {"user": indices[:, None]},
        candidate_inputs=lambda indices: indices[:, None],
        history=True,
    )
    model.seen = Histories.from_interactions(train)
    return model


def test_a_history_ends_before_the_query_is_asked() -> None:
    train = Interactions.from_arrays([1, 1, 2], [10, 30, 20], timestamp=[10, 30, 5])
    model = remembering(train)

    def remembered(at: object) -> list[set[int]]:
        scores, ids, _ = model.recommend([1, 2], k=3, exclude_seen=False, at=at)
        return [set(row[kept].tolist()) for row, kept in zip(ids, scores > 0, strict=True)]

    assert remembered(None) == [{10, 30}, {20}]
    assert remembered(20) == [{10}, {20}]
    assert remembered([30, 5]) == [{10}, set()]
    assert remembered(["1970-01-01T00:00:31Z", None]) == [{10, 30}, {20}]


def test_nothing_later_leaks_into_an_evaluation() -> None:
    train = Interactions.from_arrays([1, 1, 2], [10, 30, 20], timestamp=[10, 30, 5])
    test = Interactions.from_arrays([1], [20], timestamp=[20])

    class Noting(TwoTower):
        def recommend(self, *args, **kwargs):
            at = kwargs.get("at")
            asked.append((kwargs["exclude"][0].tolist(), None if at is None else at.tolist()))
            return super().recommend(*args, **kwargs)

    for objective, at_their_times, expected in [
        ("retrieval", None, ([10], [20])),
        ("retrieval", False, ([10, 30], None)),
        ("catalogue", None, ([10, 30], None)),  # it learns sets
        ("catalogue", True, ([10], [20])),
    ]:
        asked: list[tuple[list[int], object]] = []
        model = remembering(train, objective)
        model.__class__ = Noting
        evaluate(model, test, train=train, ks=(1,), baselines={}, at_their_times=at_their_times)
        assert asked[0] == expected, objective  # further ones look for ties


def test_a_model_without_histories_says_so(model: TwoTower) -> None:
    with pytest.raises(ValueError, match="build the model with history=True"):
        model.recommend_from([[0]])


def test_the_user_table_holds_the_query_embeddings(camps: Interactions) -> None:
    model = TwoTower.from_interactions(camps, embedding_dim=4, objective="catalogue")
    model.fit(camps, epochs=1, batch_size=16, progress=False)
    table = model.user_table()
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(table(np.arange(1, model.users.size))),
        model.embed_queries(model.users.ids),
        atol=1e-6,
    )


def test_features_alone_tell_users_and_items_apart(camps: Interactions) -> None:
    users, items = camps.user_ids, camps.item_ids
    featured = Interactions.from_polars(
        camps.frame,
        users=pl.DataFrame({"user_id": users, "camp": users % 2}),
        items=pl.DataFrame({"item_id": items, "camp": items % 2}),
    )
    camp = FeatureSpec({"camp": Category()})
    model = TwoTower.from_interactions(
        featured,
        embedding_dim=4,
        user_features=camp,
        item_features=camp,
        layer_sizes=(64, 4),  # wide: of eight units, all that tell camps apart may start dead
    )
    model.fit(featured, epochs=3, optimizer=keras.optimizers.Adam(0.02), progress=False)
    result = model.recommend(users, k=10, exclude_seen=False)
    assert (result.ids % 2 == (users % 2)[:, None]).all()


def test_two_objectives_are_learnt_together(camps: Interactions) -> None:
    objective = MultiTask(rating_weight=2.0, retrieval_weight=0.5)
    both = TwoTower.from_interactions(camps, embedding_dim=4, objective=objective, seed=3)
    alone = {}
    for name, part in (("rating", objective.rating), ("retrieval", objective.retrieval)):
        both.objective = part
        alone[name] = both.loss(camps, batch_size=500)
    both.objective = objective
    expected = 2.0 * alone["rating"] + 0.5 * alone["retrieval"]
    assert both.loss(camps, batch_size=500) == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_falls(camps: Interactions) -> None:
    adam = keras.optimizers.Adam(0.5)
    model = TwoTower.from_interactions(camps, embedding_dim=4)
    model.fit(camps, epochs=5, optimizer=adam, decay=True, progress=False)
    assert float(keras.ops.convert_to_numpy(adam.learning_rate)) == pytest.approx(0.1)


@pytest.fixture(scope="module")
def hours() -> Interactions:
    """At even hours everyone chooses even items, at odd hours odd ones."""
    rng = np.random.default_rng(0)
    times = rng.integers(0, 20_000_000, 3000)
    items = 2 * rng.integers(0, 15, 3000) + times // 3600 % 2
    return Interactions.from_arrays(rng.integers(0, 40, 3000), items, timestamp=times)


HOUR = FeatureSpec({"hour": Time("timestamp", part="hour")})


@pytest.fixture(scope="module")
def clock(hours: Interactions) -> TwoTower:
    model = TwoTower.from_interactions(hours, embedding_dim=8, time_features=HOUR, seed=1)
    adam = keras.optimizers.Adam(0.02)
    model.fit(hours, epochs=8, batch_size=250, optimizer=adam, progress=False)
    return model


def test_the_moment_of_a_query_decides(clock: TwoTower) -> None:
    users = clock.users.ids
    at_two = clock.recommend(users, k=10, exclude_seen=False, at="2024-05-01T02:10:00Z")
    at_five = clock.recommend(users, k=10, exclude_seen=False, at=np.full(len(users), 5 * 3600))
    assert np.mean(at_two.ids % 2 == 0) > 0.95
    assert np.mean(at_five.ids % 2 == 1) > 0.95
    nobody_knows = clock.recommend(users, k=10, exclude_seen=False)
    assert 0.2 < np.mean(nobody_knows.ids % 2) < 0.8


def test_a_timed_model_is_evaluated_at_the_time_of_each_interaction(
    hours: Interactions, clock: TwoTower
) -> None:
    measured = evaluate(clock, hours, train=hours, ks=(15,), exclude_seen=False)
    assert measured["hit_rate@15"] > 0.9  # of 30 items the 15 of the hour
    assert measured.baselines["Popularity"]["hit_rate@15"] < 0.6
    untimed = Interactions.from_polars(hours.frame.drop("timestamp"))
    with pytest.raises(
        ValueError, match="with a column 'timestamp', and there is none; at_their_times=False"
    ):
        evaluate(clock, untimed, train=hours, exclude_seen=False)


def test_a_timed_model_is_validated_with_times(hours: Interactions) -> None:
    split = split_random(hours, seed=0)
    model = TwoTower.from_interactions(split.train, embedding_dim=8, time_features=HOUR, seed=1)
    history = model.fit(
        split.train,
        epochs=8,
        batch_size=250,
        optimizer=keras.optimizers.Adam(0.02),
        validation=split.test,
        monitor="hit_rate@15",
        progress=False,
    )
    assert max(history.validation) > 0.95  # seen items left out, the 15 of the hour hold the rest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time_features": FeatureSpec({"rating": Category()})}, "'timestamp' and no other"),
        ({"time_features": HOUR, "objective": "catalogue"}, "can have no time features"),
        (
            {"time_features": HOUR, "user_features": FeatureSpec({"hour": Category("user_id")})},
            "'hour' is the name of another feature",
        ),
    ],
)
def test_time_features_that_cannot_be_are_refused(
    hours: Interactions, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TwoTower.from_interactions(hours, **options)


def test_times_that_do_not_fit_are_named(
    camps: Interactions, clock: TwoTower, model: TwoTower
) -> None:
    with pytest.raises(ValueError, match="one for each of 2 queries, got 3"):
        clock.recommend([1, 2], at=[1, 2, 3])
    with pytest.raises(ValueError, match="`at` is for a model with time features"):
        model.recommend([1], at=0)
    with pytest.raises(ValueError, match="need interactions with a column 'timestamp'"):
        clock.fit(camps, progress=False)
