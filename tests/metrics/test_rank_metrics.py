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


class Negated(BruteForceRetrieval):
    """Scores otherwise than by dot products."""

    def compute_score(self, query_embedding, candidate_embedding):
        return -super().compute_score(query_embedding, candidate_embedding)


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

    def load():
        path = tmp_path / "model.keras"
        return keras.saving.load_model(path, custom_objects={"no_loss": no_loss})

    with pytest.raises(
        ValueError, match="call `compile` again, with a metric over the model's lay"
    ):
        load().evaluate(QUERIES, truths, verbose=0)
    loaded = load()
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


def one_of(ids, truths, ks=(1,), candidates=None):
    """What a metric over two candidates, 1 and -1, says of queries of 1, then of -1, and so on."""
    embeddings = np.array([[1.0], [-1.0]], "float32") if candidates is None else candidates
    metric = FactorizedTopK(embeddings, ids, ks=ks)
    signs = np.where(np.arange(len(truths)) % 2, -1.0, 1.0)
    metric.update_state(truths, signs[:, None].astype("float32"))
    return float(metric.result()[f"top_{ks[0]}_categorical_accuracy"])


@pytest.mark.parametrize(
    "truths",
    [
        np.array([b"a", "é".encode()], object),
        np.array([b"a", "é".encode()]),
        [["a"], ["é"]],
        np.array(["a", "é"]),
        np.array(["a", "é"], object)[:, None],
        [b"a", "é"],
        np.array([0, 1]),  # rows, as tensors that hold no text have them
    ],
    ids=["object_bytes", "bytes", "column", "str", "object_column", "mixed", "rows"],
)
def test_text_is_found_in_whatever_holds_it(truths):
    assert one_of(["a", "é"], truths) == 1.0
    assert one_of(np.array([b"a", "é".encode()], object), truths) == 1.0
    assert one_of(["é", "a"], truths) == (1.0 if np.asarray(truths).dtype.kind == "i" else 0.0)


@pytest.mark.parametrize(
    ("ids", "truths", "share"),
    [
        ([5 * 10**9, 5 * 10**9 + 1], np.array([5 * 10**9, 5 * 10**9 + 1]), 1.0),
        ([5 * 10**9, 5 * 10**9 + 1], [5 * 10**9, 5 * 10**9 + 1], 1.0),
        ([5 * 10**9, 7], np.array([5 * 10**9 - 2**32, 7]), 0.5),
        # They agree with the candidates' modulo 2**32, and are others.
        ([1, 2], np.array([2**32 + 1, 2**32 + 2]), 0.0),
        ([2**40, 2**53], np.array([2**40, 2**53 + 1]), 0.5),
        ([-1, 0], np.array([-1, 0], "int8"), 1.0),
        ([0, 255], np.array([0, 255], "uint8"), 1.0),
        (["", "-1"], ["", "-1"], 1.0),
    ],
)
def test_ids_are_never_changed_to_fit(ids, truths, share):
    assert one_of(ids, truths) == share
    if isinstance(ids[0], int):
        layer = BruteForceRetrieval(
            np.array([[1.0], [-1.0]], "float32"), ids, k=1, return_rows=True
        )
        assert one_of(None, truths, candidates=layer) == share


@pytest.mark.parametrize(
    ("ids", "truths", "message"),
    [
        (None, None, "`y_true` must be a sequence of ids, got the NoneType None"),
        (None, np.array([0.0, 1.7]), "`y_true` must be integers or text, got the float 0.0"),
        (None, [True, False], "`y_true` must be integers or text, got the bool True"),
        (None, [None, 1], "`y_true` must have no missing ids"),
        (None, ["a", "b"], "`y_true` must hold integers, .* got the str 'a'"),
        (["a", "b"], [0, 2], "rows from -1 to 1; got 2"),
        (["a", "b"], [5 * 10**9, 0], "rows from -1 to 1; got 5000000000"),
        (None, [2**63, 0], "`y_true` must fit in 64 bits"),
        (None, [0], r"`y_true` must have shape \(2,\) or \(2, 1\), .* got \(1,\)"),
        (None, 0, "`y_true` must be a sequence of ids"),
        (None, [[0, 1]], r"`y_true` must have shape .* got \(1, 2\)"),
        (None, [[0, 1], [1, 0]], r"`y_true` must have shape .* got \(2, 2\)"),
        (None, [0, 1, 0], r"`y_true` must have shape .* got \(3,\)"),
    ],
)
def test_truths_that_are_no_ids_are_refused(ids, truths, message):
    metric = FactorizedTopK(np.eye(2, dtype="float32"), ids)
    with pytest.raises(ValueError, match=message):
        metric.update_state(truths, np.eye(2, dtype="float32"))
    assert list(results(metric).values()) == [0.0] * 5


