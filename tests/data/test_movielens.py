import os
import zipfile
from pathlib import Path

import pytest

from shortlist.data import DataError, movielens

FILES_100K = {
    "u.data": "196\t242\t3\t881250949\n1\t3\t5\t881250950\n",
    "u.item": (
        "242|Misérables, Les (1995)|01-Jan-1996||http://x|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0\n"
        '3|"unknown"|01-Jan-1997|||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n'
        "4|unknown||||0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    ),
    "u.user": "1|24|M|technician|85711\n196|49|F|writer|T8H1N\n",
}
FILES_1M = {
    "ratings.dat": "1::1193::5::978300760\n6040::661::3::978302109\n",
    "movies.dat": (
        "1193::Alien: Älter (1975)::Drama|Sci-Fi\n661::Fawlty Towers (1975-1979)::Comedy\n"
    ),
    "users.dat": "1::F::1::10::48067\n6040::M::25::15::70072\n",
}
FILES_20M = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n2,3,0.5,1112484676\n",
    "movies.csv": (
        'movieId,title,genres\n2,"Misérables, Les (1995)",Drama|War\n3,Nowhere,(no genres listed)\n'
    ),
}


def write(folder: Path, files: dict[str, str], encoding: str) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(encoding))
    return folder


def test_100k_with_users_and_films(tmp_path: Path) -> None:
    data = movielens("100k", write(tmp_path / "ml-100k", FILES_100K, "latin-1"))
    assert data.frame.rows() == [(196, 242, 3.0, 881250949), (1, 3, 5.0, 881250950)]
    assert data.items is not None
    assert data.items.rows() == [
        (242, "Misérables, Les (1995)", 1995, ["Drama", "Musical"]),
        (3, '"unknown"', 1997, ["unknown"]),
        (4, "unknown", None, []),
    ]
    assert data.users is not None
    assert data.users.rows() == [
        (1, 24, "M", "technician", "85711"),
        (196, 49, "F", "writer", "T8H1N"),
    ]
    assert data.users.columns == ["user_id", "age", "gender", "occupation", "zip_code"]


def test_1m_names_its_occupations(tmp_path: Path) -> None:
    data = movielens("1m", write(tmp_path / "ml-1m", FILES_1M, "latin-1"))
    assert data.frame.rows() == [(1, 1193, 5.0, 978300760), (6040, 661, 3.0, 978302109)]
    assert data.items is not None
    assert data.items.rows() == [
        (1193, "Alien: Älter (1975)", 1975, ["Drama", "Sci-Fi"]),
        (661, "Fawlty Towers (1975-1979)", 1975, ["Comedy"]),
    ]
    assert data.users is not None
    assert data.users.rows() == [
        (1, 1, "F", "K-12 student", "48067"),
        (6040, 25, "M", "scientist", "70072"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_10m_is_read_in_either_encoding(encoding: str, tmp_path: Path) -> None:
    files = {name: FILES_1M[name] for name in ("ratings.dat", "movies.dat")}
    data = movielens("10m", write(tmp_path / "ml-10M100K", files, encoding))
    assert data.items is not None
    assert data.items["title"].to_list() == ["Alien: Älter (1975)", "Fawlty Towers (1975-1979)"]
    assert data.users is None


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("20m", "ml-20m"),
        ("25m", "ml-25m"),
        ("32m", "ml-32m"),
        ("latest-small", "ml-latest-small"),
    ],
)
def test_the_csv_editions(name: str, folder: str, tmp_path: Path) -> None:
    write(tmp_path / folder, FILES_20M, "utf-8")
    data = movielens(name, tmp_path)  # type: ignore[arg-type]
    assert data.frame.rows() == [(1, 2, 3.5, 1112486027), (2, 3, 0.5, 1112484676)]
    assert data.items is not None
    assert data.items.rows() == [
        (2, "Misérables, Les (1995)", 1995, ["Drama", "War"]),
        (3, "Nowhere", None, []),
    ]


