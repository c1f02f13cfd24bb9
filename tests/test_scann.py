"""`shortlist.scann` keeps ScaNN's vocabulary, dtypes and signs."""

import inspect
import pickle

import numpy as np
import pytest

from shortlist import scann
from shortlist.index import Index, IndexConfig
from shortlist.scann import (
    IncrementalMode,
    ReorderType,
    builder,
    create_searcher,
    load_searcher,
    scann_builder,
    scann_ops,
)

RNG = np.random.default_rng(0)
DB = RNG.standard_normal((3_000, 16)).astype(np.float32)
QUERIES = RNG.standard_normal((20, 16)).astype(np.float32)


def distances_by_numpy(measure):
    if measure == "dot_product":
        return QUERIES.astype(np.float64) @ DB.T.astype(np.float64)
    return ((QUERIES[:, None].astype(np.float64) - DB[None]) ** 2).sum(axis=2)


def partitioned(measure, k=10, search=20):
    build = builder(DB, k, measure).tree(num_leaves=60, num_leaves_to_search=search)
    return build.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(100)


@pytest.mark.parametrize("measure", ["dot_product", "squared_l2"])
def test_brute_force_finds_the_true_neighbours(measure):
    wanted = distances_by_numpy(measure)
    order = np.argsort(-wanted if measure == "dot_product" else wanted, axis=1)[:, :5]
    indices, distances = builder(DB, 5, measure).score_brute_force().build().search_batched(QUERIES)
    assert (indices.dtype, distances.dtype) == (np.uint32, np.float32)
    assert indices.tolist() == order.tolist()
    np.testing.assert_allclose(distances, np.take_along_axis(wanted, order, axis=1), rtol=1e-4)


@pytest.mark.parametrize("measure", ["dot_product", "squared_l2"])
def test_distances_have_scann_signs_and_belong_to_their_indices(measure):
    result = partitioned(measure).build().search_batched(QUERIES)
    own = np.take_along_axis(distances_by_numpy(measure), result.indices.astype(int), axis=1)
    np.testing.assert_allclose(result.distances, own, rtol=1e-4)
    steps = np.diff(result.distances, axis=1)
    assert (steps <= 0).all() if measure == "dot_product" else (steps >= 0).all()


@pytest.mark.parametrize("measure", ["dot_product", "squared_l2"])
def test_a_partitioned_search_finds_most_of_them(measure):
    exact = builder(DB, 10, measure).score_brute_force().build().search_batched(QUERIES)
    found = partitioned(measure).build().search_batched(QUERIES)
    shared = [len(np.intersect1d(a, b)) for a, b in zip(exact[0], found[0], strict=True)]
    assert np.mean(shared) / 10 > 0.7


def test_tree_with_brute_force_and_all_leaves_is_exact():
    build = builder(DB, 10, "dot_product").tree(num_leaves=30, num_leaves_to_search=30)
    exact = builder(DB, 10, "dot_product").score_brute_force().build().search_batched(QUERIES)
    found = build.score_brute_force().build().search_batched(QUERIES)
    assert found.indices.tolist() == exact.indices.tolist()


def test_all_ways_to_search_agree():
    searcher = partitioned("squared_l2").build()
    batched = searcher.search_batched(QUERIES)
    searcher.set_num_threads(2)
    parallel = searcher.search_batched_parallel(QUERIES, batch_size=7)
    assert parallel.indices.tolist() == batched.indices.tolist()
    for i, query in enumerate(QUERIES):
        indices, distances = searcher.search(query)
        assert indices.tolist() == batched.indices[i].tolist()
        assert distances.tolist() == batched.distances[i].tolist()


def test_a_search_can_ask_for_more_neighbours_and_leaves():
    searcher = partitioned("dot_product", search=1).build()
    exact = np.argsort(-distances_by_numpy("dot_product"), axis=1)[:, :25]
    indices, _ = searcher.search_batched(QUERIES, 25, 3_000, 60)
    assert indices.tolist() == exact.tolist()
    assert searcher.search(QUERIES[0], 25, 3_000, 60).indices.tolist() == exact[0].tolist()
    assert searcher.search_batched(QUERIES).indices.shape == (20, 10)


