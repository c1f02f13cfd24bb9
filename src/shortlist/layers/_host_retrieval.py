"""What the layers share that retrieve on the host."""

import abc
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.layers._candidate_ids import tensor_dtype
from shortlist.layers._candidate_retrieval import CandidateRetrieval
from shortlist.layers._candidates import Array, checked_embeddings
from shortlist.layers._finite_check import require_finite
from shortlist.layers.host import HostFunction, finite_rows, is_exporting, refuse_saved_models


class HostRetrieval(CandidateRetrieval, abc.ABC):
    """Base of the layers that retrieve on the host, in a function that graphs call.

    A compiled model therefore sees each update of the candidates without being compiled again.
    TensorFlow's XLA cannot call the host: there, Keras compiles a model with such a layer without
    it, and says so where `jit_compile=True` was asked for. No exported model can either.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.scores_by_dot_product:
            raise self._cannot_score()
        self._shared_values: Array | None = None
        self._on_host = HostFunction(self._answer, self._outputs)
        self._on_host_by_ids = HostFunction(self._answer_by_ids, self._outputs)
        super().__init__(*args, **kwargs)
        self.supports_jit = keras.backend.backend() != "tensorflow"
        if keras.backend.backend() == "tensorflow":
            self._saved_models = refuse_saved_models(self._no_export)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses a `compute_score` that is assigned, as one of a subclass is refused."""
        if name == "compute_score":
            raise self._cannot_score()
        super().__setattr__(name, value)

    def _cannot_score(self) -> ValueError:
        return ValueError(
            f"`compute_score` of {type(self).__name__} cannot be called by a layer that ranks by "
            "dot products on the host: subclass `BruteForceRetrieval`, or for cosine normalise the "
            "embeddings of candidates and queries."
        )

    @abc.abstractmethod
    def search(
        self, queries: Array, k: int, exclude: Any = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Returns the (b, k) scores and rows of queries, on the host.

        Args:
            queries: (b, d) float32.
            k: How many.
            exclude: For each query, the ids (those of `lookup`) that must not come back.
        """

    def _retrieve(self, queries: Any, k: int, exclusions: Any, excluded_rows: Any) -> Any:
        if is_exporting(queries):
            raise self._no_export()
        # What the host finds has no gradient, and JAX would refuse to look for one.
        tensors = [ops.stop_gradient(queries)]
        if self._table.is_shared:
            tensors.append(ops.convert_to_tensor(self.candidate_embeddings))
        if exclusions is not None:
            return self._on_host_by_ids(k, *tensors, exclusions)
        if excluded_rows is not None:
            tensors.append(excluded_rows)
        return self._on_host(k, *tensors)

    def _no_export(self) -> ValueError:
        return ValueError(
            f"Layer '{self.name}' ({type(self).__name__}) searches on the host, which an exported "
            "model does not have: export a model that ends in `layer.to_exportable()`."
        )

    def _outputs(self, k: int) -> tuple[tuple[int, str], tuple[int, str]]:
        return (k, "float32"), (k, tensor_dtype())

    def _answer_by_ids(self, k: int, queries: Array, *others: Array) -> tuple[Array, Array]:
        """`_answer` of ids that are excluded."""
        *shared, exclusions = others
        rows = self._require_ids().rows(exclusions.ravel().tolist()).reshape(exclusions.shape)
        return self._answer(k, queries, *shared, rows)

    def _answer(self, k: int, queries: Array, *others: Array) -> tuple[Array, Array]:
        """Runs on the host: `_retrieve` of arrays."""
        rest = list(others)
        if self._table.is_shared:
            self._share(rest.pop(0))
        self._check_count(k, self.num_candidates)  # They may have changed since `call` was traced.
        require_finite(finite_rows(queries))
        ids = self._require_ids()
        exclude = None
        if rest:
            count = len(ids)
            exclude = [ids.values[row[(row >= 0) & (row < count)]].tolist() for row in rest[0]]
        scores, rows = self.search(queries, k, exclude)
        return scores, rows if self.return_rows else ids.lookup(rows)

    def take_shared(self) -> None:
        """Takes what a variable assigned to `candidate_embeddings` holds now, if there is one."""
        if self._table.is_shared:
            self._share(self._shared_embeddings())

    def _share(self, values: Array) -> None:
        """Takes the values of the variable that was assigned to `candidate_embeddings`."""
        if self._shared_values is None or not np.array_equal(values, self._shared_values):
            embeddings = checked_embeddings(values)
            self._store(embeddings, self._ids_for(None, len(embeddings)))
            self._shared_values = embeddings.copy()
