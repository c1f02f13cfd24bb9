"""What the layers share that retrieve on the host."""

import abc
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from shortlist.layers._candidate_ids import NO_ID, CandidateIds, tensor_dtype
from shortlist.layers._candidate_retrieval import CandidateRetrieval
from shortlist.layers._candidates import Array, checked_embeddings
from shortlist.layers._finite_check import require_finite
from shortlist.layers._host import HostFunction, finite_rows, is_concrete


class HostRetrieval(CandidateRetrieval, abc.ABC):
    """Base of the layers that retrieve on the host, in a function that graphs call.

    A compiled model therefore sees each update of the candidates without being compiled again.
    TensorFlow's XLA cannot call the host: there, Keras compiles a model with such a layer without
    it, and says so where `jit_compile=True` was asked for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._shared_values: Array | None = None
        self._on_host = HostFunction(self._answer, lambda k: ((k, "float32"), (k, tensor_dtype())))
        super().__init__(*args, **kwargs)
        self.supports_jit = keras.backend.backend() != "tensorflow"

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

    def _checked(self, queries: Any) -> Any:
        # `_answer` checks them; but JAX leaves it out where nobody uses what it finds, as in `fit`.
        # In `predict` the result is used, and an effect for the check would cost a tenth of it.
        if keras.backend.backend() != "jax" or is_concrete(queries):
            return queries
        from shortlist.layers._jax_errors import errors_of_model

        errors = errors_of_model()
        is_used = errors is not None and errors.predicts
        return queries if is_used else super()._checked(queries)

    def _retrieve(self, queries: Any, k: int, exclusions: Any) -> tuple[Any, Any]:
        # What the host finds has no gradient, and JAX would refuse to look for one.
        tensors = [ops.stop_gradient(queries)]
        if self.candidate_embeddings is not None:
            tensors.append(ops.convert_to_tensor(self.candidate_embeddings))
        if exclusions is not None:
            tensors.append(exclusions)
        scores, ids = self._on_host(k, *tensors)
        return scores, ids

    def _answer(self, k: int, queries: Array, *others: Array) -> tuple[Array, Array]:
        """Runs on the host: `_retrieve` of arrays."""
        rest = list(others)
        if self.candidate_embeddings is not None:
            self._share(rest.pop(0))
        self._check_count(k, self.num_candidates)  # They may have changed since `call` was traced.
        exclude = None if not rest else self._excluded_ids(rest[0])
        require_finite(finite_rows(queries))
        scores, rows = self.search(queries, k, exclude)
        if self.return_rows:
            return scores, rows
        return scores, self._require_ids().lookup(rows)

    def _excluded_ids(self, exclusions: Array) -> Any:
        if not self.return_rows:
            return exclusions
        ids = self._require_ids()
        inside = np.where((exclusions >= 0) & (exclusions < len(ids)), exclusions, NO_ID)
        return ids.lookup(inside)

    def take_shared(self) -> None:
        """Takes what a variable assigned to `candidate_embeddings` holds now, if there is one."""
        if self.candidate_embeddings is not None:
            self._share(self._shared_embeddings())

    def _share(self, values: Array) -> None:
        """Takes the values of the variable that was assigned to `candidate_embeddings`."""
        if self._shared_values is None or not np.array_equal(values, self._shared_values):
            embeddings = checked_embeddings(values)
            self._store(embeddings, CandidateIds(None, len(embeddings)))
            self._shared_values = embeddings.copy()
