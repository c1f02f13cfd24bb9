import datetime as dt
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortlist.data import DataError, Histories, Interactions, Vocabulary

Events = list[tuple[int, int, int]]
EVENTS = st.lists(st.tuples(st.integers(-2, 4), st.integers(-3, 6), st.integers(0, 5)), min_size=1)
ID_KINDS = pytest.mark.parametrize("as_id", [int, "u{}".format], ids=["int", "text"])


def collected(events: Events, as_id: Callable[[int], object]) -> Histories:
    users, items, times = zip(*events, strict=True)
    return Histories.from_interactions(
        Interactions.from_arrays(
            list(map(as_id, users)), list(map(as_id, items)), timestamp=list(times)
        )
    )


def plain(events: Events) -> dict[int, list[tuple[int, int]]]:
    """What the events are as a plain dict: (time, item) of each user, by time and then row."""
    lists: dict[int, list[tuple[int, int]]] = {}
    for user, item, time in events:
        lists.setdefault(user, []).append((time, item))
    return {user: sorted(had, key=lambda one: one[0]) for user, had in lists.items()}


@ID_KINDS
@given(events=EVENTS)
def test_everybody_has_what_they_had_in_time_order(events: Events, as_id) -> None:
    histories, expected = collected(events, as_id), plain(events)
    everybody = range(-2, 6)
    answer = histories([as_id(user) for user in everybody])
    for user, items in zip(everybody, answer, strict=True):
        had = [as_id(item) for _, item in expected.get(user, [])]
        assert items.tolist() == had
        assert histories[as_id(user)].tolist() == had
        assert (as_id(user) in histories) == (user in expected)
    assert len(histories) == len(expected)
    assert list(histories) == sorted(map(as_id, expected))
    assert histories.lengths.tolist() == [
        len(expected[user]) for user in sorted(expected, key=as_id)
    ]


@given(EVENTS, st.lists(st.tuples(st.integers(-2, 5), st.integers(-1, 7)), max_size=12))
def test_before_a_moment_is_what_happened_strictly_earlier(
    events: Events, asked: list[tuple[int, int]]
) -> None:
    histories, expected = collected(events, int), plain(events)
    users, moments = [user for user, _ in asked], [moment for _, moment in asked]
    answer = histories.before(np.array(users, np.int64), np.array(moments, np.int64))
    assert [items.tolist() for items in answer] == [
        [item for time, item in expected.get(user, []) if time < moment] for user, moment in asked
    ]


@given(EVENTS, st.integers(0, 4))
def test_the_latest_are_the_last_in_time(events: Events, n: int) -> None:
    latest, expected = collected(events, int).latest(n), plain(events)
    for user, had in expected.items():
        assert latest[user].tolist() == [item for _, item in had][len(had) - min(n, len(had)) :]


@given(EVENTS)
def test_distinct_keeps_the_last_of_each_item(events: Events) -> None:
    distinct, expected = collected(events, int).distinct(), plain(events)
    for user, had in expected.items():
        last_first = list(dict.fromkeys(item for _, item in reversed(had)))
        assert distinct[user].tolist() == last_first[::-1]


@given(EVENTS, st.sets(st.integers(-3, 6)), st.sets(st.integers(-2, 4), min_size=1))
def test_encoded_histories_are_the_indices_of_known_items(
    events: Events, known: set[int], users: set[int]
) -> None:
    items, people = Vocabulary(sorted(known, reverse=True)), Vocabulary(list(users))
    expected = plain(events)
    encoded = collected(events, int).encoded(people, items)
    assert encoded([0])[0].tolist() == []
    for index, user in enumerate(people.ids.tolist(), start=1):
        had = [items.index_of(item) for _, item in expected.get(user, []) if item in known]
        assert encoded[index].tolist() == had
    assert encoded.users.tolist() == list(range(people.size))


@given(
    st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=5),
    st.integers(1, 7),
    st.data(),
)
def test_padded_rows_are_the_last_items(
    lists: list[list[int]], n: int, data: st.DataObject
) -> None:
    users = data.draw(st.lists(st.integers(0, len(lists)), max_size=6))
    padded = Histories.from_lists(lists).padded(np.array(users, np.int64), n)
    kept = [[*lists, []][user][-n:] for user in users]
    width = max([1, *map(len, kept)])
    assert padded.dtype == np.int32
    assert padded.tolist() == [items + [0] * (width - len(items)) for items in kept]


