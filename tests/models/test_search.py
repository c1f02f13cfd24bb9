import math
from dataclasses import replace

import numpy as np
import pytest

from shortlist.data import Interactions
from shortlist.models import Recipe, Search

RNG = np.random.default_rng(0)
USERS = np.repeat(np.arange(60), 8)
ITEMS = (USERS % 3) * 20 + RNG.permuted(np.tile(np.arange(20), (60, 1)), axis=1)[:, :8].ravel()
VIEWS = Interactions.from_arrays(USERS, ITEMS)
SETTINGS = {"objective": "least_squares", "embedding_dim": 8}


def found(**options: object) -> Search:
    options = {"seconds": 120.0, "trials": 5, "progress": False, **SETTINGS, **options}
    return Recipe.search(VIEWS, **options)  # type: ignore[arg-type]


def tried(search: Search) -> list[tuple[object, float]]:
    return [(trial.settings, trial.value) for trial in search.trials]


def test_the_recipe_is_that_of_the_best_trial() -> None:
    result = found()
    assert len(result.trials) == 5
    values = [trial.value for trial in result.trials]
    assert result.best.value == max(values) > 20 / 60  # what chance finds
    assert result.recipe == replace(Recipe.for_data(VIEWS, **SETTINGS), **result.best.settings)
    model = result.recipe.model(VIEWS)
    result.recipe.fit(model, VIEWS, progress=False)
    assert set(model.recommend([0], k=3).ids[0] // 20) == {0}


def test_the_seed_decides() -> None:
    assert tried(found(trials=3, seed=3)) == tried(found(trials=3, seed=3))
    assert tried(found(trials=3, seed=3)) != tried(found(trials=3, seed=4))


def test_the_first_trial_is_the_recipe_that_suits_the_data() -> None:
    (first,) = found(trials=1, options={"l2": 0.02}).trials
    options = dict(Recipe.for_data(VIEWS, options={"l2": 0.02}, **SETTINGS).options)
    assert options["l2"] == 0.02
    options["damping"] = first.settings["options"]["damping"]  # each trial takes the best one
    assert first.settings["options"] == options
    assert first.settings["embedding_dim"] == 8


def test_the_search_ends_with_the_time() -> None:
    assert len(found(seconds=1e-6, trials=None).trials) == 1


def test_a_search_by_gradients_tries_rates_and_temperatures() -> None:
    settings = {"objective": "retrieval", "epochs": 2, "batch_size": 64}
    result = found(trials=2, monitor="ndcg@10", **settings)
    _, second = result.trials
    assert set(second.settings) == {"options", "embedding_dim", "learning_rate"}
    assert set(second.settings["options"]) == {"temperature"}
    assert result.monitor == "ndcg@10"
    assert all(0 <= trial.value <= 1 for trial in result.trials)


def test_trials_that_reach_nothing_are_told_as_such() -> None:
    result = found(trials=1, objective="catalogue", epochs=2, learning_rate=1e30)
    assert math.isnan(result.trials[0].value)
    assert result.to_dict()["trials"][0]["value"] is None


def test_a_time_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="`seconds` must be above 0, got 0"):
        found(seconds=0)
