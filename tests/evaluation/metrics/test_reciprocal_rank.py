import numpy as np

from shortlist.evaluation.metrics import reciprocal_rank
from shortlist.evaluation.ranking import Ranking

# The first query's only positive stands second; the second's four: first, third, and not retrieved.
RANKING = Ranking.from_scores(
    np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]),
    np.array([[False, True, False, False], [True, False, True, False]]),
    np.array([1, 4]),
    k=4,
)


def test_it_is_one_over_the_rank_of_the_first_positive() -> None:
    assert reciprocal_rank(RANKING, 4)[0].tolist() == [0.5, 1.0]


def test_a_first_positive_beyond_k_counts_nothing() -> None:
    assert reciprocal_rank(RANKING, 1)[0].tolist() == [0.0, 1.0]


def test_two_positives_among_three_tied_stand_first_at_one_or_two() -> None:
    ranking = Ranking.from_scores(
        np.zeros((1, 3)), np.array([[True, True, False]]), np.array([2]), 3
    )
    expected = 2 / 3 * 1 + 1 / 3 * 1 / 2
    np.testing.assert_allclose(reciprocal_rank(ranking, 3)[0], [expected])
