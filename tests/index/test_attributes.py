"""Attributes of candidates: kept, changed, saved, and asked for in searches."""

import datetime as dt
import pickle

import numpy as np
import polars as pl
import pytest

from shortlist.index import Filter, Index, IndexConfig, SearchSettings, col

EXACT = SearchSettings(exact=True)
RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((3_000, 8), dtype=np.float32)
YEARS = RNG.integers(1950, 2020, 3_000)
TAGS = [[f"t{i}" for i in RNG.choice(50, RNG.integers(0, 4), replace=False)] for _ in range(3_000)]


def made(**config):
    attributes = {"year": YEARS, "tags": TAGS}
    return Index.build(ROWS, attributes=attributes, config=IndexConfig(leaves=30, **config))


def test_columns_of_every_kind_are_read():
    films = {
        "year": np.array([1979, 2000], np.uint16),
        "rating": [7, 8.5],
        "seen": np.array([True, False]),
        "title": pl.Series(["Alien", None]),
        "genres": pl.Series([["a", "b"], []]),
        "day": [dt.date(2020, 1, 2), None],
        "nothing": [None, None],
        "flags": [{True}, None],
    }
    index = Index.build(np.eye(2), ["x", "y"], attributes=films)
    assert index.attributes == {
        "year": "int64",
        "rating": "float64",
        "seen": "bool",
        "title": "str",
        "genres": "list[str]",
        "day": "str",
        "flags": "list[bool]",
    }
    assert index.attributes_of(["y", "x"]) == {
        "year": [2000, 1979],
        "rating": [8.5, 7.0],
        "seen": [False, True],
        "title": [None, "Alien"],
        "genres": [[], ["a", "b"]],
        "day": [None, "2020-01-02"],
        "flags": [None, [True]],
    }
    with pytest.raises(ValueError, match="`ids` must be in the index: unknown candidate 'z'"):
        index.attributes_of(["z"])


@pytest.mark.parametrize("held", ["dict", "polars", "pandas", "pyarrow"])
def test_a_table_of_any_library_holds_attributes(held):
    frame = pl.DataFrame({"year": [1, 2], "name": ["a", "b"]})
    if held in ("pandas", "pyarrow"):
        pytest.importorskip(held)
        pytest.importorskip("pyarrow")  # which Polars needs for both
    given = {
        "dict": frame.to_dict,
        "polars": frame.clone,
        "pandas": frame.to_pandas,
        "pyarrow": frame.to_arrow,
    }[held]()
    kept = Index.build(np.eye(2), attributes=given).attributes_of([1])
    assert kept == {"year": [2], "name": ["b"]}


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"a": [1]},
            r"`attributes\['a'\]` must have one value for each of the 2 embeddings, got 1",
        ),
        ({"a": [1, "x"]}, "all of one type, got int, str"),
        ({"a": [1, True]}, "all of one type, got bool, int"),
        ({"a": [1, [2]]}, "must be all lists or none"),
        ({"a": [[1], ["x"]]}, "all of one type"),
        ({"a": [[[1]], [[2]]]}, "must hold numbers, text or booleans"),
        ({"a": [2**63, 1]}, "must fit in 64 bits"),
        ({"a": [b"x", b"y"]}, "must hold numbers, text or booleans"),
        ({1: [1, 2]}, "names that are text"),
        ({"a": ["\ud800", "x"]}, "UTF-8"),
    ],
)
def test_columns_that_are_none_are_refused(attributes, message):
    with pytest.raises(ValueError, match=message):
        Index.build(np.eye(2), attributes=attributes)
    index = Index.build(np.eye(2))
    before = index.to_bytes()
    with pytest.raises(ValueError, match=message):
        index.upsert(np.eye(2), [0, 1], attributes)
    assert index.to_bytes() == before


def test_upserts_keep_the_types_and_replace_the_values():
    index = Index.build(np.eye(3), attributes={"year": [1, 2, 3], "rating": [0.5, 1.5, None]})
    index.upsert([[1, 1, 1]], [1], {"rating": [4], "tags": [["new"]]})
    assert index.attributes == {"year": "int64", "rating": "float64", "tags": "list[str]"}
    assert index.attributes_of([0, 1, 2]) == {
        "year": [1, None, 3],
        "rating": [0.5, 4.0, None],
        "tags": [None, ["new"], None],
    }
    for wrong, got in (({"year": ["x"]}, "str"), ({"year": [0.5]}, "float64")):
        with pytest.raises(ValueError, match=f"`attributes.*` must be int64, .*, got {got}"):
            index.upsert([[1, 1, 1]], [1], wrong)
    index.upsert([[1, 1, 1]], [1], {"year": [None]})
    assert index.search([1, 1, 1], 3, where=col("year") > 0).ids.tolist()[-1] == -1
    assert index.search([1, 1, 1], 1, where=col("tags").is_missing()).ids.tolist() == [1]


