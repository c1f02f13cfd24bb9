from datetime import UTC, date, datetime, timedelta, timezone
from math import log

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError
from shortlist.data.features import Age, Time


@given(st.datetimes(datetime(1902, 1, 1), datetime(2100, 1, 1)))
def test_hour_and_weekday_are_those_of_the_calendar(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    for time in (moment, moment.replace(tzinfo=UTC), moment.isoformat()):
        column = pl.Series("t", [time])
        assert Time("t").encode(column).tolist() == [moment.hour + 1]
        assert Time("t", part="weekday").encode(column).tolist() == [moment.isoweekday()]
        assert Time("t").encode_one(time) == moment.hour + 1
        assert Time("t", part="weekday").encode_one(time) == moment.isoweekday()


def test_times_in_another_zone_are_taken_in_utc() -> None:
    moment = datetime(2024, 5, 31, 1, tzinfo=timezone(timedelta(hours=2)))
    assert Time("t").encode_one(moment) == 24
    assert Time("t").encode_one(moment.isoformat()) == 24


def test_dates_and_seconds_will_do() -> None:
    for time in (date(2024, 1, 1), 1_704_067_200, 1_704_067_200.5, "2024-01-01"):
        assert Time("t", part="weekday").encode_one(time) == 1
        assert Time("t", part="weekday").encode(pl.Series("t", [time])).tolist() == [1]


def test_a_missing_time_has_index_0() -> None:
    for column in (pl.Series("t", [None]), pl.Series("t", [None], dtype=pl.Datetime)):
        assert Time("t").encode(column).tolist() == [0]
    assert Time("t").encode_one(None) == 0


def test_age_is_counted_from_the_latest_learnt() -> None:
    years = pl.Series("y", [2000, 2020, None, 2030])
    age = Age("y", unit="years").adapt(years[:3])
    mean = log(21) / 2
    np.testing.assert_allclose(age.encode(years), [log(21), 0, mean, 0], rtol=1e-6)
    assert [age.encode_one(year) for year in (2000, 2020, None, 2030)] == pytest.approx(
        [log(21), 0, mean, 0]
    )


def test_age_may_be_counted_from_a_given_moment() -> None:
    age = Age("t", now=datetime(2024, 1, 1, tzinfo=UTC).timestamp())
    column = pl.Series("t", ["2014-01-01", "2024-01-01"])
    np.testing.assert_allclose(age.adapt(column).encode(column), [log(11), 0], rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Time("t", part="day"), "'hour' or 'weekday', got 'day'"),
        (lambda: Age("t", unit="days"), "'seconds' or 'years', got 'days'"),
        (lambda: Age("t").adapt(pl.Series("t", [None])), "'t' has no times"),
        (lambda: Time("t").encode_one("soon"), "'t' must be a time, got 'soon'"),
        (lambda: Time("t").encode(pl.Series("t", ["soon"])), "column 't', row 0: .* got 'soon'"),
        (lambda: Time("t").encode_one([1]), "must be a finite number, got"),
    ],
)
def test_what_is_wrong_is_named(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]
