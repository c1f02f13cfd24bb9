"""Recommenders every model should be measured against."""

from shortlist.evaluation.baselines.popularity import Popularity

__all__ = ["Popularity"]
