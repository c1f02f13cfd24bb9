"""Keras layers that retrieve a query's best candidates, on JAX, TensorFlow and PyTorch."""

from shortlist.layers.approximate_retrieval import ApproximateRetrieval
from shortlist.layers.brute_force_retrieval import BruteForceRetrieval
from shortlist.layers.streaming_retrieval import StreamingRetrieval

__all__ = ["ApproximateRetrieval", "BruteForceRetrieval", "StreamingRetrieval"]
