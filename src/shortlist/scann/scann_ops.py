"""ScaNN's TensorFlow interface, without TensorFlow: the same calls, and NumPy arrays as results."""

# ruff: noqa: ARG001  (ScaNN's arguments are accepted where they have no effect)

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shortlist.index import SearchResult
from shortlist.scann import scann_ops_pybind
from shortlist.scann.scann_builder import ScannBuilder
from shortlist.scann.scann_ops_pybind import Neighbors

__all__ = ["ScannSearcher", "ScannState", "builder", "create_searcher", "searcher_from_module"]


class ScannSearcher(scann_ops_pybind.ScannSearcher):
    """Searches a database; indices are int32, as those of ScaNN's TensorFlow interface.

    Where a batched search has fewer results than asked for, the rest has index -1.
    """

    def serialize_to_module(self) -> ScannState:
        """Returns what `searcher_from_module` makes a searcher of.

        It can be pickled. It is no `tf.Module`: to keep a searcher in files, use `serialize`.
        """
        return ScannState(self)

    def _neighbors(self, found: SearchResult) -> Neighbors:
        indices, distances = super()._neighbors(found)
        if isinstance(indices, list):
            return Neighbors(indices, distances)
        return Neighbors(found.rows.astype(np.int32), distances)


class ScannState:
    """A searcher on its way to `searcher_from_module`."""

    def __init__(self, searcher: ScannSearcher) -> None:
        self._searcher = searcher

    def recreate_handle(self) -> ScannSearcher:
        """Returns the searcher."""
        return self._searcher


def builder(db: ArrayLike, num_neighbors: int, distance_measure: str) -> ScannBuilder:
    """Starts to configure a searcher.

    Args:
        db: The database, shape (n, d); a tensor of TensorFlow too.
        num_neighbors: Results for each query unless a search asks for another number.
        distance_measure: "dot_product" or "squared_l2".

    Example:
        >>> db = np.random.default_rng(0).standard_normal((2_000, 16)).astype(np.float32)
        >>> searcher = builder(db, 10, "dot_product").score_ah(2).build(shared_name="films")
        >>> module = searcher.serialize_to_module()
        >>> searcher_from_module(module).search_batched(db[:3]).indices.shape
        (3, 10)
    """
    return ScannBuilder(db, num_neighbors, distance_measure).set_builder_lambda(create_searcher)


def create_searcher(
    db: ArrayLike,
    scann_config: str,
    training_threads: int = 0,
    container: str = "",
    shared_name: str | None = None,
    *,
    docids: Any = None,
    **unused_kwargs: Any,
) -> ScannSearcher:
    """Builds the searcher that a text configuration describes.

    Args:
        db: The database, shape (n, d).
        scann_config: As for `scann_ops_pybind.create_searcher`.
        training_threads: How many threads build; 0 means all cores.
        container: No effect.
        shared_name: No effect.
        docids: One str or int for each row, no two alike; None for none.
        **unused_kwargs: Accepted, as ScaNN does, and not used.
    """
    made = scann_ops_pybind.create_searcher(db, scann_config, training_threads, docids)
    return ScannSearcher(made._index, made.config(), has_docids=docids is not None)


def searcher_from_module(module: ScannState, db: Any = None) -> ScannSearcher:
    """Returns the searcher of what `serialize_to_module` gave.

    Args:
        module: What `serialize_to_module` gave.
        db: No effect.
    """
    return module.recreate_handle()
