"""What is trained: two towers and the loss of a batch, as one Keras model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras import ops

from shortlist.models.catalogue import Catalogue
from shortlist.models.objectives import MultiTask, Objective, Retrieval
from shortlist.models.row_steps import train_step
from shortlist.models.row_updates import RowOptimizer, row_optimizer


class Towers(keras.Model):
    """Two towers side by side, trained by an objective.

    Args:
        query_tower: From a batch's `query_inputs` to (b, d) embeddings.
        candidate_tower: From `candidate_inputs` to embeddings.
        objective: The loss of a batch.
        candidate_inputs: The same candidates for every batch; None takes the batch's own.
    """

    def __init__(
        self,
        query_tower: keras.Model,
        candidate_tower: keras.Model,
        objective: Objective,
        candidate_inputs: Any = None,
    ) -> None:
        super().__init__()
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.objective = objective
        self.rows: RowOptimizer | None = None

        def same_for_all(batch: dict[str, Any]) -> Any:  # Keras would wrap a dict as an attribute
            return batch["candidate_inputs"] if candidate_inputs is None else candidate_inputs

        self._candidate_inputs = same_for_all

    def call(self, batch: dict[str, Any], training: bool = False) -> tuple[Any, Any]:
        """Returns the embeddings of both sides: float32, so that a loss is, whatever the towers."""
        return (
            ops.cast(self.query_tower(batch["query_inputs"], training=training), "float32"),
            ops.cast(
                self.candidate_tower(self._candidate_inputs(batch), training=training), "float32"
            ),
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Returns the objective's loss plus the towers' own (weight decay and the like)."""
        del y, sample_weight, training
        queries, candidates = y_pred
        return sum(self.losses, start=self.objective(queries, candidates, x))

    def train_step(self, *arguments: Any) -> Any:
        """Does one step, of large tables by row where that is possible."""
        if self.rows is None:
            return super().train_step(*arguments)
        return train_step(self, self.rows, *arguments)

    @contextmanager
    def at_work(
        self, optimizer: keras.optimizers.Optimizer
    ) -> Iterator[keras.optimizers.Optimizer]:
        """Makes the model ready for training; yields the optimizer that is at work."""
        # XLA cannot call the kernels that the losses run in.
        calls_kernels = isinstance(self.objective, Retrieval | MultiTask | Catalogue)
        on_tensorflow = keras.backend.backend() == "tensorflow"
        jit_compile = False if on_tensorflow and calls_kernels else "auto"
        self.rows = row_optimizer(self, optimizer)
        if self.rows is None:
            self.compile(optimizer, jit_compile=jit_compile)
            yield optimizer
            return
        with self.rows.at_work(self):
            self.compile(self.rows.optimizer, jit_compile=jit_compile)
            yield self.rows.optimizer


@contextmanager
def all_or_nothing(towers: keras.Model, optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Puts weights, random states and the optimizer back as they were if the training fails.

    An interrupt (Ctrl-C) is a failure like any other.

    Args:
        towers: What is trained, its weights already made.
        optimizer: What trains it.
    """
    if not optimizer.built:
        optimizer.build(towers.trainable_variables)
    variables = [*towers.variables, *optimizer.variables]
    before = values_of(variables)
    try:
        yield
    except BaseException:
        assign(variables, before)
        raise


def values_of(variables: Iterable[Any]) -> list[npt.NDArray[Any]]:
    """Returns copies of the values, since a backend may reuse the memory of a variable."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def assign(variables: Iterable[Any], values: Iterable[npt.NDArray[Any]]) -> None:
    """Gives each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
