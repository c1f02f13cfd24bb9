import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.data import DataError, Vocabulary
from shortlist.data.features import (
    Age,
    Bucket,
    Categories,
    Category,
    Cross,
    FeatureSpec,
    Hash,
    History,
    Number,
    Text,
    Time,
)

DECLARED = FeatureSpec(
    {
        "user": Category("user_id"),
        "gender": Category(),
        "common": Category("gender", least=2),
        "city": Hash("gender", size=7),
        "age": Bucket(count=3),
        "exact_age": Number("age"),
        "scaled_age": Number("age", scale="range"),
        "both": Cross(of=("gender", "age", "hour")),
        "hashed": Cross(of=("user", "city"), size=50),
        "title": Text(length=3),
        "genres": Categories(separator="|"),
        "tags": Categories(most=2),
        "history": History(length=2),
        "hour": Time("seen"),
        "weekday": Time("seen", part="weekday"),
        "since": Age("seen"),
        "year_age": Age("year", unit="years", now=2025),
    }
)
WORDS = st.sampled_from(["alien", "Brazil", "der", "Zoë's", "É", ""])
ROWS = st.fixed_dictionaries(
    {
        "user_id": st.integers(-3, 9),
        "gender": st.none() | st.sampled_from(["F", "M", "", "long name"]),
        "age": st.none() | st.integers(-10, 100) | st.floats(-1e6, 1e6),
        "title": st.none() | st.lists(WORDS).map(" ".join),
        "genres": st.none() | st.lists(WORDS).map("|".join),
        "tags": st.none() | st.lists(st.none() | WORDS),
        "history": st.lists(st.integers(0, 5)),
        "seen": st.none() | st.integers(-10_000_000, 2_000_000_000),
        "year": st.none() | st.integers(1900, 2030),
    }
)
SCHEMA = {
    "user_id": pl.Int64,
    "gender": pl.String,
    "age": pl.Float64,
    "title": pl.String,
    "genres": pl.String,
    "tags": pl.List(pl.String),
    "history": pl.List(pl.Int64),
    "seen": pl.Int64,
    "year": pl.Int64,
}
CERTAIN = {
    "user_id": 1,
    "gender": "F",
    "age": 30.0,
    "title": "Alien",
    "genres": "War",
    "tags": ["a"],
    "history": [1],
    "seen": 0,
    "year": 2000,
}


