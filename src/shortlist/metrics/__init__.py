"""Metrics of retrieval, by id, over all candidates."""

from shortlist._extras import needs

with needs("`shortlist.metrics`", "keras"):
    from shortlist.metrics.factorized_top_k import FactorizedTopK
    from shortlist.metrics.mean_reciprocal_rank import MeanReciprocalRank
    from shortlist.metrics.ndcg import NDCG

__all__ = ["NDCG", "FactorizedTopK", "MeanReciprocalRank"]
