"""The candidate tower as it is kept and used: what is known of an item in, its embedding out."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from shortlist._extras import needs
from shortlist.bundle.files import read_json
from shortlist.bundle.graph import Graph
from shortlist.bundle.manifest import BundleError
from shortlist.data import DataError
from shortlist.data.features import FeatureSpec

if TYPE_CHECKING:
    from shortlist.models import TwoTower

CANDIDATE_GRAPH, CANDIDATE = "candidate_tower.onnx", "candidate.json"
_ID = "item_id"


class CandidateTower:
    """Items to embeddings, without Keras: those of training, and new ones by their attributes.

    Args:
        graph: A serialised ONNX model whose inputs are called as the features, with one output of
            shape (n, d).
        features: What is made of an item's `item_id` and of its attributes, adapted.

    Raises:
        BundleError: ONNX Runtime cannot run the graph, or it takes something else.

    Example:
        >>> from shortlist.data.features import Category
        >>> features = FeatureSpec({"genre": Category()}).adapt({"genre": ["war", "love"]})
        >>> CandidateTower(b"no graph", features)
        Traceback (most recent call last):
        shortlist.bundle.manifest.BundleError: the candidate tower cannot be loaded: ...
    """

    def __init__(self, graph: bytes, features: FeatureSpec) -> None:
        self._graph = Graph(graph, "candidate tower")
        self.graph = graph
        self.features = features
        if not features.is_adapted:
            raise BundleError("the features have not learnt from data yet; call adapt first.")
        if not set(self._graph.inputs) <= set(features):
            raise BundleError(
                f"the candidate tower must have the features {list(features)} by name, and no "
                f"other input; it has {self._graph.described}."
            )
        self.dim = int(self._graph.run(features.transform_one({})).shape[1])

    @property
    def columns(self) -> tuple[str, ...]:
        """The attributes it reads."""
        return tuple(column for column in self.features.columns if column != _ID)

    def embed(
        self, ids: Sequence[int | str], attributes: Sequence[Mapping[str, Any]]
    ) -> npt.NDArray[np.float32]:
        """Return the embedding of each item, as training's tower gives it.

        Args:
            ids: The items. One that was not in training is unknown to the tower, which then goes
                by the attributes.
            attributes: What is known of each, by column; columns that no feature reads are not
                looked at, and what is left out is missing.

        Returns:
            float32 array of shape (n, d).

        Raises:
            DataError: A value that does not fit its feature.
        """
        if not ids:
            return np.zeros((0, self.dim), np.float32)
        read = set(self.features.columns)
        rows = [
            self.features.transform_one(
                {name: value for name, value in ({**known, _ID: item}).items() if name in read}
            )
            for item, known in zip(ids, attributes, strict=True)
        ]
        return self._graph.run(
            {name: np.concatenate([row[name] for row in rows]) for name in self._graph.inputs}
        )


def candidate_parts(model: "TwoTower") -> dict[str, Any]:
    """Return what `Bundle.save` needs to know of the candidates of a trained model.

    A tower that knows items by their id alone is not kept: of items of training the index holds
    what it gives, and of others it knows nothing.

    Args:
        model: A fitted model.
    """
    features = getattr(model.candidate_inputs, "features", None)
    if features is None or features.columns == (_ID,):
        return {}
    with needs("Saving a candidate tower", "train"):
        from shortlist.bundle.export import to_onnx
    try:
        return {"candidate_tower": CandidateTower(to_onnx(model.candidate_tower), features)}
    except BundleError as error:
        warnings.warn(
            f"the bundle does not hold the candidate tower, so that an item that comes later needs "
            f"an embedding: {error}",
            stacklevel=3,
        )
        return {}


def write_candidate(folder: Path, tower: CandidateTower) -> None:
    """Write the files of a candidate tower."""
    (folder / CANDIDATE_GRAPH).write_bytes(tower.graph)
    described = {"features": tower.features.to_dict()}
    (folder / CANDIDATE).write_bytes(msgspec.json.encode(described))


def read_candidate(folder: Path) -> CandidateTower:
    """Read the files of a candidate tower.

    Raises:
        BundleError: They are not what `write_candidate` writes.
    """
    try:
        described, graph = read_json(folder / CANDIDATE), (folder / CANDIDATE_GRAPH).read_bytes()
    except FileNotFoundError as error:
        raise BundleError(f"{error.filename} is missing, and its companion is there.") from None
    try:
        features = FeatureSpec.from_dict(described["features"])
    except (KeyError, TypeError, DataError) as error:
        raise BundleError(f"{folder / CANDIDATE} does not describe the items: {error}") from None
    return CandidateTower(graph, features)
