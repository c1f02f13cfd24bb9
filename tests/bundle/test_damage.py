"""Damaged bundles: whatever a file of one says, loading it ends in a bundle or a BundleError.

SHORTLIST_DAMAGES sets how many damages of each kind are tried.
"""

import faulthandler
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shortlist.bundle import Bundle, BundleError
from shortlist.bundle.manifest import MANIFEST, write_manifest

from .parts import Parts

PATIENCE = 120  # seconds: what takes longer hangs

tried = settings(
    max_examples=int(os.environ.get("SHORTLIST_DAMAGES", "50")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

# Values where a reader expects another: of the wrong kind, or at the end of a range.
ODD = [None, True, -1, 0, 1 << 31, 1 << 62, 1 << 63, 1 << 70, 0.5, 1e308, "", "u0", "é\0", [], {}]
ODD += [[None], [[1]], {"a": 1}, "9" * 400]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a bundle that has every file."""
    path = tmp_path_factory.mktemp("bundles") / "model"
    Parts().save_whole(path)
    return {file.name: file.read_bytes() for file in path.iterdir()}


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    yield
    faulthandler.cancel_dump_traceback_later()


def _use(bundle: Bundle) -> list[Any]:
    """Ask a bundle for all that a service asks it for."""
    said: list[Any] = [bundle.manifest.fingerprint, bundle.run, bundle.tower.newcomers]
    for ask in (
        lambda: bundle.recommend(["u0", "u4"], 3).ids.tolist(),
        lambda: bundle.recommend_for_history(["f1", "f2"], 3).ids.tolist(),
        lambda: bundle.embed_history(["f1"], {"work": "baker"}).tolist(),
        lambda: list(bundle.had("u0")),
        lambda: bundle.items.titles(bundle.items.id_array.tolist()),
        lambda: [bundle.items.details(item) for item in bundle.items.id_array.tolist()],
        lambda: bundle.items.find("film", 3),
        lambda: bundle.candidate_tower and bundle.candidate_tower.embed(["new"], [{}]).tolist(),
    ):
        try:
            said.append(ask())
        except ValueError as error:  # an id that is gone, a tower that fails
            said.append(type(error))
    return said


def _load(files: dict[str, bytes], *, sealed: bool) -> list[Any] | None:
    """Load and use a bundle of these files; None for one that is refused with a BundleError.

    `sealed` gives it a manifest that fits, so that the damage reaches the readers.
    """
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        for name, content in files.items():
            if not (sealed and name == MANIFEST):
                (path / name).write_bytes(content)
        if sealed:
            write_manifest(path, "test")
        try:
            return _use(Bundle.load(path))
        except BundleError:
            return None


@st.composite
def _bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Content with bytes changed, left out, put in or repeated."""
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(changed)))
        count = draw(st.sampled_from([1, 1, 1, 4, 16, 1 << 20]))
        new = draw(st.binary(min_size=1, max_size=8))
        how = draw(st.sampled_from(["change", "change", "leave out", "put in", "repeat"]))
        if how == "change":
            changed[at : at + len(new)] = new
        elif how == "leave out":
            del changed[at : at + count]
        elif how == "put in":
            changed[at:at] = new
        else:
            changed[at:at] = changed[at : at + min(count, 16)] * 2
    return bytes(changed)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every value inside a document, as the container it is in and its key."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    own = [(value, key) for key in keys]
    return own + [
        place
        for key in keys
        if isinstance(value[key], dict | list)
        for place in _places(value[key])
    ]


@st.composite
def _document(draw: st.DrawFn, content: bytes) -> bytes:
    """A JSON document with values exchanged for odd ones, left out or repeated."""
    document = json.loads(content)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(document)
        if not places:
            break
        container, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["change", "change", "leave out", "repeat"]))
        if how == "change":
            container[key] = deepcopy(draw(st.sampled_from(ODD)))
        elif how == "leave out":
            del container[key]
        elif isinstance(container, list):
            container.append(deepcopy(container[key]))
        else:
            container[f"{key}2"] = deepcopy(container[key])
    return json.dumps(document).encode()


