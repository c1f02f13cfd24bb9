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
from shortlist.data.files import read_table
from shortlist.data.tables import COLUMNS, Duplicates, read_tables
from shortlist.data.times import TimeUnit


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
        text_ids: bool = False,
        time_unit: TimeUnit | None = None,
    ) -> "Interactions":
        """Read a Polars data frame.

        Args:
            frame: One row per interaction. `user_id` and `item_id` are needed; `rating`,
                `timestamp` and `weight` are taken where present; other columns are left out.
            users: User features: a table of any kind read here or the path of one, with a column
                `user_id`.
            items: Item features: the same with `item_id`. Its `title` becomes text.
            columns: What the columns are called in the tables, by our name: for example
                `{"user_id": "userId", "item_id": "movieId"}`. A column of `users` or `items` that
                has our name and is another then becomes `own_user_id` or `own_item_id`.
            duplicates: When a user chose an item more than once: `"keep"` every row; `"merge"`
                them into the latest (the last row where there are no times, weights added up);
                or raise an `"error"`.
            text_ids: Make all ids text. Otherwise integers stay integers and text stays text; a
                column of a text file becomes integers where every id is a plain one.
            time_unit: What numbers in `timestamp` count since 1970: `"s"`, `"ms"`, `"us"` or
                `"ns"`. Without it their size tells.

        Raises:
            DataError: A column, value or table that cannot be used, with its place.

        Example:
            >>> frame = pl.DataFrame({"viewer": [1, 2], "film": [7, 7]})
            >>> names = {"user_id": "viewer", "item_id": "film"}
            >>> len(Interactions.from_polars(frame, columns=names))
            2
        """
        return cls(
            *read_tables(
                frame,
                Source("the Polars frame"),
                users=users,
                items=items,
                columns=columns,
                duplicates=duplicates,
                text_ids=text_ids,
                time_unit=time_unit,
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
        text_ids: bool = False,
        time_unit: TimeUnit | None = None,
    ) -> "Interactions":
        """Read a pandas data frame; its index is left out. Arguments as in `from_polars`."""
        return cls(
            *read_tables(
                frame,
                Source("the pandas frame"),
                users=users,
                items=items,
                columns=columns,
                duplicates=duplicates,
                text_ids=text_ids,
                time_unit=time_unit,
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
        text_ids: bool = False,
        time_unit: TimeUnit | None = None,
    ) -> "Interactions":
        """Read a pyarrow table or record batch. Arguments as in `from_polars`."""
        return cls(
            *read_tables(
                table,
                Source("the Arrow table"),
                users=users,
                items=items,
                columns=columns,
                duplicates=duplicates,
                text_ids=text_ids,
                time_unit=time_unit,
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
        text_ids: bool = False,
        time_unit: TimeUnit | None = None,
    ) -> "Interactions":
        """Read one sequence per column, all of the same length.

        Args:
            user_ids: Whatever `shortlist.ids.as_ids` takes.
            item_ids: The same.
            rating: Numbers, or None.
            timestamp: Dates, date-times, numbers since 1970 or text of either; or None.
            weight: Numbers from 0, or None.
            users: As in `from_polars`.
            items: As in `from_polars`.
            duplicates: As in `from_polars`.
            text_ids: As in `from_polars`.
            time_unit: As in `from_polars`.

        Raises:
            DataError: Lengths that differ, or a value that cannot be used, with its row.
        """
        given = zip(COLUMNS, (user_ids, item_ids, rating, timestamp, weight), strict=True)
        arrays = {name: values for name, values in given if values is not None}
        for name, values in arrays.items():
            if not hasattr(values, "__len__"):
                raise DataError(f"`{name}` must be a sequence, got {values!r}.")
            if len(values) != len(user_ids):
                raise DataError(
                    f"`{name}` must be as long as `user_ids`, {len(user_ids)}, got {len(values)}."
                )
        return cls(
            *read_tables(
                arrays,
                Source("the arrays"),
                users=users,
                items=items,
                duplicates=duplicates,
                text_ids=text_ids,
                time_unit=time_unit,
            )
        )

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        users: Any = None,
        items: Any = None,
        columns: Mapping[str, str] | None = None,
        duplicates: Duplicates = "keep",
        separator: str | None = None,
        encoding: str | None = None,
        text_ids: bool = False,
        time_unit: TimeUnit | None = None,
    ) -> "Interactions":
        """Read a file, a folder of files, or the files that a pattern names.

        What a file is, its name and its first bytes tell: text with columns (`.csv`, `.tsv`,
        `.txt`), Parquet (`.parquet`, `.pq`), Arrow (`.feather`, `.arrow`, `.ipc`), a JSON object
        a line (`.jsonl`, `.ndjson`) or a JSON list (`.json`). Text and JSON may be compressed with
        gzip, zlib, bzip2, xz or zstd. Folders called `column=value` are read as columns.

        Args:
            path: The file, the folder, or a pattern such as `views/*.parquet`.
            users: As in `from_polars`; a path as here.
            items: The same.
            columns: As in `from_polars`.
            duplicates: As in `from_polars`.
            separator: What stands between columns of text: one character. Without it, what splits
                header and first rows best of comma, semicolon, tab and `|`.
            encoding: The encoding of text. Without it what a byte-order mark says, else UTF-8.
            text_ids: As in `from_polars`.
            time_unit: As in `from_polars`.

        Raises:
            DataError: A file or value that cannot be used, with column and line.
            FileNotFoundError: No such file.
        """
        frame, source = read_table(path, separator=separator, encoding=encoding)
        return cls(
            *read_tables(
                frame,
                source,
                users=users,
                items=items,
                columns=columns,
                duplicates=duplicates,
                text_ids=text_ids,
                time_unit=time_unit,
                separator=separator,
                encoding=encoding,
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
        separator: str | None = None,
        encoding: str | None = None,
        text_ids: bool = False,
        time_unit: TimeUnit | None = None,
    ) -> "Interactions":
        """Read text with columns and a header. Arguments as in `from_file`.

        Raises:
            DataError: A file or value that cannot be used, with column and line.
            FileNotFoundError: No such file.
        """
        frame, source = read_table(path, kind="CSV", separator=separator, encoding=encoding)
        return cls(
            *read_tables(
                frame,
                source,
                users=users,
                items=items,
                columns=columns,
                duplicates=duplicates,
                text_ids=text_ids,
                time_unit=time_unit,
                separator=separator,
                encoding=encoding,
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
        text_ids: bool = False,
        time_unit: TimeUnit | None = None,
    ) -> "Interactions":
        """Read Parquet. Arguments as in `from_file`.

        Raises:
            DataError: A file or value that cannot be used, with column and row.
            FileNotFoundError: No such file.
        """
        frame, source = read_table(path, kind="Parquet")
        return cls(
            *read_tables(
                frame,
                source,
                users=users,
                items=items,
                columns=columns,
                duplicates=duplicates,
                text_ids=text_ids,
                time_unit=time_unit,
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


def check_id_types(test: Interactions, train: Interactions) -> None:
    """Refuse a test and a train part whose ids are integers in one and text in the other.

    Raises:
        DataError: The column, and an id of both.
    """
    for column in ("user_id", "item_id"):
        ours, theirs = test.frame[column], train.frame[column]
        if ours.dtype != theirs.dtype:
            raise DataError(
                f"`test` and `train` must have ids of one type; {column!r} is {_kind(ours)} in "
                f"`test` and {_kind(theirs)} in `train`. Read both in the same way."
            )


def _kind(ids: pl.Series) -> str:
    kind = "text" if ids.dtype == pl.String else "an integer"
    return f"{kind}, such as {ids[0]!r}," if len(ids) else kind
