"""A bundle gives items the embeddings that training's candidate tower gives them."""

from pathlib import Path

import keras
import numpy as np
import polars as pl
import pytest

from shortlist.bundle import Bundle, BundleError
from shortlist.bundle.manifest import write_manifest
from shortlist.data import DataError, Interactions
from shortlist.data.features import Bucket, Categories, Category, FeatureSpec, Number, Text
from shortlist.models import TwoTower

from .parts import Parts, lookup_tower

ITEMS, D = 50, 8
NEW = {"year": 1979, "genres": ["sf", "horror"], "title": "alien"}


def films() -> pl.DataFrame:
    rng = np.random.default_rng(0)
    genres = ["sf", "horror", "drama", "comedy"]
    return pl.DataFrame(
        {
            "item_id": [f"f{n}" for n in range(ITEMS)],
            "year": rng.integers(1950, 2020, ITEMS),
            "genres": [list(rng.permutation(genres)[: n % 4]) for n in range(ITEMS)],
            "title": [f"film number {n % 5}" for n in range(ITEMS)],
        },
        schema_overrides={"genres": pl.List(pl.String)},
    )


def views() -> Interactions:
    rng = np.random.default_rng(1)
    items = [f"f{item}" for _ in range(20) for item in rng.permutation(ITEMS)]
    return Interactions.from_arrays(np.repeat(range(20), ITEMS), items, items=films())


def made(**options) -> TwoTower:
    features = FeatureSpec(
        {
            "item_id": Category(),
            "year": Number(),
            "decade": Bucket(column="year", count=5),
            "genres": Categories(),
            "title": Text(),
        }
    )
    model = TwoTower.from_interactions(
        views(), embedding_dim=D, item_features=features, seed=3, **options
    )
    rng = np.random.default_rng(3)
    for weight in model.candidate_tower.weights:  # as if trained
        weight.assign(rng.uniform(-1.0, 1.0, weight.shape))
    return model


@pytest.fixture(
    scope="module",
    params=[{}, {"layer_sizes": (16, D), "cross_layers": 1, "dropout": 0.2, "normalize": False}],
    ids=["sum", "deep"],
)
def model(request: pytest.FixtureRequest) -> TwoTower:
    return made(**request.param)


@pytest.fixture(scope="module")
def bundle(model: TwoTower, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("models") / "1"
    Bundle.save_model(path, model, items=films())
    return Bundle.load(path)


def attributes() -> list[dict]:
    return films().drop("item_id").to_dicts()


def test_items_of_training_get_the_embeddings_of_the_keras_tower(
    model: TwoTower, bundle: Bundle
) -> None:
    ids = films()["item_id"].to_list()
    ours = bundle.candidate_tower.embed(ids, attributes())
    np.testing.assert_allclose(ours, model.embed_candidates(ids), atol=1e-5)
    np.testing.assert_allclose(ours, bundle.index.vectors(ids), atol=1e-5)


def test_a_new_item_gets_what_the_keras_tower_makes_of_its_attributes(
    model: TwoTower, bundle: Bundle
) -> None:
    encoded = model.candidate_inputs.features.transform_one({"item_id": "new", **NEW})
    assert encoded["item_id"].tolist() == [0]  # the row of ids that training did not know
    theirs = keras.ops.convert_to_numpy(model.candidate_tower(encoded))
    np.testing.assert_allclose(bundle.candidate_tower.embed(["new"], [NEW]), theirs, atol=1e-5)


def test_attributes_decide_where_an_item_stands(bundle: Bundle) -> None:
    embed = bundle.candidate_tower.embed
    one, other, known = embed(["new", "new", "f3"], [NEW, {**NEW, "year": 1999}, NEW])
    assert np.abs(one - other).max() > 1e-3
    assert np.abs(one - known).max() > 1e-3


def test_what_is_left_out_is_missing_and_what_is_not_read_is_no_matter(bundle: Bundle) -> None:
    tower = bundle.candidate_tower
    assert tower.columns == ("year", "genres", "title")
    missing = dict.fromkeys(tower.columns)
    np.testing.assert_array_equal(
        tower.embed(["new"], [{"colour": "red"}]), tower.embed(["new"], [missing])
    )
    assert tower.embed([], []).shape == (0, D)


def test_a_value_that_does_not_fit_its_feature_is_refused(bundle: Bundle) -> None:
    with pytest.raises(DataError, match="feature 'year'"):
        bundle.candidate_tower.embed(["new"], [{**NEW, "year": "long ago"}])


def test_a_model_that_knows_items_by_id_alone_has_no_candidate_tower(tmp_path: Path) -> None:
    model = TwoTower.from_interactions(views(), embedding_dim=D)
    Bundle.save_model(tmp_path / "1", model, items=films())
    assert Bundle.load(tmp_path / "1").candidate_tower is None


class Squared(keras.layers.Layer):
    """A layer that only its own code knows."""

    def call(self, x):
        return keras.ops.square(x)


def test_a_tower_that_cannot_be_written_is_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = made()
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in model.candidate_tower._inputs_struct.items()
    }
    model.candidate_tower = keras.Model(inputs, Squared()(model.candidate_tower(inputs)))
    monkeypatch.setattr(keras.Model, "export", lambda *_, **__: 1 / 0)
    with pytest.warns(UserWarning, match="does not hold the candidate tower, so that an item that"):
        Bundle.save_model(tmp_path / "1", model, items=films())
    assert Bundle.load(tmp_path / "1").candidate_tower is None


def test_the_card_says_how_new_items_are_placed(
    bundle: Bundle, tmp_path: Path, parts: Parts
) -> None:
    Bundle.save(
        tmp_path / "1",
        query_tower=lookup_tower(np.zeros((6, D))),
        users=parts.users,
        index=bundle.index,
        items=films(),
        candidate_tower=bundle.candidate_tower,
    )
    card = (tmp_path / "1" / "README.md").read_text()
    assert "| new items are placed | by year, genres, title |" in card
    parts.save(tmp_path / "2")
    card = (tmp_path / "2" / "README.md").read_text()
    assert "| new items are placed | by an embedding given with them |" in card


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("candidate.json", b"{}", "does not describe the items"),
        ("candidate.json", b'{"features": 7}', "does not describe the items"),
        ("candidate.json", b'{"features": {"year": {"kind": "hash"}}}', "by name, and no other"),
        ("candidate_tower.onnx", b"no graph", "the candidate tower cannot be loaded"),
        ("candidate.json", None, "candidate.json"),
        ("candidate_tower.onnx", None, "candidate_tower.onnx is missing"),
    ],
)
def test_damaged_files_of_a_candidate_tower_are_refused(
    model: TwoTower, tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    folder = tmp_path / "1"
    Bundle.save_model(folder, model, items=films())
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    (folder / "MANIFEST.json").unlink()
    write_manifest(folder, "test")
    if name == "candidate.json" and content is None:
        assert Bundle.load(folder).candidate_tower is None
        return
    with pytest.raises(BundleError, match=said):
        Bundle.load(folder)
