import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Vocabulary
from shortlist.data.features import Category, Cross, FeatureSpec, Hash


def test_rare_values_are_not_known() -> None:
    column = pl.Series("c", ["a", "b", "b", "c", "c", "c", None, ""])
    assert Category("c", least=2).adapt(column).encode(column).tolist() == [0, 1, 1, 2, 2, 2, 0, 0]
    assert Category("c", most=1).adapt(column).encode(column).tolist() == [0, 0, 0, 1, 1, 1, 0, 0]


def test_of_equally_frequent_values_the_lower_is_known() -> None:
    column = pl.Series("c", [3, 1, 2])
    assert Category("c", most=2).adapt(column).encode(column).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series("c", [True, False, None]),
        pl.Series("c", [1.0, 0.0, None]),
        pl.Series("c", ["y", "n", None], dtype=pl.Categorical),
        pl.Series("c", [1, 0, None], dtype=pl.Int8),
    ],
)
def test_categories_may_be_of_many_types(column: pl.Series) -> None:
    category = Category("c").adapt(column)
    assert category.encode(column).tolist() == [2, 1, 0]
    assert [category.encode_one(value) for value in column] == [2, 1, 0]


def test_a_vocabulary_given_stays() -> None:
    category = Category("c", vocabulary=Vocabulary([9, 8])).adapt(pl.Series("c", [1, 2]))
    assert category.encode(pl.Series("c", [8, 9, 1])).tolist() == [2, 1, 0]


@given(
    st.lists(st.integers().filter(lambda i: abs(i) < 2**62) | st.just(0), min_size=1),
    st.integers(2, 99),
)
def test_a_hash_depends_on_the_value_alone(values: list[int], size: int) -> None:
    hashed = Hash("c", size=size)
    index = hashed.encode(pl.Series("c", values)).tolist()
    assert index == [hashed.encode_one(value) for value in values]
    assert all(0 < i < size for i in index)


def test_a_hash_is_the_same_on_every_machine() -> None:
    assert [Hash("c", size=1000).encode_one(v) for v in ("Oslo", 42, "42", None, "")] == [
        325,
        460,
        460,
        0,
        0,
    ]


def test_hashes_spread() -> None:
    index = Hash("c", size=101).encode(pl.Series("c", range(100_000)))
    counts = pl.Series(index).value_counts()["count"]
    assert len(counts) == 100
    assert 800 < counts.min() <= counts.max() < 1200  # type: ignore[operator]


def test_a_cross_gives_every_combination_its_own_index() -> None:
    spec = FeatureSpec({"a": Category(), "b": Category(), "x": Cross(of=("a", "b"))})
    rows = {"a": [a for a in "pqr" for _ in "st"], "b": [b for _ in "pqr" for b in "st"]}
    crossed = spec.adapt(rows).transform(rows)["x"]
    assert len(set(crossed.tolist())) == 6
    assert spec.adapt(rows).outputs["x"].size == 12


@pytest.mark.parametrize("size", [None, 5])
def test_a_cross_of_missing_values_is_missing(size: int | None) -> None:
    spec = FeatureSpec({"a": Category(), "b": Category(), "x": Cross(of=("a", "b"), size=size)})
    spec = spec.adapt({"a": ["p", "q"], "b": ["s", "t"]})
    crossed = spec.transform({"a": [None, "p", None], "b": [None, None, "s"]})["x"]
    assert crossed[0] == 0
    assert (crossed[1:] > 0).all()


def test_a_hashed_cross_spreads() -> None:
    spec = FeatureSpec(
        {"a": Hash(size=5000), "b": Hash(size=5000), "x": Cross(of=("a", "b"), size=100)}
    )
    rows = {"a": [i % 200 for i in range(50_000)], "b": [i // 200 for i in range(50_000)]}
    counts = pl.Series(spec.adapt(rows).transform(rows)["x"]).value_counts()["count"]
    assert len(counts) == 99
    assert 350 < counts.min() <= counts.max() < 650  # type: ignore[operator]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Category("c", least=0), "`least` must be a whole number of at least 1, got 0"),
        (lambda: Category("c", most=0), "`most` must be a whole number of at least 1, got 0"),
        (lambda: Hash("c", size=1), "`size` must be a whole number of at least 2, got 1"),
        (lambda: Cross(of=("a",)), r"at least two features, got \('a',\)"),
        (lambda: Cross(of="ab"), "at least two features, got 'ab'"),  # type: ignore[arg-type]
        (lambda: Cross(of=("a", "b")).adapt([2000, 2000]), "2000 x 2000 combinations are too many"),
        (lambda: Category("c").adapt(pl.Series("c", [0.5])), "'c' must hold whole numbers, text"),
        (lambda: Category("c").encode_one(1), "has not learnt"),
        (lambda: Hash("c").encode_one(0.5), "whole number, text or a boolean, got 0.5"),
    ],
)
def test_what_is_wrong_is_named(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]
