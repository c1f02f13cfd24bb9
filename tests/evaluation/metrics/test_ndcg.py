import numpy as np

from shortlist.evaluation.metrics import ndcg
from shortlist.evaluation.ranking import Ranking

# The first query's only positive stands second; the second's four: first, third, and not retrieved.
RANKING = Ranking.from_scores(
    np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]),
    np.array([[False, True, False, False], [True, False, True, False]]),
    np.array([1, 4]),
    k=4,
)


def test_gain_is_discounted_by_the_logarithm_of_the_rank() -> None:
    best_of_three = 1 + 1 / np.log2(3) + 1 / 2
    expected = [1 / np.log2(3), (1 + 1 / 2) / best_of_three]
    np.testing.assert_allclose(ndcg(RANKING, 3)[0], expected)


def test_positives_first_give_one() -> None:
    ranking = Ranking.from_scores(
        np.array([[3.0, 2.0, 1.0]]), np.array([[True, True, False]]), np.array([2]), 3
    )
    assert ndcg(ranking, 3)[0][0] == 1.0
