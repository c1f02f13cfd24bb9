"""A log that keeps what it acknowledged, in order, once; the same on SQLite and PostgreSQL."""

import threading
import time
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shortlist.live import (
    Interaction,
    ItemRemoval,
    ItemUpsert,
    KeyReusedError,
    LiveState,
    LiveStateError,
    Receipt,
    Retention,
)


def contents(state: LiveState, after: int = 0) -> list:
    return [entry.change for entry in state.changes(after)]


def test_what_was_appended_is_there_for_others_and_after_opening_again(url: str) -> None:
    changes = [
        ItemUpsert("f1", {"title": "Élan \0", "year": 1990, "tags": ["a", "b"]}, [0.5, -1.0]),
        ItemRemoval("f2"),
        Interaction(7, "f1", 123),
    ]
    with LiveState.open(url) as state, LiveState.open(url) as other:
        assert state.append(changes) == Receipt(1, 3)
        assert contents(other) == changes
        assert [entry.sequence for entry in other.changes()] == [1, 2, 3]
        identity = state.id
    with LiveState.open(url) as again:
        assert contents(again) == changes
        assert again.id == identity
        assert again.last == 3


def test_a_follower_gets_what_came_after_and_nothing_else(state: LiveState) -> None:
    for number in range(5):
        state.append([Interaction(1, number, 0)])
    assert contents(state, after=3) == [Interaction(1, 3, 0), Interaction(1, 4, 0)]
    assert [entry.sequence for entry in state.changes(1, limit=2)] == [2, 3]
    assert contents(state, after=5) == []


def test_the_log_keeps_the_latest_of_each_item(state: LiveState) -> None:
    state.append([ItemUpsert(1, {"n": 1}), ItemUpsert(2, {"n": 1}), ItemUpsert(1, {"n": 2})])
    state.append([ItemRemoval(2)])
    state.append([ItemUpsert(3, {"n": 1}), ItemRemoval(3)])
    assert contents(state) == [ItemUpsert(1, {"n": 2}), ItemRemoval(2), ItemRemoval(3)]
    assert [entry.sequence for entry in state.changes()] == [3, 4, 6]
    assert [entry.change for entry in state.items()] == [ItemUpsert(1, {"n": 2})]


def test_what_an_upsert_leaves_out_stays_as_it_was(state: LiveState) -> None:
    state.append([ItemUpsert("f", {"year": 1})])
    state.append([ItemUpsert("f", embedding=[1.0])])
    assert contents(state) == [ItemUpsert("f", {"year": 1}, [1.0])]
    state.append([ItemUpsert("f", {"year": 2}), ItemUpsert("g", embedding=[3.0])])
    assert contents(state) == [
        ItemUpsert("f", {"year": 2}, [1.0]),
        ItemUpsert("g", embedding=[3.0]),
    ]


def test_what_was_known_before_a_removal_does_not_come_back(state: LiveState) -> None:
    state.append([ItemUpsert("f", {"year": 1}, [1.0]), ItemRemoval("f")])
    state.append([ItemUpsert("f", embedding=[2.0])])
    assert contents(state) == [ItemUpsert("f", {}, [2.0])]


def test_the_same_key_again_gives_the_same_answer_and_applies_nothing(state: LiveState) -> None:
    first = state.append([Interaction(1, 2)], key="k")
    assert state.append([Interaction(1, 3)], key="l") == Receipt(2, 2)
    assert state.append([Interaction(1, 2)], key="k") == first == Receipt(1, 1)
    assert state.last == 2
    assert len(contents(state)) == 2


def test_a_key_with_other_changes_is_refused_and_applies_nothing(state: LiveState) -> None:
    state.append([Interaction(1, 2, 0)], key="k")
    with pytest.raises(KeyReusedError, match="'k' came before with other changes"):
        state.append([Interaction(1, 2, 1)], key="k")
    assert contents(state) == [Interaction(1, 2, 0)]


def test_a_key_is_forgotten_in_time(url: str) -> None:
    with LiveState.open(url, retention=Retention(keys=timedelta(milliseconds=1))) as state:
        state.append([Interaction(1, 2, 0)], key="k")
        time.sleep(0.01)
        state.append([Interaction(1, 3, 0)])
        assert state.append([Interaction(1, 2, 0)], key="k") == Receipt(3, 3)


