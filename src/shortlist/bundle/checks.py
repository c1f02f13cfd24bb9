"""Whether the parts of a bundle belong together."""

from typing import Any

import polars as pl

from shortlist.bundle.candidate import CandidateTower
from shortlist.bundle.manifest import BundleError
from shortlist.bundle.tower import QueryTower
from shortlist.data import DataError, Histories, Interactions
from shortlist.data.columns import Source, id_series
from shortlist.data.tables import TITLE, as_frame, as_text
from shortlist.index import Index


def in_row_order(items: Any, index: Index, id_column: str | None = None) -> pl.DataFrame:
    """Return the items in the order of the index's rows, every candidate once.

    Args:
        items: A row for each candidate, in any kind of table.
        index: The candidates.
        id_column: The column of the ids; without it `id`, or else `item_id`.

    Returns:
        The ids first, the title as text, and everything else as it was.

    Raises:
        BundleError: The items are no table, are not exactly the candidates, have titles of no kind
            of text, or a column that cannot be kept.
    """
    source = Source("`items`")
    try:
        items = as_frame(items, source)
    except DataError as error:
        raise BundleError(str(error)) from None
    column = id_column or next((name for name in ("id", "item_id") if name in items.columns), "id")
    if column not in items.columns:
        raise BundleError(
            f"`items` must have a column {column!r} with the ids, got {items.columns}; "
            "`id_column` may name another."
        )
    ids = id_series(index.ids, "ids").alias(column)
    try:
        items = items.with_columns(id_series(items[column], "items").alias(column))
        if TITLE in items.columns and column != TITLE:
            items = items.with_columns(as_text(items[TITLE], source))
    except DataError as error:
        raise BundleError(str(error)) from error
    for name, dtype in items.schema.items():
        if dtype == pl.Object:
            raise BundleError(
                f"`items`, column {name!r}: expected numbers, text, dates, or lists of them, got "
                f"Python objects as {items[name].drop_nulls()[0]!r}; convert or drop the column."
            )
    if items[column].dtype != ids.dtype:
        raise BundleError(
            f"the ids of `items` are {items[column].dtype}, those of `index` are {ids.dtype}."
        )
    if len(items) != len(ids):
        raise BundleError(f"`items` has {len(items)} rows, `index` has {len(ids)} candidates.")
    missing = ids.filter(~ids.is_in(items[column].implode()))
    if len(missing):
        raise BundleError(
            f"`items` must name each candidate of `index` once; {missing[0]!r} is not there."
        )
    return ids.to_frame().join(items, on=column, how="inner", maintain_order="left")


def check_kinds(**parts: tuple[Any, type, str]) -> None:
    """Raise unless each part, by its name, is of its kind: (part, kind, what it must be)."""
    for name, (part, kind, expected) in parts.items():
        if not isinstance(part, kind):
            raise BundleError(f"`{name}` must be {expected}, got {type(part).__name__}.")


def check_dimension(tower: QueryTower, candidate: CandidateTower | None, index: Index) -> None:
    """Raise unless what the towers give fits the index."""
    for name, dim in (("query", tower.dim), ("candidate", candidate and candidate.dim)):
        if dim is not None and dim != index.dim:
            raise BundleError(
                f"the {name} tower gives {dim} dimensions, the index has {index.dim}."
            )


def collected(interactions: Any, index: Index) -> Histories:
    """Return the histories of the users, without items that are no candidates."""
    if interactions is None:
        return Histories.empty()
    try:
        if not isinstance(interactions, Interactions | Histories):
            interactions = as_frame(interactions, Source("`interactions`"))
        if not isinstance(interactions, Histories):
            interactions = Histories.from_interactions(interactions)
        histories: Histories = interactions
        return histories.among(index.ids)
    except ValueError as error:
        raise BundleError(f"`interactions` do not fit: {error}") from None
