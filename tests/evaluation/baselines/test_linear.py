"""One contract for every linear baseline."""

import numpy as np
import pytest

from shortlist.data import Interactions
from shortlist.evaluation.baselines import EASE, IALS, ItemKNN, Popularity, linear

BASELINES = [EASE, IALS, ItemKNN]
# Users 1 to 6 choose among a, b, c; users 7 to 12 among x, y, z; 13 and 14 are given by one item.
_PAIRS = [(user, item) for user in range(1, 7) for item in "abc" if (user, item) != (1, "c")]
_PAIRS += [(user, item) for user in range(7, 13) for item in "xyz" if (user, item) != (7, "z")]
_PAIRS += [(13, "a"), (14, "x")]
TRAIN = Interactions.from_arrays(*zip(*_PAIRS, strict=True))


@pytest.mark.parametrize("baseline", BASELINES)
def test_users_get_the_missing_item_of_their_kind(baseline: type) -> None:
    result = baseline(TRAIN).recommend([1, 7], k=1)
    assert result.ids.tolist() == [["c"], ["z"]]


@pytest.mark.parametrize("baseline", BASELINES)
def test_given_items_are_left_out_beside_the_seen(baseline: type) -> None:
    result = baseline(TRAIN).recommend([13], k=1, exclude=[["b"]])
    assert result.ids.tolist() == [["c"]]


@pytest.mark.parametrize("baseline", BASELINES)
def test_seen_items_come_back_when_they_may(baseline: type) -> None:
    result = baseline(TRAIN).recommend([2], k=3, exclude_seen=False)
    assert sorted(result.ids[0]) == ["a", "b", "c"]


@pytest.mark.parametrize("baseline", BASELINES)
def test_a_history_gets_what_the_user_who_has_it_gets(baseline: type) -> None:
    fitted = baseline(TRAIN)
    of_user = fitted.recommend([13, 7], k=2)
    of_history = fitted.recommend_from([["a"], ["y", "x", "unknown"]], k=2)
    assert of_history.ids.tolist() == of_user.ids.tolist()
    np.testing.assert_allclose(of_history.scores, of_user.scores, rtol=1e-5)


@pytest.mark.parametrize("baseline", BASELINES)
def test_how_often_an_item_was_chosen_does_not_count(baseline: type) -> None:
    repeated = Interactions.from_arrays(*zip(*_PAIRS, *_PAIRS[:9], strict=True))
    once, twice = (baseline(train).recommend([13, 14], k=3) for train in (TRAIN, repeated))
    np.testing.assert_array_equal(once.ids, twice.ids)
    np.testing.assert_allclose(once.scores, twice.scores)


@pytest.mark.parametrize("baseline", [*BASELINES, Popularity])
@pytest.mark.parametrize(
    ("users", "items"), [([1], [5]), ([1, 1], [5, 6]), ([1, 2], [5, 5]), ([1, 1], [5, 5])]
)
def test_one_user_or_one_item_is_enough(baseline: type, users: list, items: list) -> None:
    fitted = baseline(Interactions.from_arrays(users, items))
    result = fitted.recommend([1, 9], k=3, exclude_seen=False)
    count = len(set(items))
    assert np.isfinite(result.scores[:, :count]).all()
    assert sorted(result.ids[0, :count]) == sorted(set(items))
    assert np.isneginf(result.scores[:, count:]).all()
    assert np.isneginf(fitted.recommend([1], k=1).scores).all()  # everything was seen
    assert fitted.recommend_from([[], [77]], k=1).ids.tolist() == [[5], [5]]
    assert fitted.recommend([], k=3).ids.shape == (0, 3)


@pytest.mark.parametrize(("baseline", "matrices"), [(EASE, 4), (ItemKNN, 5)])
def test_too_many_items_are_refused_with_an_estimate(
    baseline: type, matrices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "_memory", lambda: 8 * matrices * 6**2)
    baseline(TRAIN)  # six items just fit
    monkeypatch.setattr(linear, "_memory", lambda: 8 * matrices * 6**2 - 1)
    with pytest.raises(MemoryError, match=f"{baseline.__name__} of 6 items needs about 0 GB"):
        baseline(TRAIN)


@pytest.mark.parametrize("baseline", [EASE, ItemKNN])
def test_more_items_than_the_engine_has_dimensions_are_refused_before_the_work(baseline):
    train = Interactions.from_arrays(np.zeros(4_097, np.int64), np.arange(4_097))
    with pytest.raises(MemoryError, match=r"of 4,097 items has embeddings of as many dimensions"):
        baseline(train)
