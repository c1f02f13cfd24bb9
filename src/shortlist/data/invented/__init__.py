"""The embedded data set: films, viewers and tastes that were invented, so that they are known."""

from shortlist.data.invented.generate import Sample, sample
from shortlist.data.invented.oracle import Oracle

__all__ = ["Oracle", "Sample", "sample"]
