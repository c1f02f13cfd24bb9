import numpy as np
import pytest

from shortlist.data import Interactions, split_random
from shortlist.models import Recipe

VIEWS = Interactions.from_arrays([1, 1, 2, 2], [7, 8, 7, 9], timestamp=[1, 2, 3, 4])


@pytest.mark.parametrize(
    ("recipe", "held_out"),
    [
        (Recipe(split="time", test=0.25), [9]),
        (Recipe(split="last"), [8, 9]),
    ],
)
def test_data_are_split_as_asked(recipe: Recipe, held_out: list[int]) -> None:
    assert recipe.parts(VIEWS).test.item_ids.tolist() == held_out


def test_a_random_split_follows_the_seed() -> None:
    many = Interactions.from_arrays(np.arange(100), np.arange(100))
    first, again, other = (Recipe(seed=seed).parts(many).test.item_ids for seed in (0, 0, 1))
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 1.5}, "`test` must be between 0 and 1, got 1.5"),
        ({"learning_rate": 0.0}, "`learning_rate` must be above 0, got 0.0"),
        ({"layer_sizes": (8, 0)}, r"`layer_sizes` must be all at least 1, got \(8, 0\)"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1"),
        ({"patience": -1}, "`patience` must be at least 0, got -1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recipe(**settings)  # type: ignore[arg-type]


def test_of_many_users_some_are_asked_after_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shortlist.models.recipe.VALIDATION_USERS", 5)
    views = Interactions.from_arrays(np.arange(200) % 50, np.arange(200))
    given: dict[str, Interactions] = {}

    class Model:
        def fit(self, train: Interactions, *, validation: Interactions, **_: object) -> None:
            given.update(train=train, validation=validation)

    Recipe().fit(Model(), views)  # type: ignore[arg-type]
    inner = split_random(views, test=0.1, seed=0)
    assert given["train"].frame.equals(inner.train.frame)
    asked = given["validation"].user_ids.tolist()
    assert len(asked) == 5
    of_those = inner.test.frame.filter(inner.test.frame["user_id"].is_in(asked))
    assert given["validation"].frame.equals(of_those)


@pytest.mark.parametrize(
    ("users", "items", "number", "objective", "dim"),
    [
        (943, 1_682, 80_000, "catalogue", 256),
        (1_900, 14_000, 60_000, "least_squares", 128),
        (30_000, 40_000, 300_000, "least_squares", 256),
        (6_000, 3_000, 100_000, "least_squares", 128),  # few of all pairs
    ],
)
def test_the_recipe_suits_size_and_density(
    users: int, items: int, number: int, objective: str, dim: int
) -> None:
    views = Interactions.from_arrays(np.arange(number) % users, np.arange(number) % items)
    recipe = Recipe.for_data(views, seed=7)
    assert (recipe.objective, recipe.embedding_dim, recipe.seed) == (objective, dim, 7)


def test_weight_and_penalty_follow_the_density() -> None:
    views = Interactions.from_arrays(np.arange(60_000) % 6_000, np.arange(60_000) % 7_000)
    options = Recipe.for_data(views, options={"smoothing": 0.2}, objective="least_squares").options
    assert options["smoothing"] == 0.2
    weight = 1.5 * np.sqrt(60_000 / (6_000 * 7_000))
    assert options["unobserved_weight"] == pytest.approx(weight)
    assert options["l2"] * weight * np.sqrt(6_000 * 7_000) == pytest.approx(3)


def test_settings_of_another_model_are_kept_to() -> None:
    assert Recipe.for_data(VIEWS, objective="rating") == Recipe(objective="rating")
    assert Recipe.for_data(VIEWS, learning_rate=0.1) == Recipe(learning_rate=0.1)
    assert Recipe.for_data(VIEWS, objective="catalogue") == Recipe.best()


def test_options_reach_the_objective() -> None:
    recipe = Recipe(options={"temperature": 0.07})
    assert recipe.model(VIEWS).objective.temperature == 0.07
    with pytest.raises(ValueError, match=r"`options` of 'rating' may be none, got 'temperature'"):
        Recipe(objective="rating", options={"temperature": 0.07})
    with pytest.raises(ValueError, match="`temperature` must be greater than 0"):
        Recipe(options={"temperature": 0.0})
