import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from shortlist import _native
from shortlist.losses import RetrievalLoss

Array = NDArray[np.float64]


def expected(
    queries: Array, candidates: Array, bias: Array, keys: NDArray[np.int64], temperature: float
) -> tuple[Array, Array, Array]:
    """The losses, and the gradients of their sum, by the whole matrix in float64."""
    count = len(queries)
    scores = queries @ candidates.T / temperature - bias
    own = np.eye(count, len(candidates), dtype=bool)
    scores = np.where((keys[:count, None] == keys) & ~own, -np.inf, scores)
    largest = scores.max(axis=1, keepdims=True)
    shares = np.exp(scores - largest)
    losses = largest[:, 0] + np.log(shares.sum(axis=1)) - scores[own]
    slopes = shares / shares.sum(axis=1, keepdims=True) - own
    return losses, slopes @ candidates / temperature, slopes.T @ queries / temperature


def batch(count: int, size: int, dim: int, seed: int = 0) -> tuple[Array, Array, Array, NDArray]:
    rng = np.random.default_rng(seed)
    queries = rng.standard_normal((count, dim)).astype("float32").astype("float64")
    candidates = rng.standard_normal((size, dim)).astype("float32").astype("float64")
    bias = rng.normal(-5, 2, size).astype("float32").astype("float64")
    return queries, candidates, bias, rng.integers(0, max(size // 2, 1), size)


def by_kernels(
    queries: Array, candidates: Array, bias: Array, keys: NDArray, temperature: float, threads: int
) -> tuple[NDArray, NDArray, NDArray]:
    floats = [np.asarray(array, np.float32) for array in (queries, candidates, bias)]
    numbers = keys.astype(np.int32)
    losses = np.empty(len(queries), np.float32)
    found = np.empty_like(floats[0]), np.empty_like(floats[1])
    weights = np.ones(len(queries), np.float32)
    _native.softmax(*floats, numbers, temperature, losses, weights, *found, threads=threads)
    alone = np.empty_like(losses)
    _native.softmax(*floats, numbers, temperature, alone, threads=threads)
    np.testing.assert_array_equal(alone, losses)
    return losses, *found


@pytest.mark.parametrize("dim", [1, 3, 15, 16, 17, 32, 33, 100])
@pytest.mark.parametrize(
    ("count", "size"),
    [(1, 1), (1, 2), (5, 5), (63, 64), (64, 64), (65, 70), (130, 300), (7, 700), (600, 601)],
)
def test_losses_and_gradients_are_those_of_the_whole_matrix(
    count: int, size: int, dim: int
) -> None:
    arguments = batch(count, size, dim)
    for found, right in zip(by_kernels(*arguments, 0.7, 1), expected(*arguments, 0.7), strict=True):
        np.testing.assert_allclose(found, right, rtol=2e-4, atol=2e-5 * max(1.0, dim**0.5))


def test_a_query_without_negatives_has_no_loss_and_no_gradient() -> None:
    queries, candidates, bias, keys = batch(10, 10, 4)
    losses, *gradients = by_kernels(queries, candidates, bias, np.zeros_like(keys), 1.0, 1)
    assert losses.tolist() == [0.0] * 10
    assert all((gradient == 0).all() for gradient in gradients)


def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    queries = np.array([[300.0], [-300.0], [0.0]])
    candidates = np.array([[1.0], [2.0], [-1.0]])
    keys = np.arange(3)
    found = by_kernels(queries, candidates, np.zeros(3), keys, 1.0, 1)
    for mine, right in zip(
        found, expected(queries, candidates, np.zeros(3), keys, 1.0), strict=True
    ):
        np.testing.assert_allclose(mine, right, rtol=1e-5, atol=1e-6)


def test_a_small_loss_keeps_its_digits() -> None:
    """Where the own candidate is far ahead, 1 - p would round to 0."""
    queries, candidates = np.array([[30.0], [-30.0]]), np.array([[1.0], [0.0]])
    losses, _, _ = by_kernels(queries, candidates, np.zeros(2), np.arange(2), 1.0, 1)
    np.testing.assert_allclose(losses, np.log1p(np.exp([-30.0, -30.0])), rtol=1e-5)


def test_a_score_that_is_no_number_makes_the_loss_none() -> None:
    queries, candidates, bias, keys = batch(70, 70, 4)
    queries[3, 1] = np.nan
    losses, _, _ = by_kernels(queries, candidates, bias, keys, 1.0, 1)
    assert np.flatnonzero(np.isnan(losses)).tolist() == [3]


def test_threads_change_nothing() -> None:
    arguments = batch(200, 900, 20)
    one, three = (by_kernels(*arguments, 0.5, threads) for threads in (1, 3))
    for mine, yours in zip(one, three, strict=True):
        np.testing.assert_array_equal(mine, yours)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_in_blocks_the_loss_is_the_same(reduction: str) -> None:
    queries, candidates, _, keys = batch(90, 150, 8)
    rest = {"candidate_ids": keys, "sampling_probabilities": np.linspace(1e-3, 1e-2, 150)}
    weights = np.linspace(0, 2, 90).astype("float32")
    floats = queries.astype("float32"), candidates.astype("float32")
    whole, blocked = (
        RetrievalLoss(temperature=0.3, reduction=reduction, in_blocks=in_blocks)(
            *floats, weights, **rest
        )
        for in_blocks in (False, True)
    )
    np.testing.assert_allclose(
        ops.convert_to_numpy(blocked), ops.convert_to_numpy(whole), rtol=1e-5, atol=1e-6
    )


class Learner(keras.Model):
    """Two tables and the loss."""

    def __init__(self, in_blocks: bool) -> None:
        super().__init__()
        self.table = keras.layers.Embedding(50, 8, keras.initializers.RandomUniform(-1, 1, seed=3))
        self.retrieval = RetrievalLoss(temperature=0.5, in_blocks=in_blocks)

    def call(self, pairs):
        return self.table(pairs[:, 0]), self.table(pairs[:, 1])

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.retrieval(*y_pred, candidate_ids=x[:, 1])


def test_weights_can_be_learnt_too() -> None:
    queries, candidates, _, keys = batch(20, 30, 8)
    losses, *_ = expected(queries, candidates, np.zeros(30), keys, 1.0)

    class Weighted(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.scales = self.add_weight(shape=(20,), initializer="ones", name="scales")

        def call(self, _):
            return self.scales * 1.0

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            floats = queries.astype("float32"), candidates.astype("float32")
            loss = RetrievalLoss(reduction="sum", in_blocks=True)
            return loss(*floats, y_pred, candidate_ids=keys.astype("int32"))

    model = Weighted()
    model.compile(keras.optimizers.SGD(0.5), jit_compile=False)
    model.train_on_batch(np.zeros((20, 1), "float32"))
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.scales), 1 - 0.5 * losses, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("compiled", [True, False])
def test_training_in_blocks_gives_the_same_weights(compiled: bool) -> None:
    pairs = np.random.default_rng(0).integers(0, 50, (200, 2)).astype("int32")
    tables = []
    for in_blocks in (False, True):
        model = Learner(in_blocks)
        is_jax = keras.backend.backend() == "jax"
        model.compile(
            keras.optimizers.SGD(0.5), jit_compile=compiled and is_jax, run_eagerly=not compiled
        )
        model.fit(pairs, batch_size=40, epochs=2, shuffle=False, verbose=0)
        tables.append(ops.convert_to_numpy(model.table.embeddings))
    np.testing.assert_allclose(tables[1], tables[0], rtol=1e-4, atol=1e-5)
