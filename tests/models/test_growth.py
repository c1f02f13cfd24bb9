"""A warm start: known ids keep their embeddings, new ones are learnt."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from shortlist.data import DataError, Histories, Interactions, Vocabulary
from shortlist.data.features import Category, Cross, FeatureSpec, Number
from shortlist.models import TwoTower, embedding_tower
from shortlist.models.growth import together

USERS, ITEMS = np.arange(12) % 4, 10 * (np.arange(12) % 5)
FILMS = pl.DataFrame(
    {"item_id": [0, 10, 20, 30, 40], "genre": ["a", "b", "a", "b", "b"], "year": [1.0, 2, 3, 4, 5]}
)
VIEWS = Interactions.from_arrays(USERS, ITEMS, timestamp=np.arange(12), items=FILMS)
FEATURES = FeatureSpec({"item_id": Category(), "genre": Category(), "year": Number()})
# User 9, film 15 and genre "c" are new; users 2 and 3 and the films from 20 on are gone.
LATER = Interactions.from_arrays(
    [0, 9, 9, 1],
    [15, 10, 15, 0],
    timestamp=[50, 51, 52, 53],
    items=pl.DataFrame({"item_id": [0, 10, 15], "genre": ["a", "b", "c"], "year": [1.0, 2, 9]}),
)


def trained(**options: Any) -> TwoTower:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4, **options)
    model.fit(VIEWS, epochs=1, batch_size=4, progress=False)
    return model


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"item_features": FEATURES, "layer_sizes": (8, 4)},
        {"objective": "catalogue", "item_features": FEATURES},
    ],
)
def test_known_ids_keep_their_embeddings_and_come_first(options: dict[str, Any]) -> None:
    model = trained(**options)
    more = model.grown(LATER)
    assert more.users.ids.tolist() == [0, 1, 2, 3, 9]
    assert more.items.ids.tolist() == [0, 10, 20, 30, 40, 15]
    for embed, other, ids in (
        (more.embed_queries, model.embed_queries, model.users.ids),
        (more.embed_candidates, model.embed_candidates, model.items.ids),
    ):
        np.testing.assert_allclose(embed(ids), other(ids), rtol=1e-6, atol=1e-7)
    assert more.objective == model.objective


def test_new_ids_are_learnt() -> None:
    more = trained().grown(LATER)
    before = more.embed_queries([9]), more.embed_candidates([15])
    more.fit(LATER, epochs=40, batch_size=4, optimizer="adam", progress=False)
    after = more.embed_queries([9]), more.embed_candidates([15])
    for old, new in zip(before, after, strict=True):
        assert np.abs(new - old).max() > 0.01
    assert (after[0] @ after[1].T).item() > (before[0] @ before[1].T).item()


def test_a_new_value_of_a_category_comes_after_the_known_ones() -> None:
    more = trained(item_features=FEATURES).grown(LATER)
    spec: Any = more.candidate_inputs.features  # type: ignore[attr-defined]
    assert spec["genre"].vocabulary.ids.tolist() == ["a", "b", "c"]
    arrays = more.candidate_inputs(np.arange(1, 7))
    # Films 20, 30 and 40, which the new table does not name, keep what was known of them.
    assert arrays["genre"].tolist() == [1, 2, 1, 2, 2, 3]
    assert arrays["item_id"].tolist() == [1, 2, 3, 4, 5, 6]


def test_the_categories_of_a_cross_keep_their_size() -> None:
    both = {"genre": Category(), "item_id": Category()}
    spec = FeatureSpec({**both, "x": Cross(of=("genre", "item_id"))})
    model = trained(item_features=spec)
    more = model.grown(LATER)
    assert more.candidate_inputs(np.array([6]))["genre"].tolist() == [0]
    known = model.items.ids
    assert np.allclose(more.embed_candidates(known), model.embed_candidates(known), atol=1e-7)


def test_what_users_had_before_stays_in_their_histories() -> None:
    more = trained(objective="catalogue").grown(LATER)
    more.fit(LATER, epochs=1, progress=False, earlier=more.seen)
    assert more.seen[0].tolist() == [0, 40, 30, 15]
    assert more.seen[9].tolist() == [10, 15]
    assert more.seen[3].tolist() == [30, 20, 10]
    assert set(more.recommend([0], k=2).ids[0]) == {10, 20}


def test_an_interaction_that_is_given_again_counts_once() -> None:
    seen = Histories.from_interactions(VIEWS)
    assert together(seen, VIEWS) == seen
    assert together(None, VIEWS) == seen
    assert together(Histories.empty(), VIEWS) == seen
    untimed = Interactions.from_arrays([0], [15])
    assert together(seen, untimed)[0].tolist() == [0, 40, 30, 15]


def test_what_cannot_grow_is_refused() -> None:
    users, items = Vocabulary.from_ids(USERS), Vocabulary.from_ids(ITEMS)
    own = TwoTower(embedding_tower(users.size, 4), embedding_tower(items.size, 4), users, items)
    with pytest.raises(ValueError, match=r"`grown` needs towers made by TwoTower\.from_inter"):
        own.grown(LATER)
    model = trained(item_features=FEATURES)
    with pytest.raises(DataError, match="a feature reads 'genre', but of items only the id"):
        model.grown(Interactions.from_arrays([1], [10]))
    with pytest.raises(DataError, match="must be integers"):
        model.grown(Interactions.from_arrays(["a"], [10]))
