"""The table of candidates: id, title and whatever else is known of each."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.bundle.manifest import BundleError


class Items:
    """The candidates by row.

    Args:
        table: A column `id` (int64 or str) and any others; `title` (str) is what people see. The
            rows stand in the order of the index.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table
        self.ids = table["id"]
        titles = table["title"] if "title" in table.columns else self.ids.cast(pl.String)
        self._titles = titles.fill_null("")
        self._rows: dict[Any, int] = {item: row for row, item in enumerate(self.ids)}
        self.id_array: npt.NDArray[Any] = (
            self.ids.to_numpy()
            if self.ids.dtype == pl.Int64
            else np.array(self.ids.to_list(), dtype=object)
        )
        self._searched = (" " + self._titles).str.to_lowercase()

    @classmethod
    def read(cls, path: Path) -> "Items":
        """Read the Parquet file of a bundle.

        Raises:
            BundleError: It is no Parquet file, or has no good `id` column.
        """
        try:
            table = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise BundleError(f"{path.name} cannot be read: {error}") from None
        if table.schema.get("id") not in (pl.Int64, pl.String):
            raise BundleError(f"{path.name} must have a column id of int64 or str: {table.schema}.")
        if table.schema.get("title", pl.String) != pl.String:
            raise BundleError(f"the column title of {path.name} must be str: {table.schema}.")
        items = cls(table)
        if len(items._rows) != len(table) or None in items._rows:
            raise BundleError(f"{path.name} has an id that is missing or stands there twice.")
        return items

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.table)

    def row(self, item: int | str) -> int | None:
        """Return the row of an id, or None for one that is not there."""
        return self._rows.get(item)

    def titles(self, rows: npt.NDArray[np.int64]) -> list[str]:
        """Return the titles of the candidates at `rows`."""
        return self._titles.gather(rows).to_list()

    def details(self, row: int) -> dict[str, Any]:
        """Return everything the table says of the candidate at `row`."""
        return self.table.row(row, named=True)

    def find(self, text: str, limit: int) -> npt.NDArray[np.int64]:
        """Return the rows of candidates with a word of the title, or the id, beginning with `text`.

        Args:
            text: The beginning of a word, in any case; empty finds the first candidates.
            limit: At most so many rows.
        """
        wanted = text.strip().lower()
        found = self._searched.str.contains(" " + wanted, literal=True)
        rows = np.flatnonzero(found.to_numpy())[:limit]
        for candidate in (text, _as_int(text)):
            row = self.row(candidate) if candidate is not None else None
            if row is not None and row not in rows:
                rows = np.concatenate([[row], rows])[:limit]
        return rows


def parse_id(value: Any, ids: pl.Series) -> int | str | None:
    """Return a value as an id of the type of `ids`: "42" and 42 name the same user.

    Args:
        value: What came with a request.
        ids: The ids there are; their type counts.

    Returns:
        The id, or None where the value cannot be one.
    """
    if ids.dtype == pl.String:
        return str(value) if isinstance(value, int | str) and value is not True else None
    return _as_int(value)


def _as_int(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip()
        if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 19:
            return None
        value = int(text)
    return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None
