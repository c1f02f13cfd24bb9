"""Each option against a few lines of NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.losses import FrequencyEstimator, RetrievalLoss


def embeddings(rows, dim=4, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype("float32")


def softmax_losses(scores, is_negative=None):
    """-log softmax of the diagonal; True in `is_negative` where an off-diagonal score counts."""
    count = np.eye(*scores.shape, dtype=bool)
    count |= True if is_negative is None else is_negative
    kept = np.where(count, scores.astype("float64"), -np.inf)
    return np.logaddexp.reduce(kept, axis=1) - np.diagonal(scores)


def losses_of(queries, candidates, **options):
    constructor = {k: options.pop(k) for k in ("temperature", "num_hard_negatives") if k in options}
    loss = RetrievalLoss(reduction="none", **constructor)
    return ops.convert_to_numpy(loss(queries, candidates, **options))


def test_is_softmax_over_the_batch():
    queries, candidates = embeddings(6), embeddings(6, seed=1)
    np.testing.assert_allclose(
        losses_of(queries, candidates), softmax_losses(queries @ candidates.T), rtol=1e-5
    )


def test_temperature_divides_the_scores():
    queries, candidates = embeddings(6), embeddings(6, seed=1)
    np.testing.assert_allclose(
        losses_of(queries, candidates, temperature=0.2),
        softmax_losses(queries @ candidates.T / 0.2),
        rtol=1e-5,
    )


def test_further_candidates_are_extra_negatives():
    queries, candidates = embeddings(4), embeddings(9, seed=1)
    np.testing.assert_allclose(
        losses_of(queries, candidates), softmax_losses(queries @ candidates.T), rtol=1e-5
    )


def test_log_q_correction_subtracts_the_log_probability_of_every_candidate():
    queries, candidates = embeddings(4), embeddings(6, seed=1)
    probabilities = np.array([0.5, 0.1, 0.01, 0.9, 1.0, 1e-6], dtype="float32")
    np.testing.assert_allclose(
        losses_of(queries, candidates, sampling_probabilities=probabilities),
        softmax_losses(queries @ candidates.T - np.log(probabilities)),
        rtol=1e-5,
    )


def test_log_q_correction_with_estimated_frequencies():
    batches = np.array([[0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 3, 4], [0, 2, 3, 4]])
    estimator = FrequencyEstimator(capacity=5, learning_rate=1.0)
    for batch in batches:
        probabilities = estimator(batch, training=True)
    # Steps since each one's appearance before.
    gaps = np.array([1.0, 2.0, 1.0, 1.0])
    queries, candidates = embeddings(4), embeddings(4, seed=1)
    np.testing.assert_allclose(
        losses_of(queries, candidates, sampling_probabilities=probabilities),
        softmax_losses(queries @ candidates.T - np.log(1 / gaps)),
        rtol=1e-5,
    )


def test_a_common_factor_of_the_probabilities_does_not_matter():
    queries, candidates = embeddings(4), embeddings(4, seed=1)
    probabilities = np.array([0.5, 0.1, 0.01, 0.9], dtype="float32")
    np.testing.assert_allclose(
        losses_of(queries, candidates, sampling_probabilities=probabilities),
        losses_of(queries, candidates, sampling_probabilities=probabilities * 0.03),
        rtol=1e-5,
    )


def test_probabilities_of_nothing_and_above_one():
    # Counts are probabilities up to a common factor; TensorFlow Recommenders clips to [1e-6, 1].
    queries, candidates = embeddings(4), embeddings(4, seed=1)
    counts = np.array([3, 1, 500, 40])
    for given in (counts, counts.astype("float32"), counts / counts.sum()):
        np.testing.assert_allclose(
            losses_of(queries, candidates, sampling_probabilities=given),
            softmax_losses(queries @ candidates.T - np.log(counts)),
            rtol=1e-5,
        )
    nothing = np.array([0.0, -1.0, 1e-13, 0.5], dtype="float32")
    np.testing.assert_allclose(
        losses_of(queries, candidates, sampling_probabilities=nothing),
        softmax_losses(queries @ candidates.T - np.log([1e-12, 1e-12, 1e-12, 0.5])),
        rtol=1e-5,
    )


def test_clipped_probabilities_are_the_correction_of_keras_recommenders():
    keras_rs = pytest.importorskip("keras_rs")
    queries, candidates = embeddings(4), embeddings(4, seed=1)
    given = np.array([0.0, 0.3, 2.0, 1e-9], dtype="float32")
    logits = queries @ candidates.T
    corrected = ops.convert_to_numpy(
        keras_rs.layers.SamplingProbabilityCorrection()(logits, np.tile(given, (4, 1)))
    )
    np.testing.assert_allclose(
        losses_of(queries, candidates, sampling_probabilities=np.clip(given, 1e-6, 1)),
        softmax_losses(corrected),
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    "ids",
    [
        ["c", "h", "c", "e", "h", "c", "k"],
        [b"c", b"h", "c", "e", "h", b"c", "k"],
        np.array(["c", "h", "c", "e", "h", "c", "k"]),
        # They agree modulo 2**32 where they differ.
        np.array([3, 8, 3, 2**32 + 3, 8, 3, 2**33 + 8]),
        np.array([2**40, 1, 2**40, 2**41, 1, 2**40, 0]),
        np.array([255, 1, 255, 0, 1, 255, 254], "uint8"),
    ],
    ids=["str", "bytes", "numpy_str", "modulo", "wide", "uint8"],
)
def test_accidental_hits_are_those_of_the_same_id_whatever_its_type(ids):
    queries, candidates = embeddings(5), embeddings(7, seed=1)
    same = np.array([3, 8, 3, 5, 8, 3, 11])
    np.testing.assert_allclose(
        losses_of(queries, candidates, candidate_ids=ids),
        softmax_losses(queries @ candidates.T, same[:5, None] != same[None]),
        rtol=1e-5,
    )


def test_what_is_no_id_is_refused():
    queries = embeddings(3)
    for ids in ([1.5, 2, 3], [None, 1, 2], ["a", 1, 2], [True, 1, 2]):
        with pytest.raises(ValueError, match="`candidate_ids` must"):
            RetrievalLoss()(queries, queries, candidate_ids=ids)
    with pytest.raises(ValueError, match="must hold integers in a tensor, got dtype float32"):
        RetrievalLoss()(queries, queries, candidate_ids=ops.convert_to_tensor([1.0, 2.0, 3.0]))


def test_accidental_hits_that_keras_recommenders_leaves_in():
    # Its `RemoveAccidentalHits` of 0.4.0 adds 1.2e-40 to a logit, which is to add nothing.
    keras_rs = pytest.importorskip("keras_rs")
    queries = candidates = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], "float32")
    ids = np.array([7, 8, 7])
    logits = ops.convert_to_tensor(queries @ candidates.T)
    theirs = keras_rs.layers.RemoveAccidentalHits()(logits, ops.eye(3), ids)
    left_in = softmax_losses(ops.convert_to_numpy(theirs))
    masked = losses_of(queries, candidates, candidate_ids=ids)
    np.testing.assert_allclose(masked, softmax_losses(queries @ candidates.T, ids[:, None] != ids))
    if keras_rs.version() == "0.4.0":
        np.testing.assert_allclose(left_in, softmax_losses(queries @ candidates.T), rtol=1e-5)


def test_accidental_hits_leave_the_softmax():
    queries, candidates = embeddings(5), embeddings(7, seed=1)
    ids = np.array([3, 8, 3, 5, 8, 3, 11])
    np.testing.assert_allclose(
        losses_of(queries, candidates, candidate_ids=ids),
        softmax_losses(queries @ candidates.T, ids[:5, None] != ids[None]),
        rtol=1e-5,
    )


def test_the_same_candidate_for_every_query_costs_nothing():
    # Adding a tiny number to the logit instead of masking would give log(5) here.
    queries = np.ones((5, 4), dtype="float32")
    losses = losses_of(queries, queries, candidate_ids=np.full(5, 7))
    np.testing.assert_array_equal(losses, np.zeros(5))


def test_masked_scores_do_not_count_but_the_positive_always_does():
    queries, candidates = embeddings(4), embeddings(6, seed=1)
    mask = np.random.default_rng(2).random((4, 6)) < 0.5
    mask[0, 0] = False
    np.testing.assert_allclose(
        losses_of(queries, candidates, score_mask=mask),
        softmax_losses(queries @ candidates.T, mask),
        rtol=1e-5,
    )


def test_hard_negatives_are_the_best_scored_ones():
    queries, candidates = embeddings(6), embeddings(6, seed=1)
    scores = queries @ candidates.T
    negatives = np.where(np.eye(6, dtype=bool), -np.inf, scores)
    hardest = np.argsort(-negatives, axis=1)[:, :2]
    is_negative = np.zeros((6, 6), dtype=bool)
    np.put_along_axis(is_negative, hardest, True, axis=1)
    np.testing.assert_allclose(
        losses_of(queries, candidates, num_hard_negatives=2),
        softmax_losses(scores, is_negative),
        rtol=1e-5,
    )


def test_an_accidental_hit_is_never_a_hard_negative():
    queries = np.ones((4, 3), dtype="float32")
    ids = np.array([1, 1, 1, 2])
    losses = losses_of(queries, queries, num_hard_negatives=2, candidate_ids=ids)
    np.testing.assert_allclose(losses, np.log([2.0, 2.0, 2.0, 3.0]), rtol=1e-6)


def test_more_hard_negatives_than_there_are_keeps_all():
    queries, candidates = embeddings(4), embeddings(4, seed=1)
    np.testing.assert_allclose(
        losses_of(queries, candidates, num_hard_negatives=100),
        losses_of(queries, candidates),
        rtol=1e-6,
    )


def test_several_vectors_a_query_score_by_their_best():
    queries = np.random.default_rng(3).normal(size=(5, 3, 4)).astype("float32")
    candidates = embeddings(5, seed=1)
    scores = np.einsum("bvd,md->bvm", queries, candidates).max(axis=1)
    np.testing.assert_allclose(losses_of(queries, candidates), softmax_losses(scores), rtol=1e-5)


@pytest.mark.parametrize(
    ("queries", "candidates", "scores"),
    [
        ([[1, 2, 3], [2, 3, 4]], [[1, 1, 1], [1, 1, 0]], [[6, 3], [9, 5]]),
        (
            [[3, 2, 1], [2, 3, 4]],
            [[0, 1, 0], [0, 1, 1], [1, 1, 0]],
            [[2, 3, 5], [3, 7, 5]],
        ),
        (
            [[[3, 2, 1], [1, 2, 3]], [[2, 3, 4], [4, 3, 2]]],
            [[0, 1, 0], [0, 1, 1], [1, 1, 0]],
            [[2, 5, 5], [3, 7, 7]],
        ),
    ],
    ids=["in_batch", "further_negatives", "several_vectors"],
)
def test_the_sums_that_tensorflow_recommenders_gives(queries, candidates, scores):
    queries, candidates = np.array(queries, "float32"), np.array(candidates, "float32")
    losses = softmax_losses(np.array(scores, float))
    loss = RetrievalLoss(reduction="sum")
    assert float(loss(queries, candidates)) == pytest.approx(losses.sum(), rel=1e-5)
    weights = np.array([0.7, 0.3], "float32")
    weighted = float(loss(queries, candidates, weights))
    assert weighted == pytest.approx(0.7 * losses[0] + 0.3 * losses[1], rel=1e-5)


def test_reductions_and_weights():
    queries, candidates = embeddings(6), embeddings(6, seed=1)
    weights = np.array([1, 0, 2, 0.5, 1, 1], dtype="float32")
    losses = softmax_losses(queries @ candidates.T)
    for reduction, expected in {"mean": np.mean, "sum": np.sum, "none": np.array}.items():
        loss = RetrievalLoss(reduction=reduction)
        for sample_weight, weighted in ((None, losses), (weights, losses * weights)):
            result = ops.convert_to_numpy(loss(queries, candidates, sample_weight))
            np.testing.assert_allclose(result, expected(weighted), rtol=1e-5)


@pytest.mark.parametrize("shift", [-50.0, 3.0, 50.0])
def test_shifting_every_score_of_a_query_changes_nothing(shift):
    queries, candidates = embeddings(4), embeddings(4, seed=1)
    ones = np.ones((4, 1), dtype="float32")
    shifted = losses_of(np.hstack([queries, shift * ones]), np.hstack([candidates, ones]))
    np.testing.assert_allclose(shifted, losses_of(queries, candidates), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_neither_overflows_nor_loses_small_differences(dtype):
    # ⟨q, c⟩ is 120,000: beyond float16; its neighbours differ by less than bfloat16's step there.
    queries = ops.cast(np.full((2, 3), 200.0, dtype="float32"), dtype)
    candidates = ops.cast(np.array([[200, 200, 200], [200, 200, 199]], dtype="float32"), dtype)
    exact = ops.convert_to_numpy(ops.cast(candidates, "float32"))
    scores = np.full((2, 3), 200.0, dtype="float32") @ exact.T / 100
    losses = losses_of(queries, candidates, temperature=100.0)
    assert str(losses.dtype) == "float32"
    np.testing.assert_allclose(losses, softmax_losses(scores), rtol=1e-3)


def gradients(loss_of_queries, queries):
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(loss_of_queries)(queries))
    if backend == "tensorflow":
        import tensorflow as tf

        variable = tf.Variable(queries)
        with tf.GradientTape() as tape:
            value = loss_of_queries(variable)
        return tf.convert_to_tensor(tape.gradient(value, variable)).numpy()
    import torch

    tensor = torch.tensor(queries, requires_grad=True)
    loss_of_queries(tensor).backward()
    return tensor.grad.numpy()


def test_gradients_are_finite_and_masked_rows_get_none():
    queries = embeddings(3)
    # Row 2 is an accidental hit of row 0, so query 0 sees only row 1.
    candidates, ids = embeddings(3, seed=1), np.array([1, 2, 1])
    loss = RetrievalLoss(reduction="sum", num_hard_negatives=2)
    gradient = gradients(lambda q: loss(q, candidates, candidate_ids=ids), queries)
    scores = queries @ candidates.T
    share = 1 / (1 + np.exp(scores[0, 0] - scores[0, 1]))
    np.testing.assert_allclose(gradient[0], share * (candidates[1] - candidates[0]), rtol=1e-4)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_gradients_in_half_precision_are_those_of_float32(dtype):
    queries, candidates = embeddings(8), embeddings(8, seed=1)
    loss = RetrievalLoss(temperature=0.2)
    exact = gradients(lambda q: loss(q, candidates), queries)
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(candidates, dtype), "float32"))
    half = gradients(lambda q: loss(ops.cast(q, dtype), ops.cast(rounded, dtype)), queries)
    assert np.isfinite(half).all()
    np.testing.assert_allclose(half, exact, atol=0.05 * np.abs(exact).max())


def test_works_compiled_with_unknown_batch_size():
    loss = RetrievalLoss(num_hard_negatives=3)
    queries, candidates, ids = embeddings(6), embeddings(6, seed=1), np.array([1, 2, 1, 3, 4, 4])
    expected = float(loss(queries, candidates, candidate_ids=ids))

    def compute(q, c, i):
        return loss(q, c, candidate_ids=i)

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        compute = jax.jit(compute)
    elif backend == "tensorflow":
        import tensorflow as tf

        matrix = tf.TensorSpec((None, 4), "float32")
        compute = tf.function(
            compute, input_signature=[matrix, matrix, tf.TensorSpec((None,), ids.dtype)]
        )
    assert float(compute(queries, candidates, ids)) == pytest.approx(expected, rel=1e-5)


def test_config_round_trips():
    loss = RetrievalLoss(temperature=0.1, num_hard_negatives=5, reduction="sum", name="softmax")
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert isinstance(copy, RetrievalLoss)
    assert copy.get_config() == loss.get_config()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "`temperature` must be greater than 0, got 0.0"),
        ({"temperature": float("nan")}, "`temperature` must be greater than 0, got nan"),
        ({"temperature": "warm"}, "`temperature` must be greater than 0, got 'warm'"),
        ({"num_hard_negatives": 1.5}, "`num_hard_negatives` must be None .* got 1.5"),
        ({"num_hard_negatives": 0}, "`num_hard_negatives` must be None .* got 0"),
        ({"reduction": "max"}, "`reduction` must be one of .* got 'max'"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RetrievalLoss(**options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"queries": embeddings(3)[0]}, r"`queries` must have shape \(b, d\)"),
        ({"candidates": embeddings(3, dim=5)}, r"`candidates` must have shape \(None, 4\), got"),
        ({"candidates": embeddings(2)}, "got 2 rows for 3 queries"),
        ({"candidate_ids": np.arange(4)}, r"`candidate_ids` must have shape \(3,\), got \(4,\)"),
        ({"sampling_probabilities": np.ones(2)}, r"`sampling_probabilities` must have shape \(3,"),
        ({"score_mask": np.ones((3, 2), dtype=bool)}, r"`score_mask` must have shape \(3, 3\)"),
        ({"sample_weight": np.ones((3, 1))}, r"`sample_weight` must have shape \(3,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RetrievalLoss()(**{"queries": embeddings(3), "candidates": embeddings(3), **arguments})


def test_integers_are_no_embeddings():
    with pytest.raises(TypeError, match="`queries` must hold floating-point numbers"):
        RetrievalLoss()(np.ones((2, 2), dtype="int32"), embeddings(2, dim=2))


def test_what_is_no_embedding_is_named():
    for queries in (None, "a"):
        with pytest.raises(TypeError, match="`queries` must hold floating-point numbers, got"):
            RetrievalLoss()(queries, embeddings(3))
