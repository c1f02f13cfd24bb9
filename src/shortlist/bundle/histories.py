"""What each user has had: the rows of their candidates, oldest first."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.bundle.manifest import BundleError


class Histories:
    """Rows of the candidates each user has interacted with.

    Args:
        users: The users, int64 or str, all different.
        offsets: int64 of shape (users + 1,): user i has `rows[offsets[i]:offsets[i + 1]]`.
        rows: Rows in the index, oldest first.
    """

    def __init__(
        self, users: pl.Series, offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]
    ) -> None:
        self.users = users
        self._offsets = offsets
        self._rows = rows
        self._position = {user: position for position, user in enumerate(users)}

    @classmethod
    def from_interactions(cls, interactions: pl.DataFrame, items: pl.Series) -> "Histories":
        """Collect histories from a table.

        Args:
            interactions: Columns `user_id` and `item_id`, oldest first. Items that are not in
                `items` are left out, and of an item met twice only the last is kept.
            items: The ids of the candidates by row.
        """
        known = pl.DataFrame({"item_id": items, "row": np.arange(len(items), dtype=np.int64)})
        table = (
            interactions.select("user_id", "item_id")
            .unique(keep="last", maintain_order=True)
            .join(known, on="item_id", how="inner", maintain_order="left")
            .group_by("user_id", maintain_order=True)
            .agg("row")
            .sort("user_id")
        )
        return cls._from_table(table)

    @classmethod
    def empty(cls) -> "Histories":
        """Return the histories of nobody."""
        return cls(pl.Series("user_id", [], pl.Int64), np.zeros(1, np.int64), np.zeros(0, np.int64))

    @classmethod
    def read(cls, path: Path, n_items: int) -> "Histories":
        """Read what `write` wrote.

        Raises:
            BundleError: The file is not a table of histories over `n_items` candidates.
        """
        try:
            table = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BundleError(f"{path.name} cannot be read: {error}") from None
        schema = table.schema
        if schema.get("user_id") not in (pl.Int64, pl.String) or schema.get("row") != pl.List(
            pl.Int64
        ):
            raise BundleError(f"{path.name} must have the columns user_id and row, got {schema}.")
        if table.null_count().sum_horizontal().item() or table["user_id"].n_unique() != len(table):
            raise BundleError(f"{path.name} has a user that is missing or stands there twice.")
        histories = cls._from_table(table)
        rows = histories._rows
        if rows.size and (rows.min() < 0 or rows.max() >= n_items):
            raise BundleError(f"{path.name} names a row beyond the {n_items} candidates.")
        return histories

    def write(self, path: Path) -> None:
        """Write the histories as a Parquet table with the columns user_id and row (a list)."""
        lengths = np.diff(self._offsets)
        users = self.users.gather(np.repeat(np.arange(len(self.users)), lengths))
        table = pl.DataFrame({"user_id": users, "row": self._rows})
        table.group_by("user_id", maintain_order=True).agg("row").write_parquet(path)

    def __len__(self) -> int:
        """Return the number of users."""
        return len(self.users)

    def __contains__(self, user: object) -> bool:
        return user in self._position

    def rows(self, user: int | str) -> npt.NDArray[np.int64]:
        """Return the rows of a user's candidates, oldest first; none for one without history."""
        position = self._position.get(user)
        if position is None:
            return self._rows[:0]
        return self._rows[self._offsets[position] : self._offsets[position + 1]]

    @classmethod
    def _from_table(cls, table: pl.DataFrame) -> "Histories":
        lengths = table["row"].list.len().to_numpy()
        offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        rows = table["row"].explode().drop_nulls().to_numpy().astype(np.int64)
        return cls(table["user_id"], offsets, rows)
