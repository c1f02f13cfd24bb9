"""The MovieLens data sets (Harper and Konstan 2015), downloaded or from a folder or zip."""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from shortlist.data.columns import Source, whole_column
from shortlist.data.csv_files import parse_csv
from shortlist.data.download import download
from shortlist.data.errors import DataError, nearest
from shortlist.data.interactions import Interactions
from shortlist.data.tables import read_tables

Edition = Literal["100k", "1m", "10m", "20m", "25m", "32m", "latest-small"]

_ADDRESS = "https://files.grouplens.org/datasets/movielens/"
_RATING_TYPES = {
    "user_id": pl.Int64,
    "item_id": pl.Int64,
    "rating": pl.Float32,
    "timestamp": pl.Int64,
}
# The order of the genre flags in u.item.
_GENRES_100K = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
# The numbers for occupations in users.dat.
_OCCUPATIONS_1M = [
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
]


@dataclass(frozen=True)
class _Edition:
    """How an edition is packed.

    Attributes:
        folder: The folder in the archive.
        archive: The name of the archive.
        md5: The hash its publisher gives, if it does.
        ratings: The name of the file of ratings.
        encodings: The encodings of its text, tried in this order.
    """

    folder: str
    archive: str
    md5: str | None
    ratings: str
    encodings: tuple[str, ...]


_UTF8, _LATIN1 = ("utf-8",), ("latin-1",)
_EDITIONS = {
    "100k": _Edition(
        "ml-100k", "ml-100k.zip", "0e33842e24a9c977be4e0107933c0723", "u.data", _LATIN1
    ),
    "1m": _Edition(
        "ml-1m", "ml-1m.zip", "c4d9eecfca2ab87c1945afe126590906", "ratings.dat", _LATIN1
    ),
    "10m": _Edition(
        "ml-10M100K",
        "ml-10m.zip",
        "ce571fd55effeba0271552578f2648bd",
        "ratings.dat",
        (*_UTF8, *_LATIN1),
    ),
    "20m": _Edition(
        "ml-20m", "ml-20m.zip", "cd245b17a1ae2cc31bb14903e1204af3", "ratings.csv", _UTF8
    ),
    "25m": _Edition(
        "ml-25m", "ml-25m.zip", "6b51fb2759a8657d3bfcbfc42b592ada", "ratings.csv", _UTF8
    ),
    "32m": _Edition(
        "ml-32m", "ml-32m.zip", "d472be332d4daa821edc399621853b57", "ratings.csv", _UTF8
    ),
    "latest-small": _Edition("ml-latest-small", "ml-latest-small.zip", None, "ratings.csv", _UTF8),
}


def movielens(name: Edition, data_dir: str | Path | None = None) -> Interactions:
    """Read an edition of MovieLens.

    Without `data_dir` it is downloaded once, with its progress on a terminal, and its published
    MD5 hash is checked. `"latest-small"` changes from time to time and has no published hash: the
    file fetched first is kept.

    Args:
        name: `"100k"`, `"1m"`, `"10m"`, `"20m"`, `"25m"`, `"32m"` or `"latest-small"`.
        data_dir: The zip, the unpacked folder, or a folder that holds either.

    Returns:
        The ratings with times. Items have `title` (as published, with the year), `year` (null
        where none is known) and `genres` (a list). Users of 100k and 1m have `age` (1m: the least
        of an age group, 1 for under 18), `gender`, `occupation` and `zip_code`.

    Raises:
        DataError: An unknown name, a failed download, or a file with something wrong, by line.
        FileNotFoundError: `data_dir` holds no such edition.

    Example:
        >>> movielens("1k")
        Traceback (most recent call last):
        shortlist.data.errors.DataError: unknown MovieLens edition '1k'; did you mean '100k'?
    """
    if name not in _EDITIONS:
        raise DataError(f"unknown MovieLens edition {name!r}{nearest(str(name), _EDITIONS)}")
    edition = _EDITIONS[name]
    if data_dir is None:
        data_dir = download(_ADDRESS + edition.archive, md5=edition.md5)
    files = _Files(_find(edition, Path(data_dir)), edition.encodings)
    readers = {"u.data": _read_100k, "ratings.dat": _read_dat, "ratings.csv": _read_csv}
    return readers[edition.ratings](files)


def _find(edition: _Edition, place: Path) -> Path | zipfile.Path:
    """Return the folder of the ratings, on disk or in a zip."""
    if place.is_file():
        return _in_zip(edition, place)
    for folder in (place, place / edition.folder):
        if (folder / edition.ratings).is_file():
            return folder
    if (place / edition.archive).is_file():
        return _in_zip(edition, place / edition.archive)
    raise FileNotFoundError(
        f"{str(place)!r} has neither {edition.ratings}, {edition.folder}/{edition.ratings} "
        f"nor {edition.archive}."
    )


