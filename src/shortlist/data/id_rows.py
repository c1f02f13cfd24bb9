"""A column of ids, each as the row of its id among the different ones."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.columns import as_array
from shortlist.data.storage import Growing, counts, gathered, taken


@dataclass(frozen=True, eq=False)
class IdRows:
    """Ids that repeat: the different ones once, and for each value which of them it is.

    A value takes 4 bytes, and what counts or compares ids does so by small whole numbers.

    Attributes:
        ids: The different ids, sorted: Int64 or String.
        rows: (n,) int32, the row of each value in `ids`; mapped from a file where it is large.

    Example:
        >>> column = IdRows.of(pl.Series(["b", "a", "b"]))
        >>> column.ids.to_list(), column.rows.tolist()
        (['a', 'b'], [1, 0, 1])
    """

    ids: pl.Series
    rows: npt.NDArray[np.int32]

    @classmethod
    def of(cls, values: pl.Series) -> "IdRows":
        """Return a column of Int64 or String, none missing, as rows."""
        growing = GrowingIds()
        growing.append(values)
        return growing.whole()

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self.rows)

    @cached_property
    def array(self) -> npt.NDArray[Any]:
        """The different ids, sorted: int64, or object (str)."""
        return as_array(self.ids)

    def values(self, rows: slice = slice(None)) -> pl.Series:
        """Return the ids of some of the values, as they came."""
        return self.ids.gather(pl.Series(self.rows[rows]))

    def take(self, rows: npt.NDArray[Any]) -> "IdRows":
        """Return some of the values, by number or by a boolean each, and their ids only."""
        kept = taken(self.rows, rows)
        there = counts(kept, len(self.ids)) > 0
        if there.all():
            return IdRows(self.ids, kept)
        places = (np.cumsum(there) - 1).astype(np.int32)
        return IdRows(self.ids.filter(pl.Series(there)), gathered(places, kept))

    def cast(self, dtype: Any) -> "IdRows":
        """Return the same with ids of another type: Int64 or String.

        Raises:
            polars.exceptions.InvalidOperationError: Text that is no integer.
        """
        if dtype == self.ids.dtype:
            return self
        return _in_order(self.ids.cast(dtype), self.rows)

    def rows_in(self, other: "IdRows") -> npt.NDArray[np.int64]:
        """Return the row that each of the different ids has in another column; -1 for none."""
        table = pl.DataFrame({"id": other.ids, "row": np.arange(len(other.ids))})
        found = pl.DataFrame({"id": self.ids}).join(
            table, on="id", how="left", maintain_order="left"
        )
        return found["row"].fill_null(-1).to_numpy()


class GrowingIds:
    """A column of ids that grows at its end, read once from start to end."""

    def __init__(self) -> None:
        self._known: pl.Series | None = None  # in the order they came
        self._rows = Growing(np.int32)

    def append(self, values: pl.Series) -> None:
        """Add ids at the end, all of one type."""
        different = values.unique().alias("id")
        if self._known is None:
            self._known = different.sort()
        else:
            known = pl.DataFrame({"id": self._known})
            new = pl.DataFrame({"id": different}).join(known, on="id", how="anti")["id"]
            self._known = self._known.append(new.sort())
        table = pl.DataFrame(
            {"id": self._known, "row": np.arange(len(self._known), dtype=np.int32)}
        )
        found = pl.DataFrame({"id": values}).join(table, on="id", how="left", maintain_order="left")
        self._rows.append(found["row"].to_numpy())

    def whole(self) -> IdRows:
        """Return the column; nothing can be added any more."""
        rows = self._rows.whole()
        known = pl.Series("id", [], dtype=pl.Int64) if self._known is None else self._known
        return IdRows(known, rows) if known.is_sorted() else _in_order(known, rows)


def _in_order(ids: pl.Series, rows: npt.NDArray[np.int32]) -> IdRows:
    """Sort different ids, and change the rows with them."""
    order = ids.arg_sort().to_numpy()
    places = np.empty(len(order), np.int32)
    places[order] = np.arange(len(order), dtype=np.int32)
    return IdRows(ids.gather(pl.Series(order)), gathered(places, rows))
