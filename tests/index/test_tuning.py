"""`tune`: what it returns is what was measured, and holds on other queries."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from shortlist.index import Index, IndexConfig, SearchSettings, col, tune
from shortlist.index.tuning import _interval, _Judge


@pytest.fixture(scope="module")
def index():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((300, 16))
    rows = centres[rng.integers(300, size=20_000)] + 0.4 * rng.standard_normal((20_000, 16))
    return Index.build(rows.astype(np.float32), config=IndexConfig(leaves=200))


@pytest.fixture(scope="module")
def queries(index):
    rng = np.random.default_rng(1)
    noise = 0.3 * rng.standard_normal((200, 16))
    return (index.vectors(rng.integers(len(index), size=200)) + noise).astype(np.float32)


def recall(index, queries, settings):
    exact = index.search(queries, 10, settings=SearchSettings(exact=True)).rows
    found = index.search(queries, 10, settings=settings).rows
    return np.mean([len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]) / 10


@pytest.mark.parametrize("target", [0.8, 0.95])
def test_the_settings_reach_the_target(index, queries, target):
    tuning = tune(index, queries, recall=target)
    assert recall(index, queries, tuning.settings) >= target - 0.03
    assert tuning.interval[0] <= tuning.recall <= tuning.interval[1]
    assert tuning.queries == (100, 100)
    assert tuning.reached == (tuning.recall >= target)
    assert not tuning.settings.exact


def test_the_curve_rises_in_recall_and_latency(index, queries):
    curve = tune(index, queries).curve
    assert len(curve) > 3
    assert all(a.recall < b.recall for a, b in itertools.pairwise(curve))
    assert all(a.latency < b.latency for a, b in itertools.pairwise(curve))


def test_a_recall_of_one_is_reached(index, queries):
    tuning = tune(index, queries, recall=1.0)
    assert tuning.recall >= 0.99
    assert recall(index, queries, tuning.settings) >= 0.99


def test_a_latency_that_nothing_meets_gives_the_fastest(index, queries):
    tuning = tune(index, queries, recall=0.99, latency=1e-3)
    assert tuning.settings.leaves == tuning.curve[0].settings.leaves
    assert not tuning.reached


def test_fields_that_are_not_tuned_are_kept(index, queries):
    start = replace(index.settings, groups=7)
    assert tune(index, queries, settings=start).settings.groups == 7


def test_fewer_groups_are_measured_too(index, queries, monkeypatch):
    measured = []
    point = _Judge.point

    def noting(judge, settings):
        measured.append(settings.groups)
        return point(judge, settings)

    monkeypatch.setattr(_Judge, "point", noting)
    tune(index, queries, recall=0.9)
    groups = index.describe()["groups"]
    assert {0, groups // 3, groups // 2} <= set(measured)
    assert max(measured) < groups


def test_the_index_is_not_changed(index, queries):
    before = index.settings
    tune(index, queries, recall=0.9)
    assert index.settings == before


def test_many_equal_candidates_do_not_count_as_misses():
    rng = np.random.default_rng(2)
    rows = rng.integers(-1, 2, (5_000, 4)).astype(np.float32)  # 81 different rows
    index = Index.build(rows, config=IndexConfig(leaves=50))
    assert tune(index, rows[:100], recall=0.9).reached


def test_an_exact_index_is_tuned_to_exact_answers():
    rng = np.random.default_rng(3)
    index = Index.build(rng.standard_normal((30, 4), dtype=np.float32))
    tuning = tune(index, rng.standard_normal((40, 4), dtype=np.float32), k=50, recall=1.0)
    assert tuning.recall == 1.0


def test_plot_draws_the_curve(index, queries):
    pytest.importorskip("matplotlib", reason="matplotlib draws the plot")
    tuning = tune(index, queries)
    (axes,) = tuning.plot().axes
    drawn = axes.lines[0].get_xydata()
    assert drawn.tolist() == [[point.latency, point.recall] for point in tuning.curve]
    assert axes.get_ylabel() == "recall@10"


BAD = [
    ({"recall": "most"}, "`recall` must be a number, got 'most'"),
    ({"latency": "10"}, "`latency` must be a number, got '10'"),
    ({"recall": 0}, "`recall` must be above 0 and at most 1, got 0"),
    ({"recall": 1.1}, "`recall` must be above 0 and at most 1, got 1.1"),
    ({"latency": 0}, "`latency` must be above 0 microseconds, got 0"),
    ({"k": 0}, "`k` must be from 1 to 10000, got 0"),
]


@pytest.mark.parametrize(("keywords", "message"), BAD)
def test_bad_arguments_are_refused(index, queries, keywords, message):
    with pytest.raises(ValueError, match=message):
        tune(index, queries, **keywords)


def test_bad_queries_are_refused(index, queries):
    with pytest.raises(ValueError, match=r"shape \(n, 16\) with n at least 20, got \(10, 16\)"):
        tune(index, queries[:10])
    with pytest.raises(ValueError, match=r"shape \(n, 16\) with n at least 20, got \(16,\)"):
        tune(index, queries[0])
    with pytest.raises(ValueError, match=r"`queries` must have shape \(n, 16\)"):
        tune(index, queries[:, :8])


@pytest.mark.parametrize(("n", "share"), [(100, 0.97), (400, 0.9), (50, 1.0)])
def test_the_interval_holds_the_true_recall_19_times_of_20(n, share):
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(1_000):
        recalls = rng.binomial(10, share, n) / 10
        low, high = _interval(recalls)
        assert 0 <= low <= recalls.mean() <= high + 1e-12 <= 1 + 1e-12
        held += low <= share <= high
    assert held >= 930


def test_recalls_all_alike_leave_some_doubt():
    low, high = _interval(np.ones(100))
    assert high == 1
    assert 0.95 < low < 0.99


def test_settings_can_be_tuned_for_a_condition():
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((20_000, 12), dtype=np.float32)
    index = Index.build(rows, attributes={"third": np.arange(20_000) % 3 == 0})
    where = col("third") == True  # noqa: E712
    tuning = tune(index, rows[:200] + 0.1, recall=0.9, where=where)
    assert tuning.reached
    exact = index.search(rows[200:400], where=where, settings=SearchSettings(exact=True)).ids
    found = index.search(rows[200:400], where=where, settings=tuning.settings).ids
    assert np.mean([len(set(a) & set(b)) for a, b in zip(exact, found, strict=True)]) > 8
    with pytest.raises(ValueError, match="`where` must be met by some candidates"):
        tune(index, rows[:200], where=col("third").is_missing())
