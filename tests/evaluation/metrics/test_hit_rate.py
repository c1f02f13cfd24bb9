import numpy as np

from shortlist.evaluation.metrics import hit_rate
from shortlist.evaluation.ranking import Ranking

# The first query's only positive stands second; the second's four: first, third, and not retrieved.
RANKING = Ranking.from_scores(
    np.array([[4.0, 3.0, 2.0, 1.0], [4.0, 3.0, 2.0, 1.0]]),
    np.array([[False, True, False, False], [True, False, True, False]]),
    np.array([1, 4]),
    k=4,
)


def test_every_positive_counts_alike() -> None:
    found, wanted = hit_rate(RANKING, 2)
    assert found.tolist() == [1.0, 1.0]
    assert wanted.tolist() == [1.0, 4.0]
    assert found.sum() / wanted.sum() == 0.4
