"""Training goes on from a bundle."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shortlist.bundle import Bundle
from shortlist.bundle.manifest import BundleError
from shortlist.data import Interactions, Vocabulary
from shortlist.data.features import Category, FeatureSpec, Number, Time
from shortlist.models import MultiTask, Retrieval, TwoTower, embedding_tower

USERS, ITEMS = np.arange(12) % 4, [f"f{item}" for item in np.arange(12) % 5]
FILMS = pl.DataFrame({"item_id": [f"f{item}" for item in range(5)], "year": [1.0, 2, 3, 4, 5]})
VIEWS = Interactions.from_arrays(
    USERS, ITEMS, rating=1.0 + np.arange(12) % 5, timestamp=3600 * np.arange(12), items=FILMS
)
MODELS: list[dict[str, Any]] = [
    {},
    {
        "objective": MultiTask(retrieval=Retrieval(temperature=0.2), rating_weight=0.5),
        "item_features": FeatureSpec({"item_id": Category(), "year": Number()}),
        "time_features": FeatureSpec({"hour": Time("timestamp")}),
        "layer_sizes": (8, 4),
    },
    {"objective": "catalogue", "seed": 3},
]


def saved(path: Path, **options: Any) -> TwoTower:
    model = TwoTower.from_interactions(VIEWS, embedding_dim=4, **options)
    model.fit(VIEWS, epochs=1, batch_size=4, progress=False)
    items = pl.DataFrame({"id": model.items.ids})
    Bundle.save_model(path, model, items=items, interactions=VIEWS)
    return model


@pytest.mark.parametrize("options", MODELS)
def test_the_model_of_a_bundle_is_the_one_that_was_saved(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    model = saved(tmp_path / "films", **options)
    loaded = Bundle.load_model(tmp_path / "films")
    for side in ("query_tower", "candidate_tower"):
        for ours, theirs in zip(
            getattr(loaded, side).get_weights(), getattr(model, side).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
    for name in ("users", "items", "objective", "history", "rating_range", "seed", "seen"):
        assert getattr(loaded, name) == getattr(model, name), name
    for one in (loaded, model):
        one.fit(VIEWS, epochs=1, batch_size=4, progress=False)
    known = model.users.ids
    np.testing.assert_allclose(loaded.embed_queries(known), model.embed_queries(known), atol=1e-6)


def test_before_any_step_a_warm_start_has_the_embeddings_of_the_bundle(tmp_path: Path) -> None:
    saved(tmp_path / "films")
    bundle = Bundle.load(tmp_path / "films")
    warm = Bundle.load_model(tmp_path / "films").grown(
        Interactions.from_arrays([0, 9], ["f1", "x"])
    )
    users = bundle.tower.users.ids
    np.testing.assert_allclose(warm.embed_queries(users), bundle.tower.embed(users), atol=1e-6)
    answers = bundle.index.search(warm.embed_queries(users), 5)
    again = warm.recommend(users, 6, exclude_seen=False)
    for known, now in zip(answers.ids, again.ids, strict=True):
        assert [item for item in now if item != "x"] == known.tolist()


def test_towers_of_ones_own_are_no_part_of_a_bundle(tmp_path: Path) -> None:
    users, items = Vocabulary.from_ids(USERS), Vocabulary.from_ids(ITEMS)
    own = TwoTower(embedding_tower(users.size, 4), embedding_tower(items.size, 4), users, items)
    own.fit(VIEWS, epochs=1, progress=False)
    Bundle.save_model(tmp_path / "own", own, items=pl.DataFrame({"id": items.ids}))
    assert not (tmp_path / "own" / "weights.npz").exists()
    with pytest.raises(BundleError, match="holds no weights to go on from"):
        Bundle.load_model(tmp_path / "own")
