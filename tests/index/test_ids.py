"""Ids of the index, in whatever holds them; and awkward ones, which come back as they were."""

import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.index import Filter, Index, IndexConfig, SearchSettings

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

ROWS = np.eye(4, dtype=np.float32)
QUERY = np.array([4, 3, 2, 1], np.float32)  # ranks the rows as they lie
INTEGERS = [-1, 0, 2**63 - 1, -(2**63)]
TEXT = ["", "-1", "a\0b", "zażółć " * 1_000]
UUIDS = [uuid.UUID(int=i) for i in range(4)]

HOLDERS = {
    "list": list,
    "tuple": tuple,
    "generator": iter,
    "objects": lambda ids: np.array(ids, object),
    "numpy": np.array,
    "pandas without label 0": lambda ids: pd.Series(ids, index=[9, 8, 7, 5]),
    "pandas index": pd.Index,
    "pandas category": lambda ids: pd.Series(ids).astype("category"),
    "polars": pl.Series,
    "arrow": pa.array,
    "arrow chunks": lambda ids: pa.chunked_array([ids[:1], ids[1:]]),
}


@pytest.mark.parametrize("ids", [INTEGERS, TEXT], ids=["integers", "text"])
@pytest.mark.parametrize("holder", HOLDERS)
def test_ids_are_the_same_in_whatever_holds_them(holder, ids):
    held = HOLDERS[holder]
    if held is np.array:
        ids = [i if isinstance(i, int) else i.rstrip("\0") for i in ids]
    index = Index.build(ROWS, held(ids))
    assert index.ids.tolist() == ids
    assert index.search(QUERY, 4).ids.tolist() == ids
    assert index.rows(held(ids[::-1])).tolist() == [3, 2, 1, 0]
    assert index.vectors(held(ids)).tolist() == ROWS.tolist()
    assert len(Filter(index, held(ids))) == 4
    assert index.search(QUERY, 2, exclude=held(ids[:1] * 2 + ids[1:2] * 2)).rows.tolist() == [2, 3]
    allowed = held([*ids[:2], *ids[:2]])
    assert index.search(QUERY, 3, allow=allowed).rows.tolist() == [0, 1, -1]
    assert index.search([QUERY, QUERY], 1, exclude=held(ids)).rows.tolist() == [[-1], [-1]]


@pytest.mark.parametrize(
    "held",
    [
        lambda parts: parts,
        lambda parts: [set(part) for part in parts],
        lambda parts: [np.array(part, np.int64) for part in parts],
        lambda parts: (iter(part) for part in parts),
        lambda parts: pd.Series(parts, index=[5, 6]),
        lambda parts: np.array([*parts, None], object)[:2],
        pl.Series,
        pa.array,
        lambda parts: pa.array(parts, pa.large_list(pa.int64())),
    ],
)
def test_the_ids_of_each_query_may_lie_in_anything(held):
    index = Index.build(ROWS, INTEGERS)
    found = index.search([QUERY, QUERY], 2, exclude=held([[-1, 0], [0]]))
    assert found.rows.tolist() == [[2, 3], [0, 2]]
    found = index.search([QUERY, QUERY], 2, allow=held([[-1, 0], [-(2**63)]]))
    assert found.rows.tolist() == [[0, 1], [3, -1]]


def test_uuids_and_bytes_are_text():
    index = Index.build(ROWS, UUIDS)
    assert index.ids.tolist() == [str(one) for one in UUIDS]
    assert index.search(QUERY, 2, exclude=UUIDS[:2]).rows.tolist() == [2, 3]
    assert index.search(QUERY, 2, allow=set(UUIDS[2:])).rows.tolist() == [2, 3]
    assert index.rows([name.encode() for name in index.ids[:2]]).tolist() == [0, 1]
    assert UUIDS[1] in index


def test_minus_one_and_nothing_are_ids_as_others_are():
    for ids, padding in (([7, -1, 8, 9], -1), (["x", "", "y", "z"], "")):
        index = Index.build(ROWS, ids)
        assert index.search(QUERY, 4).ids.tolist() == ids
        assert index.search(QUERY, 2, exclude=[padding]).rows.tolist() == [0, 2]
        assert index.search(QUERY, 2, allow=[padding]).rows.tolist() == [1, -1]
        assert padding in index


