"""Whether the parts of a bundle belong together."""

import polars as pl

from shortlist.bundle.manifest import BundleError
from shortlist.bundle.tower import QueryTower
from shortlist.data import Histories, Interactions
from shortlist.data.columns import id_series
from shortlist.index import Index


def in_row_order(items: pl.DataFrame, index: Index) -> pl.DataFrame:
    """Return the items in the order of the index's rows, every candidate once."""
    if "id" not in items.columns:
        raise BundleError(f"`items` must have a column 'id', got {items.columns}.")
    ids = id_series(index.ids, "ids").alias("id")
    if items["id"].dtype != ids.dtype and items["id"].dtype.is_integer() == ids.dtype.is_integer():
        items = items.with_columns(pl.col("id").cast(ids.dtype))
    if items["id"].dtype != ids.dtype:
        raise BundleError(
            f"the ids of `items` are {items['id'].dtype}, those of `index` are {ids.dtype}."
        )
    if len(items) != len(ids):
        raise BundleError(f"`items` has {len(items)} rows, `index` has {len(ids)} candidates.")
    missing = ids.filter(~ids.is_in(items["id"].implode()))
    if len(missing):
        raise BundleError(
            f"`items` must name each candidate of `index` once; {missing[0]!r} is not there."
        )
    return ids.to_frame().join(items, on="id", how="inner", maintain_order="left")


def check_dimension(tower: QueryTower, index: Index) -> None:
    """Raise unless the tower's embeddings can be searched for in the index."""
    if tower.dim != index.dim:
        raise BundleError(
            f"the query tower gives {tower.dim} dimensions, the index has {index.dim}."
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
