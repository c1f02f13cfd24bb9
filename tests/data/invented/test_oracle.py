import numpy as np
import pytest

from shortlist.data import DataError, Interactions, Oracle, Sample, Split, split_random


def small() -> Oracle:
    utility = np.log(np.array([[4, 3, 2, 1], [1, 1, 1, 1]], np.float32))
    return Oracle(np.array([1, 2]), np.array([10, 20, 30, 40]), utility)


def test_probabilities_are_the_logit_of_what_is_not_seen() -> None:
    np.testing.assert_allclose(small().probabilities(1), [0.4, 0.3, 0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose(small().probabilities(1, [10]), [0, 1 / 2, 1 / 3, 1 / 6], rtol=1e-6)


def test_a_hit_is_a_test_film_among_the_best_k_not_seen_in_train() -> None:
    train = Interactions.from_arrays([1, 2], [10, 10])
    test = Interactions.from_arrays([1, 1], [20, 40])
    assert small().hit_rates(Split(train, test), (1, 2, 3)) == {1: 0.5, 2: 0.5, 3: 1.0}


def test_ties_do_not_flatter() -> None:
    train = Interactions.from_arrays([2], [10])
    test = Interactions.from_arrays([2], [20])
    assert small().hit_rates(Split(train, test), (1, 2, 3)) == {1: 0.0, 2: 0.0, 3: 1.0}


def test_a_stranger_is_refused() -> None:
    with pytest.raises(DataError, match="the sample has no viewer 3"):
        small().probabilities(3)
    split = Split(Interactions.from_arrays([1], [50]), Interactions.from_arrays([1], [10]))
    with pytest.raises(DataError, match="the sample has no film 50"):
        small().hit_rates(split)


def test_no_other_ranking_does_better(invented: Sample) -> None:
    """Popularity, and the oracle with some of its knowledge taken away, stay behind."""
    split = split_random(invented.interactions)
    oracle = invented.oracle
    best = oracle.hit_rates(split, (10, 100))
    rng = np.random.default_rng(0)
    popularity = np.zeros(len(oracle.item_ids), np.float32)
    counts = split.train.frame["item_id"].value_counts()
    popularity[counts["item_id"].to_numpy() - 1] = counts["count"].to_numpy()
    for worse, margin in (
        (np.tile(popularity, (len(oracle.user_ids), 1)), 2.0),
        (oracle.utility + rng.normal(scale=0.5, size=oracle.utility.shape), 1.05),
        (oracle.utility - oracle.utility.mean(axis=0), 1.05),
    ):
        rates = Oracle(oracle.user_ids, oracle.item_ids, worse).hit_rates(split, (10, 100))
        assert best[10] > margin * rates[10]
        assert best[100] > margin * rates[100] or margin == 2.0
