"""Shortlist: the retrieval stage of a recommender system."""

from importlib.metadata import version as _version

__version__ = _version("shortlist")