def test_a_single_search_is_short_and_a_batch_padded_where_there_are_fewer():
    for measure, worst in [("dot_product", -np.inf), ("squared_l2", np.inf)]:
        searcher = builder(DB[:3], 5, measure).score_brute_force().build()
        assert searcher.search(QUERIES[0]).indices.shape == (3,)
        indices, distances = searcher.search_batched(QUERIES[:2])
        assert indices[:, 3:].tolist() == [[2**32 - 1] * 2] * 2
        assert distances[:, 3:].tolist() == [[worst] * 2] * 2


def test_docids_take_the_place_of_indices():
    docids = [f"d{i}" for i in range(len(DB))]
    plain = partitioned("dot_product").build()
    searcher = partitioned("dot_product").build(docids=docids)
    indices, _ = plain.search_batched(QUERIES)
    names, distances = searcher.search_batched(QUERIES)
    assert names == [[f"d{i}" for i in row] for row in indices.tolist()]
    assert distances.shape == (20, 10)
    assert searcher.search(QUERIES[0])[0] == names[0]


def test_autopilot_needs_nothing_else():
    searcher = builder(DB, 10, "dot_product").autopilot(IncrementalMode.NONE).build()
    assert searcher.search(QUERIES[0]).indices.shape == (10,)


STORES = {
    False: "float32",
    True: "int8",
    ReorderType.FLOAT32: "float32",
    ReorderType.BFLOAT16: "bfloat16",
    ReorderType.INT8: "int8",
}


@pytest.mark.parametrize("quantize", STORES)
def test_quantize_says_how_rows_are_kept_and_distances_are_theirs(quantize):
    config = IndexConfig(store=STORES[quantize], leaves=1)
    kept = Index.build(DB, config=config).vectors(np.arange(len(DB)))
    for build in (
        builder(DB, 10, "dot_product").score_brute_force(quantize),
        builder(DB, 10, "dot_product").tree(20, 20).score_brute_force(quantize),
        builder(DB, 10, "dot_product").tree(20, 20).score_ah(2).reorder(50, quantize=quantize),
        builder(DB, 10, "dot_product").autopilot(quantize=quantize),
    ):
        indices, distances = build.build().search(QUERIES[0])
        np.testing.assert_allclose(distances, kept[indices] @ QUERIES[0], rtol=1e-5)


def test_the_last_scoring_says_how_rows_are_kept():
    build = builder(DB, 10, "dot_product").tree(20, 20).score_brute_force(ReorderType.INT8)
    indices, distances = build.reorder(50).build().search(QUERIES[0])
    np.testing.assert_allclose(distances, DB[indices] @ QUERIES[0], rtol=1e-5)


@pytest.mark.parametrize("method", ["score_brute_force", "autopilot"])
def test_other_values_of_quantize_are_refused(method):
    with pytest.raises(TypeError, match="`quantize` must be a ReorderType or a bool, got 'int8'"):
        getattr(builder(DB, 10, "dot_product"), method)(quantize="int8")


