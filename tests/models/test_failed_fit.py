"""A fit that fails changes nothing: the model and its next fit are as if it had not been."""

from typing import Any

import keras
import numpy as np
import pytest

from shortlist.data import Interactions, Vocabulary
from shortlist.models import Rating, Retrieval, TwoTower, embedding_tower

RNG = np.random.default_rng(0)
VIEWS = Interactions.from_arrays(
    RNG.integers(0, 12, 200), RNG.integers(0, 15, 200), rating=RNG.integers(1, 6, 200)
)
OTHER = Interactions.from_arrays([0, 1, 2], [3, 4, 5], rating=[1, 2, 3])
TEXT = Interactions.from_arrays(["0", "1"], ["3", "4"], rating=[1, 2])
EQUAL = Interactions.from_arrays([0, 1, 2], [3, 4, 5], rating=[3, 3, 3])
UNRATED = Interactions.from_arrays([0, 1, 2], [3, 4, 5])
STRANGE = Interactions.from_arrays([0, 1], [98, 99], rating=[1, 2])


def fitted(objective: Any, **options: Any) -> TwoTower:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4, objective=objective, **options)
    model.fit(VIEWS, epochs=1, batch_size=64, optimizer="adam", progress=False)
    return model


def state(model: TwoTower) -> tuple[Any, ...]:
    """All that a caller can see of a model."""
    variables = [*model.query_tower.variables, *model.candidate_tower.variables]
    values = [keras.ops.convert_to_numpy(variable).tolist() for variable in variables]
    recommended = model.recommend(model.users.ids, 5)
    return values, recommended.ids.tolist(), recommended.scores.tolist(), model.rating_range


def assert_they_learn_alike(tried: TwoTower, twin: TwoTower) -> None:
    for one in (tried, twin):
        one.fit(VIEWS, epochs=1, batch_size=64, optimizer="adam", progress=False)
    assert tried.seen == twin.seen
    assert state(tried) == state(twin)


BAD = [
    (OTHER, {"optimizer": "adamm"}, "`optimizer` must be a Keras optimizer .* got 'adamm'"),
    (OTHER, {"optimizer": 5}, "`optimizer` must be a Keras optimizer"),
    (OTHER, {"epochs": 0}, "`epochs` must be at least 1"),
    (OTHER, {"epochs": 2.5}, "`epochs` must be an integer, got 2.5"),
    (OTHER, {"batch_size": -1}, "`batch_size` must be at least 1"),
    (OTHER, {"patience": 0}, "`patience` must be at least 1"),
    (OTHER, {"monitor": "hits"}, "`monitor` must be one of"),
    (OTHER, {"validation": TEXT}, "`validation: user_id` must be integers"),
    (OTHER, {"validation": STRANGE}, "`validation` holds none of the items"),
    (OTHER, {"validation": OTHER}, "holds no interaction to evaluate"),
    (OTHER, {"validation": [1, 2]}, "`validation` must be Interactions, got list"),
    (TEXT, {}, "`train: user_id` must be integers, as the ids of the users are"),
    (EQUAL.frame, {}, "`train` must be Interactions, got DataFrame"),
    (STRANGE, {}, "`train` holds none of the items of this model"),
    (UNRATED, {}, "needs interactions with ratings"),
]


def test_bad_arguments_change_nothing() -> None:
    tried, twin = fitted("rating"), fitted("rating")
    before = state(tried)
    for train, options, message in BAD:
        with pytest.raises(ValueError, match=message):
            tried.fit(train, progress=False, **options)
        assert state(tried) == before
        assert tried.seen == twin.seen
    assert_they_learn_alike(tried, twin)


def test_equal_ratings_are_refused_and_do_not_become_the_scale() -> None:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4, objective="rating")
    with pytest.raises(ValueError, match=r"the ratings must differ .* and all are 3"):
        model.fit(EQUAL, progress=False)
    assert model.rating_range is None
    with pytest.raises(ValueError, match="needs a fitted model"):
        model.recommend([1])
    model.fit(VIEWS, epochs=1, progress=False)
    assert model.rating_range == (1.0, 5.0)


