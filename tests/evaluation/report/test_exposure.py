import numpy as np
import pytest

from shortlist.evaluation.report import exposure


def test_an_even_spread_covers_all_and_has_no_concentration() -> None:
    figures = exposure(np.arange(20).reshape(5, 4), np.full(20, 7), [9] * 5)
    assert figures["coverage"] == 1.0
    assert figures["gini"] == pytest.approx(0.0)
    assert figures["cold_items"] == figures["cold_users"] == 0.0


def test_one_item_for_everybody_is_all_the_concentration_there_is() -> None:
    n = 50
    figures = exposure(np.zeros((30, 1), np.int64), np.arange(n)[::-1].copy(), [1, 9])
    assert figures["coverage"] == 1 / n
    assert figures["gini"] == pytest.approx(1 - 1 / n)  # the most n values can have
    assert figures["top_decile"] == 1.0
    assert figures["mean_popularity"] == pytest.approx((n - 1) / n)
    assert figures["cold_users"] == 0.5


def test_gini_is_the_mean_difference_over_twice_the_mean() -> None:
    rng = np.random.default_rng(0)
    rows = (rng.integers(0, 12, (40, 5)) ** 2) // 12
    times = np.bincount(rows.ravel(), minlength=12)
    by_definition = np.abs(times[:, None] - times).mean() / (2 * times.mean())
    assert exposure(rows, np.ones(12, np.int64), [1])["gini"] == pytest.approx(by_definition)


def test_padding_is_no_recommendation() -> None:
    figures = exposure(np.array([[0, -1], [-1, -1]]), np.array([3, 8]), [8])
    assert figures["coverage"] == 0.5
    assert figures["cold_items_shown"] == 1.0


def test_nothing_recommended_is_no_exposure() -> None:
    figures = exposure(np.full((2, 3), -1), np.array([3, 8]), [8])
    assert figures["coverage"] == figures["gini"] == figures["top_decile"] == 0.0
