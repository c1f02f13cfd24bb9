import keras
import numpy as np
import pytest

import shortlist.models.row_updates as row_updates
from shortlist.models.objectives import Retrieval
from shortlist.models.row_steps import train_step
from shortlist.models.row_updates import EmbeddingTable, row_optimizer

SIZE, DIM = 40, 4


class WholeTable(keras.layers.Embedding):
    """Rows by a product with the whole table, so that its gradient is whole on every backend."""

    def call(self, inputs):
        return keras.ops.matmul(keras.ops.one_hot(inputs, SIZE), self.embeddings)


class Pair(keras.Model):
    """Two towers over tables, the candidate's looked up twice, with a dense layer on top."""

    def __init__(self, table: type[keras.layers.Embedding]) -> None:
        super().__init__()
        uniform = [keras.initializers.RandomUniform(-1, 1, seed=seed) for seed in range(3)]
        self.users = table(SIZE, DIM, uniform[0])
        self.items = table(SIZE, DIM, uniform[1])
        self.top = keras.layers.Dense(DIM, kernel_initializer=uniform[2])
        self.objective = Retrieval()
        self.rows = None

    def call(self, batch, training=False):
        history = keras.ops.sum(self.items(batch["history"]), axis=1)
        return self.top(self.users(batch["user"]) + history), self.items(batch["candidate"])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.objective(*y_pred, x)

    def train_step(self, *arguments):
        if self.rows is None:
            return super().train_step(*arguments)
        return train_step(self, self.rows, *arguments)


def batches(seed: int = 0):
    rng = np.random.default_rng(seed)
    size = 16
    return [
        {
            "user": rng.integers(0, 5, size).astype("int32"),
            "candidate": rng.integers(0, SIZE, size).astype("int32"),
            "history": rng.integers(0, SIZE, (size, 3)).astype("int32"),
            "weight": np.ones(size, "float32"),
            "probability": np.full(size, 0.1, "float32"),
        }
        for _ in range(6)
    ]


def trained(optimizer: keras.optimizers.Optimizer, by_row: bool) -> tuple[Pair, list[float]]:
    model = Pair(EmbeddingTable if by_row else WholeTable)
    model(batches()[0])
    model.rows = row_optimizer(model, optimizer)
    losses: list[float] = []

    def fit() -> None:
        for batch in batches():
            history = model.fit(batch, batch_size=16, shuffle=False, verbose=0)
            losses.append(float(history.history["loss"][0]))

    if model.rows is None:
        model.compile(optimizer)
        fit()
    else:
        with model.rows.at_work(model):
            model.compile(model.rows.optimizer)
            fit()
    return model, losses


OPTIMIZERS = {
    "adagrad": lambda: keras.optimizers.Adagrad(0.3),
    "adagrad with other settings": lambda: keras.optimizers.Adagrad(
        0.1, initial_accumulator_value=0.01, epsilon=1e-3
    ),
    "sgd": lambda: keras.optimizers.SGD(0.3),
}


@pytest.fixture
def small_tables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_updates, "LARGE", 8)


@pytest.mark.usefixtures("small_tables_count")
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_by_row_gives_what_keras_gives_over_whole_tables(optimizer) -> None:
    whole, losses_of_whole = trained(optimizer(), by_row=False)
    by_row, losses = trained(optimizer(), by_row=True)
    assert by_row.rows is not None
    np.testing.assert_allclose(losses, losses_of_whole, rtol=1e-5)
    for one, other in zip(by_row.weights, whole.weights, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-6)
    assert all(layer.trainable for layer in by_row.layers)


@pytest.mark.usefixtures("small_tables_count")
def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = (trained(keras.optimizers.Adagrad(0.3), by_row=True)[0] for _ in range(2))
    for mine, yours in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), yours.numpy())


def test_adagrad_by_row_is_adagrad_in_numpy() -> None:
    rng = np.random.default_rng(0)
    start = rng.standard_normal((9, 2)).astype("float32")
    layer = EmbeddingTable(9, 2)
    layer.build()
    layer.embeddings.assign(start)
    rows = row_updates.RowOptimizer(keras.optimizers.Adagrad(0.5), [layer])
    indices = np.array([[3, 1], [3, 3]], "int32")
    gradients = rng.standard_normal((2, 2, 2)).astype("float32")
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    with rows.at_work(model):
        pass
    changes = {
        id(variable): dict(zip(at.tolist(), values.tolist(), strict=True))
        for variable, at, values in (
            (v, keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
            for v, a, b in rows.updates(
                [layer.embeddings],
                [keras.ops.convert_to_tensor(indices)],
                [keras.ops.convert_to_tensor(gradients)],
                0.5,
            )
        )
    }
    total = np.zeros((9, 2))
    np.add.at(total, indices.ravel(), gradients.reshape(-1, 2))
    squares = 0.1 + total**2
    expected = start - 0.5 * total / np.sqrt(squares + 1e-7)
    found = changes[id(layer.embeddings)]
    assert sorted(found) == [1, 3]
    for row, values in found.items():
        np.testing.assert_allclose(values, expected[row], rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.Adam(),
        keras.optimizers.SGD(momentum=0.9),
        keras.optimizers.Adagrad(weight_decay=0.1),
        keras.optimizers.Adagrad(clipnorm=1.0),
    ],
)
@pytest.mark.usefixtures("small_tables_count")
def test_what_changes_rows_without_gradient_is_left_to_keras(optimizer) -> None:
    model = Pair(EmbeddingTable)
    model(batches()[0])
    assert row_optimizer(model, optimizer) is None


def test_small_tables_are_left_to_keras() -> None:
    model = Pair(EmbeddingTable)
    model(batches()[0])
    assert row_optimizer(model, keras.optimizers.Adagrad()) is None
