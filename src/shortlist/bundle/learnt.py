"""The weights of a model in its bundle, from which training can go on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import msgspec
import numpy as np
import numpy.typing as npt

from shortlist._extras import needs
from shortlist.bundle.manifest import BundleError

if TYPE_CHECKING:
    from shortlist.models import TwoTower

WEIGHTS = "weights.npz"
_DATA = "model"


def weights_of(model: "TwoTower") -> dict[str, npt.NDArray[Any]] | None:
    """Return what a file of a model's weights holds; None where it has code of a caller's own."""
    with needs("Saving the weights of a model", "train"):
        from shortlist.models.kept import parts_of
    parts = parts_of(model)
    if parts is None:
        return None
    data, arrays = parts
    return {**arrays, _DATA: np.frombuffer(msgspec.json.encode(data), np.uint8)}


def read_model(path: Path) -> "TwoTower":
    """Read a model from its file of weights.

    Raises:
        BundleError: The file does not hold one.
    """
    with needs("Loading a model to train", "train"):
        from shortlist.models.kept import model_of
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            arrays = {name: kept[name] for name in kept.files}
        return model_of(msgspec.json.decode(arrays[_DATA].tobytes()), arrays)
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
        raise BundleError(f"{path} does not hold a model: {error}") from None
