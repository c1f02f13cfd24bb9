"""`exclude`, `allow` and `Filter`: filtering while searching equals filtering afterwards."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.index import Filter, Index, IndexConfig, SearchSettings

K = 8


def made(seed, n=400, dim=12, ids=None, config=None):
    rng = np.random.default_rng(seed)
    candidates = rng.standard_normal((n, dim), dtype=np.float32)
    queries = rng.standard_normal((6, dim), dtype=np.float32)
    return Index.build(candidates, ids, config=config), queries


def filtered_afterwards(index, queries, is_allowed):
    """The exact ranking of all rows, then only the rows each query may get."""
    ranking = index.search(queries, min(len(index), 1_000), settings=SearchSettings(exact=True))
    return [
        [row for row in rows if is_allowed(at, row)][:K]
        for at, rows in enumerate(ranking.rows.tolist())
    ]


def found_rows(result):
    return [[row for row in rows if row >= 0] for rows in result.rows.tolist()]


# Exact; partitioned and searched so widely that nothing is lost; and partitioned as it comes.
THOROUGH = SearchSettings(leaves=20, rerank=400)
KINDS = {
    "exact": (IndexConfig(exact=True), None),
    "partitioned": (IndexConfig(leaves=20), THOROUGH),
    "exact over leaves": (IndexConfig(leaves=20), SearchSettings(exact=True)),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_filter_before_equals_filter_after(kind, data):
    config, search_settings = KINDS[kind]
    index, queries = made(data.draw(st.integers(0, 99)), config=config)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    excluded = [
        rng.choice(420, data.draw(st.sampled_from([0, 1, 5, 100, 390])), replace=False).tolist()
        for _ in queries
    ]
    share = data.draw(st.sampled_from([None, 0.0, 0.01, 0.3, 0.99, 1.0]))
    mask = None if share is None else rng.random(400) < share
    result = index.search(queries, K, settings=search_settings, exclude=excluded, allow=mask)
    wanted = filtered_afterwards(
        index,
        queries,
        lambda at, row: row not in excluded[at] and (mask is None or mask[row]),
    )
    assert found_rows(result) == wanted


@pytest.mark.parametrize("config", [IndexConfig(exact=True), IndexConfig(leaves=20)])
def test_k_results_come_back_whenever_k_are_allowed(config):
    index, queries = made(1, config=config)
    narrow = SearchSettings(leaves=1, rerank=1)
    best = index.search(queries, 300, settings=SearchSettings(exact=True)).rows
    result = index.search(queries, K, settings=narrow, exclude=best)
    assert (result.rows >= 0).all()
    assert all(not np.isin(rows, out).any() for rows, out in zip(result.rows, best, strict=True))
    few = index.search(queries, K, settings=narrow, allow=np.arange(0, 400, 50))
    assert np.sort(few.rows, axis=1).tolist() == [list(range(0, 400, 50))] * 6


@pytest.mark.parametrize("config", [IndexConfig(exact=True), IndexConfig(leaves=20)])
def test_one_thread_filters_as_two_do(config):
    index, queries = made(2, config=config)
    out = np.random.default_rng(3).integers(0, 400, (6, 30))
    results = [index.search(queries, K, exclude=out, allow=range(200), threads=t) for t in (1, 2)]
    assert results[0].rows.tolist() == results[1].rows.tolist()


def test_a_query_alone_is_filtered_as_in_a_batch():
    index, queries = made(4, config=IndexConfig(leaves=20))
    out = [list(range(at, 300, 3)) for at in range(6)]
    batch = index.search(queries, K, exclude=out, allow=np.arange(350))
    for at, query in enumerate(queries):
        alone = index.search(query, K, exclude=out[at], allow=np.arange(350))
        assert alone.rows.tolist() == batch.rows[at].tolist()


def test_all_shapes_of_exclude_mean_the_same():
    index, queries = made(5)
    square = np.random.default_rng(6).integers(0, 400, (6, 9))
    wanted = index.search(queries, K, exclude=square).rows.tolist()
    shapes = [
        square.tolist(),
        list(square),
        tuple(tuple(row) for row in square.tolist()),
        [row.astype(np.int32) for row in square],
        [square[0].astype(np.uint64), *square[1:]],
        np.concatenate([square, np.full((6, 2), -1)], axis=1),
    ]
    for exclude in shapes:
        assert index.search(queries, K, exclude=exclude).rows.tolist() == wanted


def test_str_ids_filter_too():
    names = [f"item {i}" for i in range(400)]
    index, queries = made(7, ids=names)
    rows = np.random.default_rng(8).integers(0, 400, (6, 9))
    wanted = made(7)[0].search(queries, K, exclude=rows, allow=np.arange(100)).rows.tolist()
    out = np.array(names)[rows]
    for exclude in (out, out.astype(object), out.tolist(), [[*row, "unknown", ""] for row in out]):
        result = index.search(queries, K, exclude=exclude, allow=[*names[:100], "unknown"])
        assert result.rows.tolist() == wanted
        assert result.ids.tolist() == np.array(names)[result.rows].tolist()


def test_ids_not_rows_are_what_filters_name():
    ids = np.arange(400) * 10 + 5
    index, queries = made(9, ids=ids)
    best = index.search(queries, 3)
    again = index.search(queries, 3, exclude=best.ids)
    assert not np.isin(again.ids, best.ids[:, :1]).all()
    for before, after in zip(best.ids, again.ids, strict=True):
        assert not np.isin(after, before).any()
    only = index.search(queries, 3, allow=[5, 15, 25, 6, -1])
    assert set(only.rows.ravel().tolist()) == {0, 1, 2}


def test_nothing_excluded_changes_nothing():
    index, queries = made(10)
    wanted = index.search(queries, K).rows.tolist()
    empties = [[[]] * 6, np.empty((6, 0), np.int64), [np.array([])] * 6]
    for exclude in empties:
        assert index.search(queries, K, exclude=exclude).rows.tolist() == wanted
    assert index.search(queries, K, allow=np.ones(400, bool)).rows.tolist() == wanted
    assert index.search(queries[0], K, exclude=[]).rows.tolist() == wanted[0]


def test_nothing_allowed_is_all_padding():
    index, queries = made(11)
    for allow in ([], np.zeros(400, bool), [-5, 1_000]):
        result = index.search(queries, 2, allow=allow)
        assert (result.rows == -1).all()
        assert (result.scores == -np.inf).all()


def test_a_filter_is_reusable():
    index, queries = made(12)
    rows = np.arange(0, 400, 3)
    for kept in (Filter(index, rows), Filter(index, np.isin(np.arange(400), rows))):
        assert len(kept) == 134
        assert repr(kept) == "Filter(134 of 400 candidates)"
        for _ in range(2):
            by_filter = index.search(queries, K, allow=kept)
            assert by_filter.rows.tolist() == index.search(queries, K, allow=rows).rows.tolist()


def test_a_filter_of_another_index_is_refused():
    (index, queries), (other, _) = made(13), made(13)
    with pytest.raises(
        ValueError, match="`allow` must be a filter made by this index or a copy of it"
    ):
        index.search(queries, K, allow=Filter(other, [1]))


BAD = [
    ({"exclude": [[1], [2]]}, "one sequence of ids for each of the 6 queries, got 2"),
    ({"exclude": np.ones((5, 2), int)}, "one sequence of ids for each of the 6 queries, got 5"),
    ({"exclude": [[1], 2, 3, 4, 5, 6]}, "one sequence of ids for each query; got 2 for one"),
    ({"exclude": [["a"], "b", "c"]}, "one sequence of ids for each query; got 'b' for one"),
    ({"exclude": ["a"] * 6}, "`exclude` must be integers, as the ids of this index are"),
    ({"exclude": [["a"]] * 6}, "`exclude` must be integers, as the ids of this index are"),
    ({"exclude": [[1], ["a"]] * 3}, "`exclude` must be all integers or all text"),
    ({"exclude": [{1}, {"a"}] * 3}, "`exclude` must be integers, as the ids of this index are"),
    ({"exclude": [[1.5]] * 6}, "`exclude` must be integers or text, got the float 1.5"),
    ({"exclude": [[[1]]] * 6}, "`exclude` must have one dimension"),
    ({"exclude": np.zeros((6, 2, 2), int)}, "`exclude` must have one dimension"),
    ({"exclude": np.ones(400, bool)}, "`exclude` must be integers or text, got the bool True"),
    ({"exclude": "abc"}, "`exclude` must be a sequence of ids, got the str 'abc'"),
    ({"exclude": 7}, "`exclude` must be a sequence of ids, got the int 7"),
    ({"exclude": [None]}, "`exclude` must have no missing ids"),
    ({"allow": ["a"]}, "`allow` must be integers, as the ids of this index are"),
    ({"allow": "abc"}, "`allow` must be a sequence of ids, got the str 'abc'"),
    ({"allow": np.ones(3, bool)}, r"`allow` must be a boolean array of shape \(400,\), got \(3,\)"),
    ({"allow": [True, False]}, r"`allow` must be a boolean array of shape \(400,\), got \(2,\)"),
    ({"allow": np.ones((2, 400), bool)}, "for each of the 6 queries, got 2"),
    ({"allow": np.ones((6, 399), bool)}, r"`allow` must be a boolean array of shape \(400,\)"),
    ({"allow": np.ones(400)}, "`allow` must be integers or text, got the float 1.0"),
    ({"allow": np.ones(400, np.uint8)}, "look like a mask"),
    ({"allow": [1, 0] * 200}, "look like a mask"),
    ({"allow": np.ones((2, 2), int)}, "one sequence of ids for each of the 6 queries, got 2"),
    ({"allow": [1.5]}, "`allow` must be integers or text, got the float 1.5"),
]


@pytest.mark.parametrize(("keywords", "message"), BAD)
def test_bad_filters_are_refused(keywords, message):
    index, queries = made(14)
    with pytest.raises(ValueError, match=message):
        index.search(queries, K, **keywords)


def test_one_query_takes_one_flat_sequence():
    index, queries = made(15)
    with pytest.raises(ValueError, match=r"`exclude` must be ids, for a query of shape \(d,\)"):
        index.search(queries[0], K, exclude=[[1], [2]])


def test_integers_do_not_filter_an_index_of_str_ids():
    index, queries = made(16, ids=[str(i) for i in range(400)])
    with pytest.raises(
        ValueError, match="`exclude` must be text, as the ids of this index are; got the int 1"
    ):
        index.search(queries, K, exclude=[[1]] * 6)
