"""What the retrieval layers share: candidates, ids, exclusions, k, saving."""

import abc
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import keras_rs
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.layers._candidate_ids import NO_ID, CandidateIds, tensor_dtype
from shortlist.layers._candidates import (
    Array,
    checked_embeddings,
    concatenated,
    ids_of_arrays,
    read_checked,
)
from shortlist.layers._finite_check import FiniteCheck
from shortlist.layers._freshness import StaleCandidatesWarning, fingerprint
from shortlist.layers._top_k import ROWS_AT_A_TIME
from shortlist.layers.exportable_retrieval import ExportableRetrieval


class CandidateRetrieval(keras_rs.layers.Retrieval, abc.ABC):
    """Base of the retrieval layers; see `BruteForceRetrieval` for the arguments.

    A subclass keeps, searches and saves the candidates in its own way.
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
        # Scores are compared: half precision would make ties of them under a mixed policy.
        kwargs.setdefault("dtype", "float32")
        super().__init__(k=_positive(k), return_scores=return_scores, **kwargs)
        self.query_model = query_model
        self.return_rows = return_rows
        self._ids: CandidateIds | None = None
        self._tower_fingerprint: bytes | None = None
        self._check_finite = FiniteCheck()
        self.built = True  # Its only weights are the candidates.
        # A variable that the user assigns is shared: its current values are the candidates.
        self.candidate_embeddings = None
        self.candidate_ids = None
        self._host_embeddings: Array | None = None
        if candidate_embeddings is not None:
            self.update_candidates(candidate_embeddings, candidate_ids)
        elif candidate_ids is not None:
            raise ValueError("`candidate_ids` need `candidate_embeddings`, got None.")

    @property
    @abc.abstractmethod
    def is_exact(self) -> bool:
        """Whether the true top k is returned, always."""

    @abc.abstractmethod
    def _store(self, embeddings: NDArray[np.float32], ids: CandidateIds) -> None:
        """Takes checked candidates in place of those before."""

    @abc.abstractmethod
    def _dim(self) -> int | None:
        """The dimension of the candidates, None where there are none."""

    @abc.abstractmethod
    def embeddings(self, rows_at_a_time: int) -> Iterator[Array]:
        """Reads the candidates through on the host, about so many rows at a time."""

    @abc.abstractmethod
    def _retrieve(self, queries: Any, k: int, exclusions: Any) -> tuple[Any, Any]:
        """The (b, k) scores and ids (rows with `return_rows`) of (b, d) queries.

        Where nothing can be raised, queries that are not finite get -inf and -1, and so do places
        for which there are no candidates.
        """

    # Candidates

    def update_candidates(self, candidate_embeddings: Any, candidate_ids: Any = None) -> None:
        """Takes these candidates in place of those before, however many they are.

        Args:
            candidate_embeddings: (n, d) floats, n ≥ k, finite.
            candidate_ids: (n,) ids, no two alike: integers that the backend's tensors hold (int32
                on JAX, int64 elsewhere), or with `return_rows=True` any int64 or str; `None`
                numbers the rows.

        Raises:
            ValueError: The candidates are not as said above.
        """
        embeddings = checked_embeddings(candidate_embeddings)
        self._check_dim("candidate_embeddings", embeddings.shape, self._dim())
        ids = CandidateIds(candidate_ids, len(embeddings))
        self._check_ids(ids)
        self._store(embeddings, ids)
        self._ids = ids
        self._tower_fingerprint = None

    def index_from_dataset(self, batches: Iterable[Any]) -> None:
        """Takes the candidates from batches, in place of those before.

        Args:
            batches: Iterable of (b, d) embeddings, or of (ids, embeddings) pairs.
        """
        self.update_candidates(*concatenated(batches))

    def lookup(self, rows: Any) -> Array:
        """Returns the ids of rows, outside any graph.

        Args:
            rows: Integers of any shape, as the layer returns them with `return_rows=True`.

        Returns:
            Ids of the same shape: int64, or str objects; -1 or "" for row -1.
        """
        return self._require_ids().lookup(np.asarray(ops.convert_to_numpy(rows)))

    @property
    def num_candidates(self) -> int:
        """How many candidates there are; 0 before the first."""
        if self._ids is not None:
            return len(self._ids)
        return 0 if self.candidate_embeddings is None else int(self.candidate_embeddings.shape[0])

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
        if self._ids is not None:
            return self._ids
        self._require_candidates()
        return CandidateIds(None, self.num_candidates)

    # Retrieval

    def call(self, inputs: Any, k: int | None = None, exclusions: Any = None) -> Any:
        """Returns the best candidates of each query.

        Args:
            inputs: (…, d) query embeddings; with a `query_model`, its inputs.
            k: How many; `None` is the layer's k.
            exclusions: Ids that must not come back; see `query_with_exclusions`.

        Returns:
            (…, k) scores, descending, and ids; ids alone with `return_scores=False`. Equal scores
            come by lower row. Where fewer than k are left, the rest is score -inf and id -1.

        Raises:
            ValueError: There are no candidates, fewer than k, or the queries have another dim or
                are not finite. What shows only when a function runs that you compiled yourself is
                an InvalidArgumentError of TensorFlow or an error of JAX, of the same words.
                TensorFlow's XLA (`jit_compile=True`) can raise nothing: there, queries that are not
                finite get score -inf and id -1.
        """
        self._require_candidates()
        k = self.k if k is None else _positive(k)
        self._check_count(k, self.num_candidates)
        queries = inputs if self.query_model is None else self.query_model(inputs)
        queries = ops.cast(queries, "float32")
        self._check_dim("queries", queries.shape, self._dim())
        if exclusions is not None:
            exclusions = ops.cast(exclusions, tensor_dtype())

        is_matrix = len(queries.shape) == 2
        matrix = queries if is_matrix else ops.reshape(queries, (-1, queries.shape[-1]))
        scores, ids = self._retrieve(self._checked(matrix), k, exclusions)
        if not is_matrix:
            shape = (*ops.shape(queries)[:-1], k)
            scores, ids = ops.reshape(scores, shape), ops.reshape(ids, shape)
        return (scores, ids) if self.return_scores else ids

    def query_with_exclusions(self, queries: Any, exclusions: Any, k: int | None = None) -> Any:
        """Returns the best candidates of each query, without those excluded for it.

        Args:
            queries: As in `call`.
            exclusions: One sequence of ids a query, of any lengths, or a (b, e) array or tensor;
                ids of no candidate are ignored. With `return_rows=True`, integers are rows and
                str are ids.
            k: How many; `None` is the layer's k.

        Returns:
            As `call`: k results wherever k are left.
        """
        return self(queries, k=k, exclusions=self._as_tensor_ids(exclusions))

    def compute_output_spec(self, inputs: Any, k: int | None = None, exclusions: Any = None) -> Any:
        """Shapes and dtypes of what `call` returns."""
        del exclusions
        width = self.k if k is None else _positive(k)
        outputs = (
            inputs if self.query_model is None else self.query_model.compute_output_spec(inputs)
        )
        shape = (*outputs.shape[:-1], width)
        ids = keras.KerasTensor(shape, dtype=tensor_dtype())
        return (keras.KerasTensor(shape, dtype="float32"), ids) if self.return_scores else ids

    def _as_tensor_ids(self, exclusions: Any) -> Any:
        if ops.is_tensor(exclusions) or isinstance(exclusions, keras.KerasTensor):
            return exclusions
        ids = self._require_ids()
        lists = [list(excluded) for excluded in exclusions]
        strings = any(isinstance(value, str) for excluded in lists for value in excluded)
        if strings:
            lists = [ids.rows(excluded).tolist() for excluded in lists]
        limits = np.iinfo(tensor_dtype())
        # What does not fit is no candidate's id, so leaving it out changes nothing.
        lists = [[v for v in values if limits.min <= v <= limits.max] for values in lists]
        width = max((len(values) for values in lists), default=0)
        padded = np.full((len(lists), max(width, 1)), NO_ID, dtype=tensor_dtype())
        for row, values in zip(padded, lists, strict=True):
            row[: len(values)] = values
        return ops.convert_to_tensor(padded)

    def _checked(self, queries: Any) -> Any:
        """The (b, d) queries, which are refused if they are not finite."""
        return self._check_finite(queries)

    def _check_ids(self, ids: CandidateIds) -> None:
        self._check_count(self.k, len(ids))
        if not self.return_rows:
            ids.for_tensors()

    def _check_count(self, k: int, available: int) -> None:
        if available < k:
            raise ValueError(f"`k` must be at most the number of candidates, {available}, got {k}.")

    def _check_dim(self, name: str, shape: Sequence[int | None], dim: int | None) -> None:
        if dim is not None and (not shape or shape[-1] not in (None, dim)):
            raise ValueError(
                f"`{name}` must have shape (…, {dim}), as the candidates before, got "
                f"{tuple(shape)}."
                if name == "candidate_embeddings"
                else f"`{name}` must have shape (…, {dim}), as the candidates, got {tuple(shape)}."
            )

    def to_exportable(
        self, leaves: int | None = None, leaves_to_search: int = 1, seed: int = 0
    ) -> ExportableRetrieval:
        """Returns a copy of standard operations only, for `model.export`.

        Args:
            leaves: Partition the candidates into so many leaves; `None` scores every candidate.
            leaves_to_search: How many leaves are scored for a query; `leaves` is exact.
            seed: Seed of the partition.

        Returns:
            A layer with the same k, ids (rows with `return_rows`) and query model, which keeps its
            candidates when those here are updated.
        """
        self._require_candidates()
        embeddings = np.concatenate(list(self.embeddings(ROWS_AT_A_TIME)))
        ids = np.arange(len(embeddings))
        return ExportableRetrieval.of(
            embeddings,
            ids if self.return_rows else self._require_ids().for_tensors(),
            leaves,
            leaves_to_search,
            seed,
            k=self.k,
            return_scores=self.return_scores,
            query_model=self.query_model,
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
        if self.num_candidates:
            self._save(store)
            if self._tower_fingerprint is not None:
                store["tower_fingerprint"] = np.frombuffer(self._tower_fingerprint, dtype=np.uint8)

    def load_own_variables(self, store: Any) -> None:
        """Loads candidates, however many; a file without any leaves those here as they are.

        Raises:
            ValueError: They are damaged, or have ids that the backend cannot hold.
        """
        names = set(store.keys())
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
    def from_config(cls, config: dict[str, Any]) -> "CandidateRetrieval":
        """Returns a layer of this configuration, without candidates."""
        model = config.get("query_model")
        if isinstance(model, dict):
            config = {**config, "query_model": keras.saving.deserialize_keras_object(model)}
        return cls(**config)


def _positive(k: Any) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise TypeError(f"`k` must be an int, got {k!r}.")
    if k < 1:
        raise ValueError(f"`k` must be at least 1, got {k}.")
    return int(k)
