"""What the retrieval layers share: calls, k, exclusions, export."""

import abc
from typing import Any

import keras
import numpy as np
from keras import ops

from shortlist.layers._candidate_ids import tensor_dtype
from shortlist.layers._candidate_layer import CandidateLayer, positive
from shortlist.layers._exclusions import as_rows, check_dtype
from shortlist.layers._top_k import ROWS_AT_A_TIME
from shortlist.layers.exportable_retrieval import ExportableRetrieval
from shortlist.layers.host import is_concrete


class CandidateRetrieval(CandidateLayer, abc.ABC):
    """Base of the retrieval layers; a subclass searches the candidates in its own way.

    Example:
        >>> import keras
        >>> from shortlist.layers import BruteForceRetrieval, CandidateRetrieval
        >>> layer = BruteForceRetrieval([[1.0, 0.0], [0.0, 1.0]], [7, 8], k=1)
        >>> isinstance(layer, CandidateRetrieval)
        True
        >>> scores, ids = layer(keras.ops.array([[2.0, 1.0]]))
        >>> ids.tolist()
        [[7]]
    """

    @abc.abstractmethod
    def _retrieve(self, queries: Any, k: int, exclusions: Any, excluded_rows: Any) -> Any:
        """The (b, k) scores and ids (rows with `return_rows`) of (b, d) queries.

        Where nothing can be raised, queries that are not finite get -inf and -1, and so do places
        for which there are no candidates.
        """

    def __call__(
        self,
        inputs: Any = None,
        k: int | None = None,
        exclusions: Any = None,
        *,
        queries: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Calls the layer; see `call`. `queries` is another name of `inputs`, that of TFRS.

        Exclusions that have values become rows, before Keras makes tensors of them, which may be
        too narrow for ids.
        """
        if (inputs is None) == (queries is None):
            raise ValueError("`inputs` must be given, by this name or as `queries`.")
        inputs = queries if inputs is None else inputs
        if k is not None:
            kwargs["k"] = positive(k)  # Keras would make a tensor of one of NumPy.
        if exclusions is not None:
            if isinstance(exclusions, keras.KerasTensor) or (
                ops.is_tensor(exclusions) and not is_concrete(exclusions)
            ):
                self._check_graph_exclusions(exclusions)
                kwargs["exclusions"] = exclusions
            elif kwargs.get("excluded_rows") is not None:
                raise _two_exclusions()
            else:
                rows = as_rows(
                    exclusions, "exclusions", self._require_ids(), self.name, ragged=True
                )
                kwargs["excluded_rows"] = rows.astype(tensor_dtype())
        return super().__call__(inputs, **kwargs)

    def call(
        self,
        inputs: Any,
        k: int | None = None,
        exclusions: Any = None,
        excluded_rows: Any = None,
    ) -> Any:
        """Returns the best candidates of each query.

        Args:
            inputs: (…, d) query embeddings; with a `query_model`, its inputs.
            k: How many; `None` is the layer's k.
            exclusions: Ids that must not come back; see `query_with_exclusions`.
            excluded_rows: (b, e) rows that must not come back, as `rows` gives them, -1 for none:
                in place of `exclusions` in a graph, for ids that tensors cannot hold.

        Returns:
            (…, k) scores, descending, and ids; ids alone with `return_scores=False`. Equal scores
            come by lower row. Where fewer than k are left, the rest is score -inf and id -1.

        Raises:
            ValueError: There are no candidates, fewer than k, or the queries have another dim or
                are not finite. What shows only when a compiled function runs is an error of the
                backend, of the same words. TensorFlow's XLA (`jit_compile=True`) and exported
                models can raise nothing: there, queries that are not finite get score -inf and
                id -1.
        """
        self._require_candidates()
        k = self.k if k is None else positive(k)
        self._check_count(k, self.num_candidates)
        queries = inputs if self.query_model is None else self.query_model(inputs)
        queries = ops.cast(queries, "float32")
        self.check_dim("queries", queries.shape)
        is_matrix = len(queries.shape) == 2
        matrix = queries if is_matrix else ops.reshape(queries, (-1, queries.shape[-1]))
        if exclusions is not None and excluded_rows is not None:
            raise _two_exclusions()
        if exclusions is not None:
            exclusions = self._as_matrix("exclusions", exclusions, matrix)
        if excluded_rows is not None:
            excluded_rows = self._as_matrix("excluded_rows", excluded_rows, matrix)
        scores, ids = self._retrieve(matrix, k, exclusions, excluded_rows)
        if not is_matrix:
            shape = (*ops.shape(queries)[:-1], k)
            scores, ids = ops.reshape(scores, shape), ops.reshape(ids, shape)
        return (scores, ids) if self.return_scores else ids

    def query_with_exclusions(self, queries: Any, exclusions: Any, k: int | None = None) -> Any:
        """Returns the best candidates of each query, without those excluded for it.

        Args:
            queries: As in `call`.
            exclusions: One sequence of ids a query, of any lengths, or a (b, e) array or tensor;
                ids of no candidate are ignored. They are ids, also with `return_rows=True`.
            k: How many; `None` is the layer's k.

        Returns:
            As `call`: k results wherever k are left.
        """
        return self(queries, k=k, exclusions=exclusions)

    def compute_output_spec(
        self,
        inputs: Any,
        k: int | None = None,
        exclusions: Any = None,
        excluded_rows: Any = None,
    ) -> Any:
        """Shapes and dtypes of what `call` returns."""
        del exclusions, excluded_rows
        width = self.k if k is None else positive(k)
        outputs = (
            inputs if self.query_model is None else self.query_model.compute_output_spec(inputs)
        )
        shape = (*outputs.shape[:-1], width)
        ids = keras.KerasTensor(shape, dtype=tensor_dtype())
        return (keras.KerasTensor(shape, dtype="float32"), ids) if self.return_scores else ids

    def _check_graph_exclusions(self, exclusions: Any) -> None:
        if self._ids is not None and not self._ids.fit_tensors:
            raise ValueError(
                "`exclusions` in a graph are tensors, which cannot hold the ids of layer "
                f"'{self.name}': give `excluded_rows`, as `layer.rows(ids)` returns them."
            )
        check_dtype("exclusions", exclusions)

    def _as_matrix(self, name: str, values: Any, queries: Any) -> Any:
        """(b, e) exclusions, e known, in the dtype of ids in tensors."""
        values = ops.cast(values, tensor_dtype())
        if len(values.shape) != 2:
            values = ops.reshape(values, (-1, values.shape[-1]))
        rows, width = values.shape
        known = isinstance(rows, int) and isinstance(queries.shape[0], int)
        if width is None or (known and rows != queries.shape[0]):
            raise ValueError(
                f"`{name}` must have shape ({queries.shape[0]}, e), one row of known length a "
                f"query, got {tuple(values.shape)}."
            )
        return values

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


def _two_exclusions() -> ValueError:
    return ValueError("`exclusions` and `excluded_rows` were both given: give one of them.")