@pytest.mark.parametrize("config", [{}, {"codes": "int4"}, {"exact": True}])
def test_a_search_returns_the_best_of_those_that_match(config, tmp_path):
    index = made(**config)
    index.save(tmp_path / "a.slx")
    where = (col("year") >= 1990) & col("tags").contains("t7")
    match = np.array([y >= 1990 and "t7" in t for y, t in zip(YEARS, TAGS, strict=True)])
    scores = np.where(match, ROWS[:50] @ ROWS.T, -np.inf)
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    for one in (
        index,
        Index.load(tmp_path / "a.slx", mmap=True),
        pickle.loads(pickle.dumps(index)),
    ):
        assert one.attributes == {"year": "int64", "tags": "list[str]"}
        found = one.search(ROWS[:50], 5, settings=EXACT, where=where)
        assert found.rows.tolist() == wanted.tolist()
        every = one.search(ROWS[:50], 3_000, where=where)
        assert ((every.rows >= 0).sum(axis=1) == match.sum()).all()
    ranged = index.range_search(ROWS[0], -1e9, where=where)
    assert sorted(ranged.rows.tolist()) == np.flatnonzero(match).tolist()


def test_each_query_may_have_a_condition_of_its_own():
    index = made()
    wheres = [col("year") < 1960, col("year") >= 2010, {"key": "tags", "contains": {"value": "t3"}}]
    found = index.search(ROWS[:3], 20, where=wheres)
    for query, where in enumerate(wheres):
        alone = index.search(ROWS[query], 20, where=where)
        assert found.ids[query].tolist() == alone.ids.tolist()
    with pytest.raises(
        ValueError, match=r"`where` must be one condition .* of the 2 queries, got 3"
    ):
        index.search(ROWS[:2], where=wheres)
    with pytest.raises(ValueError, match="`where` must be one condition"):
        index.search(ROWS[0], where=wheres)


def test_where_goes_with_allow_and_exclude():
    index = made()
    even, late = np.arange(3_000) % 2 == 0, YEARS >= 2000
    kinds = [even, Filter(index, even), np.flatnonzero(even), [even, np.flatnonzero(even)]]
    for allow in kinds:
        found = index.search(
            ROWS[:2], 3_000, allow=allow, where=col("year") >= 2000, exclude=np.arange(100)
        )
        for rows in found.rows:
            wanted = np.flatnonzero(even & late)
            assert sorted(rows[rows >= 0]) == wanted[wanted >= 100].tolist()


def test_filters_combine_and_follow_the_index():
    index = made()
    late = index.filter(col("year") >= 2000)
    tagged = index.filter({"key": "tags", "contains": {"value": "t1"}})
    few = Filter(index, [1, 2, 3, 9_000])
    kinds = {
        "late": late,
        "both": late & tagged,
        "either": late | tagged,
        "others": ~late,
        "mixed": (few | tagged) & ~late,
    }

    def check(model):
        def wanted(name, one, year, tags):
            late, tagged = year is not None and year >= 2000, tags is not None and "t1" in tags
            return {
                "late": late,
                "both": late and tagged,
                "either": late or tagged,
                "others": not late,
                "mixed": (one in (1, 2, 3) or tagged) and not late,
            }[name]

        for name, kept in kinds.items():
            ids = {one for one, (year, tags) in model.items() if wanted(name, one, year, tags)}
            found = set(index.search(ROWS[0], 4_000, allow=kept).ids.tolist()) - {-1}
            assert found == ids, name
            assert len(kept) == len(ids)

    model = dict(enumerate(zip(YEARS.tolist(), TAGS, strict=True)))
    check(model)
    index.upsert(
        ROWS[:4], [1, 9_000, 5_000, 2], {"year": [2005, 1999, 2001, None], "tags": [["t1"]] * 4}
    )
    model |= {1: (2005, ["t1"]), 9_000: (1999, ["t1"]), 5_000: (2001, ["t1"]), 2: (None, ["t1"])}
    check(model)
    index.delete([3, 5_000])
    del model[3], model[5_000]
    check(model)
    index.rebalance()
    check(model)
    other = made()
    with pytest.raises(ValueError, match="`allow` must be a filter made by this index"):
        other.search(ROWS[0], allow=late & other.filter(col("year") > 2))
