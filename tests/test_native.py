"""The engine through its bindings, against NumPy in float64."""

import numpy as np
import pytest

from shortlist import _native
from shortlist.ids import as_ids

METRICS = ["dot", "cosine", "l2"]
EXACT = _native.Settings(exact=True)


def true_scores(rows, queries, metric):
    rows, queries = rows.astype(np.float64), queries.astype(np.float64)
    if metric == "l2":
        return -((queries[:, None] - rows[None]) ** 2).sum(-1)
    if metric == "cosine":
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
        queries = queries / np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-300)
    return queries @ rows.T


def best(scores, k):
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def clustered(n, dim, seed=0, clusters=50):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dim))
    return (centres[rng.integers(clusters, size=n)] + 0.3 * rng.standard_normal((n, dim))).astype(
        np.float32
    )


@pytest.fixture(scope="module", params=METRICS)
def index_and_data(request):
    rows, queries = clustered(6000, 24), clustered(40, 24, seed=1)
    return _native.Index.build(rows, metric=request.param, threads=2), rows, queries, request.param


def recall(found, truth):
    return np.mean([len(np.intersect1d(f, t)) / len(t) for f, t in zip(found, truth, strict=True)])


def test_exact_search_equals_numpy(index_and_data):
    index, rows, queries, metric = index_and_data
    scores, ids, found = index.search(queries, 10, EXACT)
    truth = true_scores(rows, queries, metric)
    np.testing.assert_array_equal(found, best(truth, 10))
    np.testing.assert_array_equal(ids, found)
    np.testing.assert_allclose(scores, np.take_along_axis(truth, found, 1), rtol=1e-4, atol=1e-4)


def test_approximate_search_finds_most_of_the_exact_results(index_and_data):
    index, rows, queries, metric = index_and_data
    _, _, found = index.search(queries, 10, _native.Settings(leaves=64, rerank=60))
    assert recall(found, best(true_scores(rows, queries, metric), 10)) > 0.9


