import keras
import numpy as np
import pytest
from keras import ops

from shortlist.losses import FrequencyEstimator


def by_the_paper(batches, learning_rate):
    """Algorithm 2 of Yi et al. (2019), one dictionary entry an id; the first gap is taken whole."""
    last, gap = {}, {}
    for step, batch in enumerate(batches, start=1):
        for item in set(batch):
            elapsed = step - last.get(item, 0)
            previous = gap.get(item, elapsed)
            gap[item] = (1 - learning_rate) * previous + learning_rate * elapsed
            last[item] = step
    return gap


def test_follows_the_paper():
    rng = np.random.default_rng(0)
    batches = [rng.choice(6, size=4, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01]) for _ in range(40)]
    estimator = FrequencyEstimator(capacity=6, learning_rate=0.1)
    for batch in batches:
        estimator(batch, training=True)
    gaps = by_the_paper([batch.tolist() for batch in batches], 0.1)
    seen = np.array(sorted(gaps))
    np.testing.assert_allclose(
        ops.convert_to_numpy(estimator(seen)), [1 / gaps[i] for i in seen], rtol=1e-5
    )


def test_only_training_learns():
    estimator = FrequencyEstimator(capacity=4)
    estimator(np.array([1]), training=True)
    before = [ops.convert_to_numpy(weight).copy() for weight in estimator.weights]
    estimator(np.array([1, 2]), training=False)
    for old, weight in zip(before, estimator.weights, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(weight))


def test_an_unseen_id_is_rarer_than_once():
    estimator = FrequencyEstimator(capacity=4)
    for _ in range(9):
        estimator(np.array([1]), training=True)
    np.testing.assert_allclose(ops.convert_to_numpy(estimator(np.array([1, 2]))), [1.0, 0.1])


def test_ids_of_64_bits_keep_their_slots():
    estimator = FrequencyEstimator(capacity=10, learning_rate=1.0)
    ids = np.array([5 * 10**9 + 3, -1, 2**32 + 7])  # slots 3, 9 and 3
    estimator(ids[:2], training=True)
    estimator(ids[:1], training=True)
    estimator(ids[:2].tolist(), training=True)
    np.testing.assert_allclose(ops.convert_to_numpy(estimator(ids)), [1, 1 / 2, 1])
    np.testing.assert_allclose(
        ops.convert_to_numpy(estimator(np.array([3, 9, 3], "uint8"))), [1, 1 / 2, 1]
    )


def test_the_capacity_may_be_beyond_the_type_of_the_ids():
    estimator = FrequencyEstimator(capacity=1000)
    ids = ops.convert_to_tensor(np.array([200, 44], "uint8"))
    estimator(ids[:1], training=True)
    np.testing.assert_allclose(ops.convert_to_numpy(estimator(ids)), [1, 1 / 2])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a"], "must be integers, because an id's slot is .* got the str 'a'"),
        (np.array([1.7]), "must be integers or text, got the float 1.7"),
        ([None], "must have no missing ids"),
    ],
)
def test_ids_that_have_no_slot_are_refused(ids, message):
    with pytest.raises(ValueError, match=f"`candidate_ids` {message}"):
        FrequencyEstimator(capacity=4)(ids, training=True)


def test_tensors_of_floats_are_refused():
    with pytest.raises(ValueError, match="must hold integers in a tensor, got dtype float32"):
        FrequencyEstimator(capacity=4)(ops.convert_to_tensor([1.7]), training=True)


def test_a_model_that_trains_says_so():
    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.estimator = FrequencyEstimator(capacity=4)

        def call(self, ids):
            return self.estimator(ids)

    model = Model()
    model(np.array([1, 2], "int32"))
    assert int(model.estimator.step) == 0
    model(np.array([1, 2], "int32"), training=True)
    assert int(model.estimator.step) == 1


def test_state_and_config_survive_saving(tmp_path):
    inputs = keras.Input((), dtype="int32")
    estimator = FrequencyEstimator(capacity=4, learning_rate=0.5)
    model = keras.Model(inputs, estimator(inputs))
    for ids in ([1, 2], [1, 3], [1, 2]):
        estimator(np.array(ids), training=True)
    model.save(tmp_path / "model.keras")
    copy = keras.saving.load_model(tmp_path / "model.keras")
    ids = np.array([0, 1, 2, 3])
    np.testing.assert_array_equal(model.predict(ids, verbose=0), copy.predict(ids, verbose=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 0}, "`capacity` must be at least 1, got 0"),
        ({"capacity": 4, "learning_rate": 0.0}, r"`learning_rate` must lie in \(0, 1\], got 0.0"),
        ({"capacity": 4, "learning_rate": 1.5}, r"`learning_rate` must lie in \(0, 1\], got 1.5"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        FrequencyEstimator(**options)
