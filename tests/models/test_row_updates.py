from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras.optimizers import Adam

from shortlist.models import row_tables
from shortlist.models.embedding_bag import EmbeddingBag
from shortlist.models.objectives import Retrieval
from shortlist.models.row_steps import train_step
from shortlist.models.row_tables import EmbeddingTable
from shortlist.models.row_updates import RowOptimizer, row_optimizer

USERS, ITEMS, DIM = 200, 40, 4  # batches of 16 look up few rows of users, and most of items


class WholeTable(keras.layers.Embedding):
    """Rows by a product with the whole table, so that its gradient is whole on every backend."""

    def call(self, inputs):
        one_hot = keras.ops.one_hot(inputs, self.input_dim)
        return keras.ops.matmul(one_hot, self.embeddings)


class Pair(keras.Model):
    """Two towers over tables, the candidate's looked up twice, with a dense layer on top."""

    def __init__(self, table: type[keras.layers.Embedding], with_top: bool = True) -> None:
        super().__init__()
        uniform = [keras.initializers.RandomUniform(-1, 1, seed=seed) for seed in range(3)]
        self.users = table(USERS, DIM, uniform[0])
        self.items = table(ITEMS, DIM, uniform[1])
        self.top = keras.layers.Dense(DIM, kernel_initializer=uniform[2]) if with_top else None
        self.objective = Retrieval()
        self.rows = None

    def call(self, batch, training=False):
        history = keras.ops.sum(self.items(batch["history"]), axis=1)
        queries = self.users(batch["user"]) + history
        return self.top(queries) if self.top else queries, self.items(batch["candidate"])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.objective(*y_pred, x)

    def train_step(self, *arguments):
        if self.rows is None:
            return super().train_step(*arguments)
        return train_step(self, self.rows, *arguments)


def batches(seed: int = 0):
    """Batches that hold each of five users and each item."""
    rng = np.random.default_rng(seed)
    size = 16
    return [
        {
            "user": rng.permutation(np.arange(size, dtype="int32") % 5),
            "candidate": rng.integers(0, ITEMS, size).astype("int32"),
            "history": rng.permutation(np.arange(3 * size, dtype="int32") % ITEMS).reshape(-1, 3),
            "weight": np.ones(size, "float32"),
            "probability": np.full(size, 0.1, "float32"),
        }
        for _ in range(6)
    ]


def trained(
    optimizer: keras.optimizers.Optimizer, by_row: bool, with_top: bool = True
) -> tuple[Pair, list[float]]:
    model = Pair(EmbeddingTable if by_row else WholeTable, with_top)
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


def halving() -> keras.optimizers.schedules.LearningRateSchedule:
    return keras.optimizers.schedules.ExponentialDecay(0.2, decay_steps=1, decay_rate=0.5)


OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "adagrad": lambda: keras.optimizers.Adagrad(0.3),
    "adagrad with other settings": lambda: keras.optimizers.Adagrad(
        0.1, initial_accumulator_value=0.01, epsilon=1e-3, weight_decay=0.2
    ),
    "sgd": lambda: keras.optimizers.SGD(0.3),
    "sgd, each table's gradient clipped": lambda: keras.optimizers.SGD(0.3, clipnorm=0.05),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "adam with other settings": lambda: keras.optimizers.Adam(
        0.1, beta_1=0.5, beta_2=0.9, epsilon=1e-2, clipvalue=0.01
    ),
    "adam, its learning rate by a schedule": lambda: Adam(halving()),
    "adamw": lambda: keras.optimizers.AdamW(0.05, weight_decay=0.3),
}


@pytest.fixture
def small_tables_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_tables, "LARGE", 8)


def of(variable: keras.Variable):
    return keras.ops.convert_to_numpy(variable).copy()


@pytest.mark.usefixtures("small_tables_count")
@pytest.mark.parametrize(
    ("optimizer", "with_top"),
    [*((optimizer, True) for optimizer in OPTIMIZERS.values()), (lambda: Adam(halving()), False)],
    ids=[*OPTIMIZERS, "with no other weights"],
)
def test_rows_of_every_batch_become_what_keras_makes_of_them(optimizer, with_top: bool) -> None:
    whole, losses_of_whole = trained(optimizer(), False, with_top)
    by_row, losses = trained(optimizer(), True, with_top)
    assert by_row.rows is not None
    np.testing.assert_allclose(losses, losses_of_whole, rtol=1e-5)
    for one, other in zip(by_row.weights, whole.weights, strict=True):
        looked_up = slice(5) if one.shape[0] == USERS else slice(None)
        np.testing.assert_allclose(of(one)[looked_up], of(other)[looked_up], rtol=1e-4, atol=2e-6)
    assert all(layer.trainable for layer in by_row.layers)


@pytest.mark.usefixtures("small_tables_count")
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_rows_of_no_batch_stay_as_they_are(optimizer) -> None:
    model = Pair(EmbeddingTable)
    model(batches()[0])
    start = of(model.users.embeddings)
    trained_model, _ = trained(optimizer(), by_row=True)
    np.testing.assert_array_equal(of(trained_model.users.embeddings)[5:], start[5:])
    assert not np.array_equal(of(trained_model.users.embeddings)[:5], start[:5])


@pytest.mark.usefixtures("small_tables_count")
def test_the_same_seed_gives_the_same_weights() -> None:
    one, other = (trained(keras.optimizers.Adam(0.1), by_row=True)[0] for _ in range(2))
    for mine, yours in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(of(mine), of(yours))