def _in_zip(edition: _Edition, path: Path) -> zipfile.Path:
    try:
        root = zipfile.Path(path)
    except zipfile.BadZipFile as error:
        raise DataError(f"{path.name} cannot be read as a zip: {error}.") from error
    for folder in (root / edition.folder, root):
        if (folder / edition.ratings).is_file():
            return folder
    raise FileNotFoundError(f"{path.name} does not hold {edition.folder}/{edition.ratings}.")


@dataclass(frozen=True)
class _Files:
    """The files of an edition."""

    folder: Path | zipfile.Path
    encodings: tuple[str, ...]

    def table(
        self,
        name: str,
        separator: str = ",",
        header: Sequence[str] | None = None,
        types: Mapping[str, Any] | None = None,
    ) -> tuple[pl.DataFrame, Source]:
        """Return a file as a table; arguments as of `parse_csv`."""
        content = (self.folder / name).read_bytes()
        if separator == "::":
            content, separator = content.replace(b"::", b"\t"), "\t"
        return parse_csv(
            content,
            name,
            separator=separator,
            encoding=self._encoding(content),
            header=header,
            types=types,
        )

    def has(self, name: str) -> bool:
        """Say whether there is such a file."""
        return (self.folder / name).is_file()

    def _encoding(self, content: bytes) -> str:
        for encoding in self.encodings[:-1]:
            try:
                content.decode(encoding)
            except UnicodeDecodeError:
                continue
            return encoding
        return self.encodings[-1]


def _read_100k(files: _Files) -> Interactions:
    ratings = files.table("u.data", "\t", list(_RATING_TYPES), _RATING_TYPES)
    users = items = None
    if files.has("u.user"):
        header = ["user_id", "age", "gender", "occupation", "zip_code"]
        users = _with_numbers(*files.table("u.user", "|", header), "user_id", "age")
    if files.has("u.item"):
        header = ["item_id", "title", "released", "video", "url", *_GENRES_100K]
        table, source = files.table("u.item", "|", header)
        flags = [pl.when(pl.col(g) == "1").then(pl.lit(g)) for g in _GENRES_100K]
        released = pl.col("released").str.extract(r"(\d{4})$").cast(pl.Int64)
        items = _with_numbers(
            table.select(
                "item_id",
                "title",
                pl.coalesce(_year_in_title(), released).alias("year"),
                pl.concat_list(flags).list.drop_nulls().alias("genres"),
            ),
            source,
            "item_id",
        )
    return Interactions.of_tables(read_tables(*ratings, users=users, items=items))


def _read_dat(files: _Files) -> Interactions:
    ratings = files.table("ratings.dat", "::", list(_RATING_TYPES), _RATING_TYPES)
    users = items = None
    if files.has("users.dat"):
        header = ["user_id", "gender", "age", "occupation", "zip_code"]
        table, source = files.table("users.dat", "::", header)
        codes = {str(code): name for code, name in enumerate(_OCCUPATIONS_1M)}
        users = _with_numbers(table, source, "user_id", "age").select(
            "user_id",
            "age",
            "gender",
            pl.col("occupation").replace_strict(codes, default=None),
            "zip_code",
        )
    if files.has("movies.dat"):
        table, source = files.table("movies.dat", "::", ["item_id", "title", "genres"])
        items = _with_numbers(_with_year_and_genres(table), source, "item_id")
    return Interactions.of_tables(read_tables(*ratings, users=users, items=items))


def _read_csv(files: _Files) -> Interactions:
    names = {"user_id": "userId", "item_id": "movieId"}
    types = {names.get(ours, ours): dtype for ours, dtype in _RATING_TYPES.items()}
    ratings = files.table("ratings.csv", types=types)
    items = None
    if files.has("movies.csv"):
        table, source = files.table("movies.csv")
        for column in ("movieId", "title", "genres"):
            if column not in table.columns:
                raise DataError(
                    f"movies.csv has no column {column!r}{nearest(column, table.columns)}"
                )
        items = _with_numbers(_with_year_and_genres(table), source, "movieId")
    return Interactions.of_tables(read_tables(*ratings, items=items, columns=names))


def _with_year_and_genres(movies: pl.DataFrame) -> pl.DataFrame:
    genres = (
        pl.col("genres")
        .str.split("|")
        .list.eval(pl.element().filter(pl.element() != "(no genres listed)"))
    )
    return movies.select(movies.columns[0], "title", _year_in_title().alias("year"), genres)


def _year_in_title() -> pl.Expr:
    """Return the year at the end of a title, the first of "(1999-2003)"."""
    return pl.col("title").str.extract(r"\((\d{4})[^()]*\)\s*$").cast(pl.Int64)


def _with_numbers(table: pl.DataFrame, source: Source, *columns: str) -> pl.DataFrame:
    """Return a table whose named text columns are whole numbers."""
    return table.with_columns(whole_column(table[name], source) for name in columns)
