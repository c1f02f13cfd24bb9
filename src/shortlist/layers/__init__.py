"""Keras layers that retrieve a query's best candidates, on JAX, TensorFlow and PyTorch."""

from shortlist.layers.brute_force_retrieval import BruteForceRetrieval

__all__ = ["BruteForceRetrieval"]
