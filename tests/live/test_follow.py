"""A bundle that follows a live state answers as one that was built with all of it."""

import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shortlist.bundle import Bundle, UnknownUserError
from shortlist.index import Index, col
from shortlist.live import (
    Follower,
    Interaction,
    ItemRemoval,
    ItemUpsert,
    LiveState,
    LiveStateError,
    Receipt,
    Retention,
)

from ..bundle.parts import Parts, lookup_tower
from .parts import saved, year_tower


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return saved(tmp_path / "model", candidate_tower=year_tower())


@pytest.fixture
def plain(tmp_path: Path) -> Bundle:
    return saved(tmp_path / "plain")


def test_a_new_item_is_recommended_with_what_is_known_of_it(
    bundle: Bundle, state: LiveState
) -> None:
    follower = Follower(bundle, state)
    assert follower.append([ItemUpsert("new", {"title": "Alien", "year": 1_000_000})]) == Receipt(
        1, 1
    )
    live = follower.current
    np.testing.assert_array_equal(live.index.vectors(["new"]), [[1e6, 1, 0, 0]])
    for user in bundle.tower.users.ids.tolist():
        likes_late_years = bundle.tower.embed([user])[0, 0] > 0
        assert (live.recommend([user], 1).ids[0, 0] == "new") == likes_late_years
    assert live.items.titles(["new"]) == ["Alien"]
    # What was there before the change is as it was.
    assert "new" not in bundle.items
    assert len(bundle.index) == 8


def test_an_embedding_that_is_given_counts_more_than_attributes(
    bundle: Bundle, state: LiveState
) -> None:
    follower = Follower(bundle, state)
    follower.append([ItemUpsert("new", {"year": 5}, [1, 2, 3, 4])])
    np.testing.assert_array_equal(follower.current.index.vectors(["new"]), [[1, 2, 3, 4]])
    follower.append([ItemUpsert("new", {"year": 6})])
    np.testing.assert_array_equal(follower.current.index.vectors(["new"]), [[1, 2, 3, 4]])
    follower.append([ItemRemoval("new"), ItemUpsert("new", {"year": 6})])
    np.testing.assert_array_equal(follower.current.index.vectors(["new"]), [[6, 1, 0, 0]])


def test_an_upsert_of_an_embedding_alone_keeps_what_the_bundle_knows(
    bundle: Bundle, state: LiveState
) -> None:
    follower = Follower(bundle, state)
    follower.append([ItemUpsert("f3", embedding=[1, 2, 3, 4]), ItemUpsert("x", embedding=[0] * 4)])
    assert follower.current.items.details("f3") == {"title": "Film 3", "year": 1993}
    assert follower.current.items.details("x") == {"title": None, "year": None}
    follower.append([ItemRemoval("f3"), ItemUpsert("f3", embedding=[1, 2, 3, 4])])
    assert follower.current.items.details("f3") == {"title": None, "year": None}


def test_a_bundle_without_a_candidate_tower_needs_an_embedding(
    plain: Bundle, state: LiveState
) -> None:
    follower = Follower(plain, state)
    with pytest.raises(ValueError, match="item 'new' is new and must come with an `embedding`"):
        follower.append([ItemUpsert("new", {"title": "Alien"})])
    follower.append([ItemUpsert("f3", {"title": "Alien"})])
    np.testing.assert_array_equal(
        follower.current.index.vectors(["f3"]), plain.index.vectors(["f3"])
    )
    assert follower.current.items.titles(["f3"]) == ["Alien"]


def test_conditions_on_attributes_hold_for_what_came_since(
    tmp_path: Path, state: LiveState
) -> None:
    parts = Parts()
    years = {"year": parts.items["year"].to_list()}
    index = Index.build(parts.item_embeddings, parts.item_ids, attributes=years)
    Bundle.save(
        tmp_path / "model",
        query_tower=lookup_tower(parts.user_embeddings),
        users=parts.users,
        index=index,
        items=parts.items,
        candidate_tower=year_tower(),
    )
    follower = Follower(Bundle.load(tmp_path / "model"), state)
    follower.append(
        [
            ItemUpsert("new", {"year": 1996}),
            ItemUpsert("f0", {"year": 1997}),
            ItemUpsert("f7", embedding=[1, 2, 3, 4]),
            ItemUpsert("bare", embedding=[1, 2, 3, 4]),
        ]
    )
    found = follower.current.index.search(np.ones(4), 10, where=col("year") >= 1996).ids
    assert sorted(found[found != ""]) == ["f0", "f6", "f7", "new"]


