import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shortlist.bundle import Bundle, BundleError
from shortlist.data import Histories, Vocabulary
from shortlist.index import Index

from .parts import Parts, lookup_tower


@pytest.mark.parametrize("text_ids", [True, False])
def test_what_was_saved_comes_back(tmp_path: Path, text_ids: bool):
    parts = Parts(text_ids=text_ids)
    parts.save(tmp_path / "model")
    bundle = Bundle.load(tmp_path / "model")
    users = parts.users.ids.tolist()
    np.testing.assert_array_equal(bundle.tower.embed(users), parts.user_embeddings[1:])
    assert bundle.items.table.equals(parts.items)
    assert bundle.histories == Histories.from_interactions(parts.interactions)
    assert bundle.had(users[0]) == [parts.item_ids[5], parts.item_ids[3]]
    assert bundle.had(users[4]) == []
    assert bundle.run["metrics"] == {"hit_rate@10": 0.5}
    assert set(bundle.run["versions"]) >= {"shortlist", "python", "numpy", "onnxruntime"}
    expected = parts.index.search(parts.user_embeddings[1:], 3)
    np.testing.assert_array_equal(
        bundle.index.search(bundle.tower.embed(users), 3).ids, expected.ids
    )


def test_items_are_put_in_the_order_of_the_index(parts: Parts, tmp_path: Path):
    parts.items = parts.items.reverse()
    parts.save(tmp_path / "model")
    assert Bundle.load(tmp_path / "model").items.ids.to_list() == parts.item_ids


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        ([1990, 1991, 1992], ["1990", "1991", "1992"]),
        ([True, False, None], ["true", "false", ""]),
        (pl.Series(["a", "b", "a"], dtype=pl.Categorical), ["a", "b", "a"]),
        ([None, None, None], ["", "", ""]),
    ],
)
def test_titles_become_text(parts: Parts, tmp_path: Path, titles, expected: list[str]):
    rest = pl.Series([None] * 5, dtype=pl.Series(titles).dtype)
    parts.items = parts.items.with_columns(title=pl.Series(titles).append(rest))
    parts.save(tmp_path / "model")
    assert Bundle.load(tmp_path / "model").items.titles(parts.item_ids[:4]) == [*expected, ""]


def test_every_column_keeps_its_name_beside_the_ids(parts: Parts, tmp_path: Path):
    own = parts.items.rename({"id": "sku"}).with_columns(id=pl.lit(7), item_id=pl.lit(8))

    def save(items: pl.DataFrame, **options: object) -> Bundle:
        Bundle.save(
            tmp_path / "model",
            query_tower=lookup_tower(parts.user_embeddings),
            users=parts.users,
            index=parts.index,
            items=items,
            **options,  # type: ignore[arg-type]
        )
        return Bundle.load(tmp_path / "model")

    items = save(own.reverse(), id_column="sku").items
    assert items.ids.to_list() == parts.item_ids
    assert items.details(parts.item_ids[3]) == {
        "title": "Film 3",
        "year": 1993,
        "id": 7,
        "item_id": 8,
    }
    of_interactions = parts.items.rename({"id": "item_id"})
    assert save(of_interactions).items.ids.to_list() == parts.item_ids
    with pytest.raises(BundleError, match="must have a column 'film'"):
        save(own, id_column="film")


def test_what_would_not_load_is_not_kept(parts: Parts, saved: Path, monkeypatch):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    parts.items = parts.items.with_columns(title=pl.concat_list("title"))
    with pytest.raises(BundleError, match="column 'title': expected text, got List"):
        parts.save(saved)
    parts.items = Parts().items

    def damaged(frame: pl.DataFrame, path: Path) -> None:
        path.write_bytes(b"PAR1 no more")

    with monkeypatch.context() as patched:
        patched.setattr(pl.DataFrame, "write_parquet", damaged)
        with pytest.raises(BundleError, match="would not load, and is not kept: items"):
            parts.save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_histories_are_in_time_order_with_their_times_and_without_unknown_items(
    parts: Parts, tmp_path: Path
):
    parts.interactions = pl.DataFrame(
        {
            "user_id": ["u0"] * 5,
            "item_id": ["f1", "gone", "f2", "f1", "f3"],
            "timestamp": [50, 40, 30, 20, 10],
        }
    )
    parts.save(tmp_path / "model")
    bundle = Bundle.load(tmp_path / "model")
    assert bundle.histories["u0"].tolist() == ["f3", "f1", "f2", "f1"]
    assert bundle.histories.times.tolist() == [10, 20, 30, 50]
    assert bundle.had("u0") == ["f1", "f2", "f3"]  # each once, the most recent first
    assert "f1" not in bundle.recommend(["u0"], 8).ids


def test_interactions_of_another_kind_of_ids_are_refused(parts: Parts, tmp_path: Path):
    for ids in ({"user_id": ["u0"], "item_id": [1]}, {"user_id": ["u0"], "item": ["f1"]}):
        parts.interactions = pl.DataFrame(ids)
        with pytest.raises(BundleError, match="`interactions` do not fit"):
            parts.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_the_model_card_shows_metrics_and_escapes_names(parts: Parts, tmp_path: Path):
    Bundle.save(
        tmp_path / "model",
        query_tower=lookup_tower(parts.user_embeddings),
        users=parts.users,
        index=parts.index,
        items=parts.items,
        run={"name": "<script>", "metrics": {"hit_rate@10": 0.25}},
    )
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| hit\\_rate@10 | 0.2500 |" in card
    assert "\\<script\\>" in card
    assert len(Bundle.load(tmp_path / "model").histories) == 0


