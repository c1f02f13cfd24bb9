"""`Index`: laws of exact search, ids, padding, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shortlist.index import Index, IndexConfig, SearchSettings

METRICS = ["dot", "cosine", "l2"]
EXACT = IndexConfig(exact=True)


def float64_scores(candidates, queries, metric):
    a, b = queries.astype(np.float64), candidates.astype(np.float64)
    if metric == "dot":
        return a @ b.T
    if metric == "cosine":
        norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
        return np.divide(a @ b.T, norms, out=np.zeros((len(a), len(b))), where=norms > 0)
    return -((a[:, None] - b[None]) ** 2).sum(axis=2)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def assert_is_exact(result, scores, k):
    """The result's scores are the best of `scores`, sorted, and belong to its rows."""
    k = min(k, scores.shape[1])
    best = -np.sort(-scores, axis=1)[:, :k]
    scale = 1e-5 * (1 + np.abs(scores).max())
    assert np.abs(result.scores[:, :k] - best).max() <= scale
    own = np.take_along_axis(scores, result.rows[:, :k], axis=1)
    assert np.abs(own - result.scores[:, :k]).max() <= scale
    assert (np.diff(result.scores[:, :k], axis=1) <= 0).all()
    assert all(len(set(rows)) == len(rows) for rows in result.rows[:, :k].tolist())


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 300),
    dim=st.integers(1, 70),
    count=st.integers(1, 9),
    k=st.integers(1, 20),
    metric=st.sampled_from(METRICS),
    seed=st.integers(0, 2**32),
)
def test_exact_search_equals_numpy_float64_to_rounding(n, dim, count, k, metric, seed):
    candidates, queries = normal(seed, n, dim), normal(seed + 1, count, dim)
    result = Index.build(candidates, metric=metric, config=EXACT).search(queries, k)
    assert_is_exact(result, float64_scores(candidates, queries, metric), k)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(2, 200),
    dim=st.integers(1, 5),
    k=st.integers(1, 30),
    metric=st.sampled_from(["dot", "l2"]),
    seed=st.integers(0, 2**32),
)
def test_equal_scores_come_by_lower_row(n, dim, k, metric, seed):
    # Small whole numbers: many exact ties, and no rounding in any order of summation.
    rng = np.random.default_rng(seed)
    candidates = rng.integers(-2, 3, (n, dim)).astype(np.float32)
    queries = rng.integers(-2, 3, (4, dim)).astype(np.float32)
    scores = float64_scores(candidates, queries, metric)
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    result = Index.build(candidates, metric=metric, config=EXACT).search(queries, k)
    assert result.rows[:, : min(k, n)].tolist() == wanted.tolist()


@pytest.mark.parametrize("dim", [1, 2, 15, 16, 17, 64, 100, 384, 2_048])
@pytest.mark.parametrize("metric", METRICS)
def test_every_dimension_is_searched_exactly(dim, metric):
    candidates, queries = normal(1, 50, dim), normal(2, 3, dim)
    result = Index.build(candidates, metric=metric, config=EXACT).search(queries, 5)
    assert_is_exact(result, float64_scores(candidates, queries, metric), 5)


def test_cosine_equals_dot_of_normalised():
    candidates, queries = normal(3, 200, 12), normal(4, 6, 12)
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (candidates, queries)]
    cosine = Index.build(candidates, metric="cosine", config=EXACT).search(queries, 7)
    dot = Index.build(unit[0], config=EXACT).search(unit[1], 7)
    assert cosine.rows.tolist() == dot.rows.tolist()
    np.testing.assert_allclose(cosine.scores, dot.scores, atol=1e-6)


def test_a_zero_vector_has_cosine_zero_with_everything():
    index = Index.build(np.array([[0, 0], [1, 0], [-1, 0]], np.float32), metric="cosine")
    assert index.search([2.0, 0.0], 3).scores.tolist() == [1.0, 0.0, -1.0]
    assert index.search([0.0, 0.0], 3).scores.tolist() == [0.0, 0.0, 0.0]


def test_one_query_answers_as_the_batch_does():
    candidates, queries = normal(5, 400, 24), normal(6, 10, 24)
    index = Index.build(candidates, config=EXACT)
    batch = index.search(queries, 6)
    for i, query in enumerate(queries):
        one = index.search(query, 6)
        assert one.rows.shape == (6,)
        assert one.rows.tolist() == batch.rows[i].tolist()
        assert one.scores.tolist() == batch.scores[i].tolist()


