import keras
import numpy as np
import pytest

from shortlist.data import Interactions, Vocabulary
from shortlist.evaluation.baselines import IALS
from shortlist.models import LeastSquares, TwoTower, embedding_tower

RNG = np.random.default_rng(0)
USERS = np.repeat(np.arange(30), 6)
ITEMS = (USERS % 3) * 10 + RNG.permuted(np.tile(np.arange(10), (30, 1)), axis=1)[:, :6].ravel()
VIEWS = Interactions.from_arrays(USERS, ITEMS)
OBJECTIVE = LeastSquares(unobserved_weight=0.3, l2=0.01)


def fitted(objective: LeastSquares = OBJECTIVE, *, epochs: int = 8, **options: object) -> TwoTower:
    model = TwoTower.from_interactions(
        VIEWS, objective=objective, embedding_dim=4, pooling="sqrt", **options
    )
    model.log = model.fit(VIEWS, epochs=epochs, progress=False)
    return model


def penalised(model: TwoTower, objective: LeastSquares) -> float:
    """The loss as the paper has it, by whole matrices."""
    users = model.embed_queries(model.users.ids)
    items = model.embed_candidates()
    chosen = np.zeros((30, 30))
    chosen[USERS, ITEMS] = 1
    errors = chosen * (users @ items.T - 1) ** 2
    errors += objective.unobserved_weight * (users @ items.T) ** 2
    penalty = 0.0
    for factors, numbers in ((users, chosen.sum(axis=1)), (items, chosen.sum(axis=0))):
        weight = (numbers + objective.unobserved_weight * 30) ** objective.power
        penalty += objective.l2 * weight @ (factors**2).sum(axis=1)
    return (errors.sum() + penalty) / len(USERS)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_the_loss_is_that_of_the_paper_and_falls_in_every_round(power: float) -> None:
    objective = LeastSquares(unobserved_weight=0.3, l2=0.01, power=power)
    model = fitted(objective, history=False)
    np.testing.assert_allclose(model.log.loss[-1], penalised(model, objective), rtol=1e-5)
    assert (np.diff(model.log.loss) < 1e-6).all()


def test_propensity_lets_choices_of_rare_items_count_more() -> None:
    model = fitted()
    histories = model.seen.encoded(model.users, model.items)
    choices = LeastSquares(propensity=0.5).choices(histories, 30)
    counts = np.bincount(ITEMS, minlength=30)
    expected = (counts / counts.mean()) ** -0.5
    np.testing.assert_allclose(choices.weights, expected[choices.columns], rtol=1e-6)
    both = LeastSquares(propensity=0.5, smoothing=0.2).choices(histories, 30)
    smooth = LeastSquares(smoothing=0.2).choices(histories, 30)
    np.testing.assert_allclose(both.weights, smooth.weights * expected[both.columns], rtol=1e-6)


def test_the_loss_counts_choices_by_their_weights() -> None:
    objective = LeastSquares(unobserved_weight=0.3, l2=0.01, propensity=0.5, smoothing=0.2)
    model = fitted(objective, history=False)
    users, items = model.embed_queries(model.users.ids), model.embed_candidates()
    choices = objective.choices(model.seen.encoded(model.users, model.items), 30)
    weights = np.zeros((30, 30))
    weights[np.repeat(np.arange(30), choices.lengths), choices.columns] = choices.weights
    scores = users @ items.T
    total = (weights * (scores - 1) ** 2 + 0.3 * scores**2).sum()
    for factors, axis in ((users, 1), (items, 0)):
        total += 0.01 * ((weights > 0).sum(axis=axis) + 0.3 * 30) @ (factors**2).sum(axis=1)
    np.testing.assert_allclose(model.log.loss[-1], total / weights.sum(), rtol=1e-5)
    assert (np.diff(model.log.loss) < 1e-6).all()


def test_it_is_the_ials_of_the_baselines() -> None:
    ials = IALS(VIEWS, factors=4, unobserved_weight=0.3, l2=0.01, iterations=60)
    scores = fitted(epochs=60, history=False).recommend(np.arange(30), k=3)
    expected = ials.recommend(np.arange(30), k=3)
    np.testing.assert_allclose(scores.scores, expected.scores, atol=2e-3)


def test_a_history_changes_nothing_for_users_of_training() -> None:
    plain, with_history = fitted(history=False), fitted()
    assert with_history.history
    np.testing.assert_allclose(
        with_history.embed_queries(np.arange(30)) @ with_history.embed_candidates().T,
        plain.embed_queries(np.arange(30)) @ plain.embed_candidates().T,
        atol=1e-4,
    )


