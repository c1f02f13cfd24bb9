"""Losses that train a two-tower model to retrieve."""

from shortlist._extras import needs

with needs("`shortlist.losses`", "keras"):
    from shortlist.losses.frequency_estimator import FrequencyEstimator
    from shortlist.losses.retrieval_loss import RetrievalLoss

__all__ = ["FrequencyEstimator", "RetrievalLoss"]
