"""Whether the parts of a bundle belong together."""

import polars as pl

from shortlist.bundle.candidate import CandidateTower
from shortlist.bundle.manifest import BundleError
from shortlist.bundle.tower import QueryTower
from shortlist.data import DataError, Histories, Interactions
from shortlist.data.columns import Source, id_series
from shortlist.data.tables import TITLE, as_text
from shortlist.index import Index


def in_row_order(items: pl.DataFrame, index: Index, id_column: str | None = None) -> pl.DataFrame:
    """Return the items in the order of the index's rows, every candidate once.

    Args:
        items: A row for each candidate.
        index: The candidates.
        id_column: The column of the ids; without it `id`, or else `item_id`.

    Returns:
        The ids first, the title as text, and everything else as it was.

    Raises:
        BundleError: The items are not exactly the candidates, or have titles of no kind of text.
    """
    column = id_column or next((name for name in ("id", "item_id") if name in items.columns), "id")
    if column not in items.columns:
        raise BundleError(f"`items` must have a column {column!r}, got {items.columns}.")
    ids = id_series(index.ids, "ids").alias(column)
    try:
        items = items.with_columns(id_series(items[column], "items").alias(column))
        if TITLE in items.columns and column != TITLE:
            items = items.with_columns(as_text(items[TITLE], Source("`items`")))
    except DataError as error:
        raise BundleError(str(error)) from error
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


def check_dimension(tower: QueryTower, candidate: CandidateTower | None, index: Index) -> None:
    """Raise unless what the towers give fits the index."""
    for name, dim in (("query", tower.dim), ("candidate", candidate and candidate.dim)):
        if dim is not None and dim != index.dim:
            raise BundleError(
                f"the {name} tower gives {dim} dimensions, the index has {index.dim}."
            )


def collected(
    interactions: Interactions | Histories | pl.DataFrame | None, index: Index
) -> Histories:
    """Return the histories of the users, without items that are no candidates."""
    if interactions is None:
        return Histories.empty()
    try:
        if not isinstance(interactions, Histories):
            interactions = Histories.from_interactions(interactions)
        return interactions.among(index.ids)
    except ValueError as error:
        raise BundleError(f"`interactions` do not fit: {error}") from None
