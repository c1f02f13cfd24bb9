"""JSON in a bundle, and what its run and card say."""

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import onnxruntime

from shortlist.bundle.card import model_card
from shortlist.bundle.manifest import BundleError
from shortlist.bundle.tower import QueryTower
from shortlist.data import Histories
from shortlist.index import Index

if TYPE_CHECKING:
    from shortlist.bundle.candidate import CandidateTower


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BundleError: The file holds none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path} is damaged: {error}.") from None


def write_run(
    folder: Path,
    run: Mapping[str, Any],
    index: Index,
    tower: QueryTower,
    histories: Histories,
    candidate: "CandidateTower | None",
) -> None:
    """Write `run.json`, and the model card for people."""
    (folder / "run.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"
    )
    facts = {
        "candidates": len(index),
        "users": len(tower.users),
        "dimensions": index.dim,
        "metric": index.metric,
        "users with a history": len(histories),
        "users not known are served": tower.newcomers,
        "new items are placed": (
            f"by {', '.join(candidate.columns)}" if candidate else "by an embedding given with them"
        ),
    }
    (folder / "README.md").write_text(model_card(run, facts), encoding="utf-8")


def versions() -> dict[str, str]:
    """Return the versions of what made a bundle."""
    found = {"python": platform.python_version(), "onnxruntime": onnxruntime.__version__}
    for name in ("shortlist", "numpy", "polars"):
        found[name] = metadata.version(name)
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        found["keras"] = keras.__version__
        found["backend"] = keras.config.backend()
    return found