def test_one_thread_answers_as_two_do():
    candidates, queries = normal(7, 3_000, 20), normal(8, 50, 20)
    one, two = (Index.build(candidates, threads=threads) for threads in (1, 2))
    results = [index.search(queries, 10, threads=t) for index in (one, two) for t in (1, 2)]
    for other in results[1:]:
        assert other.rows.tolist() == results[0].rows.tolist()
        assert other.scores.tolist() == results[0].scores.tolist()


def test_other_real_types_are_converted():
    candidates, query = normal(9, 30, 4), normal(10, 4)
    wanted = Index.build(candidates).search(query, 3)
    for dtype in (np.float16, np.float64):
        index = Index.build(candidates.astype(np.float16).astype(dtype))
        assert index.search(query.astype(dtype), 3).scores.dtype == np.float32
    index = Index.build(np.asfortranarray(candidates.astype(np.float64)))
    assert index.search(query.astype(np.float64).tolist(), 3).rows.tolist() == wanted.rows.tolist()
    whole = Index.build(np.array([[1, 0], [0, 2]]))
    assert whole.search([1, 1], 1).scores.tolist() == [2.0]


def test_ids_come_back_for_rows():
    candidates, queries = normal(11, 20, 5), normal(12, 4, 5)
    numbers = np.arange(20) * 7 - 50
    for ids in (numbers, numbers.tolist(), numbers.astype(np.int32)):
        index = Index.build(candidates, ids)
        result = index.search(queries, 3)
        assert result.ids.dtype == np.int64
        assert result.ids.tolist() == numbers[result.rows].tolist()
        assert index.ids.tolist() == numbers.tolist()


def test_str_ids_come_back_for_rows():
    names = np.array(["ä", "b", "", "日本", "e" * 300, "f"], object)
    for ids in (names, names.tolist(), names.astype(str)):
        index = Index.build(normal(13, 6, 5), ids)
        result = index.search(normal(14, 4, 5), 3)
        assert result.ids.dtype == object
        assert result.ids.tolist() == names[result.rows].tolist()
        assert index.ids.tolist() == names.tolist()


@pytest.mark.parametrize(("ids", "pad"), [(None, -1), ([5, 6], -1), (["a", "b"], "")])
def test_missing_results_are_padded(ids, pad):
    index = Index.build(np.eye(2, dtype=np.float32), ids)
    scores, found, rows = index.search([[3, 1]], 4)
    assert rows.tolist() == [[0, 1, -1, -1]]
    assert scores.tolist() == [[3.0, 1.0, -np.inf, -np.inf]]
    assert found[0, 2:].tolist() == [pad, pad]


def test_no_queries_give_no_results():
    result = Index.build(np.eye(3, dtype=np.float32)).search(np.empty((0, 3), np.float32), 2)
    assert [part.shape for part in result] == [(0, 2)] * 3


def test_the_index_keeps_its_own_copy():
    candidates = normal(15, 10, 3)
    index = Index.build(candidates)
    before = index.search([1.0, 2.0, 3.0], 4).scores.tolist()
    candidates[:] = 0
    assert index.search([1.0, 2.0, 3.0], 4).scores.tolist() == before


def test_it_says_what_it_is():
    index = Index.build(normal(16, 1_200, 8), metric="l2", config=EXACT)
    assert (len(index), index.dim, index.metric) == (1_200, 8, "l2")
    assert repr(index).startswith("Index(1,200 x 8, l2, ")
    assert index.settings.exact
    assert index.nbytes >= 1_200 * 8 * 4


def test_an_index_is_made_by_build_or_load_only():
    with pytest.raises(TypeError, match=r"Index\.build"):
        Index()


BAD_EMBEDDINGS = [
    (np.ones(4, np.float32), r"`embeddings` must have shape \(n, d\), got \(4,\)"),
    (np.ones((2, 2, 2), np.float32), "`embeddings` must have shape"),
    (np.ones((0, 4), np.float32), "`embeddings` must have at least one row"),
    (np.ones((4, 0), np.float32), "`embeddings` must have 1 to 4096 dimensions, got 0"),
    (np.ones((2, 4_097), np.float32), "`embeddings` must have 1 to 4096 dimensions, got 4097"),
    (np.array([[1, 2], [3, np.nan]], np.float32), "`embeddings` must be finite, got NaN in row 1"),
    (np.array([[np.inf, 2]], np.float32), "`embeddings` must be finite, got infinity in row 0"),
    (np.array([[1e300, 2]]), "`embeddings` must fit float32"),
    (np.array([["a", "b"]]), "`embeddings` must hold real numbers"),
    (np.ones((2, 2), np.complex64), "`embeddings` must hold real numbers"),
]


