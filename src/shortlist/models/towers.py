"""Towers: Keras models from indices to embeddings."""

from __future__ import annotations

import keras

from shortlist.index.numbers import as_integer
from shortlist.models.row_tables import EmbeddingTable


def embedding_tower(
    size: int,
    dim: int,
    *,
    normalize: bool = False,
    seed: int = 0,
    name: str | None = None,
) -> keras.Model:
    """Returns a tower that is one embedding table.

    Args:
        size: Rows of the table; for a vocabulary its `size`, which counts the unknown id.
        dim: Length of an embedding.
        normalize: Whether embeddings have length 1, so that a dot product is a cosine.
        seed: Seed of the initial embeddings, uniform in ±0.05.
        name: Name of the Keras model.

    Returns:
        A Keras model from (n,) int32 indices to (n, dim) float32 embeddings.

    Raises:
        ValueError: `size` or `dim` is no integer, or below 1.

    Example:
        >>> import numpy as np
        >>> tower = embedding_tower(size=10, dim=4)
        >>> tower(np.array([0, 3], dtype="int32")).shape
        (2, 4)
    """
    size, dim = as_integer(size, "size", 1), as_integer(dim, "dim", 1)
    indices = keras.Input(shape=(), dtype="int32", name="index")
    embeddings = EmbeddingTable(
        size, dim, embeddings_initializer=keras.initializers.RandomUniform(-0.05, 0.05, seed=seed)
    )(indices)
    if normalize:
        embeddings = keras.layers.UnitNormalization()(embeddings)
    return keras.Model(indices, embeddings, name=name)
