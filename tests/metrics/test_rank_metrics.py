"""`FactorizedTopK`, `MeanReciprocalRank` and `NDCG` against NumPy, over arrays and every layer."""

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.index import IndexConfig, SearchSettings
from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval
from shortlist.metrics import NDCG, FactorizedTopK, MeanReciprocalRank

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(200, 8)).astype("float32")
QUERIES = RNG.normal(size=(30, 8)).astype("float32")
IDS = RNG.permutation(1000)[:200]
TRUTHS = RNG.choice(IDS, 30)
OVER = {
    "array": lambda embeddings, ids: (embeddings, ids),
    "brute_force": lambda embeddings, ids: (BruteForceRetrieval(embeddings, ids), None),
    "streaming": lambda embeddings, ids: (StreamingRetrieval(embeddings, ids), None),
    "exact_index": lambda embeddings, ids: (
        ApproximateRetrieval(embeddings, ids, config=IndexConfig(exact=True)),
        None,
    ),
    # Searches everything, but does not claim to be exact.
    "full_search": lambda embeddings, ids: (
        ApproximateRetrieval(
            embeddings,
            ids,
            config=IndexConfig(leaves=4),
            settings=SearchSettings(leaves=4, rerank=300),
        ),
        None,
    ),
}


@pytest.fixture(params=OVER)
def over(request):
    return OVER[request.param]


def ranks(queries=QUERIES, candidates=CANDIDATES, ids=IDS, truths=TRUTHS):
    """The rank of each true candidate, from 1."""
    scores = queries @ candidates.T
    row = np.array([np.flatnonzero(ids == truth)[0] for truth in truths])
    return 1 + (scores > scores[np.arange(len(row)), row][:, None]).sum(axis=1)


def results(metric):
    result = metric.result()
    if not isinstance(result, dict):
        return float(result)
    return {name: float(value) for name, value in result.items()}


def test_share_of_true_candidates_in_the_top_k(over):
    metric = FactorizedTopK(*over(CANDIDATES, IDS), ks=(1, 10, 150))
    metric.update_state(TRUTHS[:17], QUERIES[:17])
    metric.update_state(TRUTHS[17:, None], QUERIES[17:])
    assert results(metric) == pytest.approx(
        {f"top_{k}_categorical_accuracy": np.mean(ranks() <= k) for k in (1, 10, 150)}
    )


def test_reciprocal_rank_and_ndcg(over):
    rank = ranks()
    for metric, worth in (
        (MeanReciprocalRank(*over(CANDIDATES, IDS), k=50), 1 / rank),
        (NDCG(*over(CANDIDATES, IDS), k=50), 1 / np.log2(1 + rank)),
    ):
        metric.update_state(TRUTHS, QUERIES)
        assert results(metric) == pytest.approx(np.mean(worth * (rank <= 50)), rel=1e-5)


def test_the_default_ks():
    names = FactorizedTopK(CANDIDATES).result()
    assert list(names) == [f"top_{k}_categorical_accuracy" for k in (1, 5, 10, 50, 100)]


def test_a_constant_scorer_gets_what_chance_gives(over):
    # The true candidates are all among the first rows, where a top k by row would find them.
    metric = FactorizedTopK(*over(np.ones_like(CANDIDATES), IDS), ks=(1, 10, 100))
    metric.update_state(IDS[:8], QUERIES[:8])
    assert results(metric) == pytest.approx(
        {f"top_{k}_categorical_accuracy": k / 200 for k in (1, 10, 100)}, rel=1e-5
    )


def test_a_tie_is_worth_the_mean_of_its_ranks(over):
    # Scores 3, 2, 2, 2, 1 and the true candidate one of the three in the middle: ranks 2 to 4.
    candidates = np.array([[2.0], [3.0], [2.0], [1.0], [2.0]], dtype="float32")
    embeddings = np.vstack([candidates, np.full((15, 1), -1.0, dtype="float32")])
    query = np.ones((1, 1), dtype="float32")
    metric = FactorizedTopK(*over(embeddings, None), ks=(1, 2, 3, 4))
    metric.update_state([2], query)
    assert list(results(metric).values()) == pytest.approx([0, 1 / 3, 2 / 3, 1])
    reciprocal = MeanReciprocalRank(*over(embeddings, None), k=4)
    reciprocal.update_state([2], query)
    assert results(reciprocal) == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)


def test_an_unknown_truth_is_a_miss(over):
    metric = FactorizedTopK(*over(CANDIDATES, IDS), ks=(1, 200))
    metric.update_state([5000, -1], QUERIES[:2])
    assert list(results(metric).values()) == [0, 0]


def test_a_query_that_is_not_finite_is_a_miss(over):
    broken = QUERIES[:4].copy()
    broken[1, 2], broken[3, 0] = np.nan, -np.inf
    metric = FactorizedTopK(*over(CANDIDATES, IDS), ks=(200,))
    metric.update_state(TRUTHS[:4], broken)
    assert list(results(metric).values()) == [0.5]


def test_weights(over):
    weights = RNG.random(30).astype("float32")
    metric = FactorizedTopK(*over(CANDIDATES, IDS), ks=(10,))
    metric.update_state(TRUTHS, QUERIES, sample_weight=weights)
    expected = np.average(ranks() <= 10, weights=weights)
    assert results(metric) == pytest.approx({"top_10_categorical_accuracy": expected}, rel=1e-5)
    metric.reset_state()
    assert list(results(metric).values()) == [0]


