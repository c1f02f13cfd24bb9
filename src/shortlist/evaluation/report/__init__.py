"""A report about a model and its index: one HTML file that needs no network."""

from shortlist.evaluation.report.exposure import exposure
from shortlist.evaluation.report.render import Sample, render

__all__ = ["Sample", "exposure", "render"]
