from pathlib import Path

import keras
import numpy as np
import polars as pl
import pytest

from shortlist.data.features import Category, Cross, FeatureSpec, Number, Output
from shortlist.models import Tower

FEATURES = {
    "user": Output("index", size=10),
    "history": Output("indices", width=3, size=20),
    "age": Output("number"),
}
BATCH = {
    "user": np.array([1, 2], np.int32),
    "history": np.array([[1, 2, 0], [0, 0, 0]], np.int32),
    "age": np.array([0.5, -0.5], np.float32),
}


def values(tower: Tower, batch: dict[str, np.ndarray], **how: bool) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tower(batch, **how)))


def test_without_layers_the_embeddings_are_added_up() -> None:
    tower = Tower({name: FEATURES[name] for name in ("user", "history")}, 4, pooling="sum")
    users, items = (keras.ops.convert_to_numpy(weight) for weight in tower.weights)
    batch = {name: BATCH[name] for name in ("user", "history")}
    np.testing.assert_allclose(
        values(tower, batch), [users[1] + items[1] + items[2], users[2]], atol=1e-6
    )


def test_layers_have_relu_on_all_but_the_last() -> None:
    tower = Tower(FEATURES, 4, (8, 2))
    layers = [layer for layer in tower.layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.units for layer in layers] == [8, 2]
    assert [layer.activation.__name__ for layer in layers] == ["relu", "linear"]
    assert values(tower, BATCH).shape == (2, 2)


def test_a_normalised_tower_gives_cosines_over_the_temperature() -> None:
    tower = Tower(FEATURES, 4, (3,), normalize=True, temperature=0.1)
    np.testing.assert_allclose(np.square(values(tower, BATCH)).sum(axis=1), 10, rtol=1e-4)


def test_cross_layers_multiply_features() -> None:
    crossed = Tower(FEATURES, 4, cross_layers=2)
    assert values(crossed, BATCH).shape == (2, 9)
    half = values(crossed, {**BATCH, "age": BATCH["age"] / 2})
    nothing = values(crossed, {**BATCH, "age": 0 * BATCH["age"]})
    # Straight lines would meet in the middle.
    assert np.abs(values(crossed, BATCH) + nothing - 2 * half).max() > 1e-4


def test_dropout_is_for_training_only() -> None:
    tower = Tower(FEATURES, 4, (8, 2), dropout=0.5)
    np.testing.assert_array_equal(values(tower, BATCH), values(tower, BATCH))
    assert np.abs(values(tower, BATCH, training=True) - values(tower, BATCH)).max() > 0


def test_the_seed_decides_the_weights() -> None:
    first, same, other = (Tower(FEATURES, 4, (2,), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(values(first, BATCH), values(same, BATCH))
    assert np.abs(values(first, BATCH) - values(other, BATCH)).max() > 0


def test_a_penalty_is_added_to_the_loss() -> None:
    tower = Tower(FEATURES, 4, (2,), l2=0.5)
    (kernel,) = (layer.kernel for layer in tower.layers if isinstance(layer, keras.layers.Dense))
    values(tower, BATCH)
    expected = 0.5 * np.square(keras.ops.convert_to_numpy(kernel)).sum()
    loss = keras.ops.convert_to_numpy(sum(tower.losses))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_saving_and_loading_change_nothing(tmp_path: Path) -> None:
    tower = Tower(FEATURES, 4, (8, 2), cross_layers=1, dropout=0.1, normalize=True, l2=0.1)
    tower.save(tmp_path / "tower.keras")
    loaded = keras.saving.load_model(tmp_path / "tower.keras")
    np.testing.assert_array_equal(values(loaded, BATCH), values(tower, BATCH))


def test_a_feature_spec_is_taken_as_it_is() -> None:
    people = pl.DataFrame({"gender": ["F", "M"], "city": ["a", "b"], "age": [30, 40]})
    spec = FeatureSpec(
        {
            "gender": Category(),
            "city": Category(),
            "both": Cross(of=("gender", "city")),
            "age": Number(),
        }
    ).adapt(people)
    assert values(Tower(spec, 4, (2,)), spec.transform(people)).shape == (2, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": {}}, "`features` must hold at least one feature"),
        ({"embedding_dim": 0}, "`embedding_dim` must be at least 1, got 0"),
        ({"layer_sizes": (4, 0)}, r"`layer_sizes` must be numbers of at least 1, got \[4, 0\]"),
        ({"temperature": 0.0}, "`temperature` must be above 0, got 0.0"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and below 1, got 1.0"),
    ],
)
def test_what_makes_no_tower_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tower(**{"features": FEATURES, **arguments})  # type: ignore[arg-type]
