import numpy as np

from shortlist.evaluation.metrics import precision
from shortlist.evaluation.ranking import Ranking

# The first query's only positive stands second; the second's four: first, third, and not retrieved.
RANKING = Ranking.from_scores(
    np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]),
    np.array([[False, True, False, False], [True, False, True, False]]),
    np.array([1, 4]),
    k=4,
)


def test_it_is_the_share_of_ranks_that_hold_a_positive() -> None:
    assert precision(RANKING, 2)[0].tolist() == [0.5, 0.5]


def test_a_short_list_is_still_divided_by_k() -> None:
    assert precision(RANKING, 8)[0].tolist() == [0.125, 0.25]
