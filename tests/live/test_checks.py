"""Changes that do not fit the bundle are refused before they are appended."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from shortlist.bundle import Bundle
from shortlist.live import Follower, Interaction, ItemRemoval, ItemUpsert, LiveState

from ..bundle.parts import Parts
from .parts import saved, year_tower

COLUMNS = {
    "small": pl.Series([1] * 8, dtype=pl.UInt8),
    "score": [0.5] * 8,
    "good": [True] * 8,
    "tags": [["a"]] * 8,
    "kind": pl.Series(["a"] * 8, dtype=pl.Categorical),
    "day": [dt.date(2024, 1, 2)] * 8,
    "seen": [dt.datetime(2024, 1, 2)] * 8,
    "span": [dt.timedelta(1)] * 8,
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    parts = Parts()
    parts.items = parts.items.with_columns(
        **{name: pl.Series(values) for name, values in COLUMNS.items()}
    )
    folder: Path = tmp_path_factory.mktemp("checks")
    return saved(folder / "model", parts, candidate_tower=year_tower())


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("year", [1979, -5, None], ["1979", 1979.0, True, [1979]]),
        ("small", [0, 255], [-1, 256]),
        ("score", [1, 0.5], ["0.5", False]),
        ("good", [True, False], [1, "true"]),
        ("title", ["", "Alien"], [7, ["Alien"]]),
        ("tags", [[], ["a", None]], ["a", [1], [True]]),
        ("kind", ["a", "never seen"], [1]),
        ("day", ["2024-02-29"], ["2023-02-29", 5, "29.2.2024"]),
        ("seen", ["2024-02-29T10:00:00", "2024-02-29"], ["now", 5]),
        ("span", [None], ["a day", 5]),
    ],
)
def test_attributes_have_the_types_of_the_columns(
    bundle: Bundle, tmp_path: Path, name: str, good: list, bad: list
) -> None:
    with LiveState.open(tmp_path / "live.sqlite") as state:
        follower = Follower(bundle, state)
        for value in good:
            follower.append([ItemUpsert("new", {name: value})])
            assert follower.current.items.details("new")[name] == value
        last = state.last
        for value in bad:
            with pytest.raises(ValueError, match=rf"`attributes\['{name}'\]` must be .*; got "):
                follower.append([ItemRemoval("f0"), ItemUpsert("new", {name: value})])
        assert state.last == last


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (ItemUpsert("new", {"yeer": 1}), "no column 'yeer'; did you mean 'year'"),
        (ItemUpsert("new", {"id": "new"}), "no column 'id'"),
        (ItemUpsert(7, {}), "`item_id` must be text, as those of this bundle are; got the int 7"),
        (ItemRemoval(7), "`item_id` must be text"),
        (Interaction(7, "f0"), "`user_id` must be text, as those of this bundle are; got the int"),
        (Interaction("u0", "f00"), "unknown item 'f00'; did you mean 'f0'"),
        (ItemUpsert("new", embedding=[1.0]), r"`embedding` must have shape \(4,\), .* \(1,\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    bundle: Bundle, tmp_path: Path, change: object, said: str
) -> None:
    with LiveState.open(tmp_path / "live.sqlite") as state:
        follower = Follower(bundle, state)
        with pytest.raises(ValueError, match=said):
            follower.append([change])
        assert state.last == 0
