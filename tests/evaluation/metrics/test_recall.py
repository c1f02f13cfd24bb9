import numpy as np

from shortlist.evaluation.metrics import recall
from shortlist.evaluation.ranking import Ranking

# The first query's only positive stands second; the second's four: first, third, and not retrieved.
RANKING = Ranking.from_scores(
    np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]),
    np.array([[False, True, False, False], [True, False, True, False]]),
    np.array([1, 4]),
    k=4,
)


def test_every_query_counts_alike() -> None:
    values, weights = recall(RANKING, 2)
    assert values.tolist() == [1.0, 0.25]
    assert (values / weights).mean() == 0.625


def test_a_longer_list_finds_more() -> None:
    assert recall(RANKING, 4)[0].tolist() == [1.0, 0.5]
