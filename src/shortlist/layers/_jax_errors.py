"""Errors in functions that Keras compiles with JAX, raised when the model is whole again.

While Keras trains, evaluates or predicts on JAX it takes the values out of the model's variables,
hands them to the compiled function and puts back what that returns, by `jax_state_sync`. An error
that leaves the function takes the weights with it. So it is kept, and raised when they are back.
"""

import inspect
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

import keras


class KeptErrors:
    """Errors of one model, of which its next `jax_state_sync` raises the first.

    Args:
        model: A Keras model on JAX, whose `jax_state_sync` is replaced.
    """

    def __init__(self, model: Any) -> None:
        self._model = weakref.ref(model)
        self._errors: list[Exception] = []
        self._put_back = model.jax_state_sync
        object.__setattr__(model, "jax_state_sync", self._put_back_and_raise)

    @property
    def predicts(self) -> bool:
        """Whether the function that Keras is compiling is the model's `predict`."""
        return self._predict_frame() is not None

    @property
    def waits(self) -> bool:
        """Whether it is known when that function has run: it gives values or predictions."""
        model = self._model()
        return model is not None and (bool(model.variables) or self.predicts)

    def keep(self, error: Exception) -> bool:
        """Keeps an error if the model's values are out; otherwise it can be raised at once."""
        is_out = not getattr(self._model(), "_jax_state_synced", True)
        if is_out:
            self._errors.append(error)
        return is_out

    def _put_back_and_raise(self) -> None:
        import jax

        # JAX does not wait for a function that it has started.
        jax.effects_barrier()
        jax.block_until_ready(getattr(self._model(), "_jax_state", None))
        predict = self._predict_frame()
        if predict is not None:
            names = ("outputs", "batch_outputs")
            jax.block_until_ready([predict.f_locals.get(name) for name in names])
        self._put_back()
        if self._errors:
            error = self._errors[0]
            self._errors.clear()
            raise error

    def _predict_frame(self) -> FrameType | None:
        model = self._model()
        for frame in _callers():
            is_predict = frame.f_code.co_name in ("predict", "predict_on_batch")
            if is_predict and frame.f_locals.get("self") is model:
                return frame
        return None


def errors_of_model() -> KeptErrors | None:
    """The errors of the model whose function Keras is compiling, `None` if it compiles none.

    Keras tells a layer neither its model nor who calls it, so the stack has to.
    """
    for frame in _callers():
        model = frame.f_locals.get("self")
        if isinstance(model, keras.Model) and not getattr(model, "_jax_state_synced", True):
            kept = getattr(model.jax_state_sync, "__self__", None)
            return kept if isinstance(kept, KeptErrors) else KeptErrors(model)
    return None


def _callers() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back
