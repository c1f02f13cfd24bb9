"""Errors in functions that Keras compiles with JAX, raised when the model is whole again.

While Keras trains, evaluates or predicts on JAX it takes the values out of the model's variables,
hands them to the compiled function and puts back what that returns, by `jax_state_sync`. An error
that leaves the function takes the weights with it. So it is kept, and raised when they are back.
"""

import inspect
import weakref
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
    def has_weights(self) -> bool:
        """Whether the model has values that are ready when its function has run."""
        model = self._model()
        return model is not None and bool(model.variables)

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
        self._put_back()
        if self._errors:
            error = self._errors[0]
            self._errors.clear()
            raise error


def errors_of_model() -> KeptErrors | None:
    """The errors of the model whose function Keras is compiling, `None` if it compiles none.

    Keras tells a layer neither its model nor who calls it, so the stack has to.
    """
    frame = inspect.currentframe()
    while frame is not None:
        model = frame.f_locals.get("self")
        if isinstance(model, keras.Model) and not getattr(model, "_jax_state_synced", True):
            kept = getattr(model.jax_state_sync, "__self__", None)
            return kept if isinstance(kept, KeptErrors) else KeptErrors(model)
        frame = frame.f_back
    return None