def test_an_interaction_without_a_time_has_that_of_its_append(state: LiveState) -> None:
    before = int(time.time())
    state.append([Interaction("u", "f")])
    (entry,) = state.changes()
    assert before <= entry.change.timestamp <= entry.time / 1000 <= time.time()


def test_the_times_of_the_log_never_fall(state: LiveState, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([5_000, 3_000, 9_000])
    monkeypatch.setattr("shortlist.live.appending.milliseconds", lambda: next(now))
    for number in range(3):
        state.append([ItemRemoval(number)])
    assert [entry.time for entry in state.changes()] == [5000, 5000, 9000]
    assert [state.at(moment) for moment in (4.9, 5, 8.9, 9)] == [0, 2, 2, 3]


def test_the_latest_interactions_of_each_user_are_kept(url: str) -> None:
    with LiveState.open(url, retention=Retention(per_user=2)) as state:
        state.append([Interaction("u", n, 100 - n) for n in range(5)] + [Interaction("v", 9, 0)])
        assert contents(state) == [
            Interaction("u", 3, 97),
            Interaction("u", 4, 96),
            Interaction("v", 9, 0),
        ]
        state.append([Interaction("u", 7, 0)])
        assert [entry.change.item_id for entry in state.interactions()] == [4, 9, 7]


def test_interactions_of_long_ago_are_dropped(url: str) -> None:
    now = int(time.time())
    with LiveState.open(url, retention=Retention(age=timedelta(days=1))) as state:
        state.append([Interaction(1, 1, now - 90_000), ItemUpsert(1, {})])
        state.append([Interaction(1, 2, now - 80_000)])
        assert contents(state) == [ItemUpsert(1, {}), Interaction(1, 2, now - 80_000)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], "`changes` must be from 1 to 10,000, got 0"),
        ([ItemRemoval(1)] * 10_001, "got 10,001; append them in several calls"),
        ([ItemRemoval(1), "f"], "got str at position 1"),
        ([ItemRemoval(1), ItemRemoval("f")], "ids of items must be all integers or all text"),
        ([Interaction("u", 1), Interaction(2, 1)], "ids of users must be all integers or all"),
        ([ItemRemoval("f")], "ids of items must be integers, as those in this live state are"),
        ([Interaction(1, 1)], "ids of users must be text, as those in this live state are"),
    ],
)
def test_a_call_that_is_refused_changes_nothing(state: LiveState, changes: list, said: str) -> None:
    state.append([Interaction("u", 1, 0)])
    with pytest.raises(ValueError, match=said):
        state.append(changes)
    assert (contents(state), state.last) == ([Interaction("u", 1, 0)], 1)


@pytest.mark.parametrize("key", ["", "x" * 201, 7, "a\nb"])
def test_a_key_is_short_printable_text(state: LiveState, key: object) -> None:
    with pytest.raises(ValueError, match="`key` must be text of"):
        state.append([ItemRemoval(1)], key=key)


def test_writers_at_once_get_every_place_once_and_a_follower_misses_none(url: str) -> None:
    """Were numbers given before the order of commits is known, the follower would skip some."""
    done = threading.Event()
    seen: list[int] = []

    def follow() -> None:
        with LiveState.open(url) as state:
            while True:
                finished = done.is_set()
                entries = state.changes(seen[-1] if seen else 0)
                seen.extend(entry.sequence for entry in entries)
                if finished and not entries:
                    return

    def write(writer: int) -> None:
        with LiveState.open(url) as state:
            for number in range(30):
                state.append([Interaction(writer, n, 0) for n in (number, number + 1)])

    with LiveState.open(url) as state:
        follower = threading.Thread(target=follow)
        writers = [threading.Thread(target=write, args=[n]) for n in range(4)]
        for thread in (follower, *writers):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        follower.join()
        assert seen == list(range(1, 241))
        # A call's changes stand together, those of a writer in its order.
        entries = state.changes()
        for writer in range(4):
            own = [(e.sequence, e.change.item_id) for e in entries if e.change.user_id == writer]
            assert [item for _, item in own] == [n + i for n in range(30) for i in (0, 1)]
            assert all(b[0] == a[0] + 1 for a, b in zip(own[::2], own[1::2], strict=True))


