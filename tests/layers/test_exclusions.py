"""Exclusions are ids, on every retrieval layer and backend, whatever the layer returns."""

import keras
import numpy as np
import pytest
from keras import ops

from shortlist.layers import ApproximateRetrieval, BruteForceRetrieval, StreamingRetrieval

DIM = 4
LARGE = 5 * 10**9  # Beyond int32, which is all that JAX's tensors hold.


@pytest.fixture(params=[BruteForceRetrieval, ApproximateRetrieval, StreamingRetrieval])
def make(request):
    return request.param


def whole_numbers(rows, seed):
    return np.random.default_rng(seed).integers(-3, 4, size=(rows, DIM)).astype("float32")


CANDIDATES = whole_numbers(300, seed=0)
QUERIES = whole_numbers(11, seed=1)
IDS = np.random.default_rng(2).permutation(1000)[:300] + 5
NAMES = np.array([f"film {i}" for i in IDS], dtype=object)


def best_rows(k, candidates=CANDIDATES, excluded_rows=None):
    """Top k by NumPy: by score, then by row; -1 where too few are left."""
    scores = QUERIES @ candidates.T
    for row, excluded in zip(scores, [] if excluded_rows is None else excluded_rows, strict=False):
        row[excluded] = -np.inf
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.where(np.isfinite(np.take_along_axis(scores, rows, axis=1)), rows, -1)


BEST = best_rows(6)
WITHOUT_BEST = best_rows(10, excluded_rows=BEST)


def ids_of(result):
    return ops.convert_to_numpy(result[1])


def functional(layer, dtype="int32", name="exclusions"):
    queries, exclusions = keras.Input((DIM,)), keras.Input((6,), dtype=dtype)
    return keras.Model([queries, exclusions], layer(queries, **{name: exclusions}))


def test_excluded_ids_never_come_back(make):
    layer = make(CANDIDATES, IDS, k=10)
    lengths = [1 + i % 6 for i in range(len(QUERIES))]
    rows = [row[:length] for row, length in zip(BEST, lengths, strict=True)]
    found = ids_of(layer.query_with_exclusions(QUERIES, [IDS[row].tolist() for row in rows]))
    np.testing.assert_array_equal(found, IDS[best_rows(10, excluded_rows=rows)])


@pytest.mark.parametrize(
    "form",
    [
        lambda ids: ids,
        lambda ids: ids.tolist(),
        lambda ids: list(ids),
        lambda ids: [set(row) for row in ids.tolist()],
        lambda ids: ids.astype("uint64"),
        lambda ids: ops.convert_to_tensor(ids.astype("int32")),
        lambda ids: np.array([*map(list, ids.tolist()), []], dtype=object)[:-1],
    ],
    ids=["array", "lists", "arrays", "sets", "unsigned", "tensor", "objects"],
)
def test_any_form_of_exclusions(make, form):
    found = make(CANDIDATES, IDS, k=10).query_with_exclusions(QUERIES, form(IDS[BEST]))
    np.testing.assert_array_equal(ids_of(found), IDS[WITHOUT_BEST])


def test_unknown_and_repeated_exclusions_change_nothing(make):
    layer = make(CANDIDATES, IDS, k=10)
    exclude = [[2**40, -7, 1, i, i] for i in IDS[BEST[:, 0]]]
    found = ids_of(layer.query_with_exclusions(QUERIES, exclude))
    np.testing.assert_array_equal(found, IDS[best_rows(10, excluded_rows=BEST[:, :1])])


def test_nothing_excluded_changes_nothing(make):
    layer = make(CANDIDATES, IDS, k=10)
    for exclude in ([[]] * 11, np.zeros((11, 0), dtype="int64")):
        found = ids_of(layer.query_with_exclusions(QUERIES, exclude))
        np.testing.assert_array_equal(found, IDS[best_rows(10)])


def test_excluding_all_but_a_few_leaves_those(make):
    layer = make(CANDIDATES[:12], IDS[:12], k=10)
    exclude = np.tile(IDS[:5], (len(QUERIES), 1))
    rows = best_rows(10, CANDIDATES[:12], [np.arange(5)] * len(QUERIES))
    assert (rows[:, 7:] == -1).all()
    expected = np.where(rows < 0, -1, IDS[rows])
    np.testing.assert_array_equal(ids_of(layer.query_with_exclusions(QUERIES, exclude)), expected)
    few = ids_of(layer.query_with_exclusions(QUERIES, exclude, k=3))
    np.testing.assert_array_equal(few, expected[:, :3])


def test_exclusions_of_one_query(make):
    layer = make(CANDIDATES, IDS, k=10)
    for exclude in (IDS[BEST[0]], IDS[BEST[:1]].tolist()):
        found = ids_of(layer.query_with_exclusions(QUERIES[0], exclude))
        np.testing.assert_array_equal(found, IDS[WITHOUT_BEST[0]])


def test_exclusions_in_a_functional_model(make):
    model = functional(make(CANDIDATES, IDS, k=10))
    exclude = IDS[BEST].astype("int32")
    found = model.predict([QUERIES, exclude], batch_size=4, verbose=0)
    np.testing.assert_array_equal(ids_of(found), IDS[WITHOUT_BEST])


# Rows returned, ids excluded


@pytest.mark.parametrize("ids", [IDS, IDS + LARGE, NAMES], ids=["small", "large", "text"])
def test_they_are_ids_also_where_rows_are_returned(make, ids):
    layer = make(CANDIDATES, ids, k=10, return_rows=True)
    for exclude in (ids[BEST], ids[BEST].tolist()):
        found = ids_of(layer.query_with_exclusions(QUERIES, exclude))
        np.testing.assert_array_equal(found, WITHOUT_BEST)
        np.testing.assert_array_equal(ids_of(layer(QUERIES, exclusions=exclude)), WITHOUT_BEST)


