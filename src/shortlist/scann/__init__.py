"""ScaNN's builder vocabulary over Shortlist's engine.

Code written for ScaNN's Python interface runs after changing its import:

    from shortlist import scann                    # was: import scann
    from shortlist.scann import scann_ops          # was: from scann import scann_ops
    from shortlist.scann import scann_ops_pybind   # was: from scann.scann_ops.py import ...

Names, defaults, dtypes and signs are ScaNN's: `search` returns (indices, distances), indices are
uint32, distances float32, dot products as they are and squared L2 distances positive. What differs:

- NaN or infinity, an empty database and wrong shapes are a ValueError; ScaNN aborts on some.
- Where a batched search has fewer results than asked for, ScaNN fills up with index 0 and NaN,
  which look like an answer. Here the rest has index 2**32 - 1 (docid "" or -1) and the worst
  distance, -inf for "dot_product" and inf for "squared_l2". A single search is shorter, as ScaNN's
  is.
- Distances are always those of the rows as they are kept, as float32 or as `quantize` says, never
  estimates, and equal ones come by lower index. The same input builds the same searcher.
- Arguments that steer how ScaNN trains its partitions and codes are accepted and have no effect
  where the engine has its own way: each method says which. What has no counterpart is refused, with
  what to do instead.
- `scann_ops` returns NumPy arrays: there is no TensorFlow in it.
- `upsert`, `delete` and `rebalance` need docids, and work on every searcher that has them, whatever
  `incremental_threshold` and `IncrementalMode` say. An empty database can only come of deleting.
- `serialize` writes a format of its own, without pickle; directories ScaNN wrote cannot be read.

Vocabulary: Guo et al., "Accelerating Large-Scale Inference with Anisotropic Vector Quantization",
ICML 2020, and the package `scann` 1.4.
"""

from shortlist.scann import scann_builder, scann_ops, scann_ops_pybind
from shortlist.scann.scann_builder import IncrementalMode, ReorderType, ScannBuilder
from shortlist.scann.scann_ops_pybind import (
    Neighbors,
    ScannSearcher,
    builder,
    create_searcher,
    load_searcher,
)

__all__ = [
    "IncrementalMode",
    "Neighbors",
    "ReorderType",
    "ScannBuilder",
    "ScannSearcher",
    "builder",
    "create_searcher",
    "load_searcher",
    "scann_builder",
    "scann_ops",
    "scann_ops_pybind",
]