def test_padded_rows_before_a_moment_hold_nothing_later() -> None:
    views = Interactions.from_arrays([1, 1, 1], [3, 1, 2], timestamp=[30, 10, 20])
    encoded = Histories.from_interactions(views).encoded(Vocabulary([1]), Vocabulary([1, 2, 3]))
    assert encoded.padded([1, 1, 1], before=[30, 11, 10], width=2).tolist() == [
        [1, 2],
        [1, 0],
        [0, 0],
    ]


@ID_KINDS
@given(events=EVENTS)
def test_a_file_gives_back_what_was_written(events: Events, as_id, tmp_path_factory) -> None:
    histories = collected(events, as_id)
    path = tmp_path_factory.mktemp("histories") / "histories.parquet"
    histories.write_parquet(path)
    again = Histories.read_parquet(path)
    assert again == histories
    np.testing.assert_array_equal(again.times, histories.times)
    assert Histories.from_interactions(histories.to_frame()[::1]) == histories


def test_without_times_the_order_of_the_rows_counts() -> None:
    histories = Histories.from_interactions(
        Interactions.from_arrays(["b", "a", "b", "c"], [30, 20, 10, 10])
    )
    assert [items.tolist() for items in histories(["b", "a", "c"])] == [[30, 10], [20], [10]]
    assert histories.times is None
    with pytest.raises(DataError, match="the interactions have no 'timestamp'"):
        histories.before(["a"], 0)


def test_rows_of_one_time_keep_their_order() -> None:
    views = Interactions.from_arrays([1] * 5, [5, 4, 3, 2, 1], timestamp=[7, 7, 3, 7, 3])
    assert Histories.from_interactions(views)[1].tolist() == [3, 1, 5, 4, 2]


@pytest.mark.parametrize(
    "moment",
    [
        86_400,
        86_400.9,
        "1970-01-02",
        "1970-01-02T00:00:00Z",
        dt.date(1970, 1, 2),
        dt.datetime(1970, 1, 2, tzinfo=dt.UTC),
        np.datetime64("1970-01-02"),
        np.datetime64("1970-01-02T00:00:00"),
        np.int32(86_400),
        pl.Series([86_400]),
    ],
)
def test_a_moment_may_be_written_in_many_ways(moment: object) -> None:
    views = Interactions.from_arrays([1, 1, 1], [1, 2, 3], timestamp=[86_399, 86_400, 86_401])
    (items,) = Histories.from_interactions(views).before([1], moment)
    assert items.tolist() == [1]


def test_numbers_are_seconds_even_where_they_look_like_dates() -> None:
    times = [20_240_531, 20_240_601]
    table = pl.DataFrame({"user_id": [1, 1], "item_id": [2, 3], "timestamp": times})
    histories = Histories.from_interactions(table)
    assert histories.times.tolist() == times
    assert histories.before([1], times[1])[0].tolist() == [2]
    assert histories.before([1], 10**12)[0].tolist() == [2, 3]


def test_moments_that_do_not_fit_are_named() -> None:
    histories = Histories.from_interactions(Interactions.from_arrays([1], [2], timestamp=[3]))
    with pytest.raises(DataError, match="`times` must be one moment or 2, got 3"):
        histories.before([1, 1], [1, 2, 3])
    with pytest.raises(DataError, match="the moments, column 'times', row 1"):
        histories.before([1, 1], [1, None])
    assert histories.before([], []) == []


SEEN = Histories.from_interactions(Interactions.from_arrays(["b", "a", "b", "c"], [10, 20, 30, 10]))


def test_given_items_join_the_seen_ones() -> None:
    joined = SEEN.excluded(["a", "zoe", "b"], [[30, 40], [7], []])
    assert [items.tolist() for items in joined] == [[20, 30, 40], [7], [10, 30]]
    assert [items.tolist() for items in SEEN.excluded(["c"], None)] == [[10]]


def test_ids_are_never_changed_to_fit() -> None:
    with pytest.raises(DataError, match="one sequence for each of 2 users, got 1"):
        SEEN.excluded(["a", "b"], [[1]])
    for bad, message in (
        (["7"], "`exclude` must be integers, as the ids of these items are; got the str '7'"),
        ([1.7], "got the float 1.7"),
    ):
        with pytest.raises(ValueError, match=message):
            SEEN.excluded(["a"], [bad])
    for ask in (SEEN, SEEN.padded):
        with pytest.raises(ValueError, match="`users` must be text"):
            ask([1])
    with pytest.raises(ValueError, match="`user` must be text"):
        SEEN[1]
    assert 1 not in SEEN
    assert None not in SEEN


