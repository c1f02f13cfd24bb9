"""From a name or a file to interactions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import typer

if TYPE_CHECKING:
    from shortlist.data import Interactions

Edition = Literal["100k", "1m", "10m", "20m", "25m", "32m", "latest-small"]
EDITIONS: dict[str, Edition] = {f"ml-{edition}": edition for edition in get_args(Edition)}
NAMES = ("sample", *EDITIONS)

Dataset = Annotated[
    str,
    typer.Option(
        help=f"One of {', '.join(NAMES)}; or a CSV or Parquet file with columns user_id, item_id."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder (or zip) of the MovieLens data set; without it, it is downloaded."),
]


def column_names(text: str) -> dict[str, str]:
    """Returns what columns are called, by our name, from text such as `user_id=buyer,item_id=sku`.

    Raises:
        typer.BadParameter: A part without a name on both sides, or a column named twice.
    """
    names: dict[str, str] = {}
    for part in text.split(","):
        ours, _, theirs = (word.strip() for word in part.partition("="))
        if not ours or not theirs:
            raise typer.BadParameter(
                f"--columns: expected names such as user_id=buyer,item_id=sku, got {part!r}."
            )
        if ours in names:
            raise typer.BadParameter(f"--columns: {ours!r} is named twice.")
        names[ours] = theirs
    return names


def open_dataset(
    name: str,
    data_dir: Path | None,
    *,
    users: Path | None = None,
    items: Path | None = None,
    columns: Mapping[str, str] | None = None,
) -> Interactions:
    """Returns the interactions of a data set.

    Args:
        name: One of `NAMES`, or the path of a CSV or Parquet file.
        data_dir: Where MovieLens lies; None downloads it.
        users: For a file: the table of user features, CSV or Parquet.
        items: For a file: the table of item features.
        columns: For a file: what the columns are called, by our name.

    Raises:
        DataError: If there is no such data set, naming the nearest.
    """
    from shortlist.data import DataError, Interactions, movielens, sample
    from shortlist.data.errors import nearest

    path = Path(name)
    if path.is_file():
        parquet = path.suffix.lower() in (".parquet", ".pq")
        read = Interactions.from_parquet if parquet else Interactions.from_csv
        try:
            return read(path, users=users, items=items, columns=columns)
        except DataError as error:
            if columns is None and "columns={" in str(error):
                raise DataError(
                    f"{error} `train` is told by --columns user_id=NAME,item_id=NAME, or by a TOML "
                    "file."
                ) from error
            raise
    if users or items or columns:
        raise DataError(f"`users`, `items` and `columns` belong to a file; {name!r} is none.")
    if name == "sample":
        return sample().interactions
    if name in EDITIONS:
        return movielens(EDITIONS[name], data_dir)
    if path.suffix or path.name != name:
        there = path.parent.iterdir() if path.parent.is_dir() else ()
        files = sorted(str(other) for other in there if other.suffix == path.suffix)
        raise DataError(f"there is no file {name!r}{nearest(name, files) if files else '.'}")
    raise DataError(f"no data set and no file is called {name!r}{nearest(name, NAMES)}")
