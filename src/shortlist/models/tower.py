"""Towers from features to embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras
import keras_rs
import numpy as np
from keras import ops

from shortlist.data.features import FeatureSpec, Output
from shortlist.index.numbers import as_integer
from shortlist.models.embedding_bag import EmbeddingBag
from shortlist.models.row_tables import EmbeddingTable


@keras.saving.register_keras_serializable(package="shortlist")
class Tower(keras.Model):
    """Embeds each feature, puts them together, and passes them through dense layers.

    Without dense or cross layers the embeddings of the features are added up; with them they are
    concatenated, numbers as they are.

    Args:
        features: An adapted `FeatureSpec`, or what each feature becomes by its name.
        embedding_dim: Length of the embedding of a feature; without `layer_sizes` that of the
            output too.
        layer_sizes: Units of each dense layer, with ReLU after all but the last.
        cross_layers: Cross layers (DCN v2, by keras-rs) before the dense ones.
        pooling: How several indices become one embedding: see `EmbeddingBag`.
        normalize: Whether the output has length 1 / sqrt(temperature), so that with both towers
            alike a dot product is a cosine divided by the temperature.
        temperature: See `normalize`; not used without it.
        dropout: Share of the concatenation (or the sum) and of each hidden layer that is dropped
            in training.
        l2: Penalty on the squares of the weights of the dense and cross layers; for decay of the
            embeddings as well, use AdamW.
        seed: Seed of the initial weights and of dropout.
        name: Name of the Keras model.

    Returns:
        A Keras model from a dict of arrays, one per feature, to (n, d) float32 embeddings.

    Raises:
        ValueError: Numbers out of range.

    Example:
        >>> import numpy as np
        >>> features = {"user": Output("index", size=10), "age": Output("number")}
        >>> tower = Tower(features, embedding_dim=4, layer_sizes=(8, 2))
        >>> tower({"user": np.array([1, 2]), "age": np.array([0.5, -0.5])}).shape
        (2, 2)

    Source:
        Covington, Adams and Sargin, "Deep neural networks for YouTube recommendations", RecSys
        2016; Wang et al., "DCN V2", WWW 2021.
    """

    def __init__(
        self,
        features: FeatureSpec | Mapping[str, Output],
        embedding_dim: int = 32,
        layer_sizes: Sequence[int] = (),
        *,
        cross_layers: int = 0,
        pooling: str = "mean",
        normalize: bool = False,
        temperature: float = 1.0,
        dropout: float = 0.0,
        l2: float = 0.0,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        outputs = dict(features.outputs if isinstance(features, FeatureSpec) else features)
        _check(outputs, embedding_dim, layer_sizes, cross_layers, temperature, dropout)
        rng = np.random.default_rng(seed)
        self._arguments = {
            "features": {feature: asdict(output) for feature, output in outputs.items()},
            "embedding_dim": embedding_dim,
            "layer_sizes": list(layer_sizes),
            "cross_layers": cross_layers,
            "pooling": pooling,
            "normalize": normalize,
            "temperature": temperature,
            "dropout": dropout,
            "l2": l2,
            "seed": seed,
        }

        def draw() -> int:
            return int(rng.integers(2**31))

        def uniform() -> keras.initializers.Initializer:
            return keras.initializers.RandomUniform(-0.05, 0.05, seed=draw())

        def glorot() -> keras.initializers.Initializer:
            return keras.initializers.GlorotUniform(seed=draw())

        def dropped(x: Any) -> Any:
            return keras.layers.Dropout(dropout, seed=draw())(x) if dropout else x

        penalty = keras.regularizers.L2(l2) if l2 else None
        deep = bool(layer_sizes or cross_layers)
        inputs, parts = {}, []
        for feature, output in outputs.items():
            # A list may be longer in use than any in training was.
            shape = (None,) if output.kind == "indices" else ()
            inputs[feature] = keras.Input(shape=shape, dtype=output.dtype, name=feature)
            if output.kind == "index":
                part = EmbeddingTable(
                    output.size or 1, embedding_dim, uniform(), name=f"{feature}_embedding"
                )(inputs[feature])
            elif output.kind == "indices":
                part = EmbeddingBag(
                    output.size or 1, embedding_dim, pooling, uniform(), name=f"{feature}_embedding"
                )(inputs[feature])
            else:
                part = keras.layers.Reshape((1,), name=f"{feature}_column")(inputs[feature])
                if not deep:
                    part = keras.layers.Dense(
                        embedding_dim, use_bias=False, kernel_initializer=glorot()
                    )(part)
            parts.append(part)
        together = keras.layers.Concatenate() if deep else keras.layers.Add()
        x = dropped(together(parts) if len(parts) > 1 else parts[0])
        crossed = x
        for _ in range(cross_layers):
            crossed = keras_rs.layers.FeatureCross(
                kernel_initializer=glorot(), kernel_regularizer=penalty
            )(x, crossed)
        x = crossed
        for position, units in enumerate(layer_sizes):
            last = position == len(layer_sizes) - 1
            x = keras.layers.Dense(
                units,
                activation=None if last else "relu",
                kernel_initializer=glorot(),
                kernel_regularizer=penalty,
            )(x)
            x = x if last else dropped(x)
        if normalize:
            # UnitNormalization has no gradient at 0, where ReLU can take a whole batch.
            squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
            x = x * ops.rsqrt((squares + 1e-12) * temperature)
        super().__init__(inputs, x, name=name)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {**self._arguments, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Tower:
        """Returns a tower with these arguments, its weights drawn anew."""
        del custom_objects
        features = {name: Output(**output) for name, output in config["features"].items()}
        return cls(**{**config, "features": features})


def _check(
    outputs: Mapping[str, Output],
    embedding_dim: int,
    layer_sizes: Sequence[int],
    cross_layers: int,
    temperature: float,
    dropout: float,
) -> None:
    if not outputs:
        raise ValueError("`features` must hold at least one feature.")
    as_integer(embedding_dim, "embedding_dim", 1)
    if any(units < 1 for units in layer_sizes):
        raise ValueError(f"`layer_sizes` must be numbers of at least 1, got {list(layer_sizes)}.")
    if cross_layers < 0:
        raise ValueError(f"`cross_layers` must be at least 0, got {cross_layers}.")
    if not temperature > 0:
        raise ValueError(f"`temperature` must be above 0, got {temperature}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be at least 0 and below 1, got {dropout}.")
