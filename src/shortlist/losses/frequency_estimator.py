"""How often each candidate turns up in batches, learnt while training."""

from typing import Any

import keras
from keras import ops

from shortlist.ids import are_text, as_ids
from shortlist.index.numbers import as_integer
from shortlist.losses._batch_ids import check_integers, is_tensor


@keras.saving.register_keras_serializable(package="shortlist")
class FrequencyEstimator(keras.layers.Layer):
    """Estimates each candidate's chance to appear in a batch, from the gaps between appearances.

    For every id it remembers the step of its last appearance and a moving average of the number of
    steps between appearances; the chance is one over that average. The first gap of an id counts
    from the first step. Assign the layer to an attribute of the model, so that Keras keeps its
    state with the weights.

    Args:
        capacity: Number of slots. Ids share the slot `id % capacity`; give it at least the number
            of candidates for ids 0, 1, 2, … to have a slot each.
        learning_rate: Weight of the newest gap in the average, in (0, 1].
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> import numpy as np
        >>> estimator = FrequencyEstimator(capacity=10, learning_rate=1.0)
        >>> for ids in ([3], [3, 5], [3], [3, 5]):
        ...     probabilities = estimator(np.array(ids), training=True)
        >>> [float(p) for p in probabilities]
        [1.0, 0.5]

    References:
        Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations",
        RecSys 2019, algorithm 2.
    """

    def __init__(self, capacity: int, learning_rate: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < learning_rate <= 1:
            raise ValueError(f"`learning_rate` must lie in (0, 1], got {learning_rate!r}.")
        self.capacity = as_integer(capacity, "capacity", 1)
        self.learning_rate = float(learning_rate)
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )
        self.last_seen = self.add_weight(
            shape=(self.capacity,),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            name="last_seen",
        )
        self.average_gap = self.add_weight(
            shape=(self.capacity,),
            dtype="float32",
            initializer="zeros",
            trainable=False,
            name="average_gap",
            autocast=False,
        )
        self.built = True

    def __call__(self, candidate_ids: Any, **kwargs: Any) -> Any:
        """Calls the layer; see `call`.

        Ids that are no tensor yet become slots here, before Keras makes a tensor of them that may
        hold 32 bits only.
        """
        if not is_tensor(candidate_ids):
            ids = as_ids(candidate_ids, "candidate_ids", ndim=None)
            if are_text(ids):
                raise ValueError(
                    "`candidate_ids` must be integers, because an id's slot is `id % capacity`, "
                    f"got the str {ids.flat[0]!r}; give indices, as a `Vocabulary` has them."
                )
            candidate_ids = (ids % self.capacity).astype("int32")
        return super().__call__(candidate_ids, **kwargs)

    def call(self, candidate_ids: Any, training: bool = False) -> Any:
        """Returns the chance of each id to appear in a batch.

        Args:
            candidate_ids: (m,) integer ids of one batch; an id that appears twice counts once.
            training: Whether this batch is a step of training, to be learnt from.

        Returns:
            (m,) float32 probabilities in (0, 1]. An id never seen appears less than once in the
            steps so far: it gets 1 / (steps + 1).

        Raises:
            ValueError: The ids are not integers.
        """
        check_integers("candidate_ids", candidate_ids)
        # In the wider of both types: 32 bits would cut an int64 id, 8 bits the capacity.
        dtype = keras.backend.result_type(
            keras.backend.standardize_dtype(candidate_ids.dtype), "int32"
        )
        slots = ops.cast(ops.mod(ops.cast(candidate_ids, dtype), self.capacity), "int32")
        if training:
            self.step.assign_add(1)
            last = ops.take(self.last_seen, slots)
            gap = ops.cast(self.step - last, "float32")
            average = ops.take(self.average_gap, slots)
            moved = average + self.learning_rate * (gap - average)
            # Equal ids of one batch write equal values, so the order of writing does not matter.
            rows = ops.expand_dims(slots, 1)
            average = ops.where(ops.equal(last, 0), gap, moved)
            self.average_gap.assign(ops.scatter_update(self.average_gap, rows, average))
            self.last_seen.assign(
                ops.scatter_update(
                    self.last_seen, rows, ops.broadcast_to(self.step, ops.shape(slots))
                )
            )
        average = ops.take(self.average_gap, slots)
        unseen = ops.cast(self.step + 1, "float32")
        return 1.0 / ops.where(ops.equal(average, 0.0), unseen, average)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "capacity": self.capacity,
            "learning_rate": self.learning_rate,
        }
