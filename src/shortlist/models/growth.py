"""A warm start: a trained model that also knows the ids of new interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from shortlist.data import Histories, Interactions, Vocabulary
from shortlist.data.features import Category, Cross, FeatureSpec, Output
from shortlist.models.inputs import (
    HISTORY,
    Columns,
    feature_columns,
    history_output,
    id_columns,
    id_output,
)
from shortlist.models.tower import Tower

if TYPE_CHECKING:
    from shortlist.models.two_tower import TwoTower


def grown(model: TwoTower, train: Interactions) -> tuple[Tower, Tower, Columns, Columns]:
    """Returns the towers and inputs of a model for the users and items of `train` as well.

    Args:
        model: With towers of class `Tower`, and the inputs that `from_interactions` makes.
        train: Interactions, with the tables that the features read.

    Returns:
        Query tower, candidate tower, and the inputs of both.

    Raises:
        ValueError: Towers or inputs of another kind.
        DataError: Features that read a table which `train` does not have.
    """
    users, items = later(model.users, train.user.ids), later(model.items, train.item.ids)
    ours = isinstance(model.query_tower, Tower) and isinstance(model.candidate_tower, Tower)
    query_inputs, candidate_inputs = model.query_inputs, model.candidate_inputs
    if not (ours and isinstance(query_inputs, Columns) and isinstance(candidate_inputs, Columns)):
        raise ValueError(
            "`grown` needs towers made by TwoTower.from_interactions, since it must know what each "
            "row of their tables is; build towers of your own again, and copy what you know."
        )
    query, query_columns = _side("user_id", users, query_inputs, train.users)
    if model.moments is not None:
        query |= model.moments.features.outputs
    if model.history:
        query[HISTORY] = history_output(items)
    candidate, candidate_columns = _side("item_id", items, candidate_inputs, train.items)
    return (
        _tower(model.query_tower, query),
        _tower(model.candidate_tower, candidate),
        query_columns,
        candidate_columns,
    )


def later(known: Vocabulary, ids: Any) -> Vocabulary:
    """Returns a vocabulary in which ids that are not known come after those that are."""
    fresh = Vocabulary.from_ids(ids)
    new = fresh.ids[known.encode(fresh.ids) == 0]
    return Vocabulary([*known.ids, *new]) if len(new) else known


def together(earlier: Histories | None, train: Interactions) -> Histories:
    """Returns what users had before and in `train`; an interaction in both counts once."""
    if earlier is None or not len(earlier.item_ids):
        return Histories.from_interactions(train)
    tables = [earlier.to_frame(), train.frame]
    names = [
        name
        for name in ("user_id", "item_id", "timestamp")
        if all(name in table.columns for table in tables)
    ]
    both = pl.concat([table.select(names) for table in tables])
    return Histories.from_interactions(both.unique(maintain_order=True))


def _side(
    key: str, vocabulary: Vocabulary, inputs: Columns, table: pl.DataFrame | None
) -> tuple[dict[str, Output], Columns]:
    """The features of a tower, and their values for every id."""
    if inputs.features is None:
        return {key: id_output(vocabulary)}, id_columns(vocabulary, key)
    spec = _with_new_values(inputs.features, key, vocabulary, table)
    spec, columns = feature_columns(spec, table, vocabulary, key)
    if table is not None:  # an id that it no longer names keeps what was known
        for name, known in inputs.arrays.items():
            absent = np.flatnonzero(~np.isin(np.arange(len(known)), vocabulary.encode(table[key])))
            columns.arrays[name][absent] = known[absent]
    return dict(spec.outputs), columns


def _with_new_values(
    spec: FeatureSpec, key: str, vocabulary: Vocabulary, table: pl.DataFrame | None
) -> FeatureSpec:
    """The spec with new values after the known ones; in a cross each index has its place."""
    crossed = {
        name for feature in spec.values() if isinstance(feature, Cross) for name in feature.of
    }
    changed: dict[str, Any] = dict(spec)
    for name, feature in spec.items():
        if not isinstance(feature, Category) or name in crossed or feature.most is not None:
            continue
        known, fresh = feature.vocabulary, None
        if feature.column == key:
            fresh = Vocabulary.from_ids(vocabulary.ids)
        elif table is not None:
            fresh = replace(feature, vocabulary=None).adapt(table[str(feature.column)]).vocabulary
        if known is not None and fresh is not None and len(fresh):
            changed[name] = replace(feature, vocabulary=later(known, fresh.ids))
    return FeatureSpec(changed)


def _tower(old: Tower, features: Mapping[str, Output]) -> Tower:
    """The tower with larger tables, whose first rows are the old ones."""
    config = old.get_config()
    outputs = {name: asdict(features[name]) for name in config["features"]}
    tower = Tower.from_config({**config, "features": outputs})
    weights = tower.get_weights()
    for new, known in zip(weights, old.get_weights(), strict=True):
        new[tuple(slice(length) for length in known.shape)] = known
    tower.set_weights(weights)
    return tower