def test_all_leaves_and_a_wide_rerank_equal_exact_search(index_and_data):
    index, _, queries, _ = index_and_data
    everything = _native.Settings(leaves=len(index), groups=len(index), rerank=len(index))
    for a, b in zip(
        index.search(queries, 20, everything), index.search(queries, 20, EXACT), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_one_query_gets_the_same_answer_alone_in_a_batch_and_on_any_number_of_threads(
    index_and_data,
):
    index, _, queries, _ = index_and_data
    batch = index.search(queries, 7, threads=1)
    for a, b in zip(batch, index.search(queries, 7, threads=3), strict=True):
        np.testing.assert_array_equal(a, b)
    for i, query in enumerate(queries):
        for a, b in zip(batch, index.search(query, 7), strict=True):
            np.testing.assert_array_equal(a[i], b)


@pytest.mark.parametrize("settings", [None, EXACT])
@pytest.mark.parametrize("share", [0.002, 0.3, 0.9])
def test_a_filter_returns_only_what_it_allows_and_all_of_k(index_and_data, settings, share):
    index, rows, queries, metric = index_and_data
    mask = np.random.default_rng(2).random(len(rows)) < share
    scores, _, found = index.search(queries, 10, settings, allow=index.filter_rows(mask))
    assert mask[found].all()
    assert np.isfinite(scores).all()
    truth = best(np.where(mask, true_scores(rows, queries, metric), -np.inf), 10)
    if settings is EXACT or share < 0.1:
        np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize("settings", [None, EXACT])
def test_excluded_rows_never_come_back(index_and_data, settings):
    index, _, queries, _ = index_and_data
    first = index.search(queries, 30, settings)[2]
    offsets = np.arange(len(queries) + 1) * 10
    second = index.search(queries, 10, settings, first[:, :10].ravel(), offsets)[2]
    assert not any(np.isin(a[:10], b).any() for a, b in zip(first, second, strict=True))
    if settings is EXACT:
        np.testing.assert_array_equal(second, first[:, 10:20])


def test_when_all_but_a_few_rows_are_excluded_those_few_come_back():
    rows = clustered(3000, 8)
    index = _native.Index.build(rows)
    _, _, found = index.search(rows[0], 5, None, np.arange(3, 3000))
    assert sorted(found.tolist()) == [-1, -1, 0, 1, 2]


def test_a_filter_and_exclusions_together_leave_what_remains():
    rows = clustered(4000, 8)
    index = _native.Index.build(rows)
    mask = np.arange(4000) < 2000
    _, _, found = index.search(rows[0], 6, None, np.arange(3, 4000), allow=index.filter_rows(mask))
    assert sorted(found.tolist()) == [-1, -1, -1, 0, 1, 2]


def test_a_filter_of_another_index_is_refused():
    rows = clustered(100, 4)
    with pytest.raises(ValueError, match="filter made by this index"):
        _native.Index.build(rows).search(
            rows[0], 1, allow=_native.Index.build(rows).filter_rows(np.ones(100, bool))
        )


def test_equal_scores_come_in_row_order():
    rows = np.ones((500, 5), np.float32)
    index = _native.Index.build(rows)
    for settings in [None, EXACT]:
        np.testing.assert_array_equal(index.search(rows[0], 12, settings)[2], np.arange(12))


def test_a_zero_vector_has_cosine_zero():
    rows = np.array([[0, 0], [1, 0], [-1, 0]], np.float32)
    scores, _, found = _native.Index.build(rows, metric="cosine").search(
        np.array([2, 0], np.float32), 3
    )
    assert found.tolist() == [1, 0, 2]
    assert scores.tolist() == [1, 0, -1]


@pytest.mark.parametrize("dim", [1, 3, 7, 16, 33, 100, 2048])
@pytest.mark.parametrize("metric", METRICS)
def test_any_dimension_works(dim, metric):
    rows = np.random.default_rng(0).standard_normal((300, dim)).astype(np.float32)
    index = _native.Index.build(rows, metric=metric)
    found = index.search(rows[:20], 1, EXACT)[2][:, 0]
    truth = best(true_scores(rows, rows[:20], metric), 1)[:, 0]
    if metric == "cosine" and dim == 1:
        truth = found  # every score is 1 or -1: ties by row, which float64 rounding disturbs
    np.testing.assert_array_equal(found, truth)


def test_missing_results_are_padded():
    rows = clustered(3, 4)
    scores, ids, found = _native.Index.build(rows, ids=as_ids(["a", "b", "c"])).search(rows[0], 5)
    assert found[3:].tolist() == [-1, -1]
    assert ids[3:].tolist() == ["", ""]
    assert np.isneginf(scores[3:]).all()


def test_the_same_seed_gives_the_same_index_on_any_number_of_threads(tmp_path):
    rows = clustered(5000, 12)
    for threads in [1, 3]:
        _native.Index.build(rows, seed=7, threads=threads).save(tmp_path / f"{threads}")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "3").read_bytes()


