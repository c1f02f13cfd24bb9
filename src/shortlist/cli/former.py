"""The bundle from which `shortlist train --from` starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

    from shortlist.models import TwoTower

# The settings of `Recipe` that say how a model is trained; all others say what it is.
_OF_TRAINING = {
    "split",
    "test",
    "epochs",
    "batch_size",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "decay",
    "patience",
    "seed",
}


@dataclass(frozen=True)
class Former:
    """A model that goes on learning.

    Attributes:
        path: Of its bundle.
        model: As it was trained.
        arguments: The settings of `Recipe` that it was made by.
        items: What is known of each item, with a column `item_id`.
    """

    path: Path
    model: TwoTower
    arguments: Mapping[str, Any]
    items: pl.DataFrame

    @classmethod
    def load(cls, path: Path) -> Former:
        """Loads the bundle.

        Raises:
            BundleError: It is damaged, holds no weights, or was not made by `shortlist train`.
        """
        from shortlist.bundle import Bundle
        from shortlist.bundle.manifest import BundleError

        bundle = Bundle.load(path, mmap=True)
        arguments = bundle.run.get("arguments")
        if not isinstance(arguments, Mapping) or "objective" not in arguments:
            raise BundleError(
                f"{path} does not say by which settings it was trained, as `shortlist train` "
                "writes them. In Python: Bundle.load_model(path).grown(interactions)."
            )
        table = bundle.items.table
        return cls(
            path, Bundle.load_model(path), arguments, table.rename({table.columns[0]: "item_id"})
        )

    def settings(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings of this model, and those given of how to train it.

        Raises:
            ValueError: A setting of another model.
        """
        for name, value in given.items():
            was = self.arguments.get(name)
            plain = list(value) if isinstance(value, tuple) else value
            if name not in _OF_TRAINING and plain != was:
                raise ValueError(
                    f"{self.path} was trained with {name} {was!r}, and {value!r} is asked for: "
                    f"that is another model. Leave {name} out, or train without --from."
                )
        arguments = {**self.arguments, **given}
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in arguments.items()
        }
