import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

import shortlist.losses.catalogue_loss as module
from shortlist import _native
from shortlist.losses.catalogue_loss import catalogue_loss

Array = NDArray[np.float64]


def expected(
    queries: Array,
    candidates: Array,
    known: NDArray[np.int32],
    positives: NDArray[np.int32],
    temperature: float,
    logistic: bool,
) -> tuple[float, Array, Array]:
    """The loss and its gradients by the whole matrix in float64."""
    rows = np.arange(len(queries))[:, None]
    is_known, chosen = np.zeros((2, len(queries), len(candidates) + 1))
    is_known[rows, known] = 1
    np.add.at(chosen, (rows, positives), 1)
    is_known = is_known[:, 1:] > 0
    chosen = np.where(is_known, 0, chosen[:, 1:])
    scores = queries.astype(float) @ candidates.T / temperature
    if logistic:
        chosen = (chosen > 0).astype(float)
        scores = np.where(is_known, -np.inf, scores - np.log(len(candidates) + 1))
        loss = np.logaddexp(0, scores).sum() - scores[chosen > 0].sum()
        slopes = 1 / (1 + np.exp(-scores)) - chosen
    else:
        scores = np.where(is_known, -np.inf, scores)
        most = np.maximum(scores.max(axis=1, keepdims=True), -1e30)
        shares = np.exp(scores - most)
        sums = np.maximum(shares.sum(axis=1, keepdims=True), 1e-300)
        log_sums = most + np.log(sums)
        loss = (chosen * (log_sums - np.where(is_known, 0, scores))).sum()
        slopes = chosen.sum(axis=1, keepdims=True) * shares / sums - chosen
    number = max(chosen.sum(), 1) * temperature
    return loss / max(chosen.sum(), 1), slopes @ candidates / number, slopes.T @ queries / number


def problem(count: int, size: int, dim: int, width: int = 5, seed: int = 0):
    rng = np.random.default_rng(seed)
    queries = rng.standard_normal((count, dim)).astype("float32")
    candidates = rng.standard_normal((size, dim)).astype("float32")
    known, positives = rng.integers(0, size + 1, (2, count, width)).astype("int32")
    return queries, candidates, known, positives


def by_kernels(arguments, temperature: float, logistic: bool, threads: int = 1):
    queries, candidates, known, positives = arguments
    shift = float(np.log(len(candidates) + 1)) if logistic else 0.0
    settings = known, positives, temperature, shift, logistic
    found = np.empty_like(queries), np.empty_like(candidates)
    loss = _native.catalogue_loss(queries, candidates, *settings, *found, threads=threads)
    assert _native.catalogue_loss(queries, candidates, *settings) == loss
    return loss, *found


def are_equal(found, right) -> None:
    np.testing.assert_allclose(found[0], right[0], rtol=1e-5)
    for mine, yours in zip(found[1:], right[1:], strict=True):
        np.testing.assert_allclose(mine, yours, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("logistic", [False, True], ids=["multinomial", "logistic"])
@pytest.mark.parametrize("dim", [1, 15, 16, 33])
@pytest.mark.parametrize(
    ("count", "size"), [(1, 1), (2, 5), (5, 63), (64, 64), (65, 200), (130, 1700)]
)
def test_loss_and_gradients_are_those_of_the_whole_matrix(
    count: int, size: int, dim: int, logistic: bool
) -> None:
    arguments = problem(count, size, dim)
    are_equal(by_kernels(arguments, 0.7, logistic), expected(*arguments, 0.7, logistic))


@pytest.mark.parametrize("logistic", [False, True], ids=["multinomial", "logistic"])
def test_threads_change_nothing(logistic: bool) -> None:
    arguments = problem(70, 1500, 20)
    one, three = (by_kernels(arguments, 0.5, logistic, threads) for threads in (1, 3))
    for mine, yours in zip(one, three, strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_what_is_known_does_not_count_however_it_scores() -> None:
    queries, candidates = np.ones((1, 1), "float32"), np.array([[500.0], [1.0], [2.0]], "float32")
    known, positives = np.array([[1]], "int32"), np.array([[1, 2, 9]], "int32")
    arguments = queries, candidates, known, positives
    loss, *_ = by_kernels(arguments, 1.0, logistic=False)
    np.testing.assert_allclose(loss, np.log(1 + np.exp(1)), rtol=1e-6)


@pytest.mark.parametrize("logistic", [False, True], ids=["multinomial", "logistic"])
def test_without_positives_nothing_is_learnt_of_a_query(logistic: bool) -> None:
    queries, candidates, known, _ = problem(3, 20, 4)
    arguments = queries, candidates, known, np.zeros((3, 2), "int32")
    loss, of_queries, of_candidates = by_kernels(arguments, 1.0, logistic)
    if not logistic:
        assert loss == 0
        assert not of_queries.any()
        assert not of_candidates.any()
    are_equal((loss, of_queries, of_candidates), expected(*arguments, 1.0, logistic))


class Learner(keras.Model):
    """A table of queries and one of candidates."""

    def __init__(self, queries, candidates, logistic: bool) -> None:
        super().__init__()
        self.queries = self.add_weight(shape=queries.shape, name="queries")
        self.candidates = self.add_weight(shape=candidates.shape, name="candidates")
        self.queries.assign(queries)
        self.candidates.assign(candidates)
        self.logistic = logistic

    def call(self, batch):
        return ops.take(self.queries, batch["query"], axis=0), self.candidates * 1.0

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        options = {"temperature": 0.7, "logistic": self.logistic}
        return catalogue_loss(*y_pred, x["known"], x["positives"], **options)


@pytest.mark.parametrize("by_kernels", [True, False], ids=["kernels", "blocks"])
@pytest.mark.parametrize("logistic", [False, True], ids=["multinomial", "logistic"])
def test_a_step_of_training_is_that_of_the_whole_matrix(
    logistic: bool, by_kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_kernels:
        monkeypatch.setattr(module, "is_supported", lambda *tensors: False)
        monkeypatch.setattr(module, "BLOCK", 7)
    queries, candidates, known, positives = problem(6, 20, 4)
    model = Learner(queries, candidates, logistic)
    model.compile(keras.optimizers.SGD(1.0), jit_compile=keras.backend.backend() == "jax")
    batch = {"query": np.arange(6, dtype="int32"), "known": known, "positives": positives}
    loss = model.train_on_batch(batch)
    right = expected(queries, candidates, known, positives, 0.7, logistic)
    found = queries - ops.convert_to_numpy(model.queries)
    are_equal((loss, found, candidates - ops.convert_to_numpy(model.candidates)), right)
