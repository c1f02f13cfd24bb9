"""A trained model as plain data and arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy.typing as npt

from shortlist.data import Vocabulary
from shortlist.data.features import FeatureSpec
from shortlist.models.inputs import Columns, Moments
from shortlist.models.objectives import OBJECTIVES, MultiTask, Objective, Rating, Retrieval
from shortlist.models.tower import Tower
from shortlist.models.two_tower import TwoTower

Arrays = dict[str, npt.NDArray[Any]]


def parts_of(model: TwoTower) -> tuple[dict[str, Any], Arrays] | None:
    """Returns a model as plain data, fit for JSON, and arrays; without what users have had.

    Args:
        model: Any model.

    Returns:
        The data and the arrays by name; None where a tower is no `Tower`, or an input or the
        objective is a caller's own: those are code.
    """
    names = {type_: name for name, type_ in OBJECTIVES.items()}
    towers = {"query": model.query_tower, "candidate": model.candidate_tower}
    given = {"query": model.query_inputs, "candidate": model.candidate_inputs}
    inputs = {side: columns for side, columns in given.items() if isinstance(columns, Columns)}
    ours = len(inputs) == 2 and all(type(tower) is Tower for tower in towers.values())
    if not ours or type(model.objective) not in names:
        return None
    data: dict[str, Any] = {
        "users": model.users.to_dict(),
        "items": model.items.to_dict(),
        "objective": {names[type(model.objective)]: asdict(model.objective)},  # type: ignore[call-overload]
        "time_features": model.moments and model.moments.features.to_dict(),
        "history": model.history,
        "rating_range": model.rating_range,
        "seed": model.seed,
    }
    arrays: Arrays = {}
    for side, tower in towers.items():
        features = inputs[side].features
        data[side] = {"tower": tower.get_config(), "features": features and features.to_dict()}
        arrays |= {f"{side}/inputs/{name}": a for name, a in inputs[side].arrays.items()}
        arrays |= {f"{side}/weights/{at}": a for at, a in enumerate(tower.get_weights())}
    return data, arrays


def model_of(data: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> TwoTower:
    """Returns the model that `parts_of` took apart.

    Raises:
        ValueError, KeyError, TypeError: These are not its parts.
    """
    towers, inputs = {}, {}
    for side in ("query", "candidate"):
        kept, features = data[side], data[side]["features"]
        towers[side] = tower = Tower.from_config(dict(kept["tower"]))
        tower.set_weights([arrays[f"{side}/weights/{at}"] for at in range(len(tower.weights))])
        given = f"{side}/inputs/"
        inputs[side] = Columns(
            {name.removeprefix(given): arrays[name] for name in arrays if name.startswith(given)},
            features and FeatureSpec.from_dict(features),
        )
    times = data["time_features"]
    return TwoTower(
        towers["query"],
        towers["candidate"],
        Vocabulary.from_dict(data["users"]),
        Vocabulary.from_dict(data["items"]),
        objective=_objective(data["objective"]),
        query_inputs=inputs["query"],
        candidate_inputs=inputs["candidate"],
        history=data["history"],
        moments=times and Moments(FeatureSpec.from_dict(times)),
        rating_range=data["rating_range"] and tuple(data["rating_range"]),
        seed=data["seed"],
    )


def _objective(kept: Mapping[str, Mapping[str, Any]]) -> Objective:
    ((name, settings),) = kept.items()
    if OBJECTIVES[name] is MultiTask:
        parts = {
            "rating": Rating(**settings["rating"]),
            "retrieval": Retrieval(**settings["retrieval"]),
        }
        return MultiTask(**{**settings, **parts})
    return OBJECTIVES[name](**settings)
