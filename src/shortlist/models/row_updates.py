"""Large embedding tables updated by row: a step costs what it touches, whatever a table's size.

The gradient of a table is zero but for the rows that a batch looks up. Keras makes it whole all the
same, and its optimizers pass over every row. Here the rows are what is differentiated, and only
they are updated. To Adagrad and SGD a row without gradient is as it was, so the result is theirs.
Adam is lazy: the moments of a row stand still until it is looked up again. So is weight decay.

Meanwhile such a table is not trainable for Keras.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from shortlist.models import row_tables
from shortlist.models.row_tables import RowTable, rows_of

# Settings under which a step needs more than the rows that are looked up.
_NEEDS_MORE = (
    "global_clipnorm",
    "use_ema",
    "momentum",
    "amsgrad",
    "gradient_accumulation_steps",
    "loss_scale_factor",
)


def _sgd(optimizer: Any, rate: Any, gradient: Any) -> tuple[Any, ...]:
    del optimizer
    return (rate * gradient,)


def _adagrad(optimizer: Any, rate: Any, gradient: Any, squares: Any) -> tuple[Any, ...]:
    squares = squares + ops.square(gradient)
    return rate * gradient / ops.sqrt(squares + optimizer.epsilon), squares


def _adam(optimizer: Any, rate: Any, gradient: Any, mean: Any, square: Any) -> tuple[Any, ...]:
    number = ops.cast(optimizer.iterations + 1, gradient.dtype)
    mean = mean + (1 - optimizer.beta_1) * (gradient - mean)
    square = square + (1 - optimizer.beta_2) * (ops.square(gradient) - square)
    rate = rate * ops.sqrt(1 - optimizer.beta_2**number) / (1 - optimizer.beta_1**number)
    return rate * mean / (ops.sqrt(square) + optimizer.epsilon), mean, square


# What each optimizer keeps of a row, and its rule: from the learning rate, the gradient of some
# rows and what is kept of them to what is subtracted from the rows, and what is kept now.
_RULES: dict[str, tuple[tuple[str, ...], Callable[..., tuple[Any, ...]]]] = {
    "SGD": ((), _sgd),
    "Adagrad": (("accumulator",), _adagrad),
    "Adam": (("momentum", "velocity"), _adam),
    "AdamW": (("momentum", "velocity"), _adam),
}


class RowOptimizer:
    """Adagrad, Adam, AdamW or SGD over the rows of tables.

    Args:
        optimizer: Keras's own. A new one of its settings does the work, on rows and on what else
            a model learns.
        layers: The layers of the tables.

    Attributes:
        optimizer: The new one, to compile the model with. What is kept of the rows is among its
            variables.

    Source:
        Duchi, Hazan and Singer, "Adaptive subgradient methods", JMLR 2011; Kingma and Ba, "Adam",
        ICLR 2015, lazy as `torch.optim.SparseAdam` is; Loshchilov and Hutter, "Decoupled weight
        decay regularization", ICLR 2019.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, layers: Sequence[RowTable]) -> None:
        self.optimizer = type(optimizer).from_config(optimizer.get_config())
        self.layers = list(layers)
        self.tables = [layer.embeddings for layer in layers]
        self._kept_names, self._rule = _RULES[type(optimizer).__name__]
        self.kept: list[list[keras.Variable]] = []  # of each table, as its optimizer's rule has it

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
        start = getattr(self.optimizer, "initial_accumulator_value", 0.0)
        self.kept = [
            [
                self.optimizer.add_variable_from_reference(
                    table, name, initializer=keras.initializers.Constant(start)
                )
                for name in self._kept_names
            ]
            for table in self.tables
        ]

    def updates(
        self, tables: Sequence[keras.Variable], indices: Sequence[Any], gradients: Sequence[Any]
    ) -> Iterator[tuple[keras.Variable, Any, Any]]:
        """Yields (variable, rows, values): rows to be overwritten with values, or None for all.

        A row that was looked up several times may be given several times, with the same values.

        Args:
            tables: The table of each lookup of the batch.
            indices: Its indices, of any shape.
            gradients: The gradient of its rows, with a dimension more.
        """
        for table, kept in zip(self.tables, self.kept, strict=True):
            mine = [i for i, other in enumerate(tables) if other is table]
            if not mine:
                continue
            flat = ops.concatenate([ops.reshape(indices[i], (-1,)) for i in mine])
            parts = [ops.reshape(gradients[i], (-1, table.shape[-1])) for i in mine]
            gradient = ops.cast(ops.concatenate(parts), table.dtype)
            if 4 * (flat.shape[0] or 0) < table.shape[0]:
                yield from self._of_rows(table, kept, *_summed(flat, gradient))
            else:
                yield from self._of_all(table, kept, flat, gradient)

    def _of_rows(
        self, table: keras.Variable, kept: Sequence[keras.Variable], rows: Any, *summed: Any
    ) -> Iterator[tuple[keras.Variable, Any, Any]]:
        variables = [table, *kept]
        old = [rows_of(variable, rows) for variable in variables]
        for variable, values in zip(variables, self._new(*old, *summed), strict=True):
            yield variable, rows, values

    def _of_all(
        self, table: keras.Variable, kept: Sequence[keras.Variable], indices: Any, gradient: Any
    ) -> Iterator[tuple[keras.Variable, Any, Any]]:
        """The same where a batch looks up so much that finding its rows would be more work."""
        size = table.shape[0]
        gradient = ops.segment_sum(gradient, indices, size)
        times = ops.segment_sum(ops.ones_like(indices), indices, size)
        is_looked_up = ops.expand_dims(times > 0, 1)
        variables = [table, *kept]
        old = [ops.convert_to_tensor(variable) for variable in variables]
        new = self._new(*old, gradient, ops.sum(ops.square(gradient)))
        for variable, before, after in zip(variables, old, new, strict=True):
            yield variable, None, ops.where(is_looked_up, after, before)

    def _new(self, table: Any, *kept_gradient_and_squares: Any) -> tuple[Any, ...]:
        """The table's rows and what is kept of them, after the step."""
        *kept, gradient, squares = kept_gradient_and_squares
        optimizer = self.optimizer
        rate = ops.cast(optimizer.learning_rate, gradient.dtype)
        if optimizer.clipnorm:
            norm = ops.sqrt(squares)
            gradient = gradient * (optimizer.clipnorm / ops.maximum(norm, optimizer.clipnorm))
        if optimizer.clipvalue:
            gradient = ops.clip(gradient, -optimizer.clipvalue, optimizer.clipvalue)
        step, *kept = self._rule(optimizer, rate, gradient, *kept)
        if optimizer.weight_decay:
            table = table - table * (rate * optimizer.weight_decay)
        return (table - step, *kept)