def test_they_are_ids_also_in_a_functional_model_that_returns_rows(make):
    model = functional(make(CANDIDATES, IDS, k=10, return_rows=True))
    found = model.predict([QUERIES, IDS[BEST].astype("int32")], verbose=0)
    np.testing.assert_array_equal(ids_of(found), WITHOUT_BEST)


def test_ids_that_agree_in_their_last_32_bits_are_told_apart(make):
    layer = make(CANDIDATES, IDS + LARGE, k=10, return_rows=True)
    exclude = IDS[BEST] + LARGE - 2**32
    found = ids_of(layer.query_with_exclusions(QUERIES, exclude))
    np.testing.assert_array_equal(found, best_rows(10))


def test_an_id_of_minus_one_or_nothing_is_no_padding(make):
    for ids, name in (([-1, 7, 9], -1), (["", "a", "b"], "")):
        layer = make(CANDIDATES[:3], ids, k=3, return_rows=True)
        kept = ids_of(layer.query_with_exclusions(QUERIES[:2], [[name], []]))
        assert 0 not in kept[0]
        assert 0 in kept[1]


@pytest.mark.parametrize("ids", [IDS, IDS + LARGE, NAMES], ids=["small", "large", "text"])
def test_rows_take_the_place_of_ids_in_graphs(make, ids):
    layer = make(CANDIDATES, ids, k=10, return_rows=True)
    rows = layer.rows(ids[BEST])
    np.testing.assert_array_equal(rows, BEST)
    np.testing.assert_array_equal(ids_of(layer(QUERIES, excluded_rows=rows)), WITHOUT_BEST)
    model = functional(layer, name="excluded_rows")
    found = model.predict([QUERIES, rows.astype("int32")], verbose=0)
    np.testing.assert_array_equal(ids_of(found), WITHOUT_BEST)


def test_tensors_that_cannot_hold_the_ids_are_refused(make):
    layer = make(CANDIDATES, NAMES, k=10, return_rows=True)
    with pytest.raises(ValueError, match=r"cannot hold the ids .*`excluded_rows`.*layer.rows"):
        functional(layer)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="other tensors hold 64 bits")
def test_tensors_that_may_have_cut_the_ids_are_refused(make):
    layer = make(CANDIDATES, IDS + LARGE, k=10, return_rows=True)
    exclude = ops.convert_to_tensor((IDS[BEST] + LARGE).astype("int32"))
    message = "must not be in tensors here: JAX cuts ids in tensors to 32 bits"
    for values in (exclude, list(exclude)):
        with pytest.raises(ValueError, match=f"`exclusions` {message}"):
            layer.query_with_exclusions(QUERIES, values)
    with pytest.raises(ValueError, match=f"`ids` {message}"):
        layer.rows(exclude)


# Rows of ids and labels of rows


def test_rows_of_ids(make):
    layer = make(CANDIDATES, NAMES, k=10, return_rows=True)
    assert layer.rows([NAMES[7].encode(), "no film", NAMES[2]]).tolist() == [7, -1, 2]
    assert layer.rows(NAMES[:6].reshape(2, 3)).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert layer.rows([]).tolist() == []
    with pytest.raises(ValueError, match="`ids` must be text, as the ids of layer"):
        layer.rows([7])


def test_labels_that_repeat_are_looked_up_by_row(make):
    titles = ["Money", "Money", "Alien"]
    layer = make(CANDIDATES[:3], [31, 32, 33], k=3, return_rows=True)
    assert layer.lookup([[0, 1], [2, -1]], labels=titles).tolist() == [
        ["Money", "Money"],
        ["Alien", ""],
    ]
    assert layer.lookup([0, -1], labels=[1995, 1995, 1979]).tolist() == [1995, -1]
    with pytest.raises(ValueError, match=r"`labels` must have shape \(3,\), one a candidate"):
        layer.lookup([0], labels=titles[:2])
    with pytest.raises(ValueError, match="`rows` must lie between -1 and 2"):
        layer.lookup([3], labels=titles)
    with pytest.raises(ValueError, match="`rows` must be integers, got dtype float"):
        layer.lookup([0.5])


# Bad input


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        ([["film 7"]] * 11, "`exclusions` must be integers, as the ids of layer"),
        ([[1.5]] * 11, "`exclusions` must be integers or text, got the float 1.5"),
        ([[None]] * 11, "`exclusions` must have no missing ids"),
        ([[1], [2]], r"`excluded_rows` must have shape \(11, e\).*got \(2, 1\)"),
        ([1, 2], r"`excluded_rows` must have shape \(11, e\).*got \(1, 2\)"),
        (7, "`exclusions` must be a sequence of ids"),
    ],
)
def test_bad_exclusions_are_refused(make, exclude, message):
    with pytest.raises(ValueError, match=message):
        make(CANDIDATES, IDS, k=10).query_with_exclusions(QUERIES, exclude)


def test_exclusions_of_tensors_of_floats_are_refused(make):
    with pytest.raises(ValueError, match="`exclusions` must be integers that fit"):
        functional(make(CANDIDATES, IDS, k=10), dtype="float32")


def test_ids_and_rows_at_once_are_refused(make):
    with pytest.raises(ValueError, match="were both given: give one of them"):
        make(CANDIDATES, k=3)(QUERIES, exclusions=[[1]] * 11, excluded_rows=BEST)
