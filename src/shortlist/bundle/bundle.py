"""The saved artefact: query tower, index, item table, histories and how they came to be."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shortlist.bundle.answering import Answering
from shortlist.bundle.atomic import replaced_folder
from shortlist.bundle.candidate import (
    CANDIDATE,
    CandidateTower,
    candidate_parts,
    read_candidate,
    write_candidate,
)
from shortlist.bundle.checks import check_dimension, check_kinds, collected, in_row_order
from shortlist.bundle.files import read_json, versions, write_run
from shortlist.bundle.items import Items
from shortlist.bundle.learnt import WEIGHTS, read_model, weights_of
from shortlist.bundle.manifest import BundleError, Manifest, verify, write_manifest
from shortlist.bundle.query import EMBEDDINGS, made_tower, query_parts, read_query, write_query
from shortlist.data import DataError, Histories, Vocabulary
from shortlist.data.features import FeatureSpec
from shortlist.index import Index, SearchSettings

if TYPE_CHECKING:
    from shortlist.models import TwoTower

_LOAD_ATTEMPTS = 5
HISTORIES = "histories.parquet"


@dataclass(frozen=True)
class Bundle(Answering):
    """A model ready to serve; needs ONNX Runtime and the engine, not Keras.

    Args:
        tower: Users to embeddings.
        index: The candidates' embeddings, searchable.
        items: What is known of each candidate.
        histories: What each user has had, by id; empty where none were saved.
        manifest: What the files are.
        run: How the model came to be: seed, versions, data, arguments, metrics.
        candidate_tower: Items to embeddings, by their attributes; None where there is none, as for
            a model that knows items by their id alone.

    Example:
        >>> Bundle.load("nowhere")
        Traceback (most recent call last):
        shortlist.bundle.manifest.BundleError: nowhere is not a bundle: there is no such folder.
    """

    manifest: Manifest
    run: Mapping[str, Any]
    candidate_tower: CandidateTower | None = None

    @classmethod
    def save(
        cls,
        path: str | os.PathLike[str],
        *,
        query_tower: Any,
        users: Vocabulary,
        index: Index,
        items: Any,
        interactions: Any = None,
        run: Mapping[str, Any] | None = None,
        user_embeddings: npt.NDArray[np.float32] | None = None,
        features: FeatureSpec | None = None,
        id_column: str | None = None,
        candidate_tower: CandidateTower | None = None,
        weights: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Manifest:
        """Write a bundle in one step: `path` holds the old bundle or the new one, never a mixture.

        Args:
            path: A folder; a bundle that is there is replaced.
            query_tower: A Keras model from the index of a user in `users` to their embedding, or
                the bytes of such an ONNX model. With `user_embeddings` it may take others: one
                input for each feature, by name, and `history`, rows of candidates plus one, of
                shape (n, w), padded with 0.
            users: The users the tower knows.
            index: The candidates.
            items: A table of Polars, pandas or Arrow, or a mapping of columns, with exactly the ids
                of the index in one column, in any order; `title`, which becomes text, and further
                columns are shown to people, each under its own name.
            interactions: What each user has had: `Interactions`, `Histories`, or any table with the
                columns `user_id`, `item_id` and, where known, `timestamp`. Put in time order;
                without times the order of the rows counts. Items that `index` does not hold are
                left out.
            run: What to remember of the training: plain data. Versions are added.
            user_embeddings: float32 (users + 1, d), what the tower gives for all that was known of
                each user, by index: they are served by it, and others by the tower.
            features: What the tower takes of a user, adapted; None for a tower that takes the
                index of the user alone, as `user_id`.
            id_column: The column of `items` with the ids; without it `id`, or else `item_id`.
            candidate_tower: What gives an item that comes later its embedding.
            weights: Arrays from which training can go on, as `save_model` keeps them.

        Returns:
            The manifest.

        Raises:
            BundleError: The parts do not belong together, `path` cannot take a bundle, or what was
                written does not load; what stood at `path` is then still there.
        """
        check_kinds(
            users=(users, Vocabulary, "a Vocabulary, as Vocabulary(ids) makes"),
            index=(index, Index, "an Index, as Index.build makes"),
            run=({} if run is None else run, Mapping, "a dictionary"),
        )
        ordered = in_row_order(items, index, id_column)
        run = {**(run or {}), "versions": {**versions(), **_mapping((run or {}).get("versions"))}}
        graph, tower = made_tower(query_tower, users, user_embeddings, features)
        check_dimension(tower, candidate_tower, index)
        histories = collected(interactions, index)
        with replaced_folder(Path(path)) as folder:
            write_query(folder, graph, tower, user_embeddings)
            if candidate_tower is not None:
                write_candidate(folder, candidate_tower)
            if weights is not None:
                np.savez(folder / WEIGHTS, **weights)  # type: ignore[arg-type]
            index.save(folder / "index.slx")
            ordered.write_parquet(folder / "items.parquet")
            if interactions is not None:
                histories.write_parquet(folder / HISTORIES)
            write_run(folder, run, index, tower, histories, candidate_tower)
            return cls._sealed(folder)

    @classmethod
    def save_model(
        cls,
        path: str | os.PathLike[str],
        model: "TwoTower",
        *,
        items: Any,
        interactions: Any = None,
        run: Mapping[str, Any] | None = None,
        id_column: str | None = None,
    ) -> Manifest:
        """Write a bundle of a trained model: its towers, and an index of its candidates.

        Args:
            path: A folder; a bundle that is there is replaced.
            model: A fitted model.
            items: As for `save`.
            interactions: As for `save`.
            run: As for `save`.
            id_column: As for `save`.

        Returns:
            The manifest.

        Raises:
            BundleError: The parts do not belong together, or `path` cannot take a bundle.
        """
        return cls.save(
            path,
            **query_parts(model),
            **candidate_parts(model),
            weights=weights_of(model),
            index=model.index(),
            items=items,
            interactions=interactions,
            run=run,
            id_column=id_column,
        )

    @classmethod
    def load_model(cls, path: str | os.PathLike[str]) -> "TwoTower":
        """Load the model of a bundle that `save_model` wrote, to train it further.

        Needs Keras. What its users have had is its `seen`.

        Args:
            path: The folder.

        Returns:
            The model with its weights; `TwoTower.grown` lets it know new ids.

        Raises:
            BundleError: The bundle is damaged, or holds no weights.
        """
        bundle = cls.load(path, mmap=True)
        if WEIGHTS not in bundle.manifest.files:
            raise BundleError(
                f"{path} holds no weights to go on from: its towers or its objective were not "
                "Shortlist's own. Train a new model."
            )
        model = read_model(Path(path) / WEIGHTS)
        model.seen = bundle.histories
        return model

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
            write_run(
                new,
                known,
                bundle.index,
                bundle.tower,
                bundle.histories,
                bundle.candidate_tower,
            )
            return cls._sealed(new)

    @classmethod
    def _sealed(cls, folder: Path) -> Manifest:
        """Write the manifest of a new folder, and refuse a bundle that would not load."""
        manifest = write_manifest(folder, f"shortlist {metadata.version('shortlist')}")
        try:
            cls._load_once(folder, mmap=True)
        except (BundleError, OSError) as error:
            raise BundleError(f"this bundle would not load, and is not kept: {error}") from error
        return manifest

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
        items = Items.read(folder / "items.parquet", index)
        histories = Histories.empty()
        if HISTORIES in manifest.files:
            try:
                histories = Histories.read_parquet(folder / HISTORIES)
            except DataError as error:
                raise BundleError(f"{error}") from None
        tower = read_query(folder, EMBEDDINGS in manifest.files)
        candidate = read_candidate(folder) if CANDIDATE in manifest.files else None
        check_dimension(tower, candidate, index)
        run = read_json(folder / "run.json")
        return cls(tower, index, items, histories, manifest, run, candidate)


def _mapping(given: Any) -> Mapping[str, Any]:
    """What was remembered before; nothing where it is no dictionary."""
    return given if isinstance(given, Mapping) else {}


def _state(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
