"""Two-tower models: a query tower, a candidate tower, and their dot product.

Keras runs on JAX here unless `KERAS_BACKEND` says otherwise or Keras is imported already.
"""

import os
import sys

# Keras reads it when first imported, and would choose TensorFlow, which is an extra.
if "keras" not in sys.modules:
    os.environ.setdefault("KERAS_BACKEND", "jax")

from shortlist.models.catalogue import Catalogue
from shortlist.models.embedding_bag import EmbeddingBag
from shortlist.models.history import History
from shortlist.models.objectives import MultiTask, Rating, Retrieval
from shortlist.models.recipe import Recipe
from shortlist.models.tower import Tower
from shortlist.models.towers import embedding_tower
from shortlist.models.two_tower import TwoTower

__all__ = [
    "Catalogue",
    "EmbeddingBag",
    "History",
    "MultiTask",
    "Rating",
    "Recipe",
    "Retrieval",
    "Tower",
    "TwoTower",
    "embedding_tower",
]
