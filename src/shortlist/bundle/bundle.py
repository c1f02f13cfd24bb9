"""`Bundle`: a trained model with what is needed to use and to judge it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from shortlist.bundle.manifest import replace_directory, verify_directory
from shortlist.data import Interactions, Vocabulary

if TYPE_CHECKING:
    from shortlist.models import TwoTower


@dataclass(frozen=True)
class Bundle:
    """A trained model, its items, and the interactions it learnt from and is judged by.

    Everything is saved as plain data (JSON, Parquet, Keras's `.keras` with standard layers); no
    file is a pickle, and loading runs no code from the bundle.

    Attributes:
        model: The trained model.
        train: What it learnt from.
        held_out: Interactions kept aside to judge it by; or None.
        run: How it came about: arguments, seed, versions, metrics; plain data.

    Example:
        >>> from shortlist.models import TwoTower
        >>> views = Interactions.from_arrays([1, 1, 2], [10, 20, 10])
        >>> model = TwoTower.from_interactions(views, embedding_dim=4)
        >>> _ = model.fit(views, epochs=1, progress=False)
        >>> Bundle(model, views).save(folder / "films")
        >>> Bundle.load(folder / "films").model.recommend([2], k=1).ids
        array([[20]])
    """

    model: TwoTower
    train: Interactions
    held_out: Interactions | None = None
    run: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Writes the bundle to a directory; another bundle that stands there is replaced.

        Args:
            path: The directory.

        Raises:
            BundleError: If something that is no bundle stands there.
        """
        with replace_directory(path) as directory:
            config = self.model.save_towers(directory)
            _write_json(directory / "model.json", config)
            _write_json(directory / "run.json", self.run)
            _table(self.model.users, self.train.users, "user_id").write_parquet(
                directory / "users.parquet"
            )
            _table(self.model.items, self.train.items, "item_id").write_parquet(
                directory / "items.parquet"
            )
            self.train.frame.write_parquet(directory / "train.parquet")
            if self.held_out is not None:
                self.held_out.frame.write_parquet(directory / "held_out.parquet")

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Reads a bundle back, after checking every file against the manifest.

        Args:
            path: The directory.

        Returns:
            The bundle; its model gives the same answers, on any Keras backend.

        Raises:
            BundleError: If it is missing, damaged, or of another format.
        """
        from shortlist.models import TwoTower

        directory = verify_directory(path)
        users = pl.read_parquet(directory / "users.parquet")
        items = pl.read_parquet(directory / "items.parquet")
        train = Interactions(pl.read_parquet(directory / "train.parquet"), users, items)
        held_out = directory / "held_out.parquet"
        model = TwoTower.load_towers(
            directory,
            json.loads((directory / "model.json").read_text(encoding="utf-8")),
            Vocabulary(users["user_id"]),
            Vocabulary(items["item_id"]),
        )
        model.remember(train)
        return cls(
            model=model,
            train=train,
            held_out=Interactions(pl.read_parquet(held_out), users, items)
            if held_out.exists()
            else None,
            run=json.loads((directory / "run.json").read_text(encoding="utf-8")),
        )

    def titles(self) -> dict[Any, str]:
        """Returns each item's title by its id; empty where the items have none."""
        return titles_of(self.train)


def titles_of(interactions: Interactions) -> dict[Any, str]:
    """Returns each item's title by its id; empty where the items have none."""
    items = interactions.items
    if items is None or "title" not in items.columns:
        return {}
    return dict(zip(items["item_id"], items["title"], strict=True))


def _table(vocabulary: Vocabulary, features: pl.DataFrame | None, key: str) -> pl.DataFrame:
    """The vocabulary's ids in their order, with what is known of them."""
    ids = pl.DataFrame({key: pl.Series(vocabulary.ids.tolist())})
    return (
        ids if features is None else ids.join(features, on=key, how="left", maintain_order="left")
    )


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