def test_what_stops_in_the_middle_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"dropout": 0.5, "layer_sizes": (4,)}  # dropout has a random state
    tried, twin = fitted("retrieval", **options), fitted("retrieval", **options)
    before = state(tried)
    held_out = Interactions.from_arrays([0, 1], [13, 14])
    for error, name, last in (
        (KeyboardInterrupt, "recommend", 1),  # in the second epoch, when it is measured
        (MemoryError, "query_inputs", 6),  # in the midst of its batches
    ):
        calls, original = [], getattr(tried, name)

        def failing(
            *args: Any, calls=calls, original=original, last=last, error=error, **named: Any
        ) -> Any:
            calls.append(args)
            if len(calls) > last:
                raise error
            return original(*args, **named)

        monkeypatch.setattr(tried, name, failing)
        adam = keras.optimizers.Adam(0.1)
        with pytest.raises(error):
            tried.fit(
                OTHER, epochs=9, batch_size=1, optimizer=adam, validation=held_out, progress=False
            )
        monkeypatch.undo()
        assert len(calls) > last
        assert state(tried) == before
        assert int(keras.ops.convert_to_numpy(adam.iterations)) == 0
    assert_they_learn_alike(tried, twin)


def test_a_training_that_diverges_says_so_and_changes_nothing() -> None:
    tried, twin = fitted("rating"), fitted("rating")
    before = state(tried)
    message = r"training diverged in epoch \d: .*Lower the learning rate, which was 1e\+12"
    for validation in (None, Interactions.from_arrays([0, 1], [13, 14])):
        sgd = keras.optimizers.SGD(1e12)
        with pytest.raises(ValueError, match=message):
            tried.fit(
                VIEWS, epochs=9, batch_size=64, optimizer=sgd, validation=validation, progress=False
            )
        assert state(tried) == before
    assert_they_learn_alike(tried, twin)


class OnceNotANumber(Rating):
    """A loss that is no number for one rating."""

    def __call__(self, queries: Any, candidates: Any, batch: Any) -> Any:
        """Returns the loss, NaN where a batch holds a rating of 5."""
        loss = super().__call__(queries, candidates, batch)
        return keras.ops.where(keras.ops.any(batch["rating"] == 1.0), np.nan, loss)


def test_one_batch_of_no_number_is_a_training_that_diverged() -> None:
    rated = Interactions.from_arrays([0, 1, 2, 3], [3, 4, 5, 6], rating=[1, 2, 3, 5])
    model = TwoTower.from_interactions(rated, embedding_dim=4, objective=OnceNotANumber())
    with pytest.raises(ValueError, match="training diverged in epoch 1: the loss became nan"):
        model.fit(rated, epochs=3, batch_size=1, progress=False)


def test_towers_of_different_lengths_are_refused_before_training() -> None:
    users, items = Vocabulary(VIEWS.user_ids), Vocabulary(VIEWS.item_ids)
    towers = embedding_tower(users.size, 4), embedding_tower(items.size, 5)
    with pytest.raises(ValueError, match=r"of one length, got \(4,\) for queries and \(5,\)"):
        TwoTower(*towers, users, items).fit(VIEWS, progress=False)


def test_an_objective_that_is_none_is_refused_and_the_old_one_stays() -> None:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4)
    for bad in ("ranking", 5, None, Retrieval):
        with pytest.raises(ValueError, match="`objective` must be one of"):
            model.objective = bad
    assert model.objective == Retrieval()
    model.objective = "rating"
    assert model.objective == Rating()


def test_measuring_a_loss_changes_nothing() -> None:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4, objective="rating")
    model.loss(OTHER)
    assert model.rating_range is None


@pytest.mark.parametrize("rating_range", [(5.0, 1.0), (3.0, 3.0), (np.nan, 1.0)])
def test_a_rating_range_goes_up(rating_range: tuple[float, float]) -> None:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4, objective="rating")
    parts = model.query_tower, model.candidate_tower, model.users, model.items
    with pytest.raises(ValueError, match="`rating_range` must go from low to high"):
        TwoTower(*parts, rating_range=rating_range)


def test_a_schedule_and_decay_are_refused_together() -> None:
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4)
    with pytest.raises(ValueError, match="without a schedule of its own"):
        model.fit(VIEWS, optimizer=keras.optimizers.Adam(schedule), decay=True, progress=False)
    model.fit(VIEWS, optimizer=keras.optimizers.Adam(schedule), epochs=1, progress=False)


@pytest.mark.parametrize(
    ("users", "items", "objective"),
    [([1], [5], "retrieval"), ([1], [5], "catalogue"), ([1, 2], [5, 5], "retrieval")],
)
def test_one_user_or_one_item_can_be_learnt(
    users: list[int], items: list[int], objective: str
) -> None:
    views = Interactions.from_arrays(users, items, weight=[0.0] * len(users))
    model = TwoTower.from_interactions(views, embedding_dim=4, objective=objective)
    model.fit(views, epochs=1, progress=False)
    result = model.recommend(views.user_ids, 2, exclude_seen=False)
    assert np.isfinite(result.scores[result.rows >= 0]).all()
    assert (result.rows >= 0).sum() == len(views.user_ids) * len(views.item_ids)
