"""The table everything starts from: who chose what."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.columns import Source, unique_ids
from shortlist.data.errors import DataError
from shortlist.data.files import read_csv, read_parquet
from shortlist.data.tables import COLUMNS, Duplicates, read_tables


@dataclass(frozen=True, eq=False)
class Interactions:
    """Which user chose which item, and what is known of both.

    Made by one of the `from_…` methods, which check what they read.

    Attributes:
        frame: `user_id` and `item_id` (Int64 or String, as they came) and, where known, `rating`
            (Float32), `timestamp` (Int64, seconds since 1970-01-01 UTC), `weight` (Float32).
        users: `user_id`, each once, and one column per feature; or None.
        items: `item_id`, each once, and one column per feature; or None.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2], ["a", "b", "a"], rating=[5, 3, 4])
        >>> len(views), views.item_ids.tolist()
        (3, ['a', 'b'])
    """

    frame: pl.DataFrame
    users: pl.DataFrame | None = None
    items: pl.DataFrame | None = None

    @classmethod
    def from_polars(
        cls,
        frame: pl.DataFrame,
        *,
        users: Any = None,
        items: Any = None,
        columns: Mapping[str, str] | None = None,
        duplicates: Duplicates = "keep",
    ) -> "Interactions":
        """Read a Polars data frame.

        Args:
            frame: One row per interaction. `user_id` and `item_id` are needed; `rating`,
                `timestamp` and `weight` are taken where present; other columns are left out.
            users: User features: a table of any kind read here, with a column `user_id`.
            items: Item features: the same with `item_id`.
            columns: What the columns are called in the tables, by our name: for example
                `{"user_id": "userId", "item_id": "movieId"}`.
            duplicates: When a user chose an item more than once: `"keep"` every row; `"merge"`
                them into the latest (the last row where there are no times, weights added up);
                or raise an `"error"`.

        Raises:
            DataError: A column, value or table that cannot be used, with its place.

        Example:
            >>> frame = pl.DataFrame({"viewer": [1, 2], "film": [7, 7]})
            >>> names = {"user_id": "viewer", "item_id": "film"}
            >>> len(Interactions.from_polars(frame, columns=names))
            2
        """
        source = Source("the Polars frame")
        return cls(
            *read_tables(
                frame, source, users=users, items=items, columns=columns, duplicates=duplicates
            )
        )

    @classmethod
    def from_pandas(
        cls,
        frame: Any,
        *,
        users: Any = None,
        items: Any = None,
        columns: Mapping[str, str] | None = None,
        duplicates: Duplicates = "keep",
    ) -> "Interactions":
        """Read a pandas data frame; its index is left out. Arguments as in `from_polars`."""
        source = Source("the pandas frame")
        return cls(
            *read_tables(
                frame, source, users=users, items=items, columns=columns, duplicates=duplicates
            )
        )

    @classmethod
    def from_arrow(
        cls,
        table: Any,
        *,
        users: Any = None,
        items: Any = None,
        columns: Mapping[str, str] | None = None,
        duplicates: Duplicates = "keep",
    ) -> "Interactions":
        """Read a pyarrow table or record batch. Arguments as in `from_polars`."""
        source = Source("the Arrow table")
        return cls(
            *read_tables(
                table, source, users=users, items=items, columns=columns, duplicates=duplicates
            )
        )

    @classmethod
    def from_arrays(
        cls,
        user_ids: Any,
        item_ids: Any,
        *,
        rating: Any = None,
        timestamp: Any = None,
        weight: Any = None,
        users: Any = None,
        items: Any = None,
        duplicates: Duplicates = "keep",
    ) -> "Interactions":
        """Read one sequence per column, all of the same length.

        Args:
            user_ids: Integers or strings.
            item_ids: Integers or strings.
            rating: Numbers, or None.
            timestamp: Seconds since 1970 or date-times, or None.
            weight: Numbers from 0, or None.
            users: As in `from_polars`.
            items: As in `from_polars`.
            duplicates: As in `from_polars`.

        Raises:
            DataError: Lengths that differ, or a value that cannot be used, with its row.
        """
        given = zip(COLUMNS, (user_ids, item_ids, rating, timestamp, weight), strict=True)
        arrays = {name: values for name, values in given if values is not None}
        for name, values in arrays.items():
            if len(values) != len(user_ids):
                raise DataError(
                    f"`{name}` must be as long as `user_ids`, {len(user_ids)}, got {len(values)}."
                )
        return cls(
            *read_tables(
                arrays, Source("the arrays"), users=users, items=items, duplicates=duplicates
            )
        )

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        users: Any = None,
        items: Any = None,
        columns: Mapping[str, str] | None = None,
        duplicates: Duplicates = "keep",
        separator: str = ",",
        encoding: str = "utf-8",
        text_ids: bool = False,
    ) -> "Interactions":
        r"""Read a CSV file with a header; a byte-order mark and CRLF line ends do no harm.

        Args:
            path: The file; compressed with gzip, zlib or zstd or not.
            users: As in `from_polars`, or the path of another such file (or a Parquet file).
            items: The same.
            columns: As in `from_polars`.
            duplicates: As in `from_polars`.
            separator: What stands between columns, one character.
            encoding: The encoding of the text.
            text_ids: Read ids as text. Otherwise ids that are all whole numbers become integers.

        Raises:
            DataError: A file or value that cannot be used, with column and line.
            FileNotFoundError: No such file.
        """
        frame, source = read_csv(path, separator=separator, encoding=encoding)
        return cls(
            *read_tables(
                frame,
                source,
                users=users,
                items=items,
                columns=columns,
                duplicates=duplicates,
                text_ids=text_ids,
            )
        )

    @classmethod
    def from_parquet(
        cls,
        path: str | Path,
        *,
        users: Any = None,
        items: Any = None,
        columns: Mapping[str, str] | None = None,
        duplicates: Duplicates = "keep",
    ) -> "Interactions":
        """Read a Parquet file. Arguments as in `from_csv`.

        Raises:
            DataError: A file or value that cannot be used, with column and row.
            FileNotFoundError: No such file.
        """
        frame, source = read_parquet(path)
        return cls(
            *read_tables(
                frame, source, users=users, items=items, columns=columns, duplicates=duplicates
            )
        )

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.frame)

    @property
    def user_ids(self) -> npt.NDArray[Any]:
        """The different users who interacted, sorted: int64, or object (str)."""
        return unique_ids(self.frame["user_id"])

    @property
    def item_ids(self) -> npt.NDArray[Any]:
        """The different items interacted with, sorted: int64, or object (str)."""
        return unique_ids(self.frame["item_id"])

    def take(self, rows: npt.ArrayLike) -> "Interactions":
        """Return some of the interactions, with all that is known of users and items.

        Args:
            rows: Row numbers, or a boolean per row.

        Example:
            >>> Interactions.from_arrays([1, 2, 3], [7, 8, 9]).take([2, 0]).user_ids
            array([1, 3])
        """
        rows = np.asarray(rows)
        frame = self.frame.filter(rows) if rows.dtype == bool else self.frame[rows]
        return Interactions(frame, self.users, self.items)

    def fingerprint(self) -> str:
        """Return the SHA-256 of the users and items, in their order."""
        digest = hashlib.sha256()
        for column in ("user_id", "item_id"):
            digest.update("\n".join(map(str, self.frame[column])).encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        users, items = self.frame["user_id"].n_unique(), self.frame["item_id"].n_unique()
        return f"Interactions({len(self):,} of {users:,} users and {items:,} items)"
