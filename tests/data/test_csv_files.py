import bz2
import codecs
import gzip
import lzma
import random
import zlib
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Interactions
from shortlist.data.csv_files import parse_csv, with_types

EXPECTED = [("Zoë", "a,b"), ("Jan", "c")]
TEXT = 'user_id,item_id\nZoë,"a,b"\nJan,c\n'


def read(content: str | bytes, name: str = "views.csv", **options: object) -> list[tuple]:
    content = content if isinstance(content, bytes) else content.encode()
    return parse_csv(content, name, **options)[0].rows()  # type: ignore[arg-type]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_header_and_the_rows_tell_the_separator(separator: str) -> None:
    text = f'user_id{separator}item_id\n1{separator}"a{separator}b;,c"\n2{separator}"x,y;z"\n'
    assert read(text) == [("1", f"a{separator}b;,c"), ("2", "x,y;z")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("user_id;title, long;item_id\n1;a, b;2\n3;c;4\n", [("1", "a, b", "2"), ("3", "c", "4")]),
        ("user_id;item_id;rating\n1;2;3,5\n1;3;4,5\n", [("1", "2", "3,5"), ("1", "3", "4,5")]),
        ("sep=;\nuser_id;item_id\n1;2\n", [("1", "2")]),
        ("user_id\n1\n2\n", [("1",), ("2",)]),
    ],
)
def test_commas_in_a_file_of_semicolons_mislead_nobody(text: str, expected: object) -> None:
    assert read(text) == expected


def test_any_other_separator_is_said() -> None:
    assert read("a^b\n1^2\n", separator="^") == [("1", "2")]


@pytest.mark.parametrize(
    "content",
    [
        codecs.BOM_UTF8 + TEXT.encode(),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode(),
        TEXT.replace("\n", "\r").encode(),
        ("\n\n" + TEXT).encode(),
        TEXT.replace("\nJan", "\n\n  \n,\nJan").encode(),
        TEXT.replace("user_id,item_id", " user_id ,item_id  ").encode(),
        TEXT.replace("\n", ",\n").encode().replace(b"item_id,", b"item_id"),
        TEXT.replace("\n", ",,\n").encode().replace(b"item_id,,", b"item_id"),
    ],
)
def test_marks_line_ends_blank_lines_and_separators_at_the_end_do_no_harm(content: bytes) -> None:
    frame, _ = parse_csv(content, "views.csv")
    assert frame.columns == ["user_id", "item_id"]
    assert frame.rows() == EXPECTED


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zlib.compress, zstd])
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "cp1252", "utf-16-le"])
def test_compressed_text_of_any_encoding_is_read(pack, encoding: str, tmp_path: Path) -> None:
    packed = pack(TEXT.encode(encoding))
    assert read(packed, encoding=encoding) == EXPECTED
    (tmp_path / "views.csv.packed").write_bytes(packed)
    frame, _ = parse_csv(tmp_path / "views.csv.packed", "views.csv", encoding=encoding)
    assert frame.rows() == EXPECTED