def test_an_index_is_a_collection_of_its_ids():
    index = Index.build(ROWS, ["b", "a", "", "c"])
    assert (len(index), list(index)) == (4, ["b", "a", "", "c"])
    assert "a" in index
    assert all(other not in index for other in ("d", 0, None, 1.0, b"\xff", "\ud800", ["a"], True))
    numbered = Index.build(ROWS)
    assert list(numbered) == [0, 1, 2, 3]
    assert np.int64(3) in numbered
    assert all(other not in numbered for other in (4, -1, "0", 0.0, True, 2**70))


def test_each_query_has_an_allow_of_its_own_in_any_shape():
    index = Index.build(ROWS)
    mask = np.array([[True, False, True, False], [False, True, False, False]])
    kinds = [mask, list(mask), mask.tolist(), [[0, 2], [1]], [Filter(index, [0, 2]), {1}]]
    for allow in kinds:
        found = index.search([QUERY, QUERY], 2, allow=allow, exclude=[[0], []])
        assert found.rows.tolist() == [[2, -1], [1, -1]]
        assert found.ids.dtype == np.int64
    assert index.search(np.empty((0, 4)), 2, allow=[]).rows.shape == (0, 2)
    with pytest.raises(ValueError, match=r"`allow` must be ids, for a query of shape \(d,\)"):
        index.search(QUERY, 2, allow=[[0], [1]])


def test_masks_may_lie_in_anything_that_holds_bools():
    index = Index.build(ROWS)
    mask = [False, True, True, False]
    for held in (
        list,
        np.array,
        pd.Series,
        pl.Series,
        pa.array,
        lambda m: pd.Series(m, dtype="boolean"),
    ):
        assert index.search(QUERY, 3, allow=held(mask)).rows.tolist() == [1, 2, -1]
    with pytest.raises(ValueError, match="`allow` must"):
        index.search(QUERY, 3, allow=pd.Series([None, True, True, False], dtype="boolean"))


def test_lone_surrogates_are_named():
    index = Index.build(ROWS, ["a", "b", "c", "d"])
    calls = [
        lambda ids: Index.build(ROWS[:2], ids),
        index.rows,
        lambda ids: index.search(QUERY, 1, exclude=ids),
        lambda ids: index.search(QUERY, 1, allow=ids),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"UTF-8 can hold, got '\\udcff' at position 1"):
            call(["a", "\udcff"])


def test_an_unknown_id_is_told_with_what_ids_look_like():
    index = Index.build(ROWS, ["alien", "brazil", "cube", "diva"])
    with pytest.raises(ValueError, match="unknown candidate 'alein'; did you mean 'alien'"):
        index.vectors(["alien", "alein"])
    with pytest.raises(ValueError, match="`ids` must be text, as the ids of this index are"):
        index.vectors([0])
    with pytest.raises(ValueError, match="`ids` must be a sequence of ids, got the str 'alien'"):
        index.rows("alien")


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=5),
)
nested = st.recursive(anything, lambda inner: st.lists(inner, max_size=4), max_leaves=12)


@settings(max_examples=300, deadline=None)
@given(exclude=nested, allow=nested, text=st.booleans(), count=st.integers(0, 3))
def test_whatever_is_given_as_ids_is_obeyed_or_refused(exclude, allow, text, count):
    index = Index.build(ROWS, ["0", "1", "", "x"] if text else [0, 1, -1, 5])
    queries = np.tile(QUERY, (count, 1))
    try:
        found = index.search(queries, 4, exclude=exclude, allow=allow)
    except ValueError as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert told.startswith(("`exclude`", "`allow`"))
        return

    def plain(ids):
        return {i.decode() if isinstance(i, bytes) else i for i in ids}

    for at in range(count):
        out = [] if exclude is None else exclude
        only = list(index) if allow is None else allow
        out = out[at] if out and isinstance(out[0], list) else out
        if only and isinstance(only[0], list):
            only = only[at]
        if only and all(isinstance(i, bool) for i in only):
            only = [i for i, ok in zip(index, only, strict=True) if ok]
        wanted = [i for i in index if i in plain(only) and i not in plain(out)]
        rows = found.rows[at][found.rows[at] >= 0]
        assert found.ids[at][: len(rows)].tolist() == wanted


