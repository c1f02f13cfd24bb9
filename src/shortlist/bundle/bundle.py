"""The saved artefact: query tower, index, item table, histories and how they came to be."""

import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
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
from shortlist.bundle.checks import check_dimension, check_same_ids, in_row_order
from shortlist.bundle.histories import Histories
from shortlist.bundle.items import Items
from shortlist.bundle.manifest import BundleError, Manifest, verify, write_manifest
from shortlist.bundle.tower import QueryTower
from shortlist.data import DataError, Vocabulary
from shortlist.index import Index, SearchResult, SearchSettings

_LOAD_ATTEMPTS = 5
_MOST = 1_000  # candidates one search can return
_EXACT = SearchSettings(exact=True)


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
        >>> Bundle.load("nowhere")
        Traceback (most recent call last):
        shortlist.bundle.manifest.BundleError: nowhere is not a bundle: there is no such folder.
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
        ordered = in_row_order(items, index)
        run = {**(run or {}), "versions": {**_versions(), **dict((run or {}).get("versions", {}))}}
        graph = query_tower if isinstance(query_tower, bytes) else _exported(query_tower)
        tower = QueryTower(graph, users)
        check_dimension(tower, index)
        histories = (
            None
            if interactions is None
            else Histories.from_interactions(interactions, ordered["id"])
        )
        facts = _facts(index, users, histories)
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
    def update(
        cls,
        path: str | os.PathLike[str],
        *,
        settings: SearchSettings,
        run: Mapping[str, Any] | None = None,
    ) -> Manifest:
        """Change how the index of a saved bundle searches, in one step.

        Args:
            path: The folder of the bundle.
            settings: The index's new default settings.
            run: What else to remember of the making, beside what is there.

        Returns:
            The new manifest.

        Raises:
            BundleError: There is no sound bundle at `path`.
        """
        folder, bundle = Path(path), cls.load(path)
        bundle.index.settings = settings
        known = {**bundle.run, **(run or {})}
        with replaced_folder(folder) as new:
            for name in bundle.manifest.files:
                shutil.copyfile(folder / name, new / name)
            bundle.index.save(new / "index.slx")
            (new / "run.json").write_bytes(
                msgspec.json.format(msgspec.json.encode(known), indent=2) + b"\n"
            )
            facts = _facts(bundle.index, bundle.tower.users, bundle.histories)
            (new / "README.md").write_text(model_card(known, facts), encoding="utf-8")
            return write_manifest(new, f"shortlist {metadata.version('shortlist')}")

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

    def recommend(
        self,
        users: Sequence[int | str],
        k: int = 10,
        *,
        exclude_seen: bool | Sequence[bool] = True,
        exclude: Sequence[int | str] = (),
        allow: Sequence[int | str] | None = None,
        exact: bool = False,
    ) -> SearchResult:
        """Return the best candidates of known users.

        Args:
            users: Users the tower knows.
            k: How many candidates for each user, from 1 to 1,000.
            exclude_seen: Whether to leave out what a user has had; one answer for all or for each.
            exclude: Candidates that nobody gets.
            allow: The only candidates anybody gets; None allows all.
            exact: Search exactly, whatever the index does by default.

        Returns:
            Scores, ids and rows of shape (n, k), as from `Index.search`.

        Raises:
            UnknownUserError: A user that the tower was not trained on.
        """
        queries = self.tower.embed(users)
        excluded = self.excluded(users, exclude_seen, exclude)
        return self.search(queries, k, exclude=excluded, allow=allow, exact=exact)

    def recommend_for_history(
        self,
        history: Sequence[int | str],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[int | str] = (),
        allow: Sequence[int | str] | None = None,
        exact: bool = False,
    ) -> SearchResult:
        """Return the best candidates for somebody the tower does not know, by what they have had.

        Their query is the mean of the embeddings of their history.

        Args:
            history: Candidates, at least one.
            k: How many candidates, from 1 to 1,000.
            exclude_seen: Whether to leave out the history itself.
            exclude: Candidates to leave out.
            allow: The only candidates to return; None allows all.
            exact: Search exactly, whatever the index does by default.

        Returns:
            Scores, ids and rows of shape (1, k), as from `Index.search`.

        Raises:
            ValueError: An empty history, or an id that is no candidate.
        """
        excluded = [*history, *exclude] if exclude_seen else list(exclude)
        query = self.embed_history(history)
        return self.search(query, k, exclude=[excluded], allow=allow, exact=exact)

    def embed_history(self, history: Sequence[int | str]) -> npt.NDArray[np.float32]:
        """Return the query of somebody with a history: the mean of its items' embeddings, (1, d).

        Raises:
            ValueError: An empty history, or an id that is no candidate.
        """
        if not history:
            raise ValueError("`history` must hold at least one item.")
        mean: npt.NDArray[np.float32] = self.index.vectors(list(history)).mean(0, keepdims=True)
        return mean

    def excluded(
        self,
        users: Sequence[int | str],
        exclude_seen: bool | Sequence[bool],
        exclude: Sequence[int | str],
    ) -> list[list[Any]]:
        """Return what each user must not get: what they have had, where asked, and `exclude`."""
        seen = [exclude_seen] * len(users) if isinstance(exclude_seen, bool) else exclude_seen
        return [
            [*(self._ids_at(self.histories.rows(user)) if left_out else ()), *exclude]
            for user, left_out in zip(users, seen, strict=True)
        ]

    def similar(self, item: int | str, k: int = 10) -> SearchResult:
        """Return the candidates that point the same way as one of them.

        The index is searched for the candidate's own embedding, and the best 10 k of that search
        (at least 200) are ordered by cosine, so that a popular candidate with a long embedding is
        not similar to everything.

        Args:
            item: A candidate.
            k: How many, from 1 to 1,000.

        Returns:
            Scores (cosine), ids and rows of shape (1, k).

        Raises:
            ValueError: `item` is no candidate.
        """
        query = self.index.vectors([item])
        wide = self.search(query, min(max(10 * k, 200), _MOST), exclude=[[item]])
        rows = wide.rows[0][wide.rows[0] >= 0]
        vectors = self.index.vectors(self._ids_at(rows))
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        cosines = (vectors @ query[0]) / np.maximum(lengths, np.finfo(np.float32).tiny)
        best = np.lexsort((rows, -cosines))[:k]
        scores = np.full((1, k), -np.inf, np.float32)
        found = np.full((1, k), -1, np.int64)
        scores[0, : best.size], found[0, : best.size] = cosines[best], rows[best]
        ids: Any = np.full(
            (1, k), -1 if self.items.id_array.dtype.kind == "i" else "", wide.ids.dtype
        )
        ids[0, : best.size] = self.items.id_array[rows[best]]
        return SearchResult(scores, ids, found)

    def search(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        *,
        exclude: Sequence[Sequence[int | str]] | None = None,
        allow: Sequence[int | str] | None = None,
        exact: bool = False,
    ) -> SearchResult:
        """Search the index, on the calling thread only: `Index.search` with ids of any kind."""
        return self.index.search(
            queries,
            k,
            settings=_EXACT if exact else None,
            exclude=exclude if exclude is not None and any(map(len, exclude)) else None,
            allow=allow,
            threads=1,
        )

    def _ids_at(self, rows: npt.NDArray[np.int64]) -> list[Any]:
        ids: list[Any] = self.items.id_array[rows].tolist()
        return ids

    @classmethod
    def _load_once(cls, folder: Path, mmap: bool) -> "Bundle":
        manifest = verify(folder)
        try:
            index = Index.load(folder / "index.slx", mmap=mmap)
        except ValueError as error:
            raise BundleError(f"{folder / 'index.slx'} cannot be read: {error}") from None
        items = Items.read(folder / "items.parquet")
        check_same_ids(items, index)
        if "histories.parquet" in manifest.files:
            histories = Histories.read(folder / "histories.parquet", len(items))
        else:
            histories = Histories.empty()
        tower = QueryTower((folder / "query_tower.onnx").read_bytes(), _read_users(folder))
        check_dimension(tower, index)
        run = _read_json(folder / "run.json")
        return cls(manifest, tower, index, items, histories, run)


def _facts(index: Index, users: Vocabulary, histories: Histories | None) -> dict[str, Any]:
    """What the model card says of the contents."""
    return {
        "candidates": len(index),
        "users": len(users),
        "dimensions": index.dim,
        "metric": index.metric,
        "users with a history": len(histories or ()),
    }


def _state(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


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
