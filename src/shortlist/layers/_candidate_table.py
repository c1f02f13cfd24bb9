"""The variables of a layer's candidates, whose number of rows may change."""

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray


class CandidateTable(keras.layers.Layer):
    """Variables `embeddings` and `ids`, each None until it is given.

    They live in a layer of their own: Keras lets no variable be added to a layer on which `build`
    was called, and nobody calls it on this one. The retrieval layer saves them.
    """

    def __init__(self) -> None:
        super().__init__(name="candidates", dtype="float32")
        self.built = True
        self.embeddings: Any = None
        self.ids: Any = None
        self.is_shared = False

    def share(self, embeddings: Any) -> None:
        """Takes a variable of the user's, whose values of now are the candidates."""
        self._remove("embeddings")
        self.embeddings = embeddings
        self.is_shared = True

    def stop_sharing(self) -> None:
        """Forgets the user's variable."""
        if self.is_shared:
            self._remove("embeddings")
            self.is_shared = False

    def store(self, name: str, value: NDArray[Any] | None) -> None:
        """Gives a variable a value of any number of rows, also in compiled functions."""
        if name == "embeddings":
            self.stop_sharing()
        variable = getattr(self, name)
        if value is None:
            self._remove(name)
        elif keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # A function that TensorFlow has compiled keeps the variable it saw, so that must stay
            # the same one; only a variable of TensorFlow's own can change its number of rows.
            if variable is None:
                shape = (None, *value.shape[1:])
                variable = tf.Variable(value, shape=shape, trainable=False, name=name)
                setattr(self, name, variable)
            else:
                variable.assign(value)
        elif variable is not None and tuple(variable.shape) == value.shape:
            variable.assign(value)
        else:
            self._remove(name)
            variable = keras.Variable(
                value, trainable=False, name=f"candidate_{name}", dtype=str(value.dtype)
            )
            setattr(self, name, variable)

    @property
    def weights(self) -> list[Any]:
        """The variables; those of TensorFlow's own too."""
        weights = list(super().weights)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            for name in ("embeddings", "ids"):
                variable = getattr(self, name)
                if isinstance(variable, tf.Variable):
                    weights.append(_Weight(variable, f"candidate_{name}", self.path or self.name))
        return weights

    def save_own_variables(self, store: Any) -> None:
        """Saves nothing: the retrieval layer does."""

    def load_own_variables(self, store: Any) -> None:
        """Loads nothing: the retrieval layer does."""

    def _remove(self, name: str) -> None:
        if getattr(self, name) is not None:
            delattr(self, name)
            setattr(self, name, None)


class _Weight:
    """A variable of TensorFlow's own as a weight of Keras: its shape is that of its value now."""

    trainable = False
    regularizer = None

    def __init__(self, variable: Any, name: str, path: str) -> None:
        self._variable = variable
        self.name, self.path = name, f"{path}/{name}"

    @property
    def value(self) -> Any:
        """The value now, a tensor."""
        return self._variable.read_value()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape now."""
        return tuple(self.value.shape)

    @property
    def dtype(self) -> str:
        """The dtype, by name."""
        return str(self._variable.dtype.name)

    def numpy(self) -> NDArray[Any]:
        """The value now, an array."""
        return np.asarray(self._variable.numpy())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        del copy
        return np.asarray(self.numpy(), dtype=dtype)

    def assign(self, value: Any) -> Any:
        """Gives it a value."""
        return self._variable.assign(value)
