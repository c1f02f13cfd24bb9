"""Keras layers that retrieve a query's best candidates, on JAX, TensorFlow and PyTorch."""

from shortlist._extras import needs

with needs("`shortlist.layers`", "keras"):
    from shortlist.layers._candidate_retrieval import CandidateRetrieval
    from shortlist.layers._freshness import StaleCandidatesWarning
    from shortlist.layers.approximate_retrieval import ApproximateRetrieval
    from shortlist.layers.brute_force_retrieval import BruteForceRetrieval
    from shortlist.layers.exportable_retrieval import ExportableRetrieval
    from shortlist.layers.refresh_candidates import RefreshCandidates
    from shortlist.layers.streaming_retrieval import StreamingRetrieval

__all__ = [
    "ApproximateRetrieval",
    "BruteForceRetrieval",
    "CandidateRetrieval",
    "ExportableRetrieval",
    "RefreshCandidates",
    "StaleCandidatesWarning",
    "StreamingRetrieval",
]