@pytest.mark.parametrize(("embeddings", "message"), BAD_EMBEDDINGS)
def test_bad_embeddings_are_refused(embeddings, message):
    with pytest.raises(ValueError, match=message):
        Index.build(embeddings)


BAD_IDS = [
    ([1, 2], "`ids` must have one id for each of the 3 embeddings, got 2"),
    ([1, 2, 1], "`ids` must be unique, got 1 again at position 2"),
    (["a", "b", "b"], "`ids` must be unique, got 'b' again at position 2"),
    (["a", "b", 3], "`ids` must be all integers or all text, got 'a' at position 0 and 3 at"),
    ([1.0, 2.0, 3.0], "`ids` must be integers or text, got the float 1.0 at position 0"),
    ([True, False, True], "`ids` must be integers or text, got the bool True"),
    ([1, None, 3], "`ids` must have no missing ids, got None at position 1"),
    ([[1], [2], [3]], r"`ids` must have one dimension, got shape \(3, 1\)"),
    (np.array([2**63, 1, 2], np.uint64), "`ids` must fit in 64 bits"),
    (
        ["a", "b\ud800", "c"],
        r"`ids` must be text that UTF-8 can hold, got 'b\\ud800' at position 1",
    ),
    ({1, 2, 3}, "`ids` must be a sequence of ids, got the set"),
    ("abc", "`ids` must be a sequence of ids, got the str 'abc'"),
    (["a", "a", "b"], "leave `ids` out and look names up by row"),
]


@pytest.mark.parametrize(("ids", "message"), BAD_IDS)
def test_bad_ids_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        Index.build(np.eye(3, dtype=np.float32), ids)


@pytest.mark.parametrize("keywords", [{"metric": "euclidean"}, {"threads": 0}, {"seed": -1}])
def test_bad_build_arguments_are_refused(keywords):
    (name,) = keywords
    with pytest.raises(ValueError, match=f"`{name}`"):
        Index.build(np.eye(3, dtype=np.float32), **keywords)


BAD_QUERIES = [
    (np.ones((2, 5), np.float32), r"`queries` must have shape \(n, 3\) or \(3,\), got \(2, 5\)"),
    (np.ones(5, np.float32), "`queries` must have shape"),
    (np.float32(3), "`queries` must have shape"),
    (np.ones((1, 1, 3), np.float32), "`queries` must have shape"),
    (np.array([1, np.nan, 2], np.float32), "`queries` must be finite, got NaN in row 0"),
    (np.array([[1, 1, 2], [1, -np.inf, 2]], np.float32), "`queries` must be finite, got infinity"),
    ("abc", "`queries` must"),
    ([["a", "b", "c"]], "`queries` must hold real numbers"),
]


@pytest.mark.parametrize(("queries", "message"), BAD_QUERIES)
@pytest.mark.parametrize("config", [None, EXACT])
def test_bad_queries_are_refused(queries, message, config):
    index = Index.build(np.eye(3, dtype=np.float32), config=config)
    with pytest.raises(ValueError, match=message):
        index.search(queries, 2)


@pytest.mark.parametrize("k", [0, -1, 10_001])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(ValueError, match=f"`k` must be from 1 to 10000, got {k}"):
        Index.build(np.eye(3, dtype=np.float32)).search([1, 2, 3], k)


def test_wrong_types_are_named():
    index = Index.build(np.eye(3, dtype=np.float32))
    with pytest.raises(TypeError, match="`settings` must be SearchSettings, got dict"):
        index.search([1, 2, 3], settings={"leaves": 3})
    with pytest.raises(TypeError, match="`config` must be an IndexConfig, got dict"):
        Index.build(np.eye(3, dtype=np.float32), config={"leaves": 3})


def test_settings_can_be_set_and_are_used():
    index = Index.build(normal(17, 100, 4))
    index.settings = SearchSettings(leaves=3, rerank=20)
    assert index.settings == SearchSettings(leaves=3, rerank=20)
