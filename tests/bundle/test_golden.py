"""Bundles of every released format version load, and answer as they did when they were written.

A new version of the format gets a folder beside `v1`, written by `parts.py` of its time:
`Parts().save_whole(...)`, and its answers beside it, `answers(...)`. What is there never changes.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from shortlist.bundle import Bundle
from shortlist.bundle.manifest import FORMAT_VERSION

GOLDEN = Path(__file__).parent / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def answers(bundle: Bundle) -> dict[str, Any]:
    """What a bundle says, as plain data."""
    known = bundle.recommend(["u0", "u4"], 3)
    history = bundle.recommend_for_history(["f1", "f2"], 3)
    return {
        "users": [user for user in ("u0", "u4", "u9") if user in bundle.tower],
        "ids": known.ids.tolist(),
        "scores": known.scores.tolist(),
        "history": history.ids.tolist(),
        "newcomer": bundle.embed_history(["f1"], {"work": "baker"}).tolist(),
        "new item": bundle.candidate_tower.embed(["new"], [{"genre": "war"}]).tolist(),
        "had": list(bundle.had("u0")),
        "items": [bundle.items.details(item) for item in bundle.items.id_array.tolist()],
        "metrics": bundle.run["metrics"],
    }


def test_there_is_a_bundle_of_every_version() -> None:
    assert [f"v{version + 1}" for version in range(FORMAT_VERSION)] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mmap", [False, True])
def test_an_old_bundle_answers_as_it_did(version: str, mmap: bool) -> None:
    told = json.loads((GOLDEN / f"{version}.json").read_text())
    said = answers(Bundle.load(GOLDEN / version, mmap=mmap))
    assert said.keys() == told.keys()
    for name, value in told.items():
        if name in ("scores", "newcomer", "new item"):
            for row, expected in zip(said[name], value, strict=True):
                assert row == pytest.approx(expected, rel=1e-5)
        else:
            assert said[name] == value, name
