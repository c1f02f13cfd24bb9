"""Interactions, data sets, splits and vocabularies; needs no deep-learning framework."""

from shortlist._extras import needs

with needs("`shortlist.data`", "data"):
    from shortlist.data.errors import DataError
    from shortlist.data.histories import Histories
    from shortlist.data.interactions import Interactions
    from shortlist.data.invented import Oracle, Sample, sample
    from shortlist.data.movielens import movielens
    from shortlist.data.splits import (
        Leakage,
        Split,
        SplitWarning,
        hold_out,
        split_by_time,
        split_leave_last_out,
        split_random,
    )
    from shortlist.data.vocabulary import Vocabulary

__all__ = [
    "DataError",
    "Histories",
    "Interactions",
    "Leakage",
    "Oracle",
    "Sample",
    "Split",
    "SplitWarning",
    "Vocabulary",
    "hold_out",
    "movielens",
    "sample",
    "split_by_time",
    "split_leave_last_out",
    "split_random",
]
