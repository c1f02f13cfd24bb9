import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError
from shortlist.data.features import Bucket, Number

AGES = st.lists(st.floats(-1e6, 1e6), min_size=2).filter(lambda v: np.std(v) > 1e-3)


def ages(values: list[float | None]) -> pl.Series:
    return pl.Series("age", values, dtype=pl.Float64)


@given(AGES)
def test_a_standardised_number_has_mean_0_and_deviation_1(values: list[float]) -> None:
    scaled = Number("age").adapt(ages(values)).encode(ages(values)).astype(float)
    assert scaled.mean() == pytest.approx(0, abs=1e-3)
    assert scaled.std() == pytest.approx(1, abs=1e-3)


@given(AGES)
def test_a_rescaled_number_goes_from_0_to_1(values: list[float]) -> None:
    scaled = Number("age", scale="range").adapt(ages(values)).encode(ages(values))
    assert scaled.min() == 0
    assert scaled.max() == 1


def test_a_number_may_stay_as_it_is() -> None:
    number = Number("age", scale="none").adapt(ages([20, 40]))
    assert number.encode(ages([7, None])).tolist() == [7, 30]


def test_a_constant_becomes_0() -> None:
    assert Number("age").adapt(ages([5, 5])).encode(ages([5, 6])).tolist() == [0, 1]


def test_missing_and_nan_count_as_the_mean() -> None:
    number = Number("age", scale="range").adapt(ages([0, 10, None, float("nan")]))
    assert number.encode(ages([None, float("nan"), 5])).tolist() == [0.5, 0.5, 0.5]


@given(AGES, st.integers(2, 20))
def test_buckets_by_quantile_keep_the_order_and_hold_all(values: list[float], count: int) -> None:
    bucket = Bucket("age", count=count).adapt(ages(values))
    index = bucket.encode(ages(sorted(values)))
    assert (np.diff(index) >= 0).all()
    assert index.min() == 1
    assert index.max() < (bucket.output.size or 0) <= count + 1


def test_buckets_by_quantile_hold_about_as_many_each() -> None:
    values = ages(np.random.default_rng(0).exponential(size=10_000).tolist())
    index = Bucket("age", count=4).adapt(values).encode(values)
    assert np.bincount(index).tolist() == [0, 2500, 2500, 2500, 2500]


def test_a_number_on_a_boundary_belongs_above_it() -> None:
    bucket = Bucket("age", boundaries=(18.0, 65.0))
    assert bucket.encode(ages([17.9, 18, 64.9, 65, None])).tolist() == [1, 2, 2, 3, 0]
    assert bucket.output.size == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Number("a", scale="log"), "'standard', 'range' or 'none', got 'log'"),
        (lambda: Bucket("a", count=1), "at least 2, got 1"),
        (lambda: Bucket("a", boundaries=(2.0, 1.0)), r"must ascend, got \[2.0, 1.0\]"),
        (lambda: Bucket("a", boundaries=("x",)), "must be numbers"),  # type: ignore[arg-type]
        (lambda: Number("age").adapt(ages([None])), "column 'age' has no numbers"),
        (lambda: Bucket("age").adapt(ages([])), "column 'age' has no numbers"),
        (lambda: Number("age").adapt(ages([1, float("inf")])), "row 1: must be finite, got inf"),
        (lambda: Bucket("age", boundaries=(1.0,)).encode_one("x"), "finite number, got 'x'"),
        (lambda: Number("age").encode_one(3), "has not learnt from data yet"),
    ],
)
def test_what_is_wrong_is_named(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]