def test_what_an_approximate_layer_misses_is_a_miss():
    # Only one leaf of forty is visited, so most true candidates are never found.
    layer = ApproximateRetrieval(
        CANDIDATES, IDS, config=IndexConfig(leaves=40, tier=0), settings=SearchSettings(leaves=1)
    )
    best = IDS[np.argmax(QUERIES @ CANDIDATES.T, axis=1)]
    found = ops.convert_to_numpy(layer(QUERIES, k=1)[1])[:, 0]
    assert 0 < np.mean(found == best) < 1
    metric = FactorizedTopK(layer, ks=(1,))
    metric.update_state(best, QUERIES)
    assert results(metric)["top_1_categorical_accuracy"] == pytest.approx(np.mean(found == best))


def test_string_ids():
    names = np.array([f"film {i}" for i in IDS], dtype=object)
    truths = [f"film {i}" for i in TRUTHS]
    for arguments in (
        (CANDIDATES, names),
        (BruteForceRetrieval(CANDIDATES, names, return_rows=True), None),
    ):
        metric = FactorizedTopK(*arguments, ks=(10,))
        metric.update_state(truths, QUERIES)
        assert results(metric)["top_10_categorical_accuracy"] == pytest.approx(
            np.mean(ranks() <= 10)
        )


class Towers(keras.Model):
    """Queries and candidates as tables."""

    def __init__(self, layer):
        super().__init__()
        self.queries = keras.layers.Embedding(30, 8, weights=[QUERIES])
        self.retrieval = layer

    def call(self, inputs):
        return self.queries(inputs)


def test_in_compile_and_evaluate_it_follows_updates(over):
    candidates, ids = over(CANDIDATES, IDS)
    model = Towers(candidates)
    model.compile(
        loss=lambda _, queries: 0.0 * queries[:, 0],
        metrics=[FactorizedTopK(candidates, ids, ks=(1, 10))],
    )
    users = np.arange(30)
    logs = model.evaluate(users, TRUTHS, batch_size=8, verbose=0, return_dict=True)
    assert logs["top_10_categorical_accuracy"] == pytest.approx(np.mean(ranks() <= 10), rel=1e-5)
    if ids is None:
        moved = -CANDIDATES
        candidates.update_candidates(moved, IDS)
        logs = model.evaluate(users, TRUTHS, batch_size=8, verbose=0, return_dict=True)
        expected = np.mean(ranks(candidates=moved) <= 10)
        assert logs["top_10_categorical_accuracy"] == pytest.approx(expected, rel=1e-5)


def no_loss(y_true, y_pred):
    return 0.0 * ops.sum(y_pred, axis=1)


def test_a_model_loaded_with_a_metric_over_a_layer_asks_to_be_compiled_again(tmp_path):
    inputs = keras.Input((8,))
    layer = BruteForceRetrieval(CANDIDATES, IDS, k=3)
    queries = keras.layers.Dense(8, kernel_initializer="identity")(inputs)
    model = keras.Model(inputs, {"queries": queries, "found": layer(queries)[1]})
    model.compile(loss={"queries": no_loss}, metrics={"queries": FactorizedTopK(layer, ks=(10,))})
    truths = {"queries": TRUTHS, "found": TRUTHS}
    model.fit(QUERIES, truths, verbose=0)  # Changes nothing, but gives the optimizer its weights.
    expected = model.evaluate(QUERIES, truths, verbose=0, return_dict=True)
    assert expected["top_10_categorical_accuracy"] == pytest.approx(np.mean(ranks() <= 10))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"no_loss": no_loss})
    with pytest.raises(Exception, match="call `compile` again, with a metric over the model's lay"):
        loaded.evaluate(QUERIES, truths, verbose=0)
    # Keras on JAX loses the weights of a model in an error.
    loaded = keras.saving.load_model(tmp_path / "model.keras", custom_objects={"no_loss": no_loss})
    metric = FactorizedTopK(loaded.get_layer(layer.name), ks=(10,))
    loaded.compile(loss={"queries": no_loss}, metrics={"queries": metric})
    assert loaded.evaluate(QUERIES, truths, verbose=0, return_dict=True) == pytest.approx(expected)


def test_config_round_trips():
    for metric in (
        FactorizedTopK(CANDIDATES, IDS, ks=(3,)),
        MeanReciprocalRank(CANDIDATES, k=7),
        NDCG(CANDIDATES, k=7),
    ):
        copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
        for either in (metric, copy):
            either.update_state(TRUTHS, QUERIES)
        assert results(copy) == results(metric)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda: FactorizedTopK(CANDIDATES, ks=()), "`ks` must be integers of at least 1"),
        (lambda: FactorizedTopK(CANDIDATES, ks=(0,)), "`ks` must be integers of at least 1"),
        (lambda: NDCG(CANDIDATES, k=0), "`k` must be at least 1, got 0"),
        (lambda: MeanReciprocalRank(CANDIDATES, k=0), "`k` must be at least 1, got 0"),
        (lambda: NDCG(CANDIDATES, IDS[:3]), r"`candidate_ids` must have shape \(200,\)"),
        (
            lambda: NDCG(BruteForceRetrieval(CANDIDATES), IDS),
            "`candidate_ids` must be None with a layer",
        ),
    ],
)
def test_bad_arguments_are_refused(metric, message):
    with pytest.raises(ValueError, match=message):
        metric()


def test_strings_over_a_layer_of_integers_are_refused():
    with pytest.raises(ValueError, match="`y_true` must hold integers"):
        NDCG(BruteForceRetrieval(CANDIDATES)).update_state(["a"], QUERIES[:1])
