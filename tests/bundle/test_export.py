from collections.abc import Callable

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

from shortlist.bundle import BundleError
from shortlist.bundle.export import to_onnx
from shortlist.data.features import Output
from shortlist.models import Tower

N, D = 23, 6


@keras.saving.register_keras_serializable("shortlist.tests")
class _OwnTower(keras.Model):
    """A tower of a user's own: no Functional model, operations between the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = keras.layers.Embedding(N, 8)
        self.hidden = keras.layers.Dense(D, activation="tanh")

    def call(self, users):
        x = self.hidden(self.embedding(users))
        return keras.ops.normalize(x * 2.0, axis=-1)


def _embedding() -> keras.Model:
    return keras.Sequential([keras.Input((), dtype="int32"), keras.layers.Embedding(N, D)])


def _column() -> keras.Model:
    return keras.Sequential(
        [keras.Input((1,), dtype="int32"), keras.layers.Embedding(N, D), keras.layers.Flatten()]
    )


def _deep() -> keras.Model:
    user = keras.Input((), dtype="int32")
    first = keras.layers.Embedding(N, 8)(user)
    second = keras.layers.Embedding(N, 5)(user)
    x = keras.layers.Concatenate()([first, second])
    x = keras.layers.Dense(16, activation="relu")(x)
    x = keras.layers.LayerNormalization()(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Dense(D, use_bias=False)(x)
    return keras.Model(user, keras.layers.UnitNormalization()(x))


def _nested() -> keras.Model:
    user = keras.Input((), dtype="int32")
    return keras.Model(user, keras.layers.Dense(D)(_embedding()(user)) + _embedding()(user))


@pytest.mark.parametrize("make", [_embedding, _column, _deep, _nested, _OwnTower])
def test_the_graph_gives_what_the_keras_tower_gives(make: Callable[[], keras.Model]):
    keras.utils.set_random_seed(7)
    tower = make()
    users = np.arange(N, dtype=np.int32)
    if make is _column:
        users = users[:, None]
    tower(users)
    rng = np.random.default_rng(3)
    for weight in tower.weights:
        weight.assign(rng.uniform(0.1, 1.0, weight.shape))
    session = onnxruntime.InferenceSession(to_onnx(tower), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, {"user": users.astype(np.int64)})
    np.testing.assert_allclose(ours, keras.ops.convert_to_numpy(tower(users)), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pooling": "sqrt"},
        {"pooling": "sum", "normalize": True},
        {"layer_sizes": (8, D), "cross_layers": 2, "dropout": 0.3, "temperature": 0.1},
    ],
)
def test_a_tower_of_features_and_a_history_gives_what_it_gives_in_keras(options: dict):
    features = {
        "user_id": Output("index", size=N),
        "age": Output("number"),
        "tags": Output("indices", width=3, size=7),
        "history": Output("indices", size=20),
    }
    tower = Tower(features, embedding_dim=D, **options)
    rng = np.random.default_rng(3)
    for weight in tower.weights:
        weight.assign(rng.uniform(-1.0, 1.0, weight.shape))
    given = {
        "user_id": np.array([1, 0, 3]),
        "age": rng.normal(size=3).astype(np.float32),
        "tags": np.array([[1, 2, 0], [0, 0, 0], [6, 6, 1]]),
        "history": rng.integers(0, 20, (3, 9)),
    }
    session = onnxruntime.InferenceSession(to_onnx(tower), providers=["CPUExecutionProvider"])
    (ours,) = session.run(None, given)
    theirs = tower({name: array.astype(features[name].dtype) for name, array in given.items()})
    np.testing.assert_allclose(ours, keras.ops.convert_to_numpy(theirs), atol=1e-5)


def test_the_graph_is_plain_onnx():
    model = onnx.load_from_string(to_onnx(_deep()))
    assert {opset.domain for opset in model.opset_import} == {""}
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.INT64


class _Squared(keras.layers.Layer):
    """A layer that only its own code knows."""

    def call(self, x):
        return keras.ops.square(x)


def _unwritten() -> keras.Model:
    user = keras.Input((), dtype="int32")
    return keras.Model(user, _Squared()(keras.layers.Embedding(N, D)(user)))


def test_a_layer_it_cannot_write_goes_through_keras(monkeypatch: pytest.MonkeyPatch):
    tower = _unwritten()
    plain = to_onnx(_embedding())
    asked = {}

    def export(path, **options):
        asked.update(options)
        path.write_bytes(plain)

    monkeypatch.setattr(tower, "export", export)
    assert to_onnx(tower) == plain
    assert asked["format"] == "onnx"


def test_what_keras_cannot_export_either_is_named(monkeypatch: pytest.MonkeyPatch):
    tower = _unwritten()

    def export(path, **options):
        raise ImportError("no exporter is installed")

    monkeypatch.setattr(tower, "export", export)
    with pytest.raises(
        BundleError, match=r"has _Squared \(.*\), which .* no exporter is installed"
    ):
        to_onnx(tower)
