"""Somebody the model does not know, answered as the Keras model itself answers."""

import numpy as np
import polars as pl

from shortlist.bundle import Bundle
from shortlist.data import Interactions
from shortlist.data.features import Category, FeatureSpec
from shortlist.models import Catalogue, TwoTower

from .conftest import running


def test_a_history_is_answered_as_the_keras_model_answers_it(tmp_path):
    rng = np.random.default_rng(0)
    people = pl.DataFrame({"user_id": range(30), "work": ["baker", "writer"] * 15})
    items = np.concatenate([rng.permutation(50)[:10] for _ in range(30)])
    views = Interactions.from_arrays(np.repeat(range(30), 10), items, users=people)
    model = TwoTower.from_interactions(
        views,
        embedding_dim=8,
        objective=Catalogue(),
        user_features=FeatureSpec({"user_id": Category(), "work": Category()}),
    )
    model.fit(views, epochs=2, batch_size=10, optimizer="adam", progress=False)
    Bundle.save_model(tmp_path / "1", model, items=pl.DataFrame({"id": model.items.ids}))
    with running(tmp_path) as served:
        for length in (1, 2, 9):
            history = rng.permutation(model.items.ids)[:length].tolist()
            body = {"history": history, "k": 7}
            status, answer = served.json("/api/v1/recommend", body)
            expected = model.recommend_from([history], 7)
            assert status == 200
            assert [item["id"] for item in answer["items"]] == expected.ids[0].tolist()
            scores = [item["score"] for item in answer["items"]]
            np.testing.assert_allclose(scores, expected.scores[0], rtol=1e-4, atol=1e-6)
        baker = served.json("/api/v1/recommend", {**body, "features": {"work": "baker"}})[1]
        assert [item["score"] for item in baker["items"]] != scores
        for features in ({"job": "baker"}, {"work": {"a": 1}}, {"work": [1]}):
            status, answer = served.json("/api/v1/recommend", {**body, "features": features})
            assert status == 400, answer
