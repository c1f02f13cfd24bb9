import numpy as np
import pytest
from keras import ops
from keras.optimizers import Adam

from shortlist.data import Interactions
from shortlist.models import BPR, CosineContrastive, TwoTower

RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(4, 3)).astype("float32")
CANDIDATES = RNG.normal(size=(4, 3)).astype("float32")
CANDIDATES[3] = CANDIDATES[1]  # the same item, drawn twice
BATCH = {
    "candidate": np.array([5, 7, 9, 7], "int32"),
    "weight": np.array([1.0, 2.0, 0.0, 1.0], "float32"),
}
NEGATIVES = {0: [1, 2, 3], 1: [0, 2], 2: [0, 1, 3], 3: [0, 2]}


def loss(objective: object) -> float:
    batch = {name: ops.convert_to_tensor(column) for name, column in BATCH.items()}
    return float(objective(ops.array(QUERIES), ops.array(CANDIDATES), batch))


def test_bpr_is_the_mean_logistic_loss_of_pairs() -> None:
    scores = QUERIES @ CANDIDATES.T / 0.5
    losses = [
        np.mean([np.log(1 + np.exp(scores[row, other] - scores[row, row])) for other in others])
        for row, others in NEGATIVES.items()
    ]
    expected = np.mean(BATCH["weight"] * losses)
    assert loss(BPR(temperature=0.5)) == pytest.approx(expected, rel=1e-5)


def test_cosine_contrastive_is_that_of_simplex() -> None:
    queries, candidates = (
        table / np.linalg.norm(table, axis=1, keepdims=True) for table in (QUERIES, CANDIDATES)
    )
    cosines = queries @ candidates.T
    losses = [
        1 - cosines[row, row] + 3 * np.mean(np.maximum(0, cosines[row, others] - 0.1))
        for row, others in NEGATIVES.items()
    ]
    expected = np.mean(BATCH["weight"] * losses)
    assert loss(CosineContrastive(0.1, 3.0)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("objective", ["bpr", CosineContrastive(negative_weight=2.0)])
def test_a_model_learns_the_kind_of_each_user(objective: object) -> None:
    users = np.repeat(np.arange(30), 6)
    items = (users % 3) * 10 + RNG.permuted(np.tile(np.arange(10), (30, 1)), axis=1)[:, :6].ravel()
    views = Interactions.from_arrays(users, items)
    model = TwoTower.from_interactions(views, objective=objective, embedding_dim=8)
    model.fit(views, epochs=30, batch_size=64, optimizer=Adam(0.02), progress=False)
    best = model.recommend(np.arange(30), k=1).ids[:, 0]
    assert np.mean(best // 10 == np.arange(30) % 3) > 0.9


def test_a_batch_of_one_candidate_has_no_negatives() -> None:
    one = {"candidate": ops.array([7, 7]), "weight": ops.ones(2)}
    pairs = ops.array(QUERIES[:2]), ops.array(CANDIDATES[[1, 3]])
    assert float(BPR()(*pairs, one)) == 0.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BPR(0.0), "`temperature` must be above 0, got 0.0"),
        (lambda: CosineContrastive(margin=2.0), "`margin` must be from -1 to 1, got 2.0"),
        (lambda: CosineContrastive(negative_weight=-1.0), "`negative_weight` must be at least 0"),
    ],
)
def test_options_out_of_range_are_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
