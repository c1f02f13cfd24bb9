"""What a retrieval layer has: candidates and their ids, given, shared, looked up and saved."""

import abc
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, cast

import keras
import keras_rs
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.ids import as_ids
from shortlist.layers._candidate_ids import CandidateIds, with_padding
from shortlist.layers._candidate_table import CandidateTable
from shortlist.layers._candidates import (
    Array,
    checked_embeddings,
    concatenated,
    ids_of_arrays,
    read_checked,
)
from shortlist.layers._exclusions import as_rows
from shortlist.layers._freshness import StaleCandidatesWarning, fingerprint

# Saved by every layer, with candidates or without: a file without it was not saved by one.
COUNT = "num_candidates"


class CandidateLayer(keras_rs.layers.Retrieval, abc.ABC):
    """A layer that has candidates: they are given, shared, looked up, kept fresh and saved.

    See `BruteForceRetrieval` for the arguments. A subclass keeps and saves them in its own way.
    """

    def __init__(
        self,
        candidate_embeddings: Any = None,
        candidate_ids: Any = None,
        k: int = 10,
        return_scores: bool = True,
        query_model: Any = None,
        return_rows: bool = False,
        **kwargs: Any,
    ) -> None:
        # Scores are compared: under a mixed policy, half precision would make ties.
        kwargs.setdefault("dtype", "float32")
        super().__init__(k=positive(k), return_scores=return_scores, **kwargs)
        self.query_model = query_model
        self.return_rows = return_rows
        self._ids: CandidateIds | None = None
        self._tower_fingerprint: bytes | None = None
        self._table = CandidateTable()
        self.built = True  # Its only weights are the candidates.
        if candidate_embeddings is not None:
            self.update_candidates(candidate_embeddings, candidate_ids)
        elif candidate_ids is not None:
            raise ValueError("`candidate_ids` need `candidate_embeddings`, got None.")

    @property
    @abc.abstractmethod
    def is_exact(self) -> bool:
        """Whether the true top k is returned, always."""

    @property
    def scores_by_dot_product(self) -> bool:
        """Whether `compute_score` is that of Keras Recommenders, and not one's own."""
        own = getattr(self.compute_score, "__func__", None)
        return own is keras_rs.layers.Retrieval.compute_score

    @abc.abstractmethod
    def _store(self, embeddings: NDArray[np.float32], ids: CandidateIds) -> None:
        """Takes checked candidates in place of those before."""

    @abc.abstractmethod
    def _dim(self) -> int | None:
        """The dimension of the candidates, None where there are none."""

    @abc.abstractmethod
    def embeddings(self, rows_at_a_time: int) -> Iterator[Array]:
        """Yields all candidates on the host, as (b, d) arrays of about `rows_at_a_time` rows."""

    # Candidates

    def update_candidates(self, candidate_embeddings: Any, candidate_ids: Any = None) -> None:
        """Replaces the candidates by these, however many they are.

        Args:
            candidate_embeddings: (n, d) floats, n ≥ k, finite.
            candidate_ids: (n,) ids, no two alike: integers that the backend's tensors hold (int32
                on JAX, int64 elsewhere), or with `return_rows=True` any int64 or str. `None`
                numbers the rows; where the candidates before had ids of their own it keeps those,
                and there must be as many candidates as before.

        Raises:
            ValueError: The candidates are not as said above. Those before then stay.
        """
        embeddings = checked_embeddings(candidate_embeddings)
        self.check_dim("candidate_embeddings", embeddings.shape)
        ids = self._ids_for(candidate_ids, len(embeddings))
        self._check_ids(ids)
        self._store(embeddings, ids)
        self._table.stop_sharing()
        self._ids = ids
        self._tower_fingerprint = None

    def index_from_dataset(self, batches: Iterable[Any]) -> Self:
        """Replaces the candidates by those of some batches.

        Args:
            batches: Iterable of (b, d) embeddings, or of (ids, embeddings) pairs. Embeddings alone
                keep ids as `update_candidates` does.

        Returns:
            The layer.
        """
        self.update_candidates(*concatenated(batches))
        return self

    def lookup(self, rows: Any, labels: Any = None) -> Array:
        """Returns the ids of rows, or their labels, outside any graph.

        Args:
            rows: Integers of any shape, as the layer returns them with `return_rows=True`.
            labels: (n,) integers or text to look up in place of ids, one a candidate; unlike ids
                they may repeat, as titles do.

        Returns:
            Ids or labels of the same shape: int64, or str objects; -1 or "" for row -1.

        Raises:
            ValueError: There are no candidates, `rows` are not rows of theirs, or there is not one
                label a candidate.
        """
        ids = self._require_ids()
        rows = np.asarray(ops.convert_to_numpy(rows))
        if labels is None:
            return ids.lookup(rows)
        values = as_ids(labels, "labels")
        if len(values) != len(ids):
            raise ValueError(
                f"`labels` must have shape ({len(ids)},), one a candidate, got {values.shape}."
            )
        return CandidateIds.take(with_padding(values), rows)

    def rows(self, ids: Any) -> NDArray[np.int64]:
        """Returns the rows of ids, outside any graph: what `lookup` is given.

        Args:
            ids: Ids in an array or tensor of any shape, or a sequence.

        Returns:
            Rows of the same shape, -1 where there is no such candidate.

        Raises:
            ValueError: There are no candidates, or `ids` are of another kind than theirs.
        """
        return as_rows(ids, "ids", self._require_ids(), self.name)

    @property
    def candidate_embeddings(self) -> Any:
        """The variable of the embeddings where the layer has one, or the one that it shares."""
        return self._table.embeddings

    @property
    def candidate_ids(self) -> Any:
        """The variable of the ids, where the layer has one."""
        return self._table.ids

    def __setattr__(self, name: str, value: Any) -> None:
        """Shares a variable that is assigned to `candidate_embeddings`."""
        if name == "candidate_embeddings":
            self._share_variable(value)
        elif name == "candidate_ids":
            raise ValueError(
                "`candidate_ids` cannot be assigned: call `update_candidates(embeddings, ids)`. A "
                "variable that is assigned to `candidate_embeddings` afterwards keeps those ids."
            )
        else:
            super().__setattr__(name, value)

    def _share_variable(self, variable: Any) -> None:
        shape = tuple(getattr(variable, "shape", ()))
        if len(shape) != 2:
            raise ValueError(
                "`candidate_embeddings` must be a variable of shape (n, d), got "
                f"{'None' if variable is None else shape}."
            )
        self._check_count(self.k, shape[0])
        ids = self._ids_for(None, shape[0])
        if ids.are_rows:
            self._table.store("ids", None)
        self._ids = ids
        self._table.share(variable)
        self._tower_fingerprint = None

    def _ids_for(self, candidate_ids: Any, num_rows: int) -> CandidateIds:
        """The ids of new candidates: those given, or those before where they had their own."""
        if candidate_ids is None and self._ids is not None and not self._ids.are_rows:
            if len(self._ids) == num_rows:
                return self._ids
            raise ValueError(
                f"`candidate_ids` must be given with {num_rows} candidates, because the "
                f"{len(self._ids)} before have ids of their own; `np.arange({num_rows})` numbers "
                "the rows."
            )
        return CandidateIds(candidate_ids, num_rows)

    @property
    def num_candidates(self) -> int:
        """How many candidates there are; 0 before the first."""
        return 0 if self._ids is None else len(self._ids)

    @property
    def ids_fit_tensors(self) -> bool:
        """Whether the backend's tensors can hold the ids: no text, and on JAX 32 bits at most."""
        return self._require_ids().fit_tensors

    def take_shared(self) -> None:
        """Copies the values of a shared variable, in a layer that keeps a copy of them."""

    def _shared_embeddings(self) -> Array:
        """The values, now, of the variable that was assigned to `candidate_embeddings`."""
        try:
            return np.asarray(ops.convert_to_numpy(self.candidate_embeddings))
        except TypeError as error:
            raise ValueError(
                f"The variable that layer '{self.name}' shares has no values while JAX trains it: "
                "use `update_candidates` or `RefreshCandidates` in place of a shared variable."
            ) from error

    def _require_candidates(self) -> None:
        if not self.num_candidates:
            raise ValueError(
                f"Layer '{self.name}' has no candidates yet: call `update_candidates` or "
                "`index_from_dataset` first."
            )

    def _require_ids(self) -> CandidateIds:
        if self._ids is None:
            self._require_candidates()
        return cast(CandidateIds, self._ids)

    def _check_ids(self, ids: CandidateIds) -> None:
        self._check_count(self.k, len(ids))
        if not self.return_rows:
            ids.for_tensors()

    def _check_count(self, k: int, available: int) -> None:
        if available < k:
            raise ValueError(f"`k` must be at most the number of candidates, {available}, got {k}.")

    def check_dim(self, argument: str, shape: Sequence[int | None]) -> None:
        """Refuses embeddings of another dimension than the candidates."""
        self._check_dim(argument, shape, self._dim())

    def _check_dim(self, name: str, shape: Sequence[int | None], dim: int | None) -> None:
        if dim is not None and (not shape or shape[-1] not in (None, dim)):
            raise ValueError(
                f"`{name}` must have shape (…, {dim}), as the candidates before, got "
                f"{tuple(shape)}."
                if name == "candidate_embeddings"
                else f"`{name}` must have shape (…, {dim}), as the candidates, got {tuple(shape)}."
            )

    # Freshness

    def update_from(
        self,
        candidate_tower: Any,
        candidates: Any,
        candidate_ids: Any = None,
        batch_size: int | None = None,
    ) -> None:
        """Embeds candidates with their tower and takes them, as `update_candidates` does.

        Args:
            candidate_tower: Keras model, or layer.
            candidates: The tower's inputs, as its `predict` takes them.
            candidate_ids: (n,) ids; `None` numbers the rows.
            batch_size: Candidates embedded at a time.
        """
        if hasattr(candidate_tower, "predict"):
            embeddings = candidate_tower.predict(candidates, batch_size=batch_size, verbose=0)
        else:
            embeddings = candidate_tower(candidates)
        self.update_candidates(embeddings, candidate_ids)
        self._tower_fingerprint = fingerprint(candidate_tower)

    def warn_if_stale(self, candidate_tower: Any) -> bool:
        """Warns if the tower's weights have changed since `update_from` embedded with them.

        Args:
            candidate_tower: The tower that `update_from` was given, also after loading both.

        Returns:
            Whether they have.

        Raises:
            ValueError: The candidates did not come from `update_from`.
        """
        if self._tower_fingerprint is None:
            raise ValueError(
                f"Layer '{self.name}' cannot tell: its candidates came from `update_candidates`, "
                "not from `update_from`."
            )
        is_stale = fingerprint(candidate_tower) != self._tower_fingerprint
        if is_stale:
            warnings.warn(
                f"The candidates of layer '{self.name}' are older than the weights of "
                f"'{candidate_tower.name}': call `update_from` again.",
                StaleCandidatesWarning,
                stacklevel=2,
            )
        return is_stale

    # Saving

    def save_own_variables(self, store: Any) -> None:
        """Saves the candidates and ids with the weights: in `.keras` and `save_weights` files."""
        store[COUNT] = np.array(self.num_candidates, dtype=np.int64)
        if self.num_candidates:
            self._save(store)
            if self._tower_fingerprint is not None:
                store["tower_fingerprint"] = np.frombuffer(self._tower_fingerprint, dtype=np.uint8)

    def load_own_variables(self, store: Any) -> None:
        """Loads candidates, however many; a layer saved without any leaves those here as they are.

        The weights of `keras_rs.layers.BruteForceRetrieval` are candidates too.

        Raises:
            ValueError: They are damaged, have ids that the backend cannot hold, or the file has
                nothing for this layer. The candidates here then stay.
        """
        names = set(store.keys())
        if not names:
            raise ValueError(
                f"The file has nothing for layer '{self.name}' ({type(self).__name__}). Files name "
                "layers by their class: load weights of `BruteForceRetrieval` into a model with "
                "`shortlist.layers.BruteForceRetrieval`, and give its candidates to "
                "`update_candidates` of this one."
            )
        if names <= {"0", "1"}:  # As Keras numbers the variables of a layer.
            embeddings = np.array(store["0"])
            ids = np.array(store["1"]) if "1" in names else np.arange(len(embeddings))
            self.update_candidates(embeddings, ids)
            return
        self._load(store, names)
        if "tower_fingerprint" in names:
            self._tower_fingerprint = np.array(store["tower_fingerprint"]).tobytes()

    @abc.abstractmethod
    def _save(self, store: Any) -> None:
        """Writes the candidates."""

    def _load(self, store: Any, names: set[str]) -> None:
        """Reads the candidates, if the store has any among its names."""
        if "candidate_embeddings" in names:
            parts = read_checked(store, names)
            self.update_candidates(parts["candidate_embeddings"], ids_of_arrays(parts))

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments, except the candidates: they are weights."""
        # `keras_rs.layers.Retrieval.get_config` puts a method where `return_scores` belongs.
        config = keras.layers.Layer.get_config(self)
        return {
            **config,
            "k": self.k,
            "return_scores": self.return_scores,
            "return_rows": self.return_rows,
            "query_model": None
            if self.query_model is None
            else keras.saving.serialize_keras_object(self.query_model),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Returns a layer of this configuration, without candidates."""
        model = config.get("query_model")
        if isinstance(model, dict):
            config = {**config, "query_model": keras.saving.deserialize_keras_object(model)}
        return cls(**config)


def positive(k: Any) -> int:
    """Returns `k` as an int, or raises why it cannot be."""
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"`k` must be an int, got {k!r}.")
    if k < 1:
        raise ValueError(f"`k` must be at least 1, got {k}.")
    return int(k)