def test_a_searcher_survives_serialize_and_load(tmp_path):
    for docids in (None, [str(i) for i in range(len(DB))]):
        searcher = partitioned("squared_l2", k=7).build(docids=docids)
        searcher.serialize(tmp_path / "s")
        loaded = load_searcher(str(tmp_path / "s"))
        before, after = searcher.search_batched(QUERIES), loaded.search_batched(QUERIES)
        assert np.array_equal(before.indices, after.indices)
        assert np.array_equal(before.distances, after.distances)
        assert loaded.size() == 3_000


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no searcher that `serialize`"):
        load_searcher(tmp_path)
    builder(DB, 5, "dot_product").score_brute_force().build().serialize(tmp_path)
    (tmp_path / "searcher.json").write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        load_searcher(tmp_path)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="`distance_measure` must be one of"):
        builder(DB, 10, "cosine")
    with pytest.raises(ValueError, match="`num_neighbors` must be at least 1"):
        builder(DB, 0, "dot_product")
    with pytest.raises(ValueError, match="Exactly one of `score_ah` and `score_brute_force`"):
        builder(DB, 10, "dot_product").tree(10, 2).build()
    with pytest.raises(ValueError, match="Exactly one of `score_ah` and `score_brute_force`"):
        builder(DB, 10, "dot_product").score_ah(2).score_brute_force().build()
    with pytest.raises(ValueError, match="`tree` has already been configured"):
        builder(DB, 10, "dot_product").tree(10, 2).tree(10, 2)
    with pytest.raises(ValueError, match="`soar_lambda` need the distance measure 'dot_product'"):
        builder(DB, 10, "squared_l2").tree(10, 2, soar_lambda=1.5)
    with pytest.raises(ValueError, match="`hash_type` must be"):
        builder(DB, 10, "dot_product").score_ah(2, hash_type="lut8")
    searcher = builder(DB, 10, "dot_product").score_brute_force().build()
    with pytest.raises(ValueError, match=r"`q` must have shape \(16,\), got \(20, 16\)"):
        searcher.search(QUERIES)
    with pytest.raises(ValueError, match=r"`queries` must have shape \(n, 16\), got \(16,\)"):
        searcher.search_batched(QUERIES[0])
    with pytest.raises(ValueError, match="finite"):
        searcher.search(np.full(16, np.nan, np.float32))
    with pytest.raises(ValueError, match="finite"):
        builder(np.full((3, 2), np.nan), 1, "dot_product").score_brute_force().build()
    with pytest.raises(ValueError, match="at least one row"):
        builder(np.empty((0, 2), np.float32), 1, "dot_product").autopilot().build()
    with pytest.raises(ValueError, match="`ids` must be unique"):
        builder(DB[:2], 1, "dot_product").autopilot().build(docids=["a", "a"])


def test_the_usual_ways_to_import_it_work():
    assert scann.scann_ops_pybind.builder is builder
    assert scann.scann_ops_pybind.load_searcher is load_searcher
    assert scann_builder.ReorderType is ReorderType
    assert (
        scann_ops.builder(DB, 3, "dot_product").autopilot().build(shared_name="x").size() == 3_000
    )


def test_the_tensorflow_interface_takes_tensors_and_gives_arrays():
    tf = pytest.importorskip("tensorflow")
    tensor, queries = tf.constant(DB), tf.constant(QUERIES)
    build = scann_ops.builder(tensor, 5, "squared_l2").tree(40, 8).score_ah(2).reorder(50)
    searcher = build.build(container="", shared_name="films")
    found = searcher.search_batched(queries)
    plain = builder(DB, 5, "squared_l2").tree(40, 8).score_ah(2).reorder(50).build()
    assert (found.indices.dtype, found.distances.dtype) == (np.int32, np.float32)
    assert found.indices.tolist() == plain.search_batched(QUERIES).indices.tolist()
    one = searcher.search(queries[0], final_num_neighbors=None, leaves_to_search=None)
    assert one.indices.tolist() == found.indices[0].tolist()
    module = pickle.loads(pickle.dumps(searcher.serialize_to_module()))
    again = scann_ops.searcher_from_module(module, tensor).search_batched(queries)
    assert [part.tolist() for part in again] == [part.tolist() for part in found]
    few = scann_ops.builder(DB[:2], 3, "dot_product").score_brute_force().build()
    assert few.search_batched(QUERIES).indices[:, 2].tolist() == [-1] * len(QUERIES)


def test_numbers_may_be_those_of_numpy():
    build = builder(DB, np.int64(4), "dot_product").tree(np.int64(50), np.uint8(9), np.int32(900))
    searcher = build.score_ah(np.int64(2)).reorder(np.int64(40)).build()
    assert searcher.search(QUERIES[0]).indices.shape == (4,)
    found = searcher.search_batched(QUERIES, np.int64(6), np.int64(60), np.int64(20))
    assert found.indices.shape == (20, 6)
    for wrong in (True, 2.0, "2"):
        with pytest.raises(ValueError, match="`num_leaves` must be an integer, got"):
            builder(DB, 4, "dot_product").tree(wrong, 1)
        with pytest.raises(ValueError, match="`num_neighbors` must be an integer, got"):
            builder(DB, wrong, "dot_product")
        with pytest.raises(ValueError, match="`leaves_to_search` must be an integer, got"):
            searcher.search(QUERIES[0], leaves_to_search=wrong)


