"""From a name or a file to interactions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

if TYPE_CHECKING:
    from shortlist.data import Interactions
    from shortlist.data.times import TimeUnit

Edition = Literal["100k", "1m", "10m", "20m", "25m", "32m", "latest-small"]
EDITIONS: dict[str, Edition] = {f"ml-{edition}": edition for edition in get_args(Edition)}
NAMES = ("sample", *EDITIONS)

Dataset = Annotated[
    str,
    typer.Option(
        help=f"One of {', '.join(NAMES)}; or a file, a folder or a pattern (views/*.parquet) of "
        "text, Parquet, Arrow or JSON lines with columns user_id, item_id."
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


def one_separator(text: str) -> str:
    r"""Returns the separator that was typed; a tab is typed as `tab` or `\t`.

    Raises:
        ValueError: It is not one character.
    """
    separator = "\t" if text in ("tab", "\\t") else text
    if len(separator) != 1:
        raise ValueError(f"expected one character or tab, got {text!r}.")
    return separator


def open_dataset(
    name: str,
    data_dir: Path | None,
    *,
    users: Path | None = None,
    items: Path | None = None,
    columns: Mapping[str, str] | None = None,
    separator: str | None = None,
    encoding: str | None = None,
    text_ids: bool = False,
    time_unit: TimeUnit | None = None,
    by_options: bool = False,
) -> Interactions:
    """Returns the interactions of a data set.

    Args:
        name: One of `NAMES`, or the path of a file, a folder, or a pattern.
        data_dir: Where MovieLens lies; None downloads it.
        users: For files: the table of user features.
        items: For files: the table of item features.
        columns: For files, as the rest: as in `Interactions.from_file`.
        separator: As there.
        encoding: As there.
        text_ids: As there.
        time_unit: As there.
        by_options: Whether the command has options for these, which errors then name.

    Raises:
        DataError: If there is no such data set, naming the nearest.
    """
    from shortlist.data import DataError, Interactions, movielens, sample
    from shortlist.data.errors import nearest
    from shortlist.data.paths import is_path

    path = Path(name)
    reading = {
        "users": users,
        "items": items,
        "columns": columns,
        "separator": separator,
        "encoding": encoding,
        "text_ids": text_ids,
        "time_unit": time_unit,
    }
    if path.is_file() or (name not in NAMES and is_path(name)):
        try:
            return Interactions.from_file(path, **reading)  # type: ignore[arg-type]
        except DataError as error:
            if error.remedy is None:
                raise
            advice = f" Say {_spelled(*error.remedy)}." if by_options else ""
            raise DataError(error.problem + advice) from error
    if given := [option for option, value in reading.items() if value]:
        raise DataError(f"`{given[0]}` belongs to a file, and {name!r} is none.")
    if name == "sample":
        return sample().interactions
    if name in EDITIONS:
        return movielens(EDITIONS[name], data_dir)
    if path.suffix or path.name != name:
        there = path.parent.iterdir() if path.parent.is_dir() else ()
        files = sorted(str(other) for other in there if other.suffix == path.suffix)
        raise DataError(f"there is no file {name!r}{nearest(name, files) if files else '.'}")
    raise DataError(f"no data set and no file is called {name!r}{nearest(name, NAMES)}")


def _spelled(option: str, value: Any) -> str:
    """Returns how a reading option is said on the command line and in a TOML file."""
    flag = "--" + option.replace("_", "-")
    if isinstance(value, dict):
        typed = " " + ",".join(f"{ours}={theirs}" for ours, theirs in value.items())
        said = "{ " + ", ".join(f'{ours} = "{theirs}"' for ours, theirs in value.items()) + " }"
    elif value is True:
        typed, said = "", "true"
    else:
        typed, said = f" '{value}'" if not str(value).isalnum() else f" {value}", f'"{value}"'
    return f"{flag}{typed}, or {option} = {said} under [data] of the TOML file"
