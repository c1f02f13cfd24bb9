"""A step of training in which large tables are updated by row, for each Keras backend."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from shortlist.models.row_tables import Lookups
from shortlist.models.row_updates import RowOptimizer


def train_step(model: Any, rows: RowOptimizer, *arguments: Any) -> Any:
    """Does what `keras.Model.train_step` does on each backend.

    Args:
        model: With `objective`, which gives the loss of what it returns for a batch.
        rows: The optimizer of its large tables.
        *arguments: Those of the backend's `train_step`.
    """
    steps: dict[str, Any] = {"jax": _jax_step, "tensorflow": _tensorflow_step, "torch": _torch_step}
    return steps[keras.backend.backend()](model, rows, *arguments)


def _jax_step(model: Any, rows: RowOptimizer, state: Any, data: Any) -> Any:
    import jax

    trainable, others, optimizer_variables, metrics = state
    batch = _batch_of(data)
    tables: list[keras.Variable] = []

    def forward(trainable: Any, added: Any) -> Any:
        lookups = Lookups(lambda rows, at: rows if added is None else rows + added[at])
        with lookups.recorded():
            pair, updated, losses = model.stateless_call(
                trainable, others, batch, training=True, return_losses=True
            )
        tables[:] = lookups.tables
        loss = sum(losses, start=model.objective(*pair, batch))
        return loss, (updated, lookups.indices, lookups.looked_up)

    shapes = jax.eval_shape(lambda: forward(trainable, None)[1][2])
    nothing = [jax.numpy.zeros(shape.shape, shape.dtype) for shape in shapes]
    differentiate = jax.value_and_grad(forward, argnums=(0, 1), has_aux=True)
    (loss, (others, indices, _)), (dense, of_rows) = differentiate(trainable, nothing)
    optimizer = model.optimizer
    variables = [*optimizer.variables, *model.non_trainable_variables]
    values = [*optimizer_variables, *others]
    with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
        changes = list(rows.updates(tables, indices, of_rows))
    position = {id(variable): at for at, variable in enumerate(variables)}
    for variable, at, new in changes:
        place = position[id(variable)]
        values[place] = new if at is None else values[place].at[at].set(new)
    variables += model.trainable_variables
    values += trainable
    with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)) as scope:
        _apply(optimizer, dense, model.trainable_variables)
    trainable = [scope.get_current_value(variable) for variable in model.trainable_variables]
    optimizer_variables = [scope.get_current_value(variable) for variable in optimizer.variables]
    others = values[len(optimizer_variables) :][: len(others)]
    logs, metrics = _jax_logs(model, metrics, loss, batch)
    return logs, (trainable, others, optimizer_variables, metrics)


def _jax_logs(model: Any, metrics: Any, loss: Any, batch: Any) -> tuple[dict[str, Any], list[Any]]:
    logs: dict[str, Any] = {}
    updated: list[Any] = []
    for metric in model.metrics:
        variables = metrics[len(updated) : len(updated) + len(metric.variables)]
        if metric.name == "loss":
            weight = _size_of(batch)
            variables = metric.stateless_update_state(variables, loss, sample_weight=weight)
        logs[metric.name] = metric.stateless_result(variables)
        updated += variables
    return logs, updated


def _tensorflow_step(model: Any, rows: RowOptimizer, data: Any) -> Any:
    import tensorflow as tf

    batch = _batch_of(data)
    with tf.GradientTape() as tape:

        def watched(looked_up: Any, _: int) -> Any:
            tape.watch(looked_up)
            return looked_up

        lookups = Lookups(watched)
        with lookups.recorded():
            pair = model(batch, training=True)
        loss = model.compute_loss(x=batch, y_pred=pair)
    weights = model.trainable_weights
    gradients = tape.gradient(loss, [*weights, *lookups.looked_up])
    of_rows = gradients[len(weights) :]
    for variable, at, values in rows.updates(lookups.tables, lookups.indices, of_rows):
        if at is None:
            variable.assign(values)
        else:
            variable.value.scatter_nd_update(at[:, None], values)
    _apply(model.optimizer, gradients[: len(weights)], weights)
    return _logs(model, loss, batch)


def _torch_step(model: Any, rows: RowOptimizer, data: Any) -> Any:
    import torch

    batch = _batch_of(data)
    model.zero_grad()
    lookups = Lookups(lambda looked_up, _: looked_up.detach().requires_grad_())
    with lookups.recorded():
        pair = model(batch, training=True)
    loss = model.compute_loss(x=batch, y_pred=pair)
    loss.backward()
    weights = model.trainable_weights
    of_rows = [looked_up.grad for looked_up in lookups.looked_up]
    with torch.no_grad():
        for variable, at, values in rows.updates(lookups.tables, lookups.indices, of_rows):
            if at is None:
                variable.assign(values)
            else:
                variable.value.index_copy_(0, at.long(), values)
        _apply(model.optimizer, [weight.value.grad for weight in weights], weights)
    return _logs(model, loss, batch)


def _apply(optimizer: Any, gradients: Any, weights: Any) -> None:
    """What is left to Keras: the weights that are no large tables, and the number of the step."""
    if weights:
        optimizer.apply(gradients, weights)
    else:  # Keras would count no step.
        optimizer.iterations.assign_add(1)


def _logs(model: Any, loss: Any, batch: Any) -> dict[str, Any]:
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss, sample_weight=_size_of(batch))
    return {metric.name: metric.result() for metric in model.metrics}


def _batch_of(data: Any) -> Any:
    batch, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    return batch


def _size_of(batch: Any) -> Any:
    return ops.shape(keras.tree.flatten(batch)[0])[0]
