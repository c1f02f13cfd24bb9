"""Errors in functions that Keras compiles with TensorFlow, raised as what they were on the host.

TensorFlow turns each error of a graph into one of its own. So the function that Keras keeps in the
model is replaced by one that raises what the host raised. The call that is tracing the function
began before: there the graph goes on after an error, which is raised when it has run.
"""

import inspect
import sys
import threading
from collections.abc import Callable
from functools import cache
from types import FrameType
from typing import Any

import keras

_FUNCTIONS = {
    "predict": "predict_function",
    "predict_on_batch": "predict_function",
    "evaluate": "test_function",
    "test_on_batch": "test_function",
    "fit": "train_function",
    "train_on_batch": "train_function",
}


class KeptErrors:
    """A function that Keras made for a model, whose ValueErrors on the host stay what they were.

    Args:
        function: What Keras made.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._messages: dict[str, str] = {}
        self._unraised: list[Exception] = []
        self._raises_when_run = False

    def raise_when_run(self, running: Any) -> None:
        """Raises errors when a `tf.function` that runs now is asked how often it was traced."""
        self._raises_when_run = True
        thread = threading.get_ident()
        count = running.experimental_get_tracing_count

        def count_or_raise() -> int:
            if threading.get_ident() == thread:
                del running.experimental_get_tracing_count
                self._raises_when_run = False
                unraised, self._unraised = self._unraised, []
                if unraised:
                    raise unraised[0]
            return int(count())

        running.experimental_get_tracing_count = count_or_raise

    def __call__(self, *args: Any) -> Any:
        """Calls the function."""
        import tensorflow as tf

        self._raises_when_run = False
        try:
            return self._function(*args)
        except tf.errors.OpError as error:
            for text, message in tuple(self._messages.items()):
                if text in error.message:
                    raise ValueError(message) from error
            raise

    def keep(self, error: Exception) -> bool:
        """Keeps an error; whether it will be raised when the graph has gone on."""
        if not isinstance(error, ValueError):
            return False
        if self._raises_when_run:
            self._unraised.append(error)
            return True
        self._messages[f"ValueError: {error}"] = str(error)
        return False

    def expect(self, message: str) -> None:
        """Makes errors that the graph itself raises with this message a ValueError."""
        self._messages[message] = message


def errors_of_model() -> KeptErrors | None:
    """The errors of the function that Keras is compiling; `None` if it compiles none, or by XLA.

    Keras tells a layer neither its model nor who calls it, so the stack has to.
    """
    frame, running = inspect.currentframe(), None
    while frame is not None:
        this, name = frame.f_locals.get("self"), frame.f_code.co_name
        if name == "__call__" and hasattr(this, "experimental_get_tracing_count"):
            running = this
            if getattr(this, "_jit_compile", False):
                return None  # XLA can neither call the host nor raise an error.
        elif running is not None and name in _FUNCTIONS and isinstance(this, keras.Model):
            function = getattr(this, _FUNCTIONS[name], None)
            if isinstance(function, KeptErrors):
                return function
            if function is None or not _can_raise_when_run():
                return None
            errors = KeptErrors(function)
            setattr(this, _FUNCTIONS[name], errors)
            # Another call may have begun before that too, and nobody could tell whose an error is.
            if not _is_called_elsewhere(this):
                errors.raise_when_run(running)
            return errors
        frame = frame.f_back
    return None


def _is_called_elsewhere(model: keras.Model) -> bool:
    """Whether another thread is in a call of the model."""
    for thread, top in sys._current_frames().items():
        frame: FrameType | None = None if thread == threading.get_ident() else top
        while frame is not None:
            if frame.f_code.co_name in _FUNCTIONS and frame.f_locals.get("self") is model:
                return True
            frame = frame.f_back
    return False


def _can_raise_when_run() -> bool:
    import tensorflow as tf

    return tf.config.experimental.get_synchronous_execution() and _is_asked_when_run()


@cache
def _is_asked_when_run() -> bool:
    """Whether this TensorFlow asks a function that has run: where not, errors would be lost."""
    import tensorflow as tf

    def traced() -> Any:
        errors = KeptErrors(function)
        errors.raise_when_run(function)
        errors.keep(ValueError())
        return tf.constant(0)

    function = tf.function(traced, autograph=False)
    with tf.init_scope():
        try:
            function()
        except ValueError:
            return True
    return False