def test_a_mark_counts_more_than_the_encoding_said() -> None:
    assert read(codecs.BOM_UTF8 + TEXT.encode(), encoding="cp1252") == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "views.csv is empty"),
        (b"\xef\xbb\xbf", "views.csv is empty"),
        (b"a,b\n1,2\n\xe9,3\n", r"line 3: the byte 0xe9 is no text in utf-8. Pass encoding='cp125"),
        ("a,b\n1,2\n".encode("utf-16-le"), "is no UTF-8 .* Pass encoding='utf-16-le'"),
        (b"a,b\n1,2\n3,4,5\n", "line 3: 3 values, and the header has 2 columns, separated by ','"),
        (b'a,b\n"x\ny",2\n3,4,5\n', "line 4: 3 values"),
        (b'a,b\n1,2\n3,"4\n5,6\n', "line 3: a quote is out of place"),
        (b'a,b\n1,"2"3\n', "line 2: a quote is out of place"),
        (b"PK\x03\x04rest", "is a zip or a spreadsheet"),
        (gzip.compress(TEXT.encode())[:-9], "cannot be unpacked"),
    ],
)
def test_what_is_no_table_of_text_is_named(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(content)


def test_an_unknown_encoding_is_named() -> None:
    with pytest.raises(DataError, match=r"`encoding` must be one that Python knows.* got 'utf-9'"):
        read(TEXT, encoding="utf-9")


def test_a_quote_inside_a_value_is_a_letter() -> None:
    assert read('disc,size\n1,7" single\n2,12"\n') == [("1", '7" single'), ("2", '12"')]


def test_lines_are_counted_as_an_editor_does() -> None:
    generator = random.Random(0)
    for _ in range(40):
        rows = [
            generator.choice(['{n},"a\nb",{r}', '{n},"\n\n",{r}', "{n},x,{r}", "\n{n},x,{r}"])
            for _ in range(12)
        ]
        bad = generator.randrange(12)
        lines = [row.format(n=n, r="x" if n == bad else "1") for n, row in enumerate(rows)]
        head = generator.choice(["", "\n", "sep=,\n"]) + 'user_id,"item_id",rating\n'
        text = head + "\n".join(lines) + "\n"
        at = text[: text.index(",x\n" if ",x\n" in text else ",x")].count("\n") + 1
        end = "\r\n" if generator.random() < 0.5 else "\n"
        frame, source = parse_csv(text.replace("\n", end).encode(), "views.csv")
        row = frame["rating"].to_list().index("x")
        assert source.line is not None
        assert source.line(row, "rating") == at


def test_a_header_of_several_lines_is_counted() -> None:
    frame, source = parse_csv(b'a,"b\nc"\n1,2\n', "views.csv")
    assert frame.columns == ["a", "b\nc"]
    assert source.line is not None
    assert source.line(0, "a") == 3


def test_a_name_that_stands_twice_in_the_header_is_refused_where_it_is_read(tmp_path) -> None:
    path = tmp_path / "views.csv"
    path.write_text("user_id,item_id,note,note\n1,2,a,b\n")
    assert len(Interactions.from_csv(path)) == 1
    path.write_text("user_id,item_id,item_id\n1,2,3\n")
    with pytest.raises(DataError, match=r"views\.csv has more than one column 'item_id'"):
        Interactions.from_csv(path)
    with pytest.raises(DataError, match=r"views\.csv has more than one column 'item_id'"):
        Interactions.from_arrays([1], [2], users=path)


def test_an_unusual_separator_is_advised(tmp_path: Path) -> None:
    (tmp_path / "views.csv").write_text("user_id^item_id\n1^2\n")
    with pytest.raises(DataError, match=r"no column 'user_id'.* Pass separator='\^'"):
        Interactions.from_csv(tmp_path / "views.csv")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "-2", ""], [1, -2, None]),
        (["1", "2.5", "1e3"], [1.0, 2.5, 1000.0]),
        (["true", "false"], [True, False]),
        (["01234", "12345"], ["01234", "12345"]),
        (["007", "8"], ["007", "8"]),
        (["1", "x"], ["1", "x"]),
        (["0.5", "0"], [0.5, 0.0]),
        (["", ""], [None, None]),
    ],
)
def test_features_in_text_become_what_all_of_them_are(values: list, expected: list) -> None:
    text = "n,value\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values))
    assert with_types(*parse_csv(text.encode(), "films.csv"))["value"].to_list() == expected


def test_decimal_commas_are_read_where_semicolons_separate(tmp_path: Path) -> None:
    path = tmp_path / "views.csv"
    path.write_text("user_id;item_id;rating\n1;2;3,5\n1;3;4\n")
    films = tmp_path / "films.csv"
    films.write_text("item_id;price;title\n2;9,99;3,5\n3;10;x\n")
    read = Interactions.from_csv(path, items=films)
    assert read.frame["rating"].to_list() == [3.5, 4.0]
    assert read.items is not None
    assert read.items.rows() == [(2, 9.99, "3,5"), (3, 10.0, "x")]
    path.write_text("user_id;item_id;rating\n1;2;3,5\n1;3;4.5\n")
    with pytest.raises(DataError, match="line 2: expected a number, got '3,5'"):
        Interactions.from_csv(path)
    path.write_text("user_id\titem_id\trating\n1\t2\t1,910\n")
    with pytest.raises(DataError, match="line 2: expected a number, got '1,910'"):
        Interactions.from_csv(path)


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)] * 2),
        min_size=1,
    ),
    st.sampled_from(",;\t|"),
)
def test_what_python_writes_as_csv_comes_back(pairs: list[tuple[str, str]], separator: str) -> None:
    import csv
    import io

    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerows([("user_id", "item_id"), *pairs])
    expected = [pair for pair in pairs if any(part.strip() for part in pair)]
    assert read(out.getvalue()) == expected
