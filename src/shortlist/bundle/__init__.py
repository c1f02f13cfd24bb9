"""The saved artefact: model, items, what was seen and held out, and how it came about."""

from shortlist.bundle.bundle import Bundle
from shortlist.bundle.manifest import BundleError

__all__ = ["Bundle", "BundleError"]