def test_docids_are_listed_and_found():
    docids = [f"d{i}" for i in range(len(DB))]
    searcher = builder(DB, 3, "dot_product").score_ah(2).build(docids=docids)
    assert searcher.docids == docids
    assert searcher.docid_to_id["d77"] == 77
    assert len(searcher.docid_to_id) == len(DB)
    plain = builder(DB, 3, "dot_product").score_ah(2).build()
    assert (plain.docids, plain.docid_to_id) == (None, None)
    numbered = builder(DB, 3, "dot_product").score_brute_force().build(docids=range(5, 3_005))
    indices = builder(DB, 3, "dot_product").score_brute_force().build().search(QUERIES[0]).indices
    assert numbered.search(QUERIES[0]).indices == (indices.astype(int) + 5).tolist()


BUILDERS = {
    "brute force": lambda b: b.score_brute_force(),
    "int8 brute force": lambda b: b.score_brute_force(ReorderType.INT8),
    "tree and brute force": lambda b: b.tree(40, 5).score_brute_force(ReorderType.BFLOAT16),
    "codes alone": lambda b: b.score_ah(2),
    "tree": lambda b: b.tree(300, 30, min_partition_size=10, quantize_centroids=True).score_ah(2),
    "two trees": lambda b: (
        b.tree(300, 30).upper_tree(20, 5).score_ah(2, residual_quantization=True)
    ),
    "tree and reordering": lambda b: b.tree(60, 9, 2_000).score_ah(2).reorder(20, quantize=True),
    "spherical": lambda b: b.tree(60, 9, spherical=True).score_ah(2).reorder(20),
    "more leaves than rows": lambda b: b.tree(9_999, 9).score_ah(1),
    "autopilot": lambda b: b.autopilot(quantize=ReorderType.BFLOAT16),
}


@pytest.mark.parametrize("measure", ["dot_product", "squared_l2"])
@pytest.mark.parametrize("name", BUILDERS)
def test_what_is_built_is_its_configuration_and_survives_files(name, measure, tmp_path):
    build = BUILDERS[name](builder(DB, 7, measure))
    searcher = build.build()
    assert searcher.config() == build.create_config()
    searcher.serialize(tmp_path)
    found = searcher.search_batched(QUERIES)
    for other in (
        load_searcher(tmp_path),
        create_searcher(DB, searcher.config()),
        pickle.loads(pickle.dumps(searcher)),
    ):
        assert other.config() == searcher.config()
        again = other.search_batched(QUERIES)
        assert [part.tolist() for part in again] == [part.tolist() for part in found]


def test_a_configuration_says_what_it_is_of():
    assert "brute_force" in builder(DB, 3, "dot_product").autopilot().create_config()
    large = builder(np.zeros((10_001, 2)), 3, "dot_product").autopilot().create_config()
    assert "partitioning" in large
    assert "asymmetric_hash" in large


SCANN_WROTE = """
  num_neighbors: 4
  distance_measure {distance_measure: "SquaredL2Distance"}
  # as ScaNN's builder writes it
  partitioning {
    num_children: 50
    min_cluster_size: 50
    max_clustering_iterations: 12
    single_machine_center_initialization: RANDOM_INITIALIZATION
    partitioning_distance { distance_measure: "SquaredL2Distance" }
    query_spilling { spilling_type: FIXED_NUMBER_OF_CENTERS max_spill_centers: 20 }
    expected_sample_size: 1000
    query_tokenization_distance_override {distance_measure: "SquaredL2Distance"}
    partitioning_type: GENERIC
  }
  hash { asymmetric_hash { lookup_type: INT8_LUT16 noise_shaping_threshold: nan
    projection: < projection_type: CHUNK > } }
  exact_reordering { approx_num_neighbors: 70 bfloat16 { enabled: True } }
"""


def test_text_that_was_written_for_scann_is_read():
    searcher = create_searcher(DB, SCANN_WROTE, docids=[str(i) for i in range(3_000)])
    build = builder(DB, 4, "squared_l2").tree(50, 20, training_sample_size=1_000).score_ah(2)
    wanted = build.reorder(70, quantize=ReorderType.BFLOAT16).build().search_batched(QUERIES)
    names, distances = searcher.search_batched(QUERIES)
    assert [[int(name) for name in row] for row in names] == wanted.indices.tolist()
    assert distances.tolist() == wanted.distances.tolist()


