"""Two-tower models: a query tower, a candidate tower, and their dot product."""

from shortlist._extras import needs

with needs("`shortlist.models`", "train"):
    from shortlist.models.catalogue import Catalogue
    from shortlist.models.embedding_bag import EmbeddingBag
    from shortlist.models.least_squares import LeastSquares
    from shortlist.models.objectives import MultiTask, Rating, Retrieval
    from shortlist.models.pairwise import BPR, CosineContrastive
    from shortlist.models.recipe import Recipe
    from shortlist.models.search import Search, Trial
    from shortlist.models.tower import Tower
    from shortlist.models.towers import embedding_tower
    from shortlist.models.training_log import TrainingLog
    from shortlist.models.two_tower import TwoTower

__all__ = [
    "BPR",
    "Catalogue",
    "CosineContrastive",
    "EmbeddingBag",
    "LeastSquares",
    "MultiTask",
    "Rating",
    "Recipe",
    "Retrieval",
    "Search",
    "Tower",
    "TrainingLog",
    "Trial",
    "TwoTower",
    "embedding_tower",
]
