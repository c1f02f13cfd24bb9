"""Changes to a searcher, as ScaNN's NumPy interface has them."""

# ruff: noqa: ARG002  (ScaNN's arguments are accepted where they have no effect)

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from shortlist.embeddings import as_embeddings
from shortlist.ids import as_ids
from shortlist.index.config import SearchSettings
from shortlist.index.numbers import as_integer
from shortlist.scann.config_text import parse, to_text
from shortlist.scann.scann_builder import chosen_by_size

if TYPE_CHECKING:
    from shortlist.index import Index


class Updated:
    """The part of `ScannSearcher` that changes it."""

    _index: Index
    _config: str
    _has_docids: bool

    def upsert(self, docids: Any, database: ArrayLike, batch_size: int = 1) -> None:
        """Adds rows, and replaces those whose docids there are.

        Args:
            docids: One docid and a row, or a list of them and as many rows. No two alike.
            database: The rows, shape (n, d), or (d,) for one.
            batch_size: No effect: the rows are added together.

        Raises:
            ValueError: The searcher has no docids, or an argument has a wrong shape or value.
        """
        self._require_docids("upsert")
        ids = [docids] if _is_one(docids) else docids
        rows = as_embeddings(database, "database")
        if rows.ndim == 1 or (rows.ndim == 3 and rows.shape[1] == 1):
            rows = rows.reshape(-1, rows.shape[-1])
        self._index.upsert(rows, ids)

    def delete(self, docids: Any) -> None:
        """Deletes rows by their docids.

        Args:
            docids: One docid, or a list of them.

        Raises:
            KeyError: There is no such docid; nothing is deleted then.
            ValueError: The searcher has no docids.
        """
        self._require_docids("delete")
        ids = as_ids([docids] if _is_one(docids) else docids, "docids")
        unknown = np.flatnonzero(self._index.rows(ids) < 0)
        if unknown.size:
            raise KeyError(f"There is no docid {ids[unknown[0]]!r} to delete.")
        self._index.delete(ids)

    def rebalance(self, config: str = "") -> None:
        """Learns the leaves again from the rows there are.

        With `autopilot` it is also chosen again, by their number, whether to search exactly.

        Args:
            config: Must be empty: to configure the searcher otherwise, build another.
        """
        if config:
            raise NotImplementedError(
                "`config` cannot change here: build another searcher with `create_searcher`."
            )
        self._index.rebalance()
        parts = parse(self._config)
        if "autopilot" in parts:
            chosen = chosen_by_size(len(self._index))
            self._index.settings = settings_by_size(self._index)
            kept = {key: parts[key] for key in ("num_neighbors", "distance_measure", "autopilot")}
            self._config = to_text({**kept, **chosen})

    def reserve(self, num_datapoints: int) -> None:
        """Has no effect: memory is taken as rows come.

        Args:
            num_datapoints: How many rows there will be.
        """
        as_integer(num_datapoints, "num_datapoints", 0)

    def initialize_health_stats(self) -> None:
        """Has no effect: `get_health_stats` counts what there is."""

    def get_health_stats(self) -> dict[str, float]:
        """How even the leaves are, and how far rows lie from their centroids.

        Returns:
            `sum_partition_sizes`, the number of rows; `partition_weighted_avg_relative_imbalance`,
            how much larger than a mean leaf that of a row is, on average;
            `partition_avg_relative_positive_imbalance`, by how much leaves above the mean exceed
            it; and `avg_quantization_error`, the root mean square distance from the centroids.
        """
        health = self._index.health()
        return {
            "avg_quantization_error": health.distance,
            "partition_weighted_avg_relative_imbalance": health.imbalance - 1.0,
            "partition_avg_relative_positive_imbalance": health.excess,
            "sum_partition_sizes": health.rows,
        }

    def _require_docids(self, method: str) -> None:
        if not self._has_docids:
            raise ValueError(f"`{method}` needs docids: build with build(docids=...).")


def settings_by_size(index: Index) -> SearchSettings:
    """What autopilot searches with: exactly, or a sixteenth of the leaves."""
    few = "brute_force" in chosen_by_size(len(index))
    return SearchSettings(exact=few, leaves=max(32, (index.config.leaves or 1) // 16))


def _is_one(docids: Any) -> bool:
    return isinstance(docids, str | bytes | int | np.integer)
