"""What an approximate search misses."""

from typing import Any

import numpy as np


def recall_at_k(exact: Any, approximate: Any) -> float:
    """Returns the share of the exact top k that an approximate search returned.

    Args:
        exact: (q, k) ids, or a SearchResult, of the exact search. Padding (-1 or "") is no result.
        approximate: (q, w) ids, or a SearchResult, of the search to judge, for the same queries.

    Returns:
        recall@k in [0, 1]: Σ_q |exact_q ∩ approximate_q| / Σ_q |exact_q|.

    Raises:
        ValueError: Shapes that do not fit each other, or no exact result at all.

    Example:
        >>> recall_at_k([[1, 2, 3]], [[3, 9, 1]])
        0.6666666666666666
    """
    truth, found = np.atleast_2d(_ids(exact)), np.atleast_2d(_ids(approximate))
    if truth.ndim != 2 or found.ndim != 2 or len(truth) != len(found):
        raise ValueError(
            "`exact` and `approximate` must have one row for each query, "
            f"got shapes {truth.shape} and {found.shape}."
        )
    padding: Any = -1 if truth.dtype.kind in "iu" else ""
    hits = total = 0
    for row, answer in zip(truth, found, strict=True):
        wanted = set(row.tolist()) - {padding}
        hits += len(wanted & set(answer.tolist()))
        total += len(wanted)
    if total == 0:
        raise ValueError("`exact` must hold at least one result, got only padding.")
    return hits / total


def _ids(result: Any) -> np.ndarray[Any, np.dtype[Any]]:
    return np.asarray(result.ids if hasattr(result, "ids") else result)
