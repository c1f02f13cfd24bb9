"""Changes are plain data of known types, or they are refused."""

import datetime as dt

import numpy as np
import pytest

from shortlist.live import Interaction, ItemRemoval, ItemUpsert
from shortlist.live.changes import digest


def test_attributes_are_plain_data() -> None:
    given = {
        "year": np.int32(1979),
        "genres": ("horror", "sf"),
        "seen": dt.datetime(2024, 1, 2, 3),
        "day": dt.date(2024, 1, 2),
        "score": np.float32(0.5),
        "sequel": None,
        "good": True,
        "points": np.array([1, 2]),
    }
    assert ItemUpsert("alien", given).attributes == {
        "year": 1979,
        "genres": ["horror", "sf"],
        "seen": "2024-01-02T03:00:00",
        "day": "2024-01-02",
        "score": 0.5,
        "sequel": None,
        "good": True,
        "points": [1, 2],
    }


def test_an_embedding_is_float32_of_its_own() -> None:
    given = np.array([1.0, 2.0])
    change = ItemUpsert(np.int64(7), embedding=given)
    given[0] = 9
    assert change.embedding.dtype == np.float32
    assert change.embedding.tolist() == [1.0, 2.0]
    assert type(change.item_id) is int


def test_equal_changes_are_equal_whatever_the_order_of_attributes() -> None:
    first = ItemUpsert(1, {"a": 1, "b": 2}, [1.0])
    assert first == ItemUpsert(1, {"b": 2, "a": 1}, np.array([1.0]))
    assert first != ItemUpsert(1, {"a": 1, "b": 2}, [2.0])
    assert first != ItemUpsert("1", {"a": 1, "b": 2}, [1.0])


def test_a_digest_tells_changes_and_their_order_apart() -> None:
    changes = [
        ItemUpsert(1, {"a": 1}),
        ItemUpsert(1, {"a": "1"}),
        ItemUpsert(1, {"a": 1}, [1.0]),
        ItemUpsert(1, embedding=[1.0]),
        ItemRemoval(1),
        Interaction(1, 1),
        Interaction(1, 1, 0),
    ]
    different = {digest([one, other]) for one in changes for other in changes}
    assert len(different) == len(changes) ** 2
    assert digest([ItemUpsert(1, {"a": 1, "b": 2})]) == digest([ItemUpsert(1, {"b": 2, "a": 1})])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ItemUpsert(1), "`attributes`, an `embedding` or both, got neither"),
        (lambda: ItemUpsert(1.5, {}), "`item_id` must be an integer or text, got the float"),
        (lambda: ItemUpsert(2**63, {}), "`item_id` must fit in 64 bits"),
        (lambda: ItemUpsert("a\0b", {}), "`item_id` must be text of at most 1,000 bytes without"),
        (lambda: ItemUpsert("x" * 1001, {}), "at most 1,000 bytes .* of 1,001 bytes"),
        (lambda: ItemUpsert("\ud800", {}), "`item_id` must be text that UTF-8 can hold"),
        (lambda: ItemUpsert(1, ["title"]), "`attributes` must be a mapping, got list"),
        (lambda: ItemUpsert(1, {7: 1}), "`attributes` must be named by text, got 7"),
        (lambda: ItemUpsert(1, {"x": float("nan")}), r"`attributes\['x'\]` must be .* float nan"),
        (lambda: ItemUpsert(1, {"x": 2**64}), r"`attributes\['x'\]` must be .* int of 65 bits"),
        (lambda: ItemUpsert(1, {"x": {"y": 1}}), r"`attributes\['x'\]` must be .* the dict"),
        (lambda: ItemUpsert(1, {"x": [[1]]}), r"`attributes\['x'\]` must be .* the list"),
        (lambda: ItemUpsert(1, {"x": "\ud800"}), "must be text that UTF-8 can hold"),
        (lambda: ItemUpsert(1, embedding=[[1.0]]), r"`embedding` must have shape \(d,\)"),
        (lambda: ItemUpsert(1, embedding=[]), r"`embedding` must have shape \(d,\)"),
        (lambda: ItemUpsert(1, embedding=[1.0, np.inf]), "`embedding` must be finite, got inf"),
        (lambda: ItemUpsert(1, embedding=["a"]), "`embedding` must hold real numbers"),
        (lambda: ItemRemoval(None), "`item_id` must be an integer or text, got None"),
        (lambda: Interaction(True, 1), "`user_id` must be an integer or text, got the bool"),
        (lambda: Interaction(1, 1, 1.5), "`timestamp` must be whole seconds .* got 1.5"),
        (lambda: Interaction(1, 1, True), "`timestamp` must be whole seconds"),
        (lambda: Interaction(1, 1, 2**63), "`timestamp` must be whole seconds"),
    ],
)
def test_what_is_no_change_is_refused(make, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()
