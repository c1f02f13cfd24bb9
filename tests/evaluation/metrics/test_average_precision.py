import numpy as np

from shortlist.evaluation.metrics import average_precision
from shortlist.evaluation.ranking import Ranking

# The first query's only positive stands second; the second's four: first, third, and not retrieved.
RANKING = Ranking.from_scores(
    np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]),
    np.array([[False, True, False, False], [True, False, True, False]]),
    np.array([1, 4]),
    k=4,
)


def test_it_is_the_precision_at_each_positive_over_all_positives() -> None:
    np.testing.assert_allclose(average_precision(RANKING, 4)[0], [1 / 2, (1 + 2 / 3) / 4])


def test_ranks_beyond_k_do_not_count() -> None:
    np.testing.assert_allclose(average_precision(RANKING, 2)[0], [1 / 2, 1 / 4])