def in_numpy(optimizer, kept: list[np.ndarray], number: int, w: np.ndarray, gradient: np.ndarray):
    """One step of a row in float64; returns the row and what is kept of it."""
    rate = float(optimizer.learning_rate)
    decayed = w * (1 - rate * (optimizer.weight_decay or 0.0))
    if isinstance(optimizer, keras.optimizers.SGD):
        return decayed - rate * gradient, []
    if isinstance(optimizer, keras.optimizers.Adagrad):
        squares = kept[0] + gradient**2
        return decayed - rate * gradient / np.sqrt(squares + optimizer.epsilon), [squares]
    first, second = optimizer.beta_1, optimizer.beta_2
    mean = first * kept[0] + (1 - first) * gradient
    square = second * kept[1] + (1 - second) * gradient**2
    rate *= np.sqrt(1 - second**number) / (1 - first**number)
    return decayed - rate * mean / (np.sqrt(square) + optimizer.epsilon), [mean, square]


@pytest.mark.parametrize("size", [12, 1000], ids=["many rows of it", "few rows of it"])
@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.SGD(0.5, weight_decay=0.1),
        keras.optimizers.Adagrad(0.5),
        keras.optimizers.Adam(0.5, epsilon=1e-3),
        keras.optimizers.AdamW(0.5, weight_decay=0.1),
    ],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_a_row_changes_when_it_is_looked_up_as_in_numpy(optimizer, size: int) -> None:
    rng = np.random.default_rng(0)
    layer = EmbeddingTable(size, 2)
    layer.build()
    model = keras.Sequential([keras.Input((), dtype="int32"), layer])
    rows = RowOptimizer(optimizer, [layer])
    with rows.at_work(model):
        expected = [of(layer.embeddings), *map(of, rows.kept[0])]
        for number in range(1, 6):
            indices = rng.integers(0, 6, (2, 3)).astype("int32")  # some of them twice
            gradients = rng.standard_normal((2, 3, 2)).astype("float32")
            changes = rows.updates(
                [layer.embeddings, layer.embeddings],
                [keras.ops.convert_to_tensor(part) for part in indices],
                [keras.ops.convert_to_tensor(part) for part in gradients],
            )
            for variable, at, values in changes:
                new = of(variable)
                new[slice(None) if at is None else of(at)] = of(values)
                variable.assign(new)
            rows.optimizer.iterations.assign_add(1)
            for row in np.unique(indices):
                total = gradients[indices == row].sum(axis=0)
                kept = [array[row] for array in expected[1:]]
                expected[0][row], kept = in_numpy(optimizer, kept, number, expected[0][row], total)
                for array, value in zip(expected[1:], kept, strict=True):
                    array[row] = value
            found = [layer.embeddings, *rows.kept[0]]
            for variable, array in zip(found, expected, strict=True):
                np.testing.assert_allclose(of(variable), array, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("small_tables_count")
def test_the_table_of_a_history_is_updated_by_row() -> None:
    bag = EmbeddingBag(200, DIM, "sqrt", keras.initializers.RandomUniform(-1, 1, seed=0))
    indices = np.array([[1, 3, 3, 0], [0, 2, 0, 0]], "int32")
    queries = np.ones((2, DIM), "float32")
    batch = {"history": indices, "candidate": np.array([1, 2], "int32")}

    class History(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.bag = bag
            self.objective = lambda ones, pooled, _: keras.ops.sum(ones * pooled)

        def call(self, batch, training=False):
            return keras.ops.convert_to_tensor(queries), self.bag(batch["history"])

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return self.objective(*y_pred, x)

        def train_step(self, *arguments):
            return train_step(self, self.rows, *arguments)

    model = History()
    model(batch)
    start = of(bag.embeddings)
    model.rows = row_optimizer(model, keras.optimizers.SGD(1.0))
    assert model.rows is not None
    with model.rows.at_work(model):
        model.compile(model.rows.optimizer)
        model.fit(batch, batch_size=2, verbose=0)
    # The slope of every embedding is how often it counts, by the root of how many there are.
    start[[1, 3, 2]] -= np.array([[1 / np.sqrt(3)], [2 / np.sqrt(3)], [1]])
    np.testing.assert_allclose(of(bag.embeddings), start, rtol=1e-5)


class MyAdam(keras.optimizers.Adam):
    """An optimizer of a user, which may do anything."""


def excluding() -> keras.optimizers.Optimizer:
    optimizer = keras.optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_names=["embeddings"])
    return optimizer


@pytest.mark.parametrize(
    "optimizer",
    [
        keras.optimizers.RMSprop(),
        keras.optimizers.SGD(momentum=0.9),
        keras.optimizers.Adam(amsgrad=True),
        keras.optimizers.Adam(global_clipnorm=1.0),
        keras.optimizers.Adam(use_ema=True),
        keras.optimizers.Adam(gradient_accumulation_steps=2),
        keras.optimizers.Adam(loss_scale_factor=8.0),
        keras.optimizers.Adam(lambda: 0.1),
        MyAdam(),
        excluding(),
    ],
)
@pytest.mark.usefixtures("small_tables_count")
def test_what_needs_more_than_the_rows_looked_up_is_left_to_keras(optimizer) -> None:
    model = Pair(EmbeddingTable)
    model(batches()[0])
    assert row_optimizer(model, optimizer) is None


@pytest.mark.usefixtures("small_tables_count")
def test_in_float16_whose_loss_keras_scales_tables_are_left_to_keras() -> None:
    model = Pair(EmbeddingTable)
    model(batches()[0])
    model.dtype_policy = "mixed_float16"
    assert row_optimizer(model, keras.optimizers.Adagrad()) is None


def test_small_tables_are_left_to_keras() -> None:
    model = Pair(EmbeddingTable)
    model(batches()[0])
    assert row_optimizer(model, keras.optimizers.Adagrad()) is None