def test_one_user_asked_twice_answers_twice_and_nobody_gets_nothing() -> None:
    assert [items.tolist() for items in SEEN(["b", "b"])] == [[10, 30], [10, 30]]
    assert SEEN([]) == []
    nobody = Histories.empty()
    assert nobody == Histories.from_interactions(SEEN.to_frame().head(0))
    assert (len(nobody), list(nobody)) == (0, [])
    for user in ("a", 1):
        assert nobody[user].tolist() == []
        assert nobody([user])[0].tolist() == []
    assert nobody.excluded([1], [["x"]])[0].tolist() == ["x"]


def test_among_keeps_the_users_and_drops_the_other_items() -> None:
    few = SEEN.among([10, 99])
    assert [few[user].tolist() for user in "abc"] == [[], [10], [10]]
    assert len(few) == 3


def test_histories_differ_by_order_times_and_users() -> None:
    views = Interactions.from_arrays([1, 1, 2], [5, 6, 5], timestamp=[1, 2, 3])
    histories = Histories.from_interactions(views)
    assert histories == Histories.from_interactions(views.take([2, 1, 0]))
    later = Interactions.from_arrays([1, 1, 2], [5, 6, 5], timestamp=[1, 3, 3])
    assert histories != Histories.from_interactions(later)
    assert histories != Histories.from_interactions(views.frame.drop("timestamp"))
    assert histories != histories.latest(1)
    assert histories != {}


def test_any_table_with_both_columns_will_do_and_others_are_refused(tmp_path: Path) -> None:
    table = pl.DataFrame({"user_id": [2, 1], "item_id": ["x", "y"], "more": [0, 0]})
    assert Histories.from_interactions(table)[2].tolist() == ["x"]
    with pytest.raises(DataError, match="item_id"):
        Histories.from_interactions(table.drop("item_id"))
    with pytest.raises(DataError, match="cannot be read"):
        Histories.read_parquet(tmp_path / "nothing.parquet")
    with pytest.raises(ValueError, match="needs items counted from 1"):
        Histories.from_interactions(table).padded([1])


def test_lists_of_two_kinds_of_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="`histories` must be integers"):
        Histories.from_lists([[1], [], ["a"]])
    with pytest.raises(ValueError, match=r"`histories\[1\]` must be a sequence of ids"):
        Histories.from_lists([[1], 2])


def test_histories_taken_in_pieces_are_those_of_one(request, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    views = Interactions.from_arrays(
        [f"u{user}" for user in rng.integers(0, 9, 60)],
        rng.integers(0, 7, 60),
        timestamp=rng.integers(0, 20, 60),
    )
    users, items = Vocabulary(["u8", "u3", "nobody", "u0"]), Vocabulary([5, 1, 99, 0])
    whole = Histories.from_interactions(views)
    encoded, popularity = whole.encoded(users, items), whole.popularity()
    request.getfixturevalue("on_disk")
    pieces = Histories.from_interactions(views.take(np.arange(60)))
    assert pieces == whole
    assert pieces.encoded(users, items) == encoded
    assert pieces.encoded(users, items).lengths.tolist() == encoded.lengths.tolist()
    assert pieces.popularity().tolist() == popularity.tolist()
    pieces.write_parquet(tmp_path / "h.parquet")
    assert Histories.read_parquet(tmp_path / "h.parquet") == whole
    assert pl.read_parquet(tmp_path / "h.parquet").equals(whole.to_frame())


def test_popularity_counts_a_user_once_an_item() -> None:
    views = Interactions.from_arrays([1, 1, 2, 1], ["a", "b", "b", "b"])
    assert Histories.from_interactions(views).popularity().tolist() == [1, 2]


def test_what_is_no_sequence_is_refused_by_name() -> None:
    views = Interactions.from_arrays([1, 1, 2], [7, 8, 9])
    histories = Histories.from_interactions(views)
    for call, message in [
        (lambda: histories.excluded([1], 5), "`exclude` must hold one sequence for each of 1"),
        (lambda: histories.latest(1.5), "`n` must be a whole number of at least 0, got 1.5"),
        (lambda: histories.latest("1"), "`n` must be a whole number of at least 0, got '1'"),
        (lambda: Histories.from_lists(None), "`histories` must hold a sequence .* got None"),
        (lambda: Histories.from_lists("ab"), "`histories` must hold a sequence .* got 'ab'"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="`interactions` must be Interactions, got list"):
        Histories.from_interactions([(1, 7)])
    with pytest.raises(DataError, match="`user_ids` must be a sequence of ids, got None"):
        Interactions.from_arrays(None, [1])
