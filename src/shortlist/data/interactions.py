"""The table everything starts from: who chose what."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data.columns import Source
from shortlist.data.errors import DataError
from shortlist.data.files import scan_table
from shortlist.data.id_rows import IdRows
from shortlist.data.storage import blocks, taken
from shortlist.data.tables import COLUMNS, VALUES, Duplicates, Tables, read_parts, read_tables
from shortlist.data.times import TimeUnit


class Interactions:
    """Which user chose which item, and what is known of both.

    Made by one of the `from_…` methods, which check what they read. A user and an item take 4 bytes
    each, whatever their ids, and a long column is a file that the system maps into memory. So
    interactions may be more than fit in memory.

    Args:
        frame: `user_id` and `item_id` (Int64 or String) and, where known, `rating` (Float32),
            `timestamp` (Int64, seconds since 1970-01-01 UTC) and `weight` (Float32).
        users: `user_id`, each once, and one column per feature; or None.
        items: `item_id`, each once, and one column per feature; or None.

    Attributes:
        user: The user of each interaction: the different ids, and (n,) int32 rows of them.
        item: The item of each interaction, in the same way.
        values: `rating` (float32), `timestamp` (int64) and `weight` (float32) by name, each (n,);
            those that are known.
        users: As given.
        items: As given.

    Example:
        >>> views = Interactions.from_arrays([1, 1, 2], ["a", "b", "a"], rating=[5, 3, 4])
        >>> len(views), views.item_ids.tolist()
        (3, ['a', 'b'])
        >>> views.item.rows.tolist(), views.values["rating"].tolist()
        ([0, 1, 0], [5.0, 3.0, 4.0])
    """

    user: IdRows
    item: IdRows
    values: dict[str, npt.NDArray[Any]]
    users: pl.DataFrame | None
    items: pl.DataFrame | None

    def __init__(
        self,
        frame: pl.DataFrame,
        users: pl.DataFrame | None = None,
        items: pl.DataFrame | None = None,
    ) -> None:
        self.user, self.item = IdRows.of(frame["user_id"]), IdRows.of(frame["item_id"])
        self.values = {
            name: frame[name].cast(dtype).to_numpy()
            for name, dtype in VALUES.items()
            if name in frame.columns
        }
        self.users, self.items = users, items

    @classmethod
    def of_tables(cls, tables: Tables) -> "Interactions":
        """Return what `read_tables` read."""
        interactions = cls.__new__(cls)
        interactions.__dict__.update(tables._asdict())
        return interactions

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
        return cls.of_tables(
            read_tables(
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
        return cls.of_tables(
            read_tables(
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
        return cls.of_tables(
            read_tables(
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
        for name, ids in (("user_ids", user_ids), ("item_ids", item_ids)):
            if ids is None:
                raise DataError(f"`{name}` must be a sequence of ids, got None.")
        given = zip(COLUMNS, (user_ids, item_ids, rating, timestamp, weight), strict=True)
        arrays = {name: values for name, values in given if values is not None}
        for name, values in arrays.items():
            if not hasattr(values, "__len__"):
                raise DataError(f"`{name}` must be a sequence, got {values!r}.")
            if len(values) != len(user_ids):
                raise DataError(
                    f"`{name}` must be as long as `user_ids`, {len(user_ids)}, got {len(values)}."
                )
        return cls.of_tables(
            read_tables(
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
        return cls.of_tables(
            read_parts(
                scan_table(path, separator=separator, encoding=encoding),
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
        return cls.of_tables(
            read_parts(
                scan_table(path, kind="CSV", separator=separator, encoding=encoding),
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
        return cls.of_tables(
            read_parts(
                scan_table(path, kind="Parquet"),
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
        return len(self.user)

    @property
    def frame(self) -> pl.DataFrame:
        """The interactions as a table in memory, made anew: the columns that `Args` names."""
        ids = {"user_id": self.user.values(), "item_id": self.item.values()}
        return pl.DataFrame({**ids, **self.values})

    @property
    def user_ids(self) -> npt.NDArray[Any]:
        """The different users who interacted, sorted: int64, or object (str)."""
        return self.user.array

    @property
    def item_ids(self) -> npt.NDArray[Any]:
        """The different items interacted with, sorted: int64, or object (str)."""
        return self.item.array

    @cached_property
    def derived(self) -> dict[str, Any]:
        """What was once worked out of these interactions, which never change, by name."""
        return {}

    def take(self, rows: npt.ArrayLike) -> "Interactions":
        """Return some of the interactions, with all that is known of users and items.

        Args:
            rows: Row numbers, or a boolean per row.

        Example:
            >>> Interactions.from_arrays([1, 2, 3], [7, 8, 9]).take([2, 0]).user_ids
            array([1, 3])
        """
        rows = np.asarray(rows)
        values = {name: taken(column, rows) for name, column in self.values.items()}
        return Interactions.of_tables(
            Tables(self.user.take(rows), self.item.take(rows), values, self.users, self.items)
        )

    def fingerprint(self) -> str:
        """Return the SHA-256 of the users and items, in their order."""
        digest = hashlib.sha256()
        for column in (self.user, self.item):
            texts = column.ids.cast(pl.String)
            for rows in blocks(len(self), column.rows):
                text = texts.gather(pl.Series(column.rows[rows])).str.join("\n").item()
                digest.update(("\n" if rows.start else "").encode() + text.encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        users, items = len(self.user.ids), len(self.item.ids)
        return f"Interactions({len(self):,} of {users:,} users and {items:,} items)"


def check_interactions(given: Any, argument: str) -> None:
    """Refuse what is no `Interactions`.

    Raises:
        TypeError: With the argument, and how a table becomes interactions.
    """
    if not isinstance(given, Interactions):
        raise TypeError(
            f"`{argument}` must be Interactions, got {type(given).__name__}; "
            "Interactions.from_pandas, from_polars and their like read tables."
        )
