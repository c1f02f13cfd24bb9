"""Retrieval with the engine's index: the best candidates among millions, nearly always."""

import dataclasses
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self, cast

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.index import Index, IndexConfig, SearchSettings, tune
from shortlist.layers._candidate_ids import CandidateIds
from shortlist.layers._candidates import (
    Array,
    checked_embeddings,
    concatenated,
    row_blocks,
)
from shortlist.layers._host_retrieval import HostRetrieval

TUNING_QUERIES = 1000


@keras.saving.register_keras_serializable(package="shortlist")
class ApproximateRetrieval(HostRetrieval):
    """Returns k candidates of largest dot product with each query, found by `shortlist.Index`.

    The search runs on the host's processor: eagerly, in `predict`, inside a Functional model, and
    in functions that JAX and PyTorch compile. Excluded candidates never come back, and ties come by
    lower row, as from `BruteForceRetrieval`; what is approximate is which candidates are found.

    `model.save` and `save_weights` keep the index with its ids and settings, checksums included;
    loading does not build it again. A variable assigned to `candidate_embeddings` is shared: the
    index is built again when its values have changed, which is looked at in every call.

    Args:
        candidate_embeddings: (n, d) floats; `None` to give them to `update_candidates` later.
        candidate_ids: (n,) ids of the candidates; `None` numbers the rows. See `update_candidates`.
        k: How many candidates to return, at most 10,000.
        return_scores: Whether to return (scores, ids) rather than ids alone.
        query_model: Keras model or layer that the inputs pass first, to become query embeddings.
        config: What is fixed when the index is built; `None` chooses by the candidates.
        settings: What a search may change; `None` takes the index's own.
        target_recall: Share of the true top k to find, in (0, 1]: at each update the fastest
            settings that reach it are measured on a sample of queries. `settings` then gives what
            is not tuned.
        return_rows: Whether to return rows in place of ids, for ids that tensors cannot hold: str,
            or on JAX integers beyond int32. `lookup` maps them to ids.
        seed: Seed of the index's random choices.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> candidates = np.random.default_rng(0).normal(size=(1000, 8)).astype("float32")
        >>> layer = ApproximateRetrieval(candidates, k=3)
        >>> scores, ids = layer(candidates[:2])
        >>> tuple(ids.shape)
        (2, 3)
    """

    def __init__(
        self,
        candidate_embeddings: Any = None,
        candidate_ids: Any = None,
        k: int = 10,
        return_scores: bool = True,
        query_model: Any = None,
        config: IndexConfig | None = None,
        settings: SearchSettings | None = None,
        target_recall: float | None = None,
        return_rows: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if target_recall is not None and not 0 < target_recall <= 1:
            raise ValueError(f"`target_recall` must lie in (0, 1], got {target_recall!r}.")
        self.config = config
        self.settings = settings
        self.target_recall = target_recall
        self.seed = seed
        self.index: Index | None = None
        self._index_dim: int | None = None  # torch.compile cannot ask the index.
        self._tuning_queries: Array | None = None
        super().__init__(
            candidate_embeddings,
            candidate_ids,
            k=k,
            return_scores=return_scores,
            query_model=query_model,
            return_rows=return_rows,
            **kwargs,
        )

    @property
    def is_exact(self) -> bool:
        """Whether the true top k is returned, always: the index's settings say so."""
        return self.index is not None and self.index.settings.exact

    def update_candidates(
        self, candidate_embeddings: Any, candidate_ids: Any = None, queries: Any = None
    ) -> None:
        """Replaces the index by one of these candidates, however many they are.

        Args:
            candidate_embeddings: (n, d) floats, n ≥ k, finite.
            candidate_ids: (n,) ids, no two alike: integers that the backend's tensors hold (int32
                on JAX, int64 elsewhere), or with `return_rows=True` any int64 or str. `None`
                numbers the rows; where the candidates before had ids of their own it keeps those,
                and there must be as many candidates as before.
            queries: (q, d) query embeddings, at least 20, to reach `target_recall` on. `None` takes
                a sample of the candidates, which are seldom where queries are: give real ones.

        Raises:
            ValueError: The candidates are not as said above. Those before then stay.
        """
        given = None if queries is None else checked_embeddings(queries, "queries")
        before, self._tuning_queries = self._tuning_queries, given
        try:
            super().update_candidates(candidate_embeddings, candidate_ids)
        except BaseException:
            self._tuning_queries = before
            raise

    def index_from_dataset(self, batches: Iterable[Any], queries: Any = None) -> Self:
        """Builds the index of candidates that come in batches.

        Args:
            batches: Iterable of (b, d) embeddings, or of (ids, embeddings) pairs.
            queries: As in `update_candidates`.

        Returns:
            The layer.
        """
        self.update_candidates(*concatenated(batches), queries=queries)
        return self

    def search(
        self, queries: Array, k: int, exclude: Any = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns the (b, k) scores and rows of (b, d) queries, on the host."""
        found = self._require_index().search(queries, k, exclude=exclude)
        return found.scores, found.rows

    def embeddings(self, rows_at_a_time: int) -> Iterator[Array]:
        """Yields all candidates as the index keeps them, up to `rows_at_a_time` at a time."""
        index = self._require_index()
        for ids in row_blocks(index.ids, rows_at_a_time):
            yield index.vectors(ids)

    def _require_index(self) -> Index:
        self._require_candidates()
        if self.index is None:
            self.take_shared()
        return cast(Index, self.index)

    def _store(self, embeddings: NDArray[np.float32], ids: CandidateIds) -> None:
        values = ids.values.tolist() if ids.are_strings else ids.values
        index = Index.build(embeddings, values, config=self.config, seed=self.seed)
        if self.target_recall is not None:
            queries = self._tuning_queries
            if queries is None:
                rng = np.random.default_rng(self.seed)
                queries = rng.choice(embeddings, min(TUNING_QUERIES, len(embeddings)), axis=0)
            index.settings = tune(
                index,
                queries,
                k=self.k,
                recall=self.target_recall,
                settings=self.settings,
                seed=self.seed,
            ).settings
        elif self.settings is not None:
            index.settings = self.settings
        self.index, self._index_dim = index, index.dim

    def _dim(self) -> int | None:
        return self._index_dim

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, except the candidates: they are weights."""
        return {
            **super().get_config(),
            "config": None if self.config is None else dataclasses.asdict(self.config),
            "settings": None if self.settings is None else dataclasses.asdict(self.settings),
            "target_recall": self.target_recall,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ApproximateRetrieval":
        """Returns a layer of this configuration, without candidates."""
        config = dict(config)
        for name, kind in (("config", IndexConfig), ("settings", SearchSettings)):
            if isinstance(config.get(name), dict):
                config[name] = kind(**config[name])
        return super().from_config(config)

    def _save(self, store: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.slx"
            self._require_index().save(path)
            store["index"] = np.fromfile(path, dtype=np.uint8)

    def _load(self, store: Any, names: set[str]) -> None:
        """Reads the index; from the file of a layer of another kind, indexes its candidates."""
        if "index" not in names:
            super()._load(store, names)
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "index.slx"
            np.array(store["index"], dtype=np.uint8).tofile(path)
            index = Index.load(path)
        ids = CandidateIds(index.ids, len(index))
        self._check_ids(ids)
        self.index, self._index_dim, self._ids = index, index.dim, ids