def test_an_exception_from_the_progress_callback_stops_the_build():
    def stop(stage, fraction):
        assert 0 <= fraction <= 1
        assert isinstance(stage, str)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _native.Index.build(clustered(5000, 12), progress=stop)


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("ids", [None, "integers", "strings"])
def test_a_saved_index_gives_the_same_answers(tmp_path, mmap, ids):
    rows = clustered(3000, 10)
    names = {
        None: None,
        "integers": np.arange(3000) * 7 + 5,
        "strings": as_ids([f"ünï-{i}" for i in range(3000)]),
    }[ids]
    index = _native.Index.build(rows, ids=names, metric="l2")
    index.note = '{"é": 1}'
    index.default_settings = _native.Settings(leaves=9, rerank=33, groups=4)
    index.save(tmp_path / "index.slx")
    assert index.to_bytes() == (tmp_path / "index.slx").read_bytes()
    loaded = _native.Index.load(tmp_path / "index.slx", mmap=mmap)
    assert (loaded.note, loaded.default_settings) == (index.note, index.default_settings)
    for settings in [None, EXACT]:
        for a, b in zip(
            index.search(rows[:50], 5, settings), loaded.search(rows[:50], 5, settings), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    vectors, found = loaded.vectors(loaded.ids[[5, 3]])
    np.testing.assert_array_equal(vectors, rows[[5, 3]])
    assert found.tolist() == [5, 3]
    assert [p.name for p in tmp_path.iterdir()] == ["index.slx"]


def test_loading_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        _native.Index.load(tmp_path / "none.slx")
    with pytest.raises(FileNotFoundError):
        _native.Index.build(clustered(10, 2)).save(tmp_path / "none" / "index.slx")


@pytest.mark.parametrize("mmap", [False, True])
def test_a_damaged_file_is_a_value_error_or_still_searches_in_range(tmp_path, mmap):
    path = tmp_path / "index.slx"
    rows = clustered(600, 6)
    _native.Index.build(rows, ids=as_ids([f"item {i}" for i in range(600)])).save(path)
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(sound)
        kind = rng.integers(3)
        if kind == 0:
            damaged[rng.integers(len(sound))] ^= 1 << rng.integers(8)
        elif kind == 1:
            del damaged[rng.integers(len(sound)) :]
        else:
            a, b = np.sort(rng.integers(len(sound), size=2))
            damaged[a:b] = rng.integers(256, size=b - a, dtype=np.uint8).tobytes()
        path.write_bytes(damaged)
        try:
            index = _native.Index.load(path, mmap=mmap)
        except ValueError:
            refused += 1
            continue
        for settings in [None, EXACT]:
            found = index.search(rows[:3], 5, settings)[2]
            assert ((found >= -1) & (found < 600)).all()
    assert refused > 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda i: i.search(np.zeros((2, 5), np.float32)),
            r"`queries` must have shape \(n, 4\) or \(4,\), got \(2, 5\)",
        ),
        (
            lambda i: i.search(np.full(4, np.nan, np.float32)),
            "`queries` must be finite, got NaN in row 0",
        ),
        (lambda i: i.search(np.zeros(4), 0), "`k` must be from 1 to 10000, got 0"),
        (lambda i: i.search(["a"]), "`queries` must hold real numbers"),
        (
            lambda i: i.filter_rows(np.ones(3, bool)),
            r"`allow` must be a boolean array of shape \(100,\)",
        ),
        (
            lambda _: _native.Index.build(np.zeros((0, 3))),
            "`embeddings` must have at least one row",
        ),
        (
            lambda _: _native.Index.build(np.zeros((3, 2)), ids=[1, 2, 1]),
            "`ids` must be unique, got 1 again",
        ),
        (
            lambda _: _native.Index.build(np.zeros((3, 2)), ids=[1, 2]),
            "one id for each of the 3 embeddings",
        ),
        (
            lambda _: _native.Index.build(np.zeros((3, 2)), ids=["a", "b", "c"]),
            "`ids` must be an int64 array or an object array of str, got shape .3,. and dtype <U1",
        ),
        (
            lambda _: _native.Index.build(np.zeros((3, 2)), ids=np.array(["a", 1, "c"], object)),
            "`ids` must be an int64 array or an object array of str, got something else at pos",
        ),
        (
            lambda i: i.search(np.zeros(4), True),
            "`k` must be an integer, got True",
        ),
        (
            lambda _: _native.Index.build(np.zeros((3, 2)), metric="x"),
            "`metric` must be one of 'dot', 'cosine'",
        ),
        (
            lambda _: _native.Index.build(np.full((2, 2), np.inf)),
            "`embeddings` must be finite, got infinity",
        ),
    ],
)
def test_bad_input_is_a_value_error_that_says_what_came(call, message):
    with pytest.raises(ValueError, match=message):
        call(_native.Index.build(clustered(100, 4)))
