"""The saved artefact: query tower, index, item table, histories and how they came to be."""

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
import polars as pl

from shortlist.bundle.atomic import replaced_folder
from shortlist.bundle.card import model_card
from shortlist.bundle.histories import Histories
from shortlist.bundle.items import Items
from shortlist.bundle.manifest import BundleError, Manifest, verify, write_manifest
from shortlist.bundle.tower import QueryTower
from shortlist.data import DataError, Vocabulary
from shortlist.index import Index

_LOAD_ATTEMPTS = 5


@dataclass(frozen=True)
class Bundle:
    """A model ready to serve; needs ONNX Runtime and the engine, not Keras.

    Args:
        manifest: What the files are.
        tower: Users to embeddings.
        index: The candidates' embeddings, searchable.
        items: What is known of each candidate, by row of the index.
        histories: What each user has had; empty where none were saved.
        run: How the model came to be: seed, versions, data, arguments, metrics.

    Example:
        >>> Bundle.load("no-such-folder")
        Traceback (most recent call last):
        shortlist.bundle.manifest.BundleError: no-such-folder is not a bundle: there is no such folder.
    """

    manifest: Manifest
    tower: QueryTower
    index: Index
    items: Items
    histories: Histories
    run: Mapping[str, Any]

    @staticmethod
    def save(
        path: str | os.PathLike[str],
        *,
        query_tower: Any,
        users: Vocabulary,
        index: Index,
        items: pl.DataFrame,
        interactions: pl.DataFrame | None = None,
        run: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Write a bundle in one step: `path` holds the old bundle or the new one, never a mixture.

        Args:
            path: A folder; a bundle that is there is replaced.
            query_tower: A Keras model from the index of a user in `users` to their embedding, or
                the bytes of such an ONNX model.
            users: The users the tower knows.
            index: The candidates.
            items: A column `id` with exactly the ids of the index, in any order; `title` and
                further columns are shown to people.
            interactions: Columns `user_id` and `item_id`, oldest first: what each user has had.
            run: What to remember of the training: plain data. Versions are added.

        Returns:
            The manifest.

        Raises:
            BundleError: The parts do not belong together, or `path` cannot take a bundle.
        """
        ordered = _in_row_order(items, index)
        run = {**(run or {}), "versions": {**_versions(), **dict((run or {}).get("versions", {}))}}
        graph = query_tower if isinstance(query_tower, bytes) else _exported(query_tower)
        tower = QueryTower(graph, users)
        _check_dimension(tower, index)
        histories = (
            None
            if interactions is None
            else Histories.from_interactions(interactions, ordered["id"])
        )
        facts = {
            "candidates": len(index),
            "users": len(users),
            "dimensions": index.dim,
            "metric": index.metric,
            "users with a history": len(histories or ()),
        }
        with replaced_folder(Path(path)) as folder:
            (folder / "query_tower.onnx").write_bytes(graph)
            query = {"user_id": {"vocabulary": users.to_dict()}}
            (folder / "query.json").write_bytes(msgspec.json.encode(query))
            index.save(folder / "index.slx")
            ordered.write_parquet(folder / "items.parquet")
            if histories is not None:
                histories.write(folder / "histories.parquet")
            (folder / "run.json").write_bytes(
                msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"
            )
            (folder / "README.md").write_text(model_card(run, facts), encoding="utf-8")
            return write_manifest(folder, f"shortlist {metadata.version('shortlist')}")

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = False) -> "Bundle":
        """Check and load a bundle. Runs no code from it and opens nothing outside its folder.

        Args:
            path: The folder.
            mmap: Map the index into memory rather than reading it.

        Returns:
            The bundle.

        Raises:
            BundleError: It is damaged, truncated, from a newer format, or not a bundle.
        """
        folder = Path(path)
        for attempt in range(_LOAD_ATTEMPTS):
            before = _state(folder)
            try:
                bundle = cls._load_once(folder, mmap)
            except (BundleError, OSError):
                # Another process may have put a new bundle in place meanwhile.
                if _state(folder) == before or attempt == _LOAD_ATTEMPTS - 1:
                    raise
            else:
                if _state(folder) == before:
                    return bundle
        raise BundleError(f"{folder} was replaced {_LOAD_ATTEMPTS} times while it was read.")

    @classmethod
    def _load_once(cls, folder: Path, mmap: bool) -> "Bundle":
        manifest = verify(folder)
        try:
            index = Index.load(folder / "index.slx", mmap=mmap)
        except ValueError as error:
            raise BundleError(f"{folder / 'index.slx'} cannot be read: {error}") from None
        items = Items.read(folder / "items.parquet")
        _check_same_ids(items, index)
        if "histories.parquet" in manifest.files:
            histories = Histories.read(folder / "histories.parquet", len(items))
        else:
            histories = Histories.empty()
        tower = QueryTower((folder / "query_tower.onnx").read_bytes(), _read_users(folder))
        _check_dimension(tower, index)
        run = _read_json(folder / "run.json")
        return cls(manifest, tower, index, items, histories, run)


def _state(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _in_row_order(items: pl.DataFrame, index: Index) -> pl.DataFrame:
    if "id" not in items.columns:
        raise BundleError(f"`items` must have a column 'id', got {items.columns}.")
    ids = pl.Series("id", _plain_ids(index))
    if items["id"].dtype != ids.dtype and items["id"].dtype.is_integer() == ids.dtype.is_integer():
        items = items.with_columns(pl.col("id").cast(ids.dtype))
    if items["id"].dtype != ids.dtype:
        raise BundleError(
            f"the ids of `items` are {items['id'].dtype}, those of `index` are {ids.dtype}."
        )
    if len(items) != len(ids):
        raise BundleError(f"`items` has {len(items)} rows, `index` has {len(ids)} candidates.")
    ordered = ids.to_frame().join(items, on="id", how="inner", maintain_order="left")
    if len(ordered) != len(ids):
        missing = ids.filter(~ids.is_in(items["id"].implode()))
        raise BundleError(
            f"`items` must name each candidate of `index` once; {missing[0]!r} is not there."
            if len(missing)
            else "`items` must name each candidate of `index` once; one stands there twice."
        )
    return ordered


def _plain_ids(index: Index) -> npt.NDArray[Any] | list[str]:
    ids = np.asarray(index.ids)
    return ids.astype(np.int64) if ids.dtype.kind in "iu" else [str(i) for i in ids]


def _check_same_ids(items: Items, index: Index) -> None:
    same = len(items) == len(index) and items.ids.equals(
        pl.Series("id", _plain_ids(index)), check_dtypes=True
    )
    if not same:
        raise BundleError("index.slx and items.parquet do not hold the same candidates.")


def _check_dimension(tower: QueryTower, index: Index) -> None:
    embedding = tower.run(np.zeros(1, dtype=np.int64))
    if embedding.shape != (1, index.dim):
        raise BundleError(
            f"the query tower gives {embedding.shape[1]} dimensions, the index has {index.dim}."
        )


def _read_users(folder: Path) -> Vocabulary:
    query = _read_json(folder / "query.json")
    try:
        return Vocabulary.from_dict(query["user_id"]["vocabulary"])
    except (KeyError, TypeError, DataError) as error:
        raise BundleError(f"{folder / 'query.json'} does not describe the users: {error}") from None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: {error}.") from None


def _exported(model: Any) -> bytes:
    from shortlist.bundle.export import to_onnx  # needs Keras, which serving must not import

    return to_onnx(model)


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
    for name in ("shortlist", "numpy", "polars"):
        versions[name] = metadata.version(name)
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        versions["keras"] = keras.__version__
        versions["backend"] = keras.config.backend()
    return versions

