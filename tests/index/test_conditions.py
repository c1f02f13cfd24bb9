"""Conditions on attributes as expressions and as JSON."""

import datetime as dt
import itertools
import json

import numpy as np
import pytest

from shortlist.index import Condition, Index, col

YEARS = [1979, 1988, None, 1999, 2010, 1988]
RATINGS = [7.5, None, 8.25, 6.0, float("nan"), -1.0]
TITLES = ["Alien", "Big", "Cube", "Ünter", None, ""]
GENRES = [["horror", "scifi"], ["comedy"], ["scifi", "thriller"], [], None, ["comedy", "drama"]]
SCORES = [[1, 2], [2], None, [], [3, -4], [5]]
SEEN = [True, False, None, True, False, True]
FILMS = {
    "year": YEARS,
    "rating": RATINGS,
    "title": TITLES,
    "genres": GENRES,
    "scores": SCORES,
    "seen": SEEN,
}


@pytest.fixture(scope="module")
def films():
    return Index.build(np.eye(6, dtype=np.float32), attributes=FILMS)


def rows_of(index, where):
    return sorted(row for row in index.search([1.0] * 6, 6, where=where).rows.tolist() if row >= 0)


CONDITIONS = [
    (col("year") >= 1988, [1, 3, 4, 5]),
    (col("year") > 1988, [3, 4]),
    (col("year") < 1988, [0]),
    (col("year") <= 1988, [0, 1, 5]),
    (col("year") == 1988, [1, 5]),
    (col("year") != 1988, [0, 3, 4]),
    (col("year") > 1987.5, [1, 3, 4, 5]),
    (col("year") == 1987.5, []),
    (col("year") == 1988.0, [1, 5]),
    (col("year") < 2**70, [0, 1, 3, 4, 5]),
    (col("year").is_in([1979, 2010, 2**70]), [0, 4]),
    (~col("year").is_in([1979, 2010]), [1, 3, 5]),
    (col("year").is_in([]), []),
    (col("year").is_between(1979, 1988), [0, 1, 5]),
    (col("year").is_missing(), [2]),
    (~col("year").is_missing(), [0, 1, 3, 4, 5]),
    (col("rating") >= 7, [0, 2]),
    (col("rating") == -1, [5]),
    (col("rating").is_missing(), [1, 4]),
    (col("title") == "Big", [1]),
    (col("title") == "Ünter", [3]),
    (col("title") >= "Big", [1, 2, 3]),
    (col("title").is_in(["", "Cube", "Dune"]), [2, 5]),
    (col("title") != "", [0, 1, 2, 3]),
    (col("genres").contains("scifi"), [0, 2]),
    (~col("genres").contains("scifi"), [1, 3, 5]),
    (col("genres").contains_any(["horror", "drama"]), [0, 5]),
    (col("genres").is_missing(), [4]),
    (col("scores").contains(2), [0, 1]),
    (col("scores").contains(-4), [4]),
    (col("seen") == True, [0, 3, 5]),  # noqa: E712
    (col("seen") != True, [1, 4]),  # noqa: E712
    ((col("year") >= 1988) & col("genres").contains("comedy"), [1, 5]),
    ((col("year") == 1979) | col("genres").contains("comedy"), [0, 1, 5]),
    (~((col("year") >= 1988) & col("genres").contains("comedy")), [0, 2, 3]),
    (~((col("year") == 1979) | col("genres").contains("comedy")), [3]),
]


@pytest.mark.parametrize(("where", "rows"), CONDITIONS, ids=lambda value: repr(value))
def test_a_condition_finds_its_rows_as_an_expression_and_as_json(films, where, rows):
    document = json.loads(json.dumps(where.to_json()))
    assert rows_of(films, where) == rows
    assert rows_of(films, document) == rows
    assert Condition.from_json(document).to_json() == document
    assert eval(repr(where), {"col": col}) == where
    assert len(films.filter(where)) == len(rows)


def test_missing_values_meet_no_condition_and_no_opposite_of_one(films):
    for (first, some), (second, others) in itertools.combinations(CONDITIONS, 2):
        if "missing" in repr(first) + repr(second):
            continue
        assert rows_of(films, first & second) == sorted(set(some) & set(others))
        assert rows_of(films, first | second) == sorted(set(some) | set(others))
        assert not set(rows_of(films, ~first)) & set(some)
        assert rows_of(films, ~(first & second)) == rows_of(films, ~first | ~second)


def test_json_is_spelled_as_for_qdrant(films):
    document = {
        "must": [{"key": "year", "range": {"gte": 1979, "lt": 2010}}],
        "should": [
            {"key": "genres", "contains": {"any": ["scifi", "drama"]}},
            {"key": "title", "match": {"value": "Big"}},
        ],
        "must_not": [{"key": "title", "match": {"any": ["Alien", "Cube"]}}],
    }
    assert rows_of(films, document) == [1, 5]
    assert rows_of(films, {"must_not": [{"is_empty": {"key": "year"}}]}) == [0, 1, 3, 4, 5]


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        {"must": []},
        {"must": {"key": "a"}},
        {"key": "year"},
        {"key": "year", "match": 3},
        {"key": "year", "match": {"value": 3, "any": [4]}},
        {"key": "year", "range": {}},
        {"key": "year", "range": {"above": 3}},
        {"key": "year", "match": {"value": 3}, "range": {"gt": 3}},
        {"match": {"value": 3}},
        {"is_empty": {}},
    ],
)
def test_json_that_is_no_condition_is_refused(document):
    with pytest.raises(ValueError, match=r"condition"):
        Condition.from_json(document)


def test_a_condition_that_does_not_fit_the_attributes_is_refused_with_a_remedy(films):
    for where, message in [
        (col("yaer") > 3, "no attribute 'yaer'; did you mean 'year'"),
        (col("zzz") > 3, "no attribute 'zzz'; it has 'year', 'rating'"),
        (col("year") == "1988", "`year` is int64: it cannot be compared as in"),
        (col("title") == 3, "`title` is str"),
        (col("year") == True, "`year` is int64"),  # noqa: E712
        (col("seen") == 1, "`seen` is bool"),
        (col("seen") > True, "`seen` is bool"),
        (col("genres") == "drama", r"`genres` is a list\[str\]: ask for"),
        (col("title").contains("A"), "`title` has one str, no list"),
        (col("genres").contains(3), r"`genres` is list\[str\]"),
    ]:
        with pytest.raises(ValueError, match=message):
            films.search([1.0] * 6, where=where)
    with pytest.raises(ValueError, match="it was built without `attributes`"):
        Index.build([[1.0]]).filter(col("year") > 3)


def test_slips_in_python_are_told():
    year = col("year")
    with pytest.raises(TypeError, match="no truth value: combine conditions by `&`"):
        bool((year > 1) and (year < 3))
    with pytest.raises(TypeError, match="no truth value"):
        bool(1 < year < 3)
    with pytest.raises(TypeError, match="Conditions combine with conditions"):
        (year > 1) & 3
    with pytest.raises(TypeError, match="missing values are found by"):
        year == None  # noqa: B015, E711
    with pytest.raises(ValueError, match="NaN equals nothing"):
        year == float("nan")  # noqa: B015
    with pytest.raises(TypeError, match="`where` must be a condition"):
        Index.build([[1.0]]).search([1.0], where=year)


def test_numpy_values_and_dates_are_values():
    assert (col("a") == np.int32(3)) == (col("a") == 3)
    assert (col("a") > dt.date(2020, 1, 2)) == (col("a") > "2020-01-02")