def test_loading_imports_no_deep_learning_framework(saved: Path):
    code = (
        "import sys; from shortlist.bundle import Bundle\n"
        "Bundle.load(sys.argv[1]).tower.embed(['u1'])\n"
        "print([m for m in ('keras', 'jax', 'tensorflow', 'torch', 'onnx') if m in sys.modules])"
    )
    out = subprocess.check_output([sys.executable, "-c", code, saved], text=True)
    assert out.strip() == "[]"


def test_an_unknown_user_is_named_with_those_there_are(saved: Path):
    with pytest.raises(ValueError, match="unknown user 'u9'; 5 users, ids like 'u0'…'u4'"):
        Bundle.load(saved).tower.embed(["u1", "u9"])


def test_parts_that_do_not_belong_together_are_refused(parts: Parts, tmp_path: Path):
    def save(**changed: object) -> None:
        arguments = {
            "query_tower": lookup_tower(parts.user_embeddings),
            "users": parts.users,
            "index": parts.index,
            "items": parts.items,
        }
        Bundle.save(tmp_path / "model", **{**arguments, **changed})  # type: ignore[arg-type]

    with pytest.raises(BundleError, match="gives 7 dimensions, the index has 4"):
        save(query_tower=lookup_tower(np.zeros((6, 7))))
    with pytest.raises(BundleError, match="cannot be loaded"):
        save(query_tower=b"not a graph")
    with pytest.raises(BundleError, match="7 rows, `index` has 8"):
        save(items=parts.items.head(7))
    with pytest.raises(BundleError, match="'f7' is not there"):
        save(items=pl.concat([parts.items.head(7), parts.items.head(1)]))
    with pytest.raises(BundleError, match="must have a column 'id'"):
        save(items=parts.items.rename({"id": "film"}))
    with pytest.raises(BundleError, match="are Int64, those of `index` are String"):
        save(items=parts.items.with_columns(id=pl.int_range(8)))
    objects = pl.Series("origin", [None, Path("a"), *range(6)], dtype=pl.Object)
    for changed, message in [
        ({"items": None}, "`items`: expected a table with named columns, got NoneType"),
        ({"items": parts.items["id"]}, "expected a table with named columns, got Series"),
        ({"items": parts.items.with_columns(objects)}, "column 'origin': .*convert or drop"),
        ({"users": parts.users.ids}, r"`users` must be a Vocabulary, as Vocabulary\(ids\) makes"),
        ({"index": parts.item_embeddings}, "`index` must be an Index, .*got ndarray"),
        ({"query_tower": "tower.onnx"}, "`query_tower` must be a Keras model, or the bytes"),
        ({"features": "age"}, "`features` must be a FeatureSpec, got str"),
        (
            {"interactions": [("u0", "f0")]},
            "`interactions`: expected a table with named .*, got list",
        ),
        ({"run": ["a"]}, "`run` must be a dictionary, got list"),
        ({"run": {"when": object()}}, "`run` must hold plain data .* got the object"),
    ]:
        with pytest.raises(BundleError, match=message):
            save(**changed)
    with pytest.raises(BundleError, match="`model` must be a fitted TwoTower, got NoneType"):
        Bundle.save_model(tmp_path / "model", None, items=parts.items)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pandas", "arrow", "lazy", "mapping"])
def test_items_and_interactions_may_be_any_table(parts: Parts, tmp_path: Path, kind: str):
    expected = Histories.from_interactions(parts.interactions)
    as_kind = {
        "pandas": lambda table: table.to_pandas(),
        "arrow": lambda table: table.to_arrow(),
        "lazy": lambda table: table.lazy(),
        "mapping": lambda table: table.to_dict(as_series=False),
    }[kind]
    items, parts.interactions = parts.items, as_kind(parts.interactions)
    parts.items = as_kind(items)
    parts.save(tmp_path / "model")
    loaded = Bundle.load(tmp_path / "model")
    assert loaded.items.table.equals(items)
    assert loaded.histories == expected


def test_a_run_may_hold_numbers_of_numpy_and_paths(parts: Parts, tmp_path: Path):
    Bundle.save(
        tmp_path / "model",
        query_tower=lookup_tower(parts.user_embeddings),
        users=parts.users,
        index=parts.index,
        items=parts.items,
        run={"loss": np.float32(0.5), "ks": np.arange(3), "from": Path("a/b")},
    )
    run = Bundle.load(tmp_path / "model").run
    assert (run["loss"], run["ks"], run["from"]) == (0.5, [0, 1, 2], "a/b")


def test_a_tower_that_asks_for_more_users_than_it_has_is_an_error_not_a_crash(tmp_path: Path):
    parts = Parts()
    parts.users = Vocabulary([f"u{n}" for n in range(50)])
    parts.interactions = parts.interactions.head(0)
    parts.save(tmp_path / "model")
    with pytest.raises(BundleError, match="the query tower fails"):
        Bundle.load(tmp_path / "model").tower.embed(["u40"])


def test_index_and_items_must_hold_the_same_candidates(parts: Parts, saved: Path):
    from shortlist.bundle.manifest import write_manifest

    Index.build(parts.item_embeddings, [*parts.item_ids[:7], "other"]).save(saved / "index.slx")
    (saved / "MANIFEST.json").unlink()
    write_manifest(saved, "test")
    with pytest.raises(BundleError, match="do not hold the same candidates"):
        Bundle.load(saved)