TABLES: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "no rows": lambda t: t.clear(),
    "no columns": lambda _: pl.DataFrame(),
    "a row less": lambda t: t.head(-1),
    "a row twice": lambda t: pl.concat([t, t.head(1)]),
    "other order": lambda t: t.reverse(),
    "columns turned round": lambda t: t.select(reversed(t.columns)),
    "no first column": lambda t: t.drop(t.columns[0]),
    "no last column": lambda t: t.drop(t.columns[-1]),
    "a gap": lambda t: t.with_columns(pl.first().shift(1)),
    "gaps alone": lambda t: t.with_columns(pl.all().shift(len(t))),
    "nulls": lambda t: t.with_columns(pl.lit(None).alias(name) for name in t.columns),
    "lists": lambda t: t.with_columns(pl.concat_list(name) for name in t.columns),
    "structs": lambda t: t.select(pl.struct(t.columns).alias(name) for name in t.columns),
    "bytes": lambda t: t.with_columns(pl.col(pl.String).cast(pl.Binary)),
    "categories": lambda t: t.with_columns(pl.col(pl.String).cast(pl.Categorical)),
    "numbers": lambda t: t.with_columns(pl.all().hash()),
    "truths": lambda t: t.select(pl.all().is_null()),
    "times": lambda t: t.with_columns(timestamp=pl.lit("yesterday")),
    "infinite times": lambda t: t.with_columns(timestamp=pl.lit(float("inf"))),
    "early times": lambda t: t.with_columns(timestamp=pl.lit(-(1 << 63))),
}

ARRAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "no rows": lambda a: a[:0],
    "no dimensions": lambda a: a[:, :0],
    "a scalar": lambda a: a[0, 0],
    "more rows": lambda a: np.concatenate([a, a]),
    "three dimensions": lambda a: a[None],
    "turned round": lambda a: np.asfortranarray(a),
    "the other byte order": lambda a: a.astype(">f4"),
    "doubles": lambda a: a.astype(np.float64),
    "text": lambda a: a.astype(str),
    "not numbers": lambda a: a * np.float32("nan"),
    "records": lambda a: np.zeros(a.shape, [("x", "f4")]),
}


@tried
@given(data=st.data())
def test_a_damage_is_noticed_by_the_manifest(bundle: dict[str, bytes], data: st.DataObject):
    name = data.draw(st.sampled_from(sorted(bundle)))
    damaged = data.draw(_bytes(bundle[name]))
    said = _load({**bundle, name: damaged}, sealed=False)
    if said is not None:  # a manifest that says the same
        assert name == MANIFEST or damaged == bundle[name]
        assert said == _load(bundle, sealed=False)


@tried
@given(data=st.data())
def test_damaged_bytes_are_refused_or_answered_from(bundle: dict[str, bytes], data: st.DataObject):
    name = data.draw(st.sampled_from(sorted({*bundle} - {MANIFEST})))
    _load({**bundle, name: data.draw(_bytes(bundle[name]))}, sealed=True)


@tried
@given(data=st.data())
def test_odd_values_are_refused_or_answered_from(bundle: dict[str, bytes], data: st.DataObject):
    name = data.draw(st.sampled_from(["query.json", "candidate.json", "run.json", MANIFEST]))
    damaged = {**bundle, name: data.draw(_document(bundle[name]))}
    _load(damaged, sealed=name != MANIFEST)


@pytest.mark.parametrize("change", TABLES)
@pytest.mark.parametrize("name", ["items.parquet", "histories.parquet"])
def test_odd_tables_are_refused_or_answered_from(
    bundle: dict[str, bytes], tmp_path: Path, name: str, change: str
):
    (tmp_path / name).write_bytes(bundle[name])
    TABLES[change](pl.read_parquet(tmp_path / name)).write_parquet(tmp_path / name)
    _load({**bundle, name: (tmp_path / name).read_bytes()}, sealed=True)


@pytest.mark.parametrize("change", ARRAYS)
def test_odd_embeddings_are_refused_or_answered_from(
    bundle: dict[str, bytes], tmp_path: Path, change: str
):
    (tmp_path / "users.npy").write_bytes(bundle["users.npy"])
    np.save(tmp_path / "users.npy", ARRAYS[change](np.load(tmp_path / "users.npy")))
    _load({**bundle, "users.npy": (tmp_path / "users.npy").read_bytes()}, sealed=True)


def test_a_whole_bundle_answers(bundle: dict[str, bytes]):
    said = _load(bundle, sealed=True)
    assert said is not None
    assert not any(isinstance(answer, type) for answer in said)
