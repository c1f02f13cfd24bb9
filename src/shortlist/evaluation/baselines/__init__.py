"""Recommenders every model should be measured against."""

from shortlist.evaluation.baselines.ease import EASE
from shortlist.evaluation.baselines.ials import IALS
from shortlist.evaluation.baselines.item_knn import ItemKNN
from shortlist.evaluation.baselines.popularity import Popularity

__all__ = ["EASE", "IALS", "ItemKNN", "Popularity"]
