import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data import Sample, sample, split_random


def test_the_sample_has_the_size_it_promises(invented: Sample) -> None:
    data = invented.interactions
    assert len(data) == 200_000
    assert len(data.user_ids) == 3_000
    assert data.users is not None
    assert data.users.columns == ["user_id", "age", "gender", "occupation"]
    assert data.items is not None
    assert data.items.height == data.items["title"].n_unique() == 2_000
    assert data.items.columns == ["item_id", "title", "year", "genres"]
    assert data.frame["rating"].unique().sort().to_list() == [1, 2, 3, 4, 5]
    assert data.frame["timestamp"].is_sorted()
    per_viewer = data.frame["user_id"].value_counts()["count"]
    assert per_viewer.min() == 20
    assert per_viewer.max() <= 400


def test_no_viewer_sees_a_film_twice(invented: Sample) -> None:
    assert (
        invented.interactions.frame.select(pl.struct("user_id", "item_id").n_unique()).item()
        == 200_000
    )


def test_the_seed_decides_everything(invented: Sample) -> None:
    again, other = sample(0), sample(1)
    assert again.interactions.frame.equals(invented.interactions.frame)
    assert again.interactions.items.equals(invented.interactions.items)  # type: ignore[union-attr]
    assert np.array_equal(again.oracle.utility, invented.oracle.utility)
    assert not other.interactions.frame.equals(invented.interactions.frame)


def test_ratings_tell_of_taste(invented: Sample) -> None:
    frame, oracle = invented.interactions.frame, invented.oracle
    utility = oracle.utility[frame["user_id"].to_numpy() - 1, frame["item_id"].to_numpy() - 1]
    assert np.corrcoef(utility, frame["rating"].to_numpy())[0, 1] > 0.4


def test_a_low_rank_model_can_come_close_to_the_oracle(invented: Sample) -> None:
    """A regularised item-to-item regression (EASE, Steck 2019) reaches over 80 % of it."""
    split = split_random(invented.interactions)
    best = invented.oracle.hit_rates(split, (10, 100))
    seen = np.zeros((3_000, 2_000), np.float32)
    seen[cells(split.train.frame)] = 1
    gram = seen.T @ seen
    gram[np.diag_indices(2_000)] += 500
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    weights[np.diag_indices(2_000)] = 0
    scores = seen @ weights
    scores[seen > 0] = -np.inf
    users, items = cells(split.test.frame)
    ranks = np.array([(scores[u] >= scores[u, i]).sum() for u, i in zip(users, items, strict=True)])
    assert (ranks <= 10).mean() > 0.80 * best[10]
    assert (ranks <= 100).mean() > 0.86 * best[100]


def cells(frame: pl.DataFrame) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return frame["user_id"].to_numpy() - 1, frame["item_id"].to_numpy() - 1