def test_a_state_opens_while_another_appends(url: str) -> None:
    with LiveState.open(url) as state:
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                state.append([ItemRemoval(1)])

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(20):
            LiveState.open(url).close()
        done.set()
        writer.join()


def test_one_key_sent_by_several_at_once_is_applied_once(url: str) -> None:
    receipts = []

    def send() -> None:
        with LiveState.open(url) as state:
            receipts.append(state.append([Interaction(1, 1, 0)], key="once"))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receipts == [Receipt(1, 1)] * 4


def test_waiting_ends_with_a_change_of_another(url: str) -> None:
    with LiveState.open(url) as state, LiveState.open(url) as other:
        assert not state.wait(0, 0.05)
        timer = threading.Timer(0.2, lambda: other.append([ItemRemoval(1)]))
        timer.start()
        assert state.wait(0, 60)
        timer.join()
        assert state.wait(0, 0)
        assert not state.wait(1, 0)


def test_what_a_bundle_learnt_can_be_dropped(state: LiveState) -> None:
    state.append([ItemUpsert(n, {}) for n in range(4)])
    state.drop([1, 3], until=3)
    assert [entry.sequence for entry in state.changes()] == [2, 4]
    assert [entry.sequence for entry in state.changes(3)] == [4]
    assert state.dropped == 3
    state.drop([], until=2)
    assert state.dropped == 3
    with pytest.raises(
        LiveStateError, match="begins after change 3, and this follower stands at 2"
    ):
        state.changes(after=2)
    for sequences, until in (([4], 3), ([], 5)):
        with pytest.raises(ValueError, match="`until` must be at least every one"):
            state.drop(sequences, until)


def test_a_closed_state_says_so(url: str) -> None:
    state = LiveState.open(url)
    state.close()
    for call in (lambda: state.append([ItemRemoval(1)]), state.changes, lambda: state.last):
        with pytest.raises(LiveStateError, match="closed; open it again"):
            call()


ITEMS = st.integers(0, 3)
EMBEDDINGS = st.none() | st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=2)
ATTRIBUTES = st.none() | st.fixed_dictionaries({"n": st.integers(0, 9)})
UPSERTS = st.builds(
    lambda item, attributes, embedding: ItemUpsert(
        item, {} if attributes is None and embedding is None else attributes, embedding
    ),
    *(ITEMS, ATTRIBUTES, EMBEDDINGS),
)
CHANGES = UPSERTS | st.builds(ItemRemoval, ITEMS) | st.builds(Interaction, ITEMS, ITEMS, ITEMS)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    calls=st.lists(st.lists(CHANGES, min_size=1, max_size=6), max_size=8), pages=st.integers(1, 5)
)
def test_a_follower_that_pages_has_what_a_dictionary_has(
    tmp_path_factory: pytest.TempPathFactory, calls: list, pages: int
) -> None:
    with LiveState.open(tmp_path_factory.mktemp("law") / "live.sqlite") as state:
        attributes: dict[int, object] = {}
        embeddings: dict[int, object] = {}
        events: list[Interaction] = []
        known: dict[int, tuple] = {}
        had: list[Interaction] = []
        position = 0

        def follow() -> None:
            nonlocal position
            while entries := state.changes(position, limit=pages):
                position = entries[-1].sequence
                for entry in entries:
                    match entry.change:
                        case ItemUpsert(item, given, embedding):
                            known[item] = given, None if embedding is None else embedding.tolist()
                        case ItemRemoval(item):
                            known.pop(item, None)
                        case event:
                            had.append(event)

        for number, call in enumerate(calls):
            state.append(call)
            for change in call:
                match change:
                    case ItemUpsert(item, given, embedding):
                        removed = item in attributes and attributes[item] == "gone"
                        if given is not None or removed or item not in attributes:
                            attributes[item] = {} if given is None and removed else given
                        if embedding is not None:
                            embeddings[item] = np.float32(embedding).tolist()
                    case ItemRemoval(item):
                        attributes[item] = "gone"
                        embeddings.pop(item, None)
                    case event:
                        events.append(event)
            if number % 2:
                follow()
        follow()
        assert had == events
        assert known == {
            item: (given, embeddings.get(item))
            for item, given in attributes.items()
            if given != "gone"
        }
