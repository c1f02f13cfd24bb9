"""The table of candidates: id, title and whatever else is known of each."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.bundle.manifest import BundleError
from shortlist.data.columns import id_series
from shortlist.ids import parse_id, unknown_id
from shortlist.index import Index


class Items:
    """The candidates by row.

    Args:
        table: The ids (int64 or str) in the first column, whatever it is called, and any other
            columns; `title` (str) is what people see.
        index: The candidates, in the order of the rows: it finds an id in 1 µs, and a dictionary
            of 1.68 million would take 0.3 s to make.

    Raises:
        BundleError: The index does not hold the same candidates in the same order.
    """

    def __init__(self, table: pl.DataFrame, index: Index) -> None:
        self.table = table
        self.ids = table.to_series(0)
        titles = table["title"] if "title" in table.columns[1:] else self.ids.cast(pl.String)
        titles = titles.fill_null("")
        self._titles = titles.to_list()  # a list gives a title in 50 ns, a Series in 5 µs
        self.id_array: npt.NDArray[Any] = index.ids
        self._index = index
        if not self.ids.equals(id_series(self.id_array, "ids"), check_dtypes=True):
            raise BundleError("index.slx and items.parquet do not hold the same candidates.")

    @classmethod
    def read(cls, path: Path, index: Index) -> "Items":
        """Read the Parquet file of a bundle.

        Raises:
            BundleError: It is no Parquet file, does not begin with ids, or is not of this index.
        """
        try:
            table = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BundleError(f"{path.name} cannot be read: {error}") from None
        kinds = table.dtypes
        if not kinds or kinds[0] not in (pl.Int64, pl.String):
            raise BundleError(f"{path.name} must begin with ids of int64 or str: {table.schema}.")
        if "title" in table.columns[1:] and table.schema["title"] != pl.String:
            raise BundleError(f"the column title of {path.name} must be str: {table.schema}.")
        return cls(table, index)

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.table)

    def row(self, item: int | str) -> int | None:
        """Return the row of an id, or None for one that is not there."""
        row = int(self._index.rows([item])[0])
        return None if row < 0 else row

    def unknown(self, item: object) -> str:
        """Return the sentence that says an item is not there, and which are."""
        return unknown_id("item", item, self.id_array)

    def titles(self, rows: Sequence[int]) -> list[str]:
        """Return the titles of the candidates at `rows`."""
        return [self._titles[row] for row in rows]

    def details(self, row: int) -> dict[str, Any]:
        """Return everything the table says of the candidate at `row`, besides its id."""
        said = self.table.row(row, named=True)
        del said[self.ids.name]
        return said

    @cached_property
    def _searched(self) -> pl.Series:
        return (" " + pl.Series(self._titles, dtype=pl.String)).str.to_lowercase()

    def find(self, text: str, limit: int) -> npt.NDArray[np.int64]:
        """Return the rows of candidates with a word of the title, or the id, beginning with `text`.

        Args:
            text: The beginning of a word, in any case; empty finds the first candidates.
            limit: At most so many rows.
        """
        wanted = text.strip().lower()
        found = self._searched.str.contains(" " + wanted, literal=True)
        rows = np.flatnonzero(found.to_numpy())[:limit]
        item = parse_id(text, self.ids.dtype == pl.String)
        row = None if item is None else self.row(item)
        if row is not None:
            rows = np.concatenate([[row], rows[rows != row]])[:limit]
        return rows
