"""The table of candidates: id, title and whatever else is known of each."""

import copy
from collections.abc import Iterable, Mapping, Sequence
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

    Attributes:
        table: As it was saved.
        ids: Those of the table.

    Raises:
        BundleError: The index does not hold the same candidates in the same order.

    Example:
        >>> index = Index.build(np.eye(2, dtype=np.float32), ["f1", "f2"])
        >>> items = Items(pl.DataFrame({"id": ["f1", "f2"], "title": ["Alien", "Brazil"]}), index)
        >>> items.titles(["f2"]), items.find("al", 5)
        (['Brazil'], ['f1'])
    """

    def __init__(self, table: pl.DataFrame, index: Index) -> None:
        self.table = table
        self.ids = table.to_series(0)
        titles = table["title"] if "title" in table.columns[1:] else self.ids.cast(pl.String)
        titles = titles.fill_null("")
        self._titles = titles.to_list()  # a list gives a title in 50 ns, a Series in 5 µs
        # What the table was saved with, and what is there now, whoever changes the index.
        self._saved = self._index = copy.copy(index)
        self._upserted: Mapping[Any, Mapping[str, Any]] = {}
        if not self.ids.equals(id_series(index.ids, "ids"), check_dtypes=True):
            raise BundleError("index.slx and items.parquet do not hold the same candidates.")

    @classmethod
    def read(cls, path: Path, index: Index) -> "Items":
        """Read the Parquet file of a bundle.

        Raises:
            BundleError: It is no Parquet file, does not begin with ids, or is not of this index.
        """
        try:
            table = pl.read_parquet(path)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise BundleError(f"{path.name} cannot be read: {error}") from None
        kinds = table.dtypes
        if not kinds or kinds[0] not in (pl.Int64, pl.String):
            raise BundleError(f"{path.name} must begin with ids of int64 or str: {table.schema}.")
        if "title" in table.columns[1:] and table.schema["title"] != pl.String:
            raise BundleError(f"the column title of {path.name} must be str: {table.schema}.")
        return cls(table, index)

    def changed(
        self, index: Index, upserted: Mapping[Any, Mapping[str, Any]], removed: Iterable[Any]
    ) -> "Items":
        """Return the items after a change; these stay as they are.

        Args:
            index: The candidates after it; not changed from now on.
            upserted: By id, all that is now known of an item, by column.
            removed: Ids of which nothing is known any more, and that `index` does not hold.
        """
        other = copy.copy(self)
        other.__dict__.pop("id_array", None)
        other._index = index
        known = {**self._upserted, **upserted}
        for item in removed:
            known.pop(item, None)
        other._upserted = known
        return other

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self._index)

    def __contains__(self, item: object) -> bool:
        """Return whether an id is a candidate."""
        return bool(self._index.rows([item])[0] >= 0)

    @property
    def text(self) -> bool:
        """Whether the ids are text."""
        return bool(self.ids.dtype == pl.String)

    @cached_property
    def id_array(self) -> npt.NDArray[Any]:
        """The ids of the candidates, by row of the index."""
        return self._index.ids

    def positions(self, ids: Sequence[int | str]) -> npt.NDArray[np.int64]:
        """Return where ids stand among the candidates of training; -1 for one that came later."""
        return self._saved.rows(ids) if len(ids) else np.zeros(0, np.int64)

    def unknown(self, item: object) -> str:
        """Return the sentence that says an item is not there, and which are."""
        return unknown_id("item", item, self.id_array)

    def titles(self, ids: Sequence[int | str]) -> list[str]:
        """Return the titles of candidates."""
        return [
            self._titles[row] if known is None else self._title(item, known)
            for item, row, known in zip(
                ids, self.positions(ids).tolist(), map(self._upserted.get, ids), strict=True
            )
        ]

    def details(self, item: int | str) -> dict[str, Any]:
        """Return everything that is known of a candidate, by column, besides its id."""
        columns = self.table.columns[1:]
        if (known := self._upserted.get(item)) is not None:
            return {column: known.get(column) for column in columns}
        row = self.table.row(int(self.positions([item])[0]), named=True)
        return {column: row[column] for column in columns}

    def _title(self, item: int | str, known: Mapping[str, Any]) -> str:
        return str(known.get("title") or "") if "title" in self.table.columns[1:] else str(item)

    @cached_property
    def _searched(self) -> pl.Series:
        return (" " + pl.Series(self._titles, dtype=pl.String)).str.to_lowercase()

    def find(self, text: str, limit: int) -> list[int | str]:
        """Return candidates with a word of the title, or the id, beginning with `text`.

        Args:
            text: The beginning of a word, in any case; empty finds the first candidates.
            limit: At most so many.
        """
        wanted = f" {text.strip().lower()}"
        item = parse_id(text, self.text)
        found = [] if item is None or item not in self else [item]
        found += [
            one
            for one, known in self._upserted.items()
            if wanted in f" {self._title(one, known)}".lower() and one != item
        ]
        if len(found) < limit:
            saved = self.ids.filter(self._searched.str.contains(wanted, literal=True))
            # So many that enough are left, whatever was changed.
            fewer = len(self._saved) - len(self._index)
            some = saved.head(limit + 2 * len(self._upserted) + fewer).to_list()
            rows = self._index.rows(some).tolist() if some else []
            found += [
                one
                for one, row in zip(some, rows, strict=True)
                if row >= 0 and one not in self._upserted and one != item
            ]
        return found[:limit]
