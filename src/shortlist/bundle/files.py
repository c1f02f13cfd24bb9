"""JSON in a bundle, and what its run and card say."""

import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
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
    """Write `run.json`, and the model card for people.

    Raises:
        BundleError: The run holds something other than plain data.
    """
    try:
        encoded = msgspec.json.encode(run, enc_hook=_plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise BundleError(
            "`run` must hold plain data (numbers, text, and lists and dictionaries of them): "
            f"{error}."
        ) from None
    (folder / "run.json").write_bytes(msgspec.json.format(encoded, indent=2) + b"\n")
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


def _plain(value: object) -> Any:
    """Numbers and arrays of NumPy as Python's, paths as text."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"got the {type(value).__name__} {value!r}")


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
