from datetime import datetime

import numpy as np
import polars as pl
import pytest

from shortlist.data import DataError, Vocabulary
from shortlist.data.features import Age, Category, FeatureSpec, Number, Time
from shortlist.models.inputs import Moments, ends, feature_columns


def test_features_stand_in_the_order_of_the_vocabulary() -> None:
    people = pl.DataFrame({"user_id": ["c", "a", "x"], "age": [30, 10, 999], "city": list("pqp")})
    spec = FeatureSpec({"city": Category(), "age": Number()})
    adapted, columns = feature_columns(spec, people, Vocabulary(["a", "b", "c"]), "user_id")
    assert columns(np.arange(4))["city"].tolist() == [0, 2, 0, 1]
    # "x" is not in the vocabulary, so its age was not learnt from: the mean is 20.
    np.testing.assert_allclose(columns(np.arange(4))["age"], [0, -1, 0, 1], atol=1e-6)
    assert (adapted.is_adapted, spec.is_adapted) == (True, False)


HOUR = FeatureSpec({"hour": Time("timestamp", part="hour")})


def test_a_tenth_of_the_moments_to_learn_from_is_unknown() -> None:
    times = np.full(10_000, 7 * 3600)
    hours = Moments(HOUR).to_learn_from(times, seed=0)["hour"]
    assert set(hours.tolist()) == {0, 8}
    assert 0.08 < np.mean(hours == 0) < 0.12
    np.testing.assert_array_equal(Moments(HOUR).to_learn_from(times, seed=0)["hour"], hours)
    assert (Moments(HOUR).to_learn_from(times, seed=None)["hour"] == 8).all()


def test_moments_learn_from_training_and_one_time_serves_all() -> None:
    moments = Moments(FeatureSpec({"age": Age("timestamp")}), np.array([0, 31_556_952]))
    np.testing.assert_allclose(moments(0, 2)["age"], np.log([2, 2]), rtol=1e-6)
    np.testing.assert_allclose(moments(10**9, 1)["age"], 0.0)  # the future is as good as now
    with pytest.raises(ValueError, match="need interactions with a column 'timestamp'"):
        Moments(FeatureSpec({"age": Age("timestamp")}))


@pytest.mark.parametrize("at", [2**70, [object()], [["1970-01-01"]]])
def test_what_is_no_time_is_refused(at: object) -> None:
    with pytest.raises(ValueError, match="`at` must be seconds since 1970, date-times or ISO 8601"):
        ends(at, 1)


def test_a_history_ends_at_a_time_in_any_spelling() -> None:
    for at in ("1970-01-02", datetime(1970, 1, 2), np.datetime64("1970-01-02"), 86400, [86400.5]):
        assert ends(at, 1).tolist() == [86400]
    never = np.iinfo(np.int64).max
    assert ends([None, 5], 2).tolist() == [never, 5]
    assert ends(np.array([np.nan, 7.0]), 2).tolist() == [never, 7]


def test_features_of_a_table_that_is_not_there_are_refused() -> None:
    spec = FeatureSpec({"item_id": Category(), "country": Category()})
    with pytest.raises(DataError, match=r"reads 'country', .* give a table `items` with"):
        feature_columns(spec, None, Vocabulary(["a"]), "item_id")