def test_strangers_get_the_items_of_the_kind_that_they_chose() -> None:
    result = fitted().recommend_from([[0, 1, 2], [20, 21]], k=3)
    assert (result.ids // 10).tolist() == [[0] * 3, [2] * 3]


def test_what_a_history_becomes_is_nearest_to_the_factors_of_training() -> None:
    model = fitted()
    histories = [ITEMS[user == USERS] for user in range(30)]
    bags, users = model.embed_histories(histories), model.embed_queries(np.arange(30))
    mapping = np.linalg.lstsq(bags, users, rcond=None)[0]
    np.testing.assert_allclose(mapping, np.eye(4), atol=0.02)  # no linear map does better


def test_damping_divides_candidates_by_their_length() -> None:
    plain = fitted(history=False).embed_candidates()
    damped = fitted(LeastSquares(unobserved_weight=0.3, l2=0.01, damping=0.5), history=False)
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(damped.embed_candidates(), plain / lengths**0.5, rtol=1e-4)


def test_the_best_round_on_the_validation_is_kept() -> None:
    model = TwoTower.from_interactions(VIEWS, objective=OBJECTIVE, embedding_dim=4, history=False)
    held_out = Interactions.from_arrays([0, 1, 2], [9, 19, 29])
    train = VIEWS.take(~np.isin(ITEMS, [9, 19, 29]) | (USERS > 2))
    log = model.fit(train, epochs=9, validation=held_out, patience=3, progress=False)
    assert log.validation[log.best_epoch - 1] == max(log.validation)
    assert len(log.loss) <= log.best_epoch + 3


def test_the_loss_of_a_batch_is_the_mean_over_choices() -> None:
    queries = RNG.normal(size=(2, 3)).astype("float32")
    candidates = RNG.normal(size=(4, 3)).astype("float32")
    scores = queries @ candidates.T
    expected = 0.1 * (scores**2).sum() + sum(
        (scores[row, item] - 1) ** 2 for row, item in ((0, 1), (0, 3), (1, 0))
    )
    batch = {"chosen": np.array([[2, 4], [1, 0]], np.int32)}
    loss = LeastSquares(unobserved_weight=0.1)(
        keras.ops.array(queries), keras.ops.array(candidates), batch
    )
    np.testing.assert_allclose(float(loss), expected / 3, rtol=1e-5)


def test_an_item_chosen_twice_counts_once() -> None:
    twice = Interactions.from_arrays(np.append(USERS, USERS[:6]), np.append(ITEMS, ITEMS[:6]))
    once, again = (
        fitted(history=False),
        TwoTower.from_interactions(twice, objective=OBJECTIVE, embedding_dim=4, history=False),
    )
    again.fit(twice, epochs=8, progress=False)
    np.testing.assert_allclose(once.embed_candidates(), again.embed_candidates(), atol=1e-5)


def test_a_user_of_the_vocabulary_without_choices_has_none() -> None:
    model = TwoTower.from_interactions(VIEWS, objective=OBJECTIVE)
    model.fit(VIEWS.take(USERS != 7), epochs=1, progress=False)
    choices = OBJECTIVE.choices(model.seen.encoded(model.users, model.items), 30)
    assert choices.lengths.tolist() == [6] * 7 + [0] + [6] * 22
    np.testing.assert_allclose(model.embed_queries([7]), 0.0, atol=1e-6)


def test_other_towers_than_tables_are_refused() -> None:
    deep = TwoTower.from_interactions(VIEWS, objective=OBJECTIVE, layer_sizes=(4,))
    users, items = Vocabulary.from_ids(USERS), Vocabulary.from_ids(ITEMS)
    towers = embedding_tower(users.size, 4), embedding_tower(items.size, 4)
    for model in (deep, TwoTower(*towers, users, items, objective="least_squares")):
        with pytest.raises(ValueError, match=r"LeastSquares needs a query tower with the features"):
            model.fit(VIEWS, progress=False)
    with pytest.raises(ValueError, match="LeastSquares has no loss of held-out interactions"):
        deep.loss(VIEWS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unobserved_weight": 0.0}, "`unobserved_weight` must be above 0, got 0.0"),
        ({"l2": -1.0}, "`l2` must be above 0, got -1.0"),
        ({"power": 2.0}, "`power` must be from 0 to 1, got 2.0"),
        ({"propensity": -0.5}, "`propensity` must be from 0 to 1, got -0.5"),
        ({"smoothing": 3.0}, "`smoothing` must be from 0 to 1, got 3.0"),
        ({"smoothing_number": 0}, "`smoothing_number` must be at least 1, got 0"),
        ({"damping": -0.5}, "`damping` must be from 0 to 1, got -0.5"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LeastSquares(**options)
