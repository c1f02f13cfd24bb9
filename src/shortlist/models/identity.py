"""What a training is, as plain data: two that have the same identity have the same result."""

from __future__ import annotations

from hashlib import sha256
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from shortlist.data import Interactions, Vocabulary
from shortlist.data.storage import blocks
from shortlist.models.tower import Tower

if TYPE_CHECKING:
    from shortlist.models.two_tower import TwoTower


def identity(
    model: TwoTower, train: Interactions, validation: Interactions | None, **settings: Any
) -> dict[str, Any]:
    """Returns what decides the result of a training.

    Args:
        model: What is trained. Of towers other than `Tower`, the shapes of their weights count.
        train: What it learns from.
        validation: What it is measured on.
        **settings: Of the training.
    """
    return {
        "backend": keras.backend.backend(),
        "versions": {name: version(name) for name in ("shortlist", "keras", "numpy")},
        "objective": repr(model.objective),
        "rating_range": model.rating_range,
        "seed": model.seed,
        "users": _hash_of(model.users),
        "items": _hash_of(model.items),
        "query_tower": _settings_of(model.query_tower),
        "query_inputs": _hash_of_arrays(model.query_inputs(np.arange(model.users.size))),
        "candidate_tower": _settings_of(model.candidate_tower),
        "candidate_inputs": _hash_of_arrays(model.candidate_inputs(np.arange(model.items.size))),
        "train": _hash_of(train),
        "validation": validation and _hash_of(validation),
        **settings,
    }


def _hash_of(data: Interactions | Vocabulary) -> dict[str, str]:
    """A hash of ids, and of all that is known of each interaction, in their order."""
    digest = sha256()
    if isinstance(data, Vocabulary):
        digest.update("\n".join(map(str, data.ids)).encode())
        return {"sha256": digest.hexdigest()}
    for ids in (data.user.ids, data.item.ids):
        digest.update("\n".join(map(str, ids)).encode())
    for name, column in {"user": data.user.rows, "item": data.item.rows, **data.values}.items():
        digest.update(name.encode())
        for rows in blocks(len(data), column):
            digest.update(np.ascontiguousarray(column[rows]).data)
    return {"sha256": digest.hexdigest()}


def _hash_of_arrays(arrays: Any) -> dict[str, str]:
    digest = sha256()
    for array in keras.tree.flatten(arrays):
        digest.update(np.ascontiguousarray(array).data)
    return {"sha256": digest.hexdigest()}


def _settings_of(tower: keras.Model) -> dict[str, Any]:
    settings = tower.get_config() if isinstance(tower, Tower) else {}
    return {**settings, "shapes": [list(weight.shape) for weight in tower.weights]}