@settings(max_examples=200, deadline=None)
@given(
    k=anything,
    threads=anything,
    queries=st.one_of(
        nested, st.sampled_from([np.zeros((0, 4)), QUERY, np.zeros((2, 4), bool), np.zeros(())])
    ),
)
def test_whatever_else_is_given_is_used_or_refused(k, threads, queries):
    index = Index.build(ROWS)
    try:
        found = index.search(queries, k, threads=threads)
    except ValueError as error:
        told = str(error)
    else:
        told = ""
    if told:
        assert told.startswith(("`queries`", "`k`", "`threads`"))
        return
    assert type(k) is int
    assert threads is None or type(threads) is int
    assert found.rows.shape[-1] == k


def test_numbers_of_numpy_are_settings_too(tmp_path):
    rows = np.random.default_rng(0).standard_normal((2_000, 8), dtype=np.float32)
    config = IndexConfig(
        leaves=np.int64(50),
        spread=np.float32(0.5),
        tier=np.uint16(3),
        sample=np.int32(1_000),
        iterations=np.int8(4),
        exact=np.bool_(False),
        codes=np.str_("int4"),
        store=np.str_("int8"),
    )
    index = Index.build(rows, config=config, seed=np.int64(7), threads=np.int32(2))
    plain = IndexConfig(
        leaves=50, spread=0.5, tier=3, sample=1_000, iterations=4, codes="int4", store="int8"
    )
    assert index.to_bytes() == Index.build(rows, config=plain, seed=7).to_bytes()
    chosen = SearchSettings(
        leaves=np.int64(5), rerank=np.uint8(20), stop=np.float32(0.25), groups=np.int16(2)
    )
    assert chosen == SearchSettings(leaves=5, rerank=20, stop=0.25, groups=2)
    index.settings = chosen
    index.save(tmp_path / "a.slx")
    assert Index.load(tmp_path / "a.slx").settings == chosen
    assert index.search(rows[0], np.int64(3), threads=np.int64(1)).rows.shape == (3,)


@pytest.mark.parametrize("value", [True, np.True_, 2.0, "2", np.array([2, 3])])
def test_what_is_no_whole_number_is_refused(value):
    for field in ("leaves", "tier", "sample", "iterations"):
        with pytest.raises(ValueError, match=f"`{field}` must be an integer, got"):
            IndexConfig(**{field: value})
    for field in ("leaves", "rerank", "groups"):
        with pytest.raises(ValueError, match=f"`{field}` must be an integer, got"):
            SearchSettings(**{field: value})
    index = Index.build(ROWS)
    for argument in ("k", "threads"):
        with pytest.raises(ValueError, match=f"`{argument}` must be an integer, got"):
            index.search(QUERY, **{argument: value})
    with pytest.raises(ValueError, match="`seed` must be an integer, got"):
        Index.build(ROWS, seed=value)
    with pytest.raises(ValueError, match="`seed` must be from 0 to"):
        Index.build(ROWS, seed=2**64)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("ip", "dot"),
        ("inner_product", "dot"),
        ("angular", "cosine"),
        ("Cosine", "cosine"),
        ("euclidean", "l2"),
        ("squared_l2", "l2"),
    ],
)
def test_the_names_that_others_have_for_a_metric_say_ours(theirs, ours):
    with pytest.raises(ValueError, match=f"got '{theirs}'; that is '{ours}' here, whose score is"):
        Index.build(ROWS, metric=theirs)
    for wrong in ("manhattan", 0, ["dot"]):
        with pytest.raises(ValueError, match="`metric` must be one of 'dot', 'cosine', 'l2', got"):
            Index.build(ROWS, metric=wrong)


def test_rows_that_are_no_numbers_can_be_left_out_as_the_message_says():
    rows = ROWS.copy()
    rows[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"got NaN in row 1\. Leave such rows out: with keep = np"):
        Index.build(rows, ["a", "b", "c", "d"])
    keep = np.isfinite(rows).all(axis=1)
    index = Index.build(rows[keep], np.array(["a", "b", "c", "d"])[keep])
    assert index.search(QUERY, 4).ids.tolist() == ["a", "c", "d", ""]


def test_names_that_repeat_are_looked_up_by_row_as_the_message_says():
    names = np.array(["Emma", "Alien", "Emma", "Emma"])
    with pytest.raises(ValueError, match=r"`ids` must be unique, got 'Emma' again at position 2\."):
        Index.build(ROWS, names)
    assert names[Index.build(ROWS).search(QUERY, 3).rows].tolist() == ["Emma", "Alien", "Emma"]
