"""From a name or a file to interactions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shortlist.data import Interactions, Vocabulary

EDITIONS = ("100k", "1m", "10m", "20m", "25m", "32m", "latest-small")
NAMES = ("sample", *(f"ml-{edition}" for edition in EDITIONS))

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


def open_dataset(name: str, data_dir: Path | None) -> Interactions:
    """Returns the interactions of a data set.

    Args:
        name: One of `NAMES`, or the path of a CSV or Parquet file.
        data_dir: Where MovieLens lies; None downloads it.

    Raises:
        DataError: If there is no such data set, naming the nearest.
    """
    from shortlist.data import DataError, Interactions, movielens, sample
    from shortlist.data.errors import nearest

    if name == "sample":
        return sample().interactions
    if name in NAMES:
        return movielens(name.removeprefix("ml-"), data_dir)
    path = Path(name)
    if path.is_file():
        parquet = path.suffix.lower() in (".parquet", ".pq")
        return (Interactions.from_parquet if parquet else Interactions.from_csv)(path)
    raise DataError(f"no data set and no file is called {name!r}{nearest(name, NAMES)}")


def id_of(vocabulary: Vocabulary, text: str) -> int | str:
    """Returns an id as the vocabulary has it, from what was typed."""
    if vocabulary.id_type is str:
        return text
    try:
        return int(text)
    except ValueError:
        from shortlist.data import DataError

        raise DataError(
            f"unknown id {text!r}; ids are integers like '{vocabulary.ids[0]}'"
            f"…'{vocabulary.ids[-1]}'"
        ) from None
