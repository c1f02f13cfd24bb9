import polars as pl
import pytest

from shortlist.data import DataError, Vocabulary
from shortlist.data.features import Categories, History, Text


def test_unknown_values_leave_no_gap() -> None:
    genres = Categories("g", length=2, vocabulary=Vocabulary(["Drama", "War"]))
    column = pl.Series("g", [["Noir", "War", None, "Drama", "War"], ["Noir"], None, []])
    assert genres.encode(column).tolist() == [[2, 1], [0, 0], [0, 0], [0, 0]]


def test_the_length_is_learnt_as_the_longest() -> None:
    column = pl.Series("g", [["a"], ["a", "b", "c"], []])
    assert Categories("g").adapt(column).output.width == 3
    assert Categories("g", length=2).adapt(column).output.width == 2
    assert Categories("g").adapt(pl.Series("g", [[], []], dtype=pl.List(pl.String))).length == 1


def test_an_array_column_and_whole_numbers_will_do() -> None:
    column = pl.Series("g", [[7, 9], [9, 9]], dtype=pl.Array(pl.Int16, 2))
    assert Categories("g").adapt(column).encode(column).tolist() == [[1, 2], [2, 2]]


def test_words_are_letters_and_digits_in_lower_case() -> None:
    title = "Zoë's 2nd_Nightmare -- on ELM Street (1985)!"
    text = Text("t").adapt(pl.Series("t", [title]))
    assert text.vocabulary is not None
    assert text.vocabulary.ids.tolist() == [
        "1985", "2nd", "elm", "nightmare", "on", "s", "street", "zoë",
    ]  # fmt: skip
    decoded = text.vocabulary.decode(text.encode_one(title)).tolist()
    assert decoded == ["zoë", "s", "2nd", "nightmare", "on", "elm", "street", "1985"]


def test_only_frequent_words_are_known() -> None:
    titles = pl.Series("t", ["the alien", "the thing", "the alien returns"])
    text = Text("t", most=2).adapt(titles)
    assert text.vocabulary is not None
    assert text.vocabulary.ids.tolist() == ["alien", "the"]
    assert text.encode(titles).tolist() == [[2, 1, 0], [2, 0, 0], [2, 1, 0]]


def test_a_history_keeps_the_most_recent() -> None:
    past = pl.Series("h", [["c", "b", "a"], ["a"], []])
    history = History("h", length=2).adapt(past)
    assert history.encode(past).tolist() == [[3, 2], [1, 0], [0, 0]]


def test_a_history_may_share_the_vocabulary_of_the_candidates() -> None:
    films = Vocabulary([10, 20, 30])
    history = History("h", length=3, vocabulary=films)
    assert history.is_adapted
    assert history.encode(pl.Series("h", [[30, 99, 10]])).tolist() == [[3, 1, 0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Categories("g", length=0), "`length` must be a whole number of at least 1"),
        (lambda: Categories("g").adapt(pl.Series("g", ["a|b"])), "must hold lists, or text with a"),
        (lambda: Categories("g").adapt(pl.Series("g", [1])), "must hold lists, .* got Int64"),
        (lambda: Text("t").adapt(pl.Series("t", [1])), "'t' must hold text, got Int64"),
        (lambda: Categories("g", length=1, vocabulary=Vocabulary(["a"])).encode_one("a"), "a list"),
        (lambda: Categories("g", length=1, vocabulary=Vocabulary(["a"])).encode_one(1), "a list"),
        (lambda: Text("t", length=1, vocabulary=Vocabulary(["a"])).encode_one(1), "must be text"),
        (lambda: Categories("g").encode_one(["a"]), "has not learnt"),
    ],
)
def test_what_is_wrong_is_named(make: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()  # type: ignore[operator]