def _summed(indices: Any, gradients: Any) -> tuple[Any, Any, Any]:
    """Sums the gradients of each row.

    Returns:
        The indices in order; with each the sum of the gradients of its row; and the sum of the
        squares of these sums, each row counted once.
    """
    if keras.backend.backend() == "torch":  # For the operations below it takes four times as long.
        import torch

        rows, segments = torch.unique(indices, return_inverse=True)
        sums = gradients.new_zeros((len(rows), gradients.shape[-1]))
        sums.index_add_(0, segments, gradients)
        return rows, sums, ops.sum(ops.square(sums))
    order = ops.argsort(indices)
    rows = ops.take(indices, order, axis=0)
    is_next = ops.cast(ops.not_equal(rows[1:], rows[:-1]), "int32")
    segments = ops.concatenate([ops.zeros((1,), "int32"), ops.cumsum(is_next)])
    count = ops.shape(indices)[0]
    sums = ops.segment_sum(ops.take(gradients, order, axis=0), segments, count)
    return rows, ops.take(sums, segments, axis=0), ops.sum(ops.square(sums))


def row_optimizer(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> RowOptimizer | None:
    """Returns the optimizer of the tables of a model that are worth it, or None.

    Args:
        model: Its `RowTable` layers of more than `LARGE` rows count, where nothing else acts on
            their weights.
        optimizer: Adagrad, Adam, AdamW or SGD of Keras itself. Under some of their settings a step
            needs more than the rows that are looked up: momentum, AMSGrad, clipping by the norm of
            all gradients, averaged weights, accumulated gradients, and weights left out of the
            decay. Then and with any other optimizer the answer is None.
    """
    if not _works_by_row(optimizer) or model.dtype_policy.name == "mixed_float16":
        return None  # In float16 Keras scales the loss.
    tables = [layer for layer in _layers(model) if _is_large(layer)]
    if not tables:
        return None
    try:
        with warnings.catch_warnings(action="ignore"):  # of a lambda, which is refused below
            return RowOptimizer(optimizer, tables)
    except (TypeError, ValueError):  # It cannot be made anew: its learning rate is a function.
        return None


def _works_by_row(optimizer: keras.optimizers.Optimizer) -> bool:
    # Keras gives no public sign of `exclude_from_weight_decay`, and a new optimizer would lack it.
    excludes = "_exclude_from_weight_decay" in vars(optimizer)
    needs_more = any(getattr(optimizer, name, None) for name in _NEEDS_MORE)
    kind = type(optimizer)  # on PyTorch one of Keras's own for it, of the same name
    known = kind.__name__ in _RULES and kind.__module__.startswith("keras.")
    return known and not (excludes or needs_more)


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer)


def _is_large(layer: keras.Layer) -> bool:
    return (
        isinstance(layer, RowTable)
        and layer.built
        and layer.trainable
        and layer.embeddings.shape[0] > row_tables.LARGE
        and layer.embeddings.regularizer is None
        and layer.embeddings.constraint is None
    )
