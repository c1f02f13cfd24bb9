"""ScaNN's builder: how a searcher is configured."""

# ruff: noqa: ARG002  (ScaNN's arguments are accepted where they have no effect)

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from shortlist.embeddings import as_embeddings
from shortlist.index.numbers import as_integer
from shortlist.scann.config_text import to_text

__all__ = ["IncrementalMode", "ReorderType", "ScannBuilder"]

_MEASURES = {"dot_product": "DotProductDistance", "squared_l2": "SquaredL2Distance"}
_EXACT_UP_TO = 10_000  # rows that are searched exactly when that may be chosen
_ASYMMETRIC = {"asymmetric_hash": {"num_clusters_per_block": 16}}
_SECTIONS = {  # of the configuration, and what configures them
    "partitioning": "tree",
    "hash": "score_ah",
    "brute_force": "score_brute_force",
    "exact_reordering": "reorder",
}


class ReorderType(enum.Enum):
    """Precision of the rows that are scored last."""

    FLOAT32 = 1
    INT8 = 2
    BFLOAT16 = 3


def _quantization(quantize: bool | ReorderType) -> dict[str, Any]:
    """How the configuration says that rows are kept."""
    if isinstance(quantize, bool | np.bool_):
        quantize = ReorderType.INT8 if quantize else ReorderType.FLOAT32
    if not isinstance(quantize, ReorderType):
        raise TypeError(f"`quantize` must be a ReorderType or a bool, got {quantize!r}.")
    name = "bfloat16" if quantize is ReorderType.BFLOAT16 else "fixed_point"
    return {name: {"enabled": quantize is not ReorderType.FLOAT32}}


_INT8 = _quantization(ReorderType.INT8)


def chosen_by_size(rows: int) -> dict[str, Any]:
    """The parts of the configuration that autopilot chooses for so many rows."""
    if rows <= _EXACT_UP_TO:
        return {"brute_force": {}}
    return {"partitioning": {}, "hash": _ASYMMETRIC}


class IncrementalMode(enum.Enum):
    """ScaNN's ways of updating; here there is one, whichever is named."""

    NONE = 1
    ONLINE = 2
    ONLINE_INCREMENTAL = 3


