from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Interactions
from shortlist.data.times import second

MOMENT = datetime(2019, 10, 1, 10, tzinfo=UTC)
SECONDS = int(MOMENT.timestamp())
MIDNIGHT = SECONDS - 36_000


def read(times: object, **options: object) -> list[int]:
    users = range(len(times))  # type: ignore[arg-type]
    return (
        Interactions.from_arrays(users, users, timestamp=times, **options)
        .frame[  # type: ignore[arg-type]
            "timestamp"
        ]
        .to_list()
    )


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
@pytest.mark.parametrize("kind", [int, str, np.int64, float])
def test_the_size_of_numbers_tells_their_unit(factor: int, kind: type) -> None:
    assert read([kind(SECONDS * factor), kind((SECONDS + 1) * factor)]) == [SECONDS, SECONDS + 1]


def test_a_unit_may_be_said() -> None:
    for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        assert read([5 * factor, 7 * factor + factor // 2], time_unit=unit) == [5, 7]
    with pytest.raises(DataError, match="`time_unit` must be 's', 'ms', 'us' or 'ns', got 'min'"):
        read([1], time_unit="min")


def test_zero_fits_every_unit() -> None:
    assert read([0, SECONDS * 1_000]) == [0, SECONDS]


def test_numbers_of_two_units_are_refused_and_the_option_named() -> None:
    with pytest.raises(
        DataError, match=r"row 1: .* looks like milliseconds, got .*000\. Pass time_unit='s'"
    ):
        read([SECONDS, SECONDS * 1_000])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-10-01", MIDNIGHT),
        ("2019/10/01", MIDNIGHT),
        ("20191001", MIDNIGHT),
        ("201910011000", SECONDS),
        ("20191001100000", SECONDS),
        ("2019-10-01 10:00", SECONDS),
        ("2019-10-01T10:00", SECONDS),
        ("2019-10-01 10:00:00", SECONDS),
        ("2019-10-01 10:00:00.9", SECONDS),
        ("2019-10-01 10:00:00+00", SECONDS),
        ("2019-10-01 10:00:00.123456+00", SECONDS),
        ("2019-10-01 12:00:00+0200", SECONDS),
        ("2019-10-01T12:00:00+02:00", SECONDS),
        ("2019-10-01T12:00+02:00", SECONDS),
        ("2019-10-01T10:00:00Z", SECONDS),
        ("2019-10-01T10:00:00.000z", SECONDS),
        ("2019-10-01 10:00:00 UTC", SECONDS),
        (" 2019-10-01T10:00:00Z ", SECONDS),
        ("2019-10-01 05:30:00-04:30", SECONDS),
    ],
)
def test_a_time_in_text_is_read_alone_and_beside_others(text: str, expected: int) -> None:
    assert read([text]) == [expected]
    assert read([text, text]) == [expected, expected]
    if not text.isdigit():
        assert read(["2020-01-01", text, "2020-01-01T00:00:00Z"])[1] == expected


def test_numbers_that_are_all_dates_are_dates_and_others_are_not() -> None:
    assert read([20191001, 20200229]) == [
        MIDNIGHT,
        int(datetime(2020, 2, 29, tzinfo=UTC).timestamp()),
    ]
    assert read([20191001.0]) == [MIDNIGHT]
    assert read([5, 20191001, 21000000, 20191301]) == [5, 20191001, 21000000, 20191301]
    assert read([20191001], time_unit="s") == [20191001]
    assert second(20191001) == MIDNIGHT


@pytest.mark.parametrize(
    "times",
    [
        pd.Series([MOMENT]),
        pd.Series([MOMENT.replace(tzinfo=None)]),
        pd.Series(pd.DatetimeIndex([MOMENT])).dt.tz_convert("America/New_York"),
        pd.Series([MOMENT]).astype("datetime64[s, UTC]"),
        *(pa.array([MOMENT], pa.timestamp(unit, zone)) for unit in ("s", "ms", "us", "ns")
          for zone in (None, "UTC", "Asia/Tokyo")),
        *(np.array(["2019-10-01T10"], f"datetime64[{unit}]")
          for unit in ("h", "m", "s", "us", "ns")),
        pl.Series([MOMENT]),
        [MOMENT.astimezone(timezone(timedelta(hours=5)))],
        [MOMENT.replace(tzinfo=None)],
    ],
)  # fmt: skip
def test_a_moment_is_the_same_from_every_library(times: object) -> None:
    assert read(times) == [SECONDS]


@pytest.mark.parametrize(
    "times",
    [[date(2019, 10, 1)], np.array(["2019-10-01"], "datetime64[D]"), pa.array([date(2019, 10, 1)])],
)
def test_a_date_is_its_midnight(times: object) -> None:
    assert read(times) == [MIDNIGHT]


@given(st.integers(-(10**9), 10**10), st.sampled_from([1, 1_000, 1_000_000]))
def test_a_fraction_of_a_second_is_dropped(seconds: int, parts: int) -> None:
    times = pl.Series([seconds * parts + parts // 2])
    unit = {1: "s", 1_000: "ms", 1_000_000: "us"}[parts]
    assert read(times, time_unit=unit) == [seconds]
    if parts > 1:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, milliseconds=500)
        assert read([moment]) == [seconds]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2019-10-01", "soon"], "row 1: .* or a time like .* got 'soon'"),
        (["2019-10-01", "01/10/2019"], "row 1: .* got '01/10/2019'"),
        (["2019-10-01", "2019-13-01"], "row 1: .* got '2019-13-01'"),
        (["2019-10-01", "1569888000"], "row 1: expected a time written as the first, '2019-10-01'"),
        (["1569888000", "2019-10-01"], "row 1: expected seconds since 1970 .* got '2019-10-01'"),
        ([20191001, 20191301], "row 1: expected a date such as 20191001, got 20191301"),
        (["20191001", "1569888000"], "row 1: expected a date such as 20191001, got '1569888000'"),
        (
            [1569888000, 1569888001, 20191001],
            "row 2: expected a time such as 1569888000, not a date, got 20191001",
        ),
        (["2019-10-01", ""], "row 1: .* got ''"),
        (["2019-10-01", None], "row 1: the time is missing, got None"),
        ([1, None], "row 1: the time is missing, got None"),
        (pd.Series([MOMENT, pd.NaT]), "row 1: the time is missing, got None"),
        (np.array([1.0, np.nan]), "row 1: the time is missing, got None"),
        ([1.0, float("inf")], "row 1: expected a finite number, got inf"),
        ([True, False], "expected seconds since 1970 or a date, got Boolean"),
        (pl.Series([timedelta(1)]), "expected seconds since 1970 or a date, got Duration"),
    ],
)
def test_what_is_no_time_is_named(times: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(times)


def test_an_error_in_a_file_names_the_line_after_quoted_line_breaks(tmp_path) -> None:
    path = tmp_path / "views.csv"
    path.write_text('user_id,note,item_id,timestamp\n1,"a\nb",7,2019-10-01\n1,c,8,soon\n')
    with pytest.raises(DataError, match=r"views\.csv, column 'timestamp', line 4: .* got 'soon'"):
        Interactions.from_csv(path)
