"""Tables whose rows are looked up, and a record of the lookups of a batch.

While `Lookups` are recorded, layers look rows up through them, so that each backend can
differentiate by the rows instead of by the whole table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

# Up to this many rows the whole table is no more work than finding its rows.
LARGE = 16_384

_recorded: ContextVar[Lookups | None] = ContextVar("recorded", default=None)


class RowTable(keras.layers.Layer):
    """A layer whose only weight, `embeddings`, it uses for nothing but to look up rows of it.

    With `LARGE` rows or fewer it may use it otherwise, too.
    """

    embeddings: keras.Variable

    def look_up(self, indices: Any) -> Any:
        """Returns the rows of int32 indices of any shape, with a dimension more."""
        recorded = _recorded.get()
        if recorded is None or self.trainable:
            return ops.take(self.embeddings, indices, axis=0)
        return recorded.rows(self.embeddings, indices)

    def add_weight(self, *args: Any, **kwargs: Any) -> keras.Variable:
        """Adds a weight; in mixed precision its rows are cast, and not all of it in every step."""
        return super().add_weight(*args, **{**kwargs, "autocast": False})


@keras.saving.register_keras_serializable(package="shortlist")
class EmbeddingTable(RowTable, keras.layers.Embedding):
    """`keras.layers.Embedding` whose rows can be updated one by one in training.

    Example:
        >>> import numpy as np
        >>> table = EmbeddingTable(10, 4)
        >>> table(np.array([3, 3], dtype="int32")).shape
        (2, 4)
    """

    def call(self, inputs: Any) -> Any:
        """Returns the rows of int32 indices of any shape, with a dimension more."""
        if _recorded.get() is None or self.trainable:
            return super().call(inputs)
        return ops.cast(self.look_up(inputs), self.compute_dtype)


@dataclass
class Lookups:
    """The lookups of one pass through a model.

    Attributes:
        watch: What becomes of looked-up rows so that they can be differentiated by: given the rows
            and the number of the lookup.
        tables: The table of each lookup.
        indices: Its indices, of any shape.
        looked_up: The rows, with a dimension more.
    """

    watch: Callable[[Any, int], Any]
    tables: list[keras.Variable] = field(default_factory=list)
    indices: list[Any] = field(default_factory=list)
    looked_up: list[Any] = field(default_factory=list)

    def rows(self, table: keras.Variable, indices: Any) -> Any:
        """Looks up, and remembers it."""
        indices = ops.cast(indices, "int32")
        rows = self.watch(rows_of(table, indices), len(self.tables))
        self.tables.append(table)
        self.indices.append(indices)
        self.looked_up.append(rows)
        return rows

    @contextmanager
    def recorded(self) -> Iterator[Lookups]:
        """Records what is looked up inside."""
        token = _recorded.set(self)
        try:
            yield self
        finally:
            _recorded.reset(token)


def rows_of(table: keras.Variable, indices: Any) -> Any:
    """Returns the rows of int32 indices of any shape, with a dimension more."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # `ops.take` would read the variable, and TensorFlow copies what it scatters to when read.
        return tf.gather(table.value, indices)
    return ops.take(table, indices, axis=0)