MEASURE = 'num_neighbors: 1 distance_measure {distance_measure: "DotProductDistance"} '


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_neighbors 3", "is no ScaNN configuration: cannot read it at 'num_neighbors'"),
        ("num_neighbors: 3 hash {", "is no ScaNN configuration: a '}' is missing"),
        ("hash: }", "is no ScaNN configuration"),
        ('"', "is no ScaNN configuration: cannot read it at '\"'"),
        (MEASURE, "must have exactly one of `hash` and `brute_force`"),
        (MEASURE + "brute_force {} hash {}", "must have exactly one of `hash` and `brute_force`"),
        (MEASURE + "brute_force {} crowding {}", "must have no part but .*, got 'crowding'"),
        (MEASURE.replace("1", "x") + "brute_force {}", "`num_neighbors` must be an integer"),
        (MEASURE.replace("DotP", "P") + "hash {}", "`distance_measure` in `scann_config` must be"),
    ],
)
def test_text_that_says_something_else_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        create_searcher(DB, text)


def test_what_a_builder_calls_can_be_chosen():
    calls = []

    def record(db, config, threads, **kwargs):
        calls.append((db.shape, config, threads, kwargs))
        return "a searcher"

    build = scann_builder.ScannBuilder(DB, 3, "dot_product").score_brute_force()
    with pytest.raises(ValueError, match="`set_builder_lambda` before"):
        build.build()
    build = build.set_builder_lambda(record).set_n_training_threads(2)
    assert build.build(docids=["x"], more=1) == "a searcher"
    assert calls == [((3_000, 16), build.create_config(), 2, {"docids": ["x"], "more": 1})]


def test_what_has_no_counterpart_says_what_to_do():
    build = builder(DB, 3, "dot_product")
    with pytest.raises(NotImplementedError, match=r"`pca` has no counterpart .* leave it out"):
        build.pca(8)
    with pytest.raises(NotImplementedError, match=r"build with db\[:, :8\] and search with"):
        build.truncate(8)
    with pytest.raises(ValueError, match="`upper_tree` needs `tree`"):
        builder(DB, 3, "dot_product").upper_tree(10, 2).score_ah(2).build()


