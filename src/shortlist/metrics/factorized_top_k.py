"""Share of queries whose true candidate is among the top k of all candidates."""

from collections.abc import Sequence
from operator import index
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from shortlist.metrics._rank_metric import RankMetric


@keras.saving.register_keras_serializable(package="shortlist")
class FactorizedTopK(RankMetric):
    """Share of queries whose true candidate is among the top k of all candidates (hit rate@k).

    The true candidate is found by its id. If it ties with others, each of their ranks is equally
    likely, and it counts in that proportion: a model that scores n candidates alike gets k / n,
    whatever their order.

    Over a layer or an array that is exact, every candidate is scored, in float32 on the host. Over
    an `ApproximateRetrieval` its place among what the layer found counts: approximate scores never
    stand in for exact ones, and what the layer misses is a miss.

    A model saved with this metric over a layer must be compiled again after loading: Keras loads
    the metric with a layer of its own, which has no candidates, and until then an update says so.

    Args:
        candidates: A layer of `shortlist.layers`, whose candidates at the time of each update
            count; (n, d) embeddings; or batches of embeddings or of (ids, embeddings), such as a
            `tf.data.Dataset`, which are read through at each update.
        candidate_ids: (n,) ids of embeddings, integers or text; `None` numbers the rows. A layer
            and batches have their own.
        ks: The ks, at least 1 (below 10,000 over an `ApproximateRetrieval`).
        name: Name of the metric.
        prefix: What the names of the results begin with. TensorFlow Recommenders' is
            `"factorized_top_k/"`.

    Example:
        >>> candidates = np.array([[1.0], [2.0], [3.0]])
        >>> metric = FactorizedTopK(candidates, candidate_ids=["a", "b", "c"], ks=(1, 2))
        >>> metric.update_state(["b", "c"], np.array([[1.0], [1.0]]))
        >>> {name: float(share) for name, share in metric.result().items()}
        {'top_1_categorical_accuracy': 0.5, 'top_2_categorical_accuracy': 1.0}
    """

    def __init__(
        self,
        candidates: Any,
        candidate_ids: Any = None,
        ks: Sequence[int] = (1, 5, 10, 50, 100),
        name: str = "factorized_top_k",
        prefix: str = "",
    ) -> None:
        try:
            self.ks = tuple(dict.fromkeys(index(k) for k in ks))
        except TypeError:
            self.ks = ()
        if not self.ks or min(self.ks) < 1:
            raise ValueError(f"`ks` must be integers of at least 1, got {ks!r}.")
        self.prefix = prefix
        super().__init__(candidates, candidate_ids, depth=max(self.ks), name=name)

    def _values_of_ranks(self) -> NDArray[np.float64]:
        ranks = np.arange(1, self.depth + 1)[:, None]
        return (ranks <= np.array(self.ks)).astype(np.float64)

    def result(self) -> dict[str, Any]:
        """Returns the shares so far, by the names `{prefix}top_{k}_categorical_accuracy`."""
        means = self._means()
        names = [f"{self.prefix}top_{k}_categorical_accuracy" for k in self.ks]
        return {name: means[i] for i, name in enumerate(names)}

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "ks": self.ks, "prefix": self.prefix}
