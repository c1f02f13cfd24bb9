"""How the query tower is kept in a bundle: its graph, its users, and what it takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from shortlist._extras import needs
from shortlist.bundle.files import read_json
from shortlist.bundle.manifest import BundleError
from shortlist.bundle.tower import HISTORY, QueryTower
from shortlist.data import DataError, Vocabulary
from shortlist.data.features import FeatureSpec

if TYPE_CHECKING:
    from shortlist.models import TwoTower

GRAPH, USERS, EMBEDDINGS = "query_tower.onnx", "query.json", "users.npy"


def query_parts(model: "TwoTower") -> dict[str, Any]:
    """Return what `Bundle.save` needs to know of the queries of a trained model.

    A tower that takes more than the user's index is exported with its features and its history;
    known users get the embeddings that it gives for them now. Any other tower is exported as the
    table of its embeddings.

    Args:
        model: A fitted model.

    Raises:
        BundleError: The tower takes features or a history, by other names than these have.
    """
    if not hasattr(model, "user_table"):
        raise BundleError(f"`model` must be a fitted TwoTower, got {type(model).__name__}.")
    table = model.user_table()
    features = getattr(model.query_inputs, "features", None)
    known = ["user_id"] if features is None else list(features)
    moments = getattr(model, "moments", None)
    if moments is not None:
        features = FeatureSpec({**(features or {}), **moments.features})
        known += moments.features
    if features is None and not model.history:
        return {"query_tower": table, "users": model.users}
    inputs = sorted(tensor.name for tensor in getattr(model.query_tower, "inputs", None) or ())
    known += [HISTORY] if model.history else []
    if not set(inputs) <= set(known):
        raise BundleError(
            f"the query tower has the inputs {inputs}, and a bundle can give it {known}. Call the "
            "inputs so, or serve known users alone, from a table: "
            "Bundle.save(query_tower=model.user_table(), users=model.users, ...)."
        )
    return {
        "query_tower": model.query_tower,
        "users": model.users,
        "user_embeddings": np.asarray(table.get_weights()[0], np.float32),
        "features": features,
    }


def made_tower(
    tower: Any,
    users: Vocabulary,
    embeddings: npt.NDArray[np.float32] | None,
    features: FeatureSpec | None,
) -> tuple[bytes, QueryTower]:
    """Return the graph of a Keras tower, or of one that is a graph already, and it at work."""
    if features is not None and not isinstance(features, FeatureSpec):
        raise BundleError(f"`features` must be a FeatureSpec, got {type(features).__name__}.")
    if not isinstance(tower, bytes):
        if not callable(getattr(tower, "call", None)):
            raise BundleError(
                "`query_tower` must be a Keras model, or the bytes of an ONNX model, got "
                f"{type(tower).__name__}."
            )
        with needs("Saving a query tower", "train"):
            from shortlist.bundle.export import to_onnx

        tower = to_onnx(tower)
    return tower, QueryTower(tower, users, embeddings, features)


def write_query(
    folder: Path, graph: bytes, tower: QueryTower, embeddings: npt.NDArray[np.float32] | None
) -> None:
    """Write the files of a query tower."""
    (folder / GRAPH).write_bytes(graph)
    query: dict[str, Any] = {"user_id": {"vocabulary": tower.users.to_dict()}}
    if tower.features is not None:
        query["features"] = tower.features.to_dict()
    (folder / USERS).write_bytes(msgspec.json.encode(query))
    if embeddings is not None:
        np.save(folder / EMBEDDINGS, embeddings, allow_pickle=False)


def read_query(folder: Path, known: bool) -> QueryTower:
    """Read the files of a query tower.

    Args:
        folder: Of the bundle.
        known: Whether there is a file of the known users' embeddings.

    Raises:
        BundleError: They are not what `write_query` writes.
    """
    query = read_json(folder / USERS)
    try:
        users = Vocabulary.from_dict(query["user_id"]["vocabulary"])
        features = FeatureSpec.from_dict(query["features"]) if "features" in query else None
    except (KeyError, TypeError, DataError) as error:
        raise BundleError(f"{folder / USERS} does not describe the users: {error}") from None
    embeddings = None
    if known:
        try:
            embeddings = np.load(folder / EMBEDDINGS, allow_pickle=False)
        except Exception as error:  # NumPy parses the header as Python, and raises what that does
            raise BundleError(f"{folder / EMBEDDINGS} cannot be read: {error}") from None
        if embeddings.ndim != 2 or embeddings.dtype != np.float32:
            raise BundleError(f"{folder / EMBEDDINGS} must hold float32 of two dimensions.")
    return QueryTower((folder / GRAPH).read_bytes(), users, embeddings, features)