def test_tensors_of_floats_are_refused():
    metric = FactorizedTopK(np.eye(2, dtype="float32"))
    with pytest.raises(ValueError, match="`y_true` must be integers or text, got the float"):
        metric.update_state(ops.convert_to_tensor([0.0, 1.0]), np.eye(2, dtype="float32"))


def test_tensors_that_may_have_cut_ids_are_refused():
    metric = FactorizedTopK(np.eye(2, dtype="float32"), [2**32, 1], ks=(1,))
    truths = ops.convert_to_tensor(np.array([1, 1]))
    if keras.backend.backend() == "jax":
        with pytest.raises(ValueError, match="JAX cuts ids in tensors to 32 bits"):
            metric.update_state(truths, np.eye(2, dtype="float32"))
    else:
        metric.update_state(truths, np.eye(2, dtype="float32"))
        assert list(results(metric).values()) == [0.5]


def test_weights_that_do_not_fit_are_refused():
    metric = FactorizedTopK(CANDIDATES, IDS, ks=(10,))
    with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(30,\) .* got \(1,\)"):
        metric.update_state(TRUTHS, QUERIES, sample_weight=[2.0])
    metric.update_state(TRUTHS[:15], QUERIES[:15], sample_weight=np.full((15, 1), 3.0))
    metric.update_state(TRUTHS[15:], QUERIES[15:], sample_weight=1.0)
    weights = np.repeat([3.0, 1.0], 15)
    expected = np.average(ranks() <= 10, weights=weights)
    assert list(results(metric).values()) == pytest.approx([expected])


def test_queries_are_a_matrix():
    with pytest.raises(ValueError, match=r"`y_pred` must have shape \(b, d\), got \(30, 2, 4\)"):
        FactorizedTopK(CANDIDATES, IDS).update_state(TRUTHS, QUERIES.reshape(30, 2, 4))


def test_queries_and_weights_that_do_not_fit_are_named(over):
    metric = FactorizedTopK(*over(CANDIDATES, IDS), ks=(1,))
    dim = CANDIDATES.shape[1]
    with pytest.raises(ValueError, match=rf"`y_pred` must have shape \(…, {dim}\), as the cand"):
        metric.update_state(TRUTHS, QUERIES[:, : dim - 1])
    for queries in (None, "queries"):
        with pytest.raises(ValueError, match="`y_pred` must hold numbers, got"):
            metric.update_state(TRUTHS, queries)
    with pytest.raises(ValueError, match="`sample_weight` must hold numbers, got 'a'"):
        metric.update_state(TRUTHS, QUERIES, sample_weight="a")
    assert float(metric.count) == 0.0


def test_an_empty_batch_adds_nothing(over):
    metric = FactorizedTopK(*over(CANDIDATES, IDS), ks=(1,))
    metric.update_state(np.array([], "int64"), QUERIES[:0])
    assert list(results(metric).values()) == [0.0]
    assert float(metric.count) == 0.0


def test_candidates_may_come_in_batches():
    names = np.array([f"film {i}".encode() for i in IDS])
    truths = [f"film {i}" for i in TRUTHS]
    batches = [(names[rows], CANDIDATES[rows]) for rows in np.split(np.arange(200), 4)]
    embeddings = [part for _, part in batches]
    for candidates, given in ((batches, truths), (lambda: iter(batches), truths)):
        metric = FactorizedTopK(candidates, ks=(10,))
        metric.update_state(given, QUERIES)
        assert list(results(metric).values()) == pytest.approx([np.mean(ranks() <= 10)])
    rows = [np.flatnonzero(truth == IDS)[0] for truth in TRUTHS]
    metric = FactorizedTopK(embeddings, ks=(10,))
    metric.update_state(rows, QUERIES)
    assert list(results(metric).values()) == pytest.approx([np.mean(ranks() <= 10)])


def test_batches_follow_the_tower_that_embeds_them():
    tower = keras.layers.Dense(8, kernel_initializer="identity", use_bias=False)
    batches = lambda: (tower(part) for part in np.split(CANDIDATES, 4))  # noqa: E731
    metric = FactorizedTopK(batches, ks=(10,))
    rows = [np.flatnonzero(truth == IDS)[0] for truth in TRUTHS]
    metric.update_state(rows, QUERIES)
    tower.set_weights([-np.eye(8, dtype="float32")])
    metric.reset_state()
    metric.update_state(rows, QUERIES)
    expected = np.mean(ranks(candidates=-CANDIDATES) <= 10)
    assert list(results(metric).values()) == pytest.approx([expected])