class ScannBuilder:
    """Configures a searcher; made by `builder`. Methods that configure return the builder.

    Example:
        >>> from shortlist.scann import builder
        >>> db = np.random.default_rng(0).standard_normal((500, 8)).astype(np.float32)
        >>> started = builder(db, 10, "dot_product").tree(num_leaves=20, num_leaves_to_search=5)
        >>> started.score_ah(2).reorder(50).build().size()
        500
    """

    def __init__(self, db: ArrayLike, num_neighbors: int, distance_measure: str) -> None:
        if distance_measure not in _MEASURES:
            raise ValueError(
                f"`distance_measure` must be one of {list(_MEASURES)}, got {distance_measure!r}."
            )
        self.db = as_embeddings(db, "db")
        self.num_neighbors = as_integer(num_neighbors, "num_neighbors", 1)
        self.distance_measure = distance_measure
        self.training_threads = 0
        self.builder_lambda: Callable[..., Any] | None = None
        self.params: dict[str, dict[str, Any]] = {}

    def tree(
        self,
        num_leaves: int,
        num_leaves_to_search: int,
        training_sample_size: int = 100_000,
        min_partition_size: int = 50,
        training_iterations: int = 12,
        spherical: bool = False,
        quantize_centroids: bool = False,
        random_init: bool = True,
        incremental_threshold: float | None = None,
        avq: float | None = None,
        soar_lambda: float | None = None,
        overretrieve_factor: float | None = None,
    ) -> ScannBuilder:
        """Partitions the database. If not called, every search scans it all.

        Args:
            num_leaves: Number of leaves; at most one for each row is made.
            num_leaves_to_search: Leaves that a search visits by default.
            training_sample_size: Rows that k-means is trained on.
            min_partition_size: No effect.
            training_iterations: Rounds of k-means.
            spherical: No effect.
            quantize_centroids: No effect: centroids are always scored as int8.
            random_init: No effect.
            incremental_threshold: No effect.
            avq: No effect.
            soar_lambda: No effect: a row is in one leaf.
            overretrieve_factor: No effect.
        """
        if (avq is not None or soar_lambda is not None) and self.distance_measure != "dot_product":
            raise ValueError("`avq` and `soar_lambda` need the distance measure 'dot_product'.")
        return self._set(
            "tree",
            num_children=as_integer(num_leaves, "num_leaves", 1),
            max_clustering_iterations=as_integer(training_iterations, "training_iterations", 1),
            query_spilling={
                "spilling_type": "FIXED_NUMBER_OF_CENTERS",
                "max_spill_centers": as_integer(num_leaves_to_search, "num_leaves_to_search", 1),
            },
            expected_sample_size=as_integer(training_sample_size, "training_sample_size", 1),
        )

    def upper_tree(
        self,
        num_leaves: int,
        num_leaves_to_search: int,
        avq: float = float("nan"),
        soar_lambda: float | None = None,
        overretrieve_factor: float | None = None,
        scoring_mode: ReorderType = ReorderType.INT8,
        anisotropic_quantization_threshold: float = float("nan"),
    ) -> ScannBuilder:
        """Has no effect: leaves always lie in groups, which the engine chooses itself.

        Args:
            num_leaves: No effect.
            num_leaves_to_search: No effect.
            avq: No effect.
            soar_lambda: No effect.
            overretrieve_factor: No effect.
            scoring_mode: No effect.
            anisotropic_quantization_threshold: No effect.
        """
        return self._set("upper_tree")

    def pca(
        self,
        reduction_dim: int | None = None,
        pca_significance_threshold: float | None = 0.8,
        pca_truncation_threshold: float | None = 0.6,
    ) -> ScannBuilder:
        """Is refused: there is no projection here.

        Raises:
            NotImplementedError: Always; it says what to do instead.
        """
        raise NotImplementedError(
            "`pca` has no counterpart in shortlist.scann: leave it out, the codes are small "
            "already; or project the database and the queries before you build and search."
        )

    def truncate(self, reduction_dim: int) -> ScannBuilder:
        """Is refused: there is no projection here.

        Raises:
            NotImplementedError: Always; it says what to do instead.
        """
        raise NotImplementedError(
            "`truncate` has no counterpart in shortlist.scann: leave it out, or build with "
            f"db[:, :{reduction_dim}] and search with queries[:, :{reduction_dim}]."
        )

    def score_ah(
        self,
        dimensions_per_block: int,
        anisotropic_quantization_threshold: float = float("nan"),
        training_sample_size: int = 100_000,
        min_cluster_size: int = 100,
        hash_type: str = "lut16",
        training_iterations: int = 10,
        residual_quantization: bool | None = None,
    ) -> ScannBuilder:
        """Scores rows by compact codes first.

        The codes are chosen by the engine from the dimension of the database; all arguments are
        checked as ScaNN checks them and have no other effect.

        Raises:
            ValueError: `hash_type` is neither "lut16" nor "lut256".
        """
        if hash_type not in ("lut16", "lut256"):
            raise ValueError(f"`hash_type` must be 'lut16' or 'lut256', got {hash_type!r}.")
        as_integer(dimensions_per_block, "dimensions_per_block", 1)
        clusters = 16 if hash_type == "lut16" else 256
        return self._set("score_ah", asymmetric_hash={"num_clusters_per_block": clusters})

    def score_brute_force(self, quantize: bool | ReorderType = ReorderType.FLOAT32) -> ScannBuilder:
        """Scores rows exactly: all of them, or with `tree` all in the leaves visited.

        Args:
            quantize: How the rows are kept and scored; True means INT8.

        Raises:
            TypeError: `quantize` is neither a ReorderType nor a bool.
        """
        return self._set("score_brute_force", **_quantization(quantize))

    def reorder(
        self,
        reordering_num_neighbors: int,
        quantize: bool | ReorderType = ReorderType.FLOAT32,
        anisotropic_quantization_threshold: float = float("nan"),
    ) -> ScannBuilder:
        """Scores the best rows by code again, more precisely.

        Args:
            reordering_num_neighbors: How many rows; at least as many as are asked for are.
            quantize: How the rows are kept and scored; True means INT8.
            anisotropic_quantization_threshold: No effect.

        Raises:
            TypeError: `quantize` is neither a ReorderType nor a bool.
        """
        count = as_integer(reordering_num_neighbors, "reordering_num_neighbors", 1)
        return self._set("reorder", approx_num_neighbors=count, **_quantization(quantize))

    def autopilot(
        self,
        mode: IncrementalMode = IncrementalMode.NONE,
        quantize: bool | ReorderType = ReorderType.FLOAT32,
    ) -> ScannBuilder:
        """Leaves everything to the engine, which chooses by the size of the database.

        Args:
            mode: No effect.
            quantize: How the rows are kept and scored.

        Raises:
            TypeError: `quantize` is neither a ReorderType nor a bool.
        """
        if not isinstance(quantize, ReorderType):  # a bool, or refused
            quantize = ReorderType.INT8 if _quantization(quantize) == _INT8 else ReorderType.FLOAT32
        return self._set(
            "autopilot", tree_ah={"incremental_mode": mode.name, "reordering_dtype": quantize.name}
        )

    def set_n_training_threads(self, threads: int) -> ScannBuilder:
        """Sets how many threads build; 0 means all cores."""
        self.training_threads = as_integer(threads, "threads", 0)
        return self

    def set_builder_lambda(self, builder_lambda: Callable[..., Any]) -> ScannBuilder:
        """Sets what `build` calls.

        Args:
            builder_lambda: Called with the database, the text of `create_config`, the number of
                training threads, `docids=`, and what else `build` is given.
        """
        self.builder_lambda = builder_lambda
        return self

    def create_config(self) -> str:
        """Returns the configuration as ScaNN's text, for `create_searcher`.

        Raises:
            ValueError: Not exactly one of `score_ah` and `score_brute_force` was called, or
                `upper_tree` without `tree`.

        Example:
            >>> print(ScannBuilder(np.eye(4), 2, "dot_product").score_brute_force().create_config())
            num_neighbors: 2
            distance_measure {
              distance_measure: "DotProductDistance"
            }
            brute_force {
              fixed_point {
                enabled: false
              }
            }
        """
        params = self.params
        config: dict[str, Any] = {
            "num_neighbors": self.num_neighbors,
            "distance_measure": {"distance_measure": _MEASURES[self.distance_measure]},
        }
        if "autopilot" in params:
            config["autopilot"] = params["autopilot"]
            return to_text({**config, **chosen_by_size(len(self.db) if self.db.ndim == 2 else 0)})
        if ("score_ah" in params) == ("score_brute_force" in params):
            raise ValueError("Exactly one of `score_ah` and `score_brute_force` must be called.")
        if "upper_tree" in params and "tree" not in params:
            raise ValueError("`upper_tree` needs `tree`.")
        for section, part in _SECTIONS.items():
            if part in params:
                config[section] = params[part]
        return to_text(config)

    def build(self, docids: Any = None, **kwargs: Any) -> Any:
        """Builds the searcher.

        Args:
            docids: One str or int for each row, no two alike; searches then return them, as lists,
                in place of indices.
            **kwargs: Passed on, as ScaNN does; `create_searcher` does not use them.

        Returns:
            What the function given to `set_builder_lambda` returns: for `scann_ops_pybind.builder`
            a `ScannSearcher`.

        Raises:
            ValueError: Not exactly one of `score_ah` and `score_brute_force` was called; or db or
                docids have wrong shapes or values.
        """
        config = self.create_config()
        if self.builder_lambda is None:
            raise ValueError(
                "`build` needs a builder made by `scann_ops_pybind.builder`, or "
                "`set_builder_lambda` before."
            )
        return self.builder_lambda(self.db, config, self.training_threads, docids=docids, **kwargs)

    def _set(self, part: str, **values: Any) -> ScannBuilder:
        if part in self.params:
            raise ValueError(f"`{part}` has already been configured.")
        self.params[part] = values
        return self