def test_a_removed_item_never_comes_back(bundle: Bundle, state: LiveState) -> None:
    follower = Follower(bundle, state)
    follower.append([ItemRemoval("f3"), ItemRemoval("none")])
    live = follower.current
    assert "f3" not in live.recommend(["u1"], 8).ids
    assert "f3" not in live.items
    assert live.had("u0") == ["f5"]


def test_what_a_user_did_a_moment_ago_is_left_out(bundle: Bundle, state: LiveState) -> None:
    follower = Follower(bundle, state)
    first = follower.current.recommend(["u1"], 3).ids[0]
    follower.append([Interaction("u1", first[0])])
    live = follower.current
    assert first[0] not in live.recommend(["u1"], 8).ids
    assert live.had("u1") == [first[0], "f1"]
    assert live.history("u1").tolist() == ["f1", first[0]]
    # Who did nothing gets what they got.
    np.testing.assert_array_equal(live.recommend(["u2"], 8).ids, bundle.recommend(["u2"], 8).ids)


def test_an_item_and_what_was_done_with_it_may_come_in_one_call(
    bundle: Bundle, state: LiveState
) -> None:
    follower = Follower(bundle, state)
    follower.append([ItemUpsert("new", {"year": 1}), Interaction("u1", "new")])
    assert follower.current.had("u1") == ["new", "f1"]


def test_a_call_that_comes_again_is_answered_though_it_would_not_fit_any_more(
    bundle: Bundle, state: LiveState
) -> None:
    follower = Follower(bundle, state)
    follower.append([ItemUpsert("new", {"year": 1})])
    receipt = follower.append([Interaction("u1", "new", 5)], key="k")
    follower.append([ItemRemoval("new")])
    assert follower.append([Interaction("u1", "new", 5)], key="k") == receipt
    with pytest.raises(ValueError, match="unknown item 'new'"):
        follower.append([Interaction("u1", "new", 5)], key="l")


def test_somebody_who_came_after_training_is_known_by_what_they_did(
    bundle: Bundle, state: LiveState
) -> None:
    follower = Follower(bundle, state)
    with pytest.raises(UnknownUserError):
        follower.current.recommend(["guest"], 3)
    follower.append([Interaction("guest", "f2"), Interaction("guest", "f6")])
    live = follower.current
    expected = bundle.recommend_for_history(["f2", "f6"], 6)
    np.testing.assert_array_equal(live.recommend(["guest"], 6).ids, expected.ids)
    assert live.knows("guest")
    assert not live.knows("nobody")
    follower.append([ItemRemoval("f2"), ItemRemoval("f6")])
    assert not follower.current.knows("guest")


def test_each_user_has_the_latest_of_what_they_did(bundle: Bundle, tmp_path: Path) -> None:
    with LiveState.open(tmp_path / "l.sqlite", retention=Retention(per_user=2)) as state:
        follower = Follower(bundle, state)
        for item in ("f1", "f2", "f3"):
            follower.append([Interaction("u4", item)])
        assert follower.current.history("u4").tolist() == ["f2", "f3"]
        assert Follower(bundle, state).current.history("u4").tolist() == ["f2", "f3"]


def test_several_servers_agree(bundle: Bundle, url: str) -> None:
    with LiveState.open(url) as one, LiveState.open(url) as other:
        writer = Follower(bundle, one)
        with Follower(bundle, other) as reader:
            receipt = writer.append([ItemUpsert("new", {"year": 3}), Interaction("u0", "f7")])
            until = time.monotonic() + 60
            while reader.position < receipt.last and time.monotonic() < until:
                time.sleep(0.01)
        assert reader.position == receipt.last
        same(writer, reader)


