"""Candidates by id: their titles, what is known of them, and how they are found, as they change."""

import copy

import numpy as np
import pytest

from shortlist.bundle import Items
from shortlist.index import Index

from .parts import Parts


@pytest.fixture
def parts() -> Parts:
    return Parts()


@pytest.fixture
def index(parts: Parts) -> Index:
    return parts.index


@pytest.fixture
def items(parts: Parts, index: Index) -> Items:
    return Items(parts.items, index)


def after(items: Items, index: Index, upserted: dict, removed: list) -> Items:
    later = copy.copy(index)
    if upserted:
        later.upsert(np.ones((len(upserted), 4)), list(upserted))
    later.delete(removed)
    return items.changed(later, upserted, removed)


def test_what_is_known_is_found_by_id(items: Items) -> None:
    assert items.titles(["f3", "f0"]) == ["Film 3", "Film 0"]
    assert items.details("f3") == {"title": "Film 3", "year": 1993}
    assert items.positions(["f3", "none"]).tolist() == [3, -1]
    assert ("f3" in items, "none" in items, items.text, len(items)) == (True, False, True, 8)
    assert items.find("film", 3) == ["f0", "f1", "f2"]
    assert items.find("F5", 3) == items.find("film x", 3) == []
    assert items.find("f5", 3) == ["f5"]


def test_a_change_of_the_index_by_others_changes_nothing(items: Items, index: Index) -> None:
    index.delete(["f0"])
    assert items.titles(["f3"]) == ["Film 3"]
    assert "f0" in items


def test_changes_are_seen_by_those_who_come_after(items: Items, index: Index) -> None:
    later = after(
        items, index, {"new": {"title": "Alien", "year": 1979}, "f2": {"year": 1}}, ["f0"]
    )
    assert later.titles(["f3", "new", "f2"]) == ["Film 3", "Alien", ""]
    assert later.details("new") == {"title": "Alien", "year": 1979}
    assert later.details("f2") == {"title": None, "year": 1}
    assert later.positions(["f3", "new", "f0"]).tolist() == [3, -1, 0]
    assert ("new" in later, "f0" in later, len(later)) == (True, False, 8)
    assert later.id_array.tolist() == ["f1", "f3", "f4", "f5", "f6", "f7", "new", "f2"]
    assert later.find("film", 9) == ["f1", "f3", "f4", "f5", "f6", "f7"]
    assert later.find("ali", 9) == later.find("new", 9) == ["new"]
    assert later.find("", 2) == ["new", "f2"]
    # Those before are as they were.
    assert ("new" in items, "f0" in items, len(items)) == (False, True, 8)
    assert items.titles(["f2"]) == ["Film 2"]


def test_an_item_that_was_removed_is_found_no_more(items: Items, index: Index) -> None:
    first = after(items, index, {"new": {"title": "Alien"}}, [])
    second = after(first, first._index, {}, ["new", "f0"])
    assert second.find("ali", 9) == second.find("new", 9) == []
    assert second.find("film", 2) == ["f1", "f2"]


def test_without_titles_the_id_is_the_title(parts: Parts, index: Index) -> None:
    plain = Items(parts.items.select("id", "year"), index)
    later = after(plain, index, {"new": {"year": 1979}}, [])
    assert later.titles(["f3", "new"]) == ["f3", "new"]
