"""Large embedding tables updated by row: a step costs what it touches, whatever a table's size.

The gradient of a table is zero but for the rows that a batch looks up. Keras makes it whole all the
same, and its optimizers pass over every row. Here the rows are what is differentiated, and Adagrad
and SGD, which leave a row without gradient as it is, change those rows alone: the result is theirs.

Meanwhile such a table is not trainable for Keras. While `Lookups` are recorded, its
layer looks rows up through them, so that each backend can differentiate by rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

# Below this the whole table is no more work than finding its rows.
LARGE = 16_384

# Settings of an optimizer by which a row changes that has no gradient.
_ACT_ON_ALL_ROWS = (
    "weight_decay",
    "clipnorm",
    "global_clipnorm",
    "clipvalue",
    "use_ema",
    "momentum",
    "gradient_accumulation_steps",
    "loss_scale_factor",
)

_recorded: ContextVar[Lookups | None] = ContextVar("recorded", default=None)


@keras.saving.register_keras_serializable(package="shortlist")
class EmbeddingTable(keras.layers.Embedding):
    """`keras.layers.Embedding` whose rows can be updated one by one in training.

    Example:
        >>> import numpy as np
        >>> table = EmbeddingTable(10, 4)
        >>> table(np.array([3, 3], dtype="int32")).shape
        (2, 4)
    """

    def call(self, inputs: Any) -> Any:
        """Returns the rows of int32 indices of any shape, with a dimension more."""
        recorded = _recorded.get()
        if recorded is None or self.trainable:
            return super().call(inputs)
        return ops.cast(recorded.rows(self.embeddings, inputs), self.compute_dtype)


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
        rows = self.watch(ops.take(table, indices, axis=0), len(self.tables))
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


class RowOptimizer:
    """Adagrad or SGD over the rows of tables.

    Args:
        optimizer: Keras's own. A new one of its settings does the work, on rows and on what else
            a model learns.
        layers: The layers of the tables.

    Attributes:
        optimizer: The new one, to compile the model with.
    """

    def __init__(
        self, optimizer: keras.optimizers.Optimizer, layers: Sequence[EmbeddingTable]
    ) -> None:
        self.optimizer = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
        self.layers = list(layers)
        self.tables = [layer.embeddings for layer in layers]
        self.squares: list[keras.Variable] = []  # of each table: sums of squared gradients

    @contextmanager
    def at_work(self, model: keras.Model) -> Iterator[None]:
        """Takes the tables of a model away from Keras, which would make their gradients whole."""
        for layer in self.layers:
            layer.trainable = False
        try:
            self._build(model.trainable_variables)
            yield
        finally:
            for layer in self.layers:
                layer.trainable = True

    def _build(self, others: Sequence[keras.Variable]) -> None:
        self.optimizer.build(list(others))
        if isinstance(self.optimizer, keras.optimizers.Adagrad):
            start = keras.initializers.Constant(self.optimizer.initial_accumulator_value)
            self.squares = [
                self.optimizer.add_variable_from_reference(table, "squares", initializer=start)
                for table in self.tables
            ]

    def updates(
        self,
        tables: Sequence[keras.Variable],
        indices: Sequence[Any],
        gradients: Sequence[Any],
        learning_rate: Any,
    ) -> Iterator[tuple[keras.Variable, Any, Any]]:
        """Yields (variable, rows, values): rows to be overwritten with values.

        A row that was looked up several times is given several times, with the same values.

        Args:
            tables: The table of each lookup of the batch.
            indices: Its indices, of any shape.
            gradients: The gradient of its rows, with a dimension more.
            learning_rate: A scalar.
        """
        for at, table in enumerate(self.tables):
            mine = [i for i, other in enumerate(tables) if other is table]
            if not mine:
                continue
            flat = ops.concatenate([ops.reshape(indices[i], (-1,)) for i in mine])
            parts = [ops.reshape(gradients[i], (-1, table.shape[-1])) for i in mine]
            rows, gradient = _summed(flat, ops.concatenate(parts))
            step = learning_rate * gradient
            if self.squares:
                squares = ops.take(self.squares[at], rows, axis=0) + ops.square(gradient)
                step = step / ops.sqrt(squares + self.optimizer.epsilon)
                yield self.squares[at], rows, squares
            yield table, rows, ops.take(table, rows, axis=0) - step


def _summed(indices: Any, gradients: Any) -> tuple[Any, Any]:
    """Returns the indices in order, and with each the sum of the gradients of its row."""
    order = ops.argsort(indices)
    rows = ops.take(indices, order, axis=0)
    is_next = ops.cast(ops.not_equal(rows[1:], rows[:-1]), "int32")
    segments = ops.concatenate([ops.zeros((1,), "int32"), ops.cumsum(is_next)])
    count = ops.shape(indices)[0]
    sums = ops.segment_sum(ops.take(gradients, order, axis=0), segments, count)
    return rows, ops.take(sums, segments, axis=0)


def row_optimizer(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> RowOptimizer | None:
    """Returns the optimizer of the tables of a model that are worth it, or None.

    Args:
        model: Its `EmbeddingTable` layers of more than `LARGE` rows count, where nothing else
            acts on their weights.
        optimizer: Plain Adagrad or SGD; with any other, or one that clips, decays or averages, a
            row without gradient changes too.
    """
    plain = isinstance(optimizer, keras.optimizers.Adagrad | keras.optimizers.SGD)
    plain = plain and type(optimizer).__module__.startswith("keras.")  # no subclass of a user
    if not plain or any(getattr(optimizer, name, None) for name in _ACT_ON_ALL_ROWS):
        return None
    tables = [layer for layer in _layers(model) if _is_large(layer)]
    return RowOptimizer(optimizer, tables) if tables else None


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _is_large(layer: keras.Layer) -> bool:
    return (
        isinstance(layer, EmbeddingTable)
        and layer.built
        and layer.trainable
        and layer.input_dim > LARGE
        and layer.embeddings_regularizer is None
        and layer.embeddings_constraint is None
    )