def test_the_zip_the_folder_and_what_holds_them_read_alike(tmp_path: Path) -> None:
    folder = write(tmp_path / "ml-100k", FILES_100K, "latin-1")
    zips = tmp_path / "zips"
    zips.mkdir()
    with zipfile.ZipFile(zips / "ml-100k.zip", "w") as archive:
        for name in FILES_100K:
            archive.write(folder / name, f"ml-100k/{name}")
    first, *others = (
        movielens("100k", place) for place in (folder, tmp_path, zips / "ml-100k.zip", zips)
    )
    for other in others:
        assert other.frame.equals(first.frame)
        assert other.items is not None
        assert other.items.equals(first.items)
        assert other.users is not None
        assert other.users.equals(first.users)


def test_ratings_alone_are_enough(tmp_path: Path) -> None:
    files = {"u.data": FILES_100K["u.data"]}
    data = movielens("100k", write(tmp_path / "ml-100k", files, "latin-1"))
    assert len(data) == 2
    assert data.items is None


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("100k", "u.data", "1\t2\t3\t4\n1\t2\tfine\t4\n", "u.data, .*'rating', line 2: .* 'fine'"),
        ("100k", "u.data", "1\t2\t3\t4\n1\t2\tnan\t4\n", "u.data, column 'rating', line 2: .* nan"),
        ("100k", "u.data", "1\t2\t3\t4\nx\t2\t3\t4\n", "u.data, column 'user_id', line 2: .* 'x'"),
        ("100k", "u.data", "", "u.data is empty"),
        ("100k", "u.user", "1|old|M|writer|1\n", "u.user, column 'age', line 1: .* 'old'"),
        ("1m", "ratings.dat", "1::2::3::4\n\n1::2::3::x\n", ".*dat, .*'timestamp', line 3: .* 'x'"),
        ("1m", "movies.dat", "1::A::Drama\ntwo::B::Drama\n", "movies.dat, .* line 2: .* 'two'"),
        ("20m", "ratings.csv", "userId,movieID,rating\n1,2,3\n", "'movieId'; .* 'movieID'"),
        ("20m", "movies.csv", "movieId,name,genres\n1,A,B\n", "movies.csv has no column 'title'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_file_and_line(
    name: str, file: str, text: str, message: str, tmp_path: Path
) -> None:
    files = {"100k": FILES_100K, "1m": FILES_1M, "20m": FILES_20M}[name] | {file: text}
    write(tmp_path / f"ml-{name}", files, "utf-8")
    with pytest.raises(DataError, match=message):
        movielens(name, tmp_path)  # type: ignore[arg-type]


def test_crlf_does_no_harm(tmp_path: Path) -> None:
    files = {name: text.replace("\n", "\r\n") for name, text in FILES_1M.items()}
    data = movielens("1m", write(tmp_path / "ml-1m", files, "latin-1"))
    assert data.frame["timestamp"].to_list() == [978300760, 978302109]
    assert data.items is not None
    assert data.items["genres"].to_list() == [["Drama", "Sci-Fi"], ["Comedy"]]


def test_a_place_without_the_edition_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"neither u\.data, ml-100k/u\.data nor ml-100k\.zip"
    ):
        movielens("100k", tmp_path)
    (tmp_path / "ml-100k.zip").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"ml-100k\.zip cannot be read as a zip"):
        movielens("100k", tmp_path)
    with zipfile.ZipFile(tmp_path / "ml-100k.zip", "w") as archive:
        archive.writestr("else.txt", "")
    with pytest.raises(FileNotFoundError, match=r"does not hold ml-100k/u\.data"):
        movielens("100k", tmp_path)


def test_an_unknown_edition_names_the_nearest() -> None:
    with pytest.raises(DataError, match="unknown MovieLens edition '100K'; did you mean '100k'"):
        movielens("100K")  # type: ignore[arg-type]


def test_the_real_100k_has_the_size_it_is_known_for() -> None:
    beside = Path(__file__).parents[2] / ".." / "shared" / "data" / "ml-100k"
    place = Path(os.environ.get("SHORTLIST_ML100K", beside))
    if not place.is_dir():
        pytest.skip("needs MovieLens 100k: set SHORTLIST_ML100K to its folder")
    data = movielens("100k", place)
    assert (len(data), len(data.user_ids), len(data.item_ids)) == (100_000, 943, 1682)
    assert data.items is not None
    assert data.items.row(0) == (1, "Toy Story (1995)", 1995, ["Animation", "Children's", "Comedy"])
    assert data.items["year"].null_count() == 1
    assert "Misérables, Les (1995)" in data.items["title"]
    assert data.frame["rating"].mean() == pytest.approx(3.52986)