# The signatures of scann 1.4.2: names, in order, and defaults.
SIGNATURES = {
    "tree": "num_leaves num_leaves_to_search training_sample_size=100000 min_partition_size=50 "
    "training_iterations=12 spherical=False quantize_centroids=False random_init=True "
    "incremental_threshold=None avq=None soar_lambda=None overretrieve_factor=None",
    "score_ah": "dimensions_per_block anisotropic_quantization_threshold=nan "
    "training_sample_size=100000 min_cluster_size=100 hash_type=lut16 training_iterations=10 "
    "residual_quantization=None",
    "upper_tree": "num_leaves num_leaves_to_search avq=nan soar_lambda=None "
    "overretrieve_factor=None scoring_mode=ReorderType.INT8 "
    "anisotropic_quantization_threshold=nan",
    "pca": "reduction_dim=None pca_significance_threshold=0.8 pca_truncation_threshold=0.6",
    "truncate": "reduction_dim",
    "score_brute_force": "quantize=ReorderType.FLOAT32",
    "reorder": "reordering_num_neighbors quantize=ReorderType.FLOAT32 "
    "anisotropic_quantization_threshold=nan",
    "autopilot": "mode=IncrementalMode.NONE quantize=ReorderType.FLOAT32",
    "search": "q final_num_neighbors=-1 pre_reorder_num_neighbors=-1 leaves_to_search=-1",
    "search_batched": "queries final_num_neighbors=None pre_reorder_num_neighbors=None "
    "leaves_to_search=None",
    "search_batched_parallel": "queries final_num_neighbors=None pre_reorder_num_neighbors=None "
    "leaves_to_search=None batch_size=256",
    "serialize": "artifacts_dir relative_path=False",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_are_those_of_scann(name):
    owner = scann.ScannBuilder if hasattr(scann.ScannBuilder, name) else scann.ScannSearcher
    parameters = list(inspect.signature(getattr(owner, name)).parameters.values())[1:]
    empty = inspect.Parameter.empty
    told = [p.name if p.default is empty else f"{p.name}={p.default}" for p in parameters]
    assert " ".join(told) == SIGNATURES[name]


def with_docids(n=1_000):
    docids = [f"d{i}" for i in range(n)]
    return builder(DB[:n], 10, "dot_product").score_brute_force().build(docids=docids)


def test_docids_are_deleted_added_and_replaced():
    searcher, query = with_docids(), DB[3]
    first, scores = searcher.search(query)
    searcher.delete(first[:5])
    left, _ = searcher.search(query)
    assert left[:5] == first[5:]
    with pytest.raises(KeyError, match=f"no docid {first[0]!r} to delete"):
        searcher.delete([left[0], first[0]])
    assert searcher.search(query)[0] == left
    searcher.upsert([f"new {i}" for i in range(5)], [DB[int(one[1:])] for one in first[:5]])
    again, same = searcher.search(query)
    assert again[:5] == [f"new {i}" for i in range(5)]
    np.testing.assert_array_equal(same, scores)
    searcher.upsert(again[5:], [np.zeros((1, DB.shape[1]))] * 5, batch_size=2)
    assert not set(searcher.search(query)[0]) & set(again[5:])
    searcher.upsert("one more", 9 * query)
    assert searcher.search(query)[0][0] == "one more"
    searcher.reserve(5_000)
    assert (searcher.size(), len(searcher.docids)) == (1_001, 1_001)
    assert searcher.docid_to_id["one more"] == 1_000


def test_a_searcher_that_was_emptied_is_kept_and_filled_again(tmp_path):
    searcher = with_docids(50)
    wanted = searcher.search(DB[7])
    for docid in searcher.docids:
        searcher.delete(docid)
    searcher.serialize(tmp_path)
    again = load_searcher(tmp_path)
    assert again.docids == []
    again.upsert([f"d{i}" for i in range(50)], DB[:50])
    found = again.search(DB[7])
    assert found.indices == wanted.indices
    np.testing.assert_array_equal(found.distances, wanted.distances)


def test_updates_need_docids():
    searcher = builder(DB, 3, "dot_product").score_brute_force().build()
    for call in (lambda: searcher.upsert(["a"], DB[:1]), lambda: searcher.delete("a")):
        with pytest.raises(ValueError, match=r"needs docids: build with build\(docids=...\)"):
            call()


def test_autopilot_chooses_again_when_it_rebalances():
    rows = np.random.default_rng(0).standard_normal((11_000, 8)).astype(np.float32)
    searcher = builder(rows[:100], 10, "dot_product").autopilot().build(docids=range(100))
    assert "brute_force" in searcher.config()
    searcher.upsert(range(100, 11_000), rows[100:])
    searcher.rebalance()
    assert "partitioning" in searcher.config()
    assert searcher.config() == builder(rows, 10, "dot_product").autopilot().create_config()
    searcher.delete(range(500, 11_000))
    searcher.rebalance()
    assert "brute_force" in searcher.config()
    best = np.argsort(-(rows[:500] @ rows[3]), kind="stable")[:10]
    assert searcher.search(rows[3]).indices == best.tolist()
    with pytest.raises(NotImplementedError, match="build another searcher"):
        searcher.rebalance("num_neighbors: 3")


def test_health_stats_say_how_even_the_leaves_are():
    rows = np.random.default_rng(0).standard_normal((3_000, 8)).astype(np.float32)
    made = builder(rows, 10, "squared_l2").tree(20, 5).score_ah(2).build(docids=range(3_000))
    made.initialize_health_stats()
    stats = made.get_health_stats()
    centroids = np.stack([rows.mean(0)])
    assert stats["sum_partition_sizes"] == 3_000
    assert 0 < stats["partition_weighted_avg_relative_imbalance"] < 1
    assert 0 < stats["avg_quantization_error"] < np.sqrt(((rows - centroids) ** 2).sum(1).mean())
    made.upsert(range(3_000, 5_000), np.tile(rows[:1], (2_000, 1)))
    after = made.get_health_stats()
    for name in list(stats)[1:]:
        assert after[name] > stats[name]
