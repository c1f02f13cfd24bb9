"""Features, declared once: the same in training, evaluation and service."""

from shortlist.data.features.categorical import Category, Cross, Hash
from shortlist.data.features.feature import Feature, Output
from shortlist.data.features.lists import Categories, History, Text
from shortlist.data.features.numeric import Bucket, Number
from shortlist.data.features.spec import FeatureSpec
from shortlist.data.features.tables import candidate_table, example_table, query_table
from shortlist.data.features.temporal import Age, Time

__all__ = [
    "Age",
    "Bucket",
    "Categories",
    "Category",
    "Cross",
    "Feature",
    "FeatureSpec",
    "Hash",
    "History",
    "Number",
    "Output",
    "Text",
    "Time",
    "candidate_table",
    "example_table",
    "query_table",
]