def same(one: Follower, other: Follower) -> None:
    """Whether two followers answer alike, whatever way they came."""
    a, b = one.current, other.current
    assert sorted(a.items.id_array) == sorted(b.items.id_array)
    ids = sorted(a.items.id_array)
    if ids:
        np.testing.assert_array_equal(a.index.vectors(ids), b.index.vectors(ids))
    assert [a.items.details(item) for item in ids] == [b.items.details(item) for item in ids]
    assert a.events == b.events


ITEMS = st.sampled_from(["f0", "f1", "f2", "x", "y"])
EMBEDDINGS = st.lists(st.integers(-3, 3), min_size=4, max_size=4)
ATTRIBUTES = st.fixed_dictionaries({"year": st.integers(0, 9)})
CHANGES = (
    st.builds(ItemUpsert, ITEMS, ATTRIBUTES)
    | st.builds(ItemUpsert, ITEMS, st.none(), EMBEDDINGS)
    | st.builds(ItemUpsert, ITEMS, ATTRIBUTES, EMBEDDINGS)
    | st.builds(ItemRemoval, ITEMS)
    | st.builds(Interaction, st.sampled_from(["u0", "guest"]), st.sampled_from(["f5", "f6"]))
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(calls=st.lists(st.lists(CHANGES, min_size=1, max_size=5), max_size=6))
def test_who_comes_late_has_what_those_have_who_followed_all_along(
    tmp_path_factory: pytest.TempPathFactory, calls: list
) -> None:
    folder = tmp_path_factory.mktemp("law")
    bundle = saved(folder / "model", candidate_tower=year_tower())
    with LiveState.open(folder / "live.sqlite") as state:
        early, lazy = Follower(bundle, state), Follower(bundle, state)
        for number, call in enumerate(calls):
            early.append(call)
            if number % 2:
                lazy.refresh()
        lazy.refresh()
        late = Follower(bundle, state)
        same(early, lazy)
        same(early, late)
        live = early.current
        # The answers are those of an index built of what is there.
        ids = live.items.id_array.tolist()
        fresh = Index.build(live.index.vectors(ids), ids)
        queries = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
        np.testing.assert_array_equal(
            live.index.search(queries, 8).scores, fresh.search(queries, 8).scores
        )


def test_a_batch_is_seen_whole_or_not_at_all(bundle: Bundle, tmp_path: Path) -> None:
    """Two items always stand for each other; a reader never sees both or neither."""
    with LiveState.open(tmp_path / "live.sqlite") as state:
        follower = Follower(bundle, state)
        follower.append([ItemUpsert("a", {"title": "a", "year": 1})])
        done, wrong = threading.Event(), []

        def read() -> None:
            while not done.is_set():
                live = follower.current
                there = [item for item in ("a", "b") if item in live.items]
                found = [i for i in live.search(np.ones((1, 4), "f4"), 10).ids[0] if i in "ab"]
                if (
                    len(there) != 1
                    or found.count("") == len(found)
                    or live.items.titles(there) != there
                ):
                    wrong.append((there, found))

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(30):
            come, go = ("b", "a") if number % 2 == 0 else ("a", "b")
            follower.append([ItemUpsert(come, {"title": come, "year": 1}), ItemRemoval(go)])
        done.set()
        reader.join()
        assert wrong == []


def test_what_a_new_bundle_has_learnt_is_left_out_and_the_rest_applied_again(
    bundle: Bundle, state: LiveState, tmp_path: Path
) -> None:
    old = Follower(bundle, state)
    old.append(
        [
            ItemUpsert("f8", {"title": "in the new bundle", "year": 1}),
            ItemUpsert("late", {"title": "not in it", "year": 2}),
            ItemRemoval("f0"),
            Interaction("u3", "f1", 5),
            Interaction("u3", "late", 6),
        ]
    )
    mark = state.mark()
    old.append([Interaction("u3", "f2", 7), ItemUpsert("f1", {"title": "changed", "year": 3})])

    parts = Parts(items=9)
    parts.items = parts.items.with_columns(title=pl.lit("learnt"))
    rows = list(range(1, 9))
    parts.item_ids, parts.items = parts.item_ids[1:], parts.items[1:]
    parts.item_embeddings = parts.item_embeddings[rows]
    parts.interactions = pl.DataFrame({"user_id": ["u3"], "item_id": ["f1"]})
    new = saved(tmp_path / "new", parts, candidate_tower=year_tower(), run={"live": mark})
    follower = Follower(new, state)
    live = follower.current
    assert sorted(live.items.id_array) == sorted([*parts.item_ids, "late"])
    titles = live.items.titles(["f8", "late", "f1", "f2"])
    assert titles == ["learnt", "not in it", "changed", "learnt"]
    assert live.history("u3").tolist() == ["f1", "late", "f2"]

    assert follower.take_over() == 3  # f8, f0 and what u3 did with f1
    same(follower, Follower(new, state))
    assert [entry.sequence for entry in state.changes()] == [2, 5, 6, 7]
    old.refresh()  # who has applied them goes on
    with pytest.raises(LiveStateError, match="begins after change 5, which a newer bundle has"):
        Follower(bundle, state)


def test_a_bundle_may_say_until_when_it_has_learnt(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([10_000, 20_000, 30_000])
    monkeypatch.setattr("shortlist.live.appending.milliseconds", lambda: next(now))
    with LiveState.open(tmp_path / "live.sqlite") as state:
        for item in ("f5", "f6", "f7"):
            state.append([Interaction("u4", item)])
        new = saved(tmp_path / "new", run={"live": {"time": 20}})
        assert Follower(new, state).current.history("u4").tolist() == ["f7"]


@pytest.mark.parametrize(
    "mark", [{"state": "another", "change": 1}, {"change": 1}, {"change": -1}, 7, {}]
)
def test_a_mark_of_another_state_says_nothing(
    mark: object, state: LiveState, tmp_path: Path
) -> None:
    state.append([Interaction("u4", "f5")])
    new = saved(tmp_path / "new", run={"live": mark})
    assert Follower(new, state).current.history("u4").tolist() == ["f5"]


def test_an_item_that_cannot_be_placed_is_left_out_and_told(
    plain: Bundle, state: LiveState
) -> None:
    state.append(
        [
            ItemUpsert("short", embedding=[1.0]),
            ItemUpsert("bare", {"title": "Bare"}),
            ItemUpsert("f3", embedding=[1.0]),
            ItemUpsert("good", embedding=[1, 2, 3, 4]),
        ]
    )
    follower = Follower(plain, state)
    assert follower.refused == {
        "short": "its embedding has 1 dimensions, not 4",
        "bare": "it has no embedding, and the bundle has no candidate tower",
        "f3": "its embedding has 1 dimensions, not 4",
    }
    live = follower.current
    assert ("short" in live.items, "good" in live.items, len(live.items)) == (False, True, 9)
    np.testing.assert_array_equal(live.index.vectors(["f3"]), plain.index.vectors(["f3"]))
    follower.append([ItemUpsert("short", embedding=[1, 2, 3, 4])])
    assert sorted(follower.refused) == ["bare", "f3"]


def test_an_embedding_of_another_length_gives_way_to_the_candidate_tower(
    bundle: Bundle, state: LiveState
) -> None:
    """As after a new bundle of other dimensions."""
    state.append([ItemUpsert("new", {"year": 7}, [1.0])])
    follower = Follower(bundle, state)
    np.testing.assert_array_equal(follower.current.index.vectors(["new"]), [[7, 1, 0, 0]])
    assert follower.refused == {}


def test_the_state_of_another_bundle_is_refused(plain: Bundle, state: LiveState) -> None:
    state.append([ItemRemoval(7)])
    with pytest.raises(LiveStateError, match="are integers, and those of the bundle are text"):
        Follower(plain, state)


def test_following_goes_on_after_the_state_failed(
    plain: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with LiveState.open(tmp_path / "live.sqlite") as state:
        failed = threading.Event()
        wait = state.wait

        def fail_once(after: int, seconds: float) -> bool:
            if not failed.is_set():
                failed.set()
                raise LiveStateError("gone for a moment")
            return wait(after, seconds)

        monkeypatch.setattr(state, "wait", fail_once)
        with Follower(plain, state) as follower:
            assert failed.wait(60)
            state.append([ItemRemoval("f0")])
            until = time.monotonic() + 60
            while follower.position < 1 and time.monotonic() < until:
                time.sleep(0.01)
        assert "f0" not in follower.current.items