def test_a_dataset_of_tensorflow_gives_candidates_and_truths():
    tf = pytest.importorskip("tensorflow")
    names = np.array([f"film {i}" for i in IDS])
    truths = np.array([f"film {i}" for i in TRUTHS])
    candidates = tf.data.Dataset.from_tensor_slices((names, CANDIDATES)).batch(32)
    metric = FactorizedTopK(candidates, ks=(1, 10))
    for batch in tf.data.Dataset.from_tensor_slices(truths).batch(30).as_numpy_iterator():
        assert batch.dtype == object
        assert isinstance(batch[0], bytes)
        metric.update_state(batch, QUERIES)
    assert list(results(metric).values()) == pytest.approx(
        [np.mean(ranks() <= 1), np.mean(ranks() <= 10)]
    )


def test_the_names_of_tensorflow_recommenders():
    metric = FactorizedTopK(CANDIDATES, IDS, ks=(5, 5, np.int64(1)), prefix="factorized_top_k/")
    names = ["factorized_top_k/top_5_categorical_accuracy"]
    names.append("factorized_top_k/top_1_categorical_accuracy")
    assert list(metric.result()) == names
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert list(copy.result()) == names


def test_text_and_rows_in_evaluate():
    names = np.array([f"film {i}" for i in IDS], dtype=object)
    model = Towers(BruteForceRetrieval(CANDIDATES, names, return_rows=True))
    metric = FactorizedTopK(model.retrieval, ks=(10,))
    model.compile(loss=lambda _, queries: 0.0 * queries[:, 0], metrics=[metric])
    rows = model.retrieval.rows([f"film {i}" for i in TRUTHS])
    logs = model.evaluate(np.arange(30), rows, batch_size=8, verbose=0, return_dict=True)
    assert logs["top_10_categorical_accuracy"] == pytest.approx(np.mean(ranks() <= 10))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow has such tensors")
def test_text_in_tensors_of_tensorflow():
    import tensorflow as tf

    names = np.array([f"film {i}" for i in IDS], dtype=object)
    metric = FactorizedTopK(CANDIDATES, names, ks=(10,))
    update = tf.function(lambda truths, queries: metric.update_state(truths, queries))
    update(tf.constant([f"film {i}" for i in TRUTHS]), tf.constant(QUERIES))
    metric.update_state(tf.constant([[f"film {i}"] for i in TRUTHS]), tf.constant(QUERIES))
    assert list(results(metric).values()) == pytest.approx([np.mean(ranks() <= 10)])
    assert float(metric.count) == 60


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda: FactorizedTopK(CANDIDATES, ks=()), "`ks` must be integers of at least 1"),
        (lambda: FactorizedTopK(CANDIDATES, ks=(0,)), "`ks` must be integers of at least 1"),
        (lambda: FactorizedTopK(CANDIDATES, ks=(1.5,)), "`ks` must be integers of at least 1"),
        (lambda: FactorizedTopK(CANDIDATES, ks=5), "`ks` must be integers of at least 1, got 5"),
        (lambda: NDCG(CANDIDATES, k=2.5), "`k` must be at least 1, got 2.5"),
        (lambda: NDCG(None), "`candidate_embeddings` must have shape"),
        (lambda: NDCG([]), "`batches` must give at least one batch|shape"),
        (
            lambda: NDCG(keras.layers.Dense(3)),
            "must be a layer of `shortlist.layers`.* got .*Dense",
        ),
        (lambda: NDCG([CANDIDATES], IDS), "`candidate_ids` must be None with batches"),
        (lambda: NDCG(CANDIDATES, [7] * 200), "`candidate_ids` must be unique, got 7"),
        (lambda: NDCG(CANDIDATES, [1.5] * 200), "`candidate_ids` must be integers or text"),
        (lambda: NDCG(CANDIDATES, k=0), "`k` must be at least 1, got 0"),
        (lambda: MeanReciprocalRank(CANDIDATES, k=0), "`k` must be at least 1, got 0"),
        (lambda: NDCG(CANDIDATES, IDS[:3]), r"`candidate_ids` must have shape \(200,\)"),
        (
            lambda: NDCG(BruteForceRetrieval(CANDIDATES), IDS),
            "`candidate_ids` must be None with a layer",
        ),
        (
            lambda: FactorizedTopK(Negated(CANDIDATES)),
            "dot products, and Negated has a `compute_score` of its own",
        ),
    ],
)
def test_bad_arguments_are_refused(metric, message):
    with pytest.raises(ValueError, match=message):
        metric()


def test_strings_over_a_layer_of_integers_are_refused():
    with pytest.raises(ValueError, match="`y_true` must hold integers"):
        NDCG(BruteForceRetrieval(CANDIDATES)).update_state(["a"], QUERIES[:1])