def table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Return rows as a table, one of them with no value missing, so that all can be learnt."""
    return pl.DataFrame([CERTAIN, *rows], schema=SCHEMA)


TABLES = st.lists(ROWS, max_size=8).map(table)


@settings(max_examples=25)
@given(TABLES, TABLES)
def test_one_example_is_encoded_as_in_a_table(train: pl.DataFrame, asked: pl.DataFrame) -> None:
    spec = DECLARED.adapt(train)
    arrays = spec.transform(asked)
    for row, values in enumerate(asked.iter_rows(named=True)):
        one = spec.transform_one(values)
        assert list(one) == list(arrays)
        for name, array in one.items():
            assert array.dtype == arrays[name].dtype
            np.testing.assert_allclose(array[0], arrays[name][row], rtol=1e-6, err_msg=name)


@settings(max_examples=25)
@given(TABLES, TABLES)
def test_arrays_are_what_the_outputs_promise(train: pl.DataFrame, asked: pl.DataFrame) -> None:
    spec = DECLARED.adapt(train)
    arrays = spec.transform(asked)
    assert list(arrays) == list(spec.outputs) == list(DECLARED)
    for name, output in spec.outputs.items():
        assert arrays[name].shape == (len(asked), *output.shape)
        assert arrays[name].dtype == output.dtype
        if output.size is None:
            assert np.isfinite(arrays[name]).all()
        else:
            assert arrays[name].min() >= 0
            assert arrays[name].max() < output.size


@settings(max_examples=25)
@given(TABLES, TABLES)
def test_plain_data_gives_the_same_spec(train: pl.DataFrame, asked: pl.DataFrame) -> None:
    spec = DECLARED.adapt(train)
    again = FeatureSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.describe() == spec.describe()
    expected = spec.transform(asked)
    for name, array in again.transform(asked).items():
        assert array.tolist() == expected[name].tolist()


@settings(max_examples=25)
@given(TABLES, TABLES, st.randoms(use_true_random=False))
def test_an_example_is_encoded_alike_whatever_stands_beside_it(
    train: pl.DataFrame, asked: pl.DataFrame, random: Any
) -> None:
    spec = DECLARED.adapt(train)
    order = list(range(len(asked)))
    random.shuffle(order)
    arrays = spec.transform(asked)
    for name, array in spec.transform(asked[order]).items():
        assert array.tolist() == arrays[name][order].tolist()


@settings(max_examples=25)
@given(TABLES)
def test_adapting_leaves_the_declaration_as_it_is(train: pl.DataFrame) -> None:
    before = DECLARED.to_dict()
    adapted = DECLARED.adapt(train)
    assert DECLARED.to_dict() == before
    assert not DECLARED.is_adapted
    assert adapted.is_adapted
    assert adapted.adapt(table([{**CERTAIN, "age": 99.0, "gender": "M"}])) == adapted


@pytest.mark.parametrize(
    "convert", [pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, lambda t: t.to_dict(as_series=False)]
)
def test_any_kind_of_table_will_do(convert: Any) -> None:
    people = pl.DataFrame({"age": [20, 40], "name": ["Ann Lee", "Bo"], "extra": [1, 2]})
    spec = FeatureSpec({"age": Number(), "name": Text()})
    expected = spec.adapt(people).transform(people)
    for name, array in spec.adapt(convert(people)).transform(convert(people)).items():
        assert array.tolist() == expected[name].tolist()


def test_a_value_left_out_of_a_request_is_missing() -> None:
    spec = FeatureSpec({"age": Number(), "city": Category(), "past": History(length=2)}).adapt(
        {"age": [20, 40], "city": ["Oslo", "Rome"], "past": [[1], []]}
    )
    one = spec.transform_one({"city": "Rome"})
    assert one["age"].tolist() == [0.0]
    assert one["city"].tolist() == [2]
    assert one["past"].tolist() == [[0, 0]]


def test_columns_are_told_each_once() -> None:
    assert DECLARED.columns == (
        "user_id", "gender", "age", "title", "genres", "tags", "history", "seen", "year",
    )  # fmt: skip


def test_describe_says_what_each_became() -> None:
    spec = FeatureSpec(
        {"age": Bucket(boundaries=(18.0,)), "city": Category(), "x": Cross(of=("age", "city"))}
    ).adapt({"age": [1], "city": ["Oslo"]})
    assert spec.describe().splitlines() == [
        "age: 2 buckets of age, meeting at 18 → index, int32",
        "city: category, 1 values of city → index, int32",
        "x: cross of age x city, in all 6 → index, int32",
    ]


def test_a_declaration_may_come_from_plain_data() -> None:
    spec = FeatureSpec.from_dict(
        {
            "age": {"kind": "bucket", "boundaries": [18, 65]},
            "title": {"kind": "text", "column": "name", "length": 4},
            "kind": {"kind": "category", "vocabulary": {"type": "str", "ids": ["a", "b"]}},
        }
    )
    assert spec["age"] == Bucket("age", boundaries=(18, 65))
    assert spec["title"] == Text("name", length=4)
    assert spec["kind"] == Category("kind", vocabulary=Vocabulary(["a", "b"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeatureSpec({}), "at least one feature"),
        (lambda: FeatureSpec({"a": "b"}), "feature 'a' must be a feature, got 'b'"),  # type: ignore[dict-item]
        (
            lambda: FeatureSpec({"age": Bucket(), "x": Cross(of=("age", "sex"))}),
            "feature 'x' crosses 'sex', which is not there",
        ),
        (
            lambda: FeatureSpec({"age": Bucket(), "t": Text(), "x": Cross(of=("age", "t"))}),
            "feature 'x' crosses 't', but a text is not one index",
        ),
        (
            lambda: FeatureSpec.from_dict({"a": {"kind": "buckets"}}),
            "'a': .* did you mean 'bucket'",
        ),
        (lambda: FeatureSpec.from_dict({"a": {"column": "b"}}), "feature 'a' needs a 'kind'"),
        (
            lambda: FeatureSpec.from_dict({"a": "number"}),
            "feature 'a' needs a 'kind', got 'number'",
        ),
        (
            lambda: FeatureSpec.from_dict({"a": {"kind": "bucket", "counts": 3}}),
            "feature 'a': unknown key 'counts'; did you mean 'count'",
        ),
        (
            lambda: FeatureSpec.from_dict({"a": {"kind": "bucket", "count": "3"}}),
            "feature 'a': `count` must be of the type int, got '3'",
        ),
        (
            lambda: FeatureSpec.from_dict({"a": {"kind": "bucket", "boundaries": [1, "2"]}}),
            r"feature 'a': `boundaries` must be of the type tuple.*, got \[1, '2'\]",
        ),
        (
            lambda: FeatureSpec.from_dict({"a": {"kind": "category", "vocabulary": True}}),
            "feature 'a': `vocabulary` must be of the type .*Vocabulary.*, got True",
        ),
        (lambda: FeatureSpec.from_dict(None), "a table of features by name, got None"),
        (
            lambda: FeatureSpec({"a": Number()}).transform({"a": [1]}),
            "feature 'a' has not learnt from data yet",
        ),
        (lambda: FeatureSpec({"a": Number()}).outputs, "feature 'a' has not learnt"),
        (
            lambda: FeatureSpec({"age": Number()}).adapt({"agee": [1]}),
            "feature 'age': the table has no column 'age'; did you mean 'agee'",
        ),
        (
            lambda: FeatureSpec({"age": Number()}).adapt({"age": ["old"]}),
            "feature 'age': column 'age' must hold numbers, got String",
        ),
        (
            lambda: FeatureSpec({"a": Category()}).adapt({"a": [1]}).transform({"a": ["x"]}),
            "feature 'a': .* must be integers, .* got 'x'",
        ),
        (
            lambda: FeatureSpec({"a": Category()}).adapt({"a": [1]}).transform_one({"a": "x"}),
            "feature 'a': an id of this vocabulary must be int, got 'x'",
        ),
        (
            lambda: FeatureSpec({"age": Hash()}).transform_one({"agee": 1}),
            "no feature reads 'agee'; did you mean 'age'",
        ),
    ],
)
def test_what_is_wrong_is_named(make: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


def test_pandas_and_arrow_are_not_needed_for_lists() -> None:
    spec = FeatureSpec({"genres": Categories()})
    rows = [["War", "Drama"], ["Drama"]]
    for given_table in (
        {"genres": rows},
        pd.DataFrame({"genres": rows}),
        pa.table({"genres": rows}),
    ):
        assert spec.adapt(given_table).transform(given_table)["genres"].tolist() == [[2, 1], [1, 0]]
