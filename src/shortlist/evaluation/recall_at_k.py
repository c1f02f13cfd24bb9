"""What an approximate search misses."""

from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.ids import are_text, as_ids, check_kind, first_repeated


def recall_at_k(exact: Any, approximate: Any) -> float:
    """Returns the share of the exact top k that an approximate search returned.

    Args:
        exact: What the exact search found: a SearchResult, or anything with (q, k) `scores` and
            `ids`, in which a score of -inf is padding; or ids alone, (q, k) or one sequence for
            each query, of any lengths, in which every id counts, -1 and "" too.
        approximate: What the search to judge found for the same queries, in any of these forms.

    Returns:
        recall@k in [0, 1]: Σ_q |exact_q ∩ approximate_q| / Σ_q |exact_q|.

    Raises:
        ValueError: Queries of another number, ids of another type, an id twice for one query (as
            where padded ids come without their scores), or no exact result at all.

    Example:
        >>> recall_at_k([[1, 2, 3]], [[3, 9, 1]])
        0.6666666666666666
    """
    truth, found = _rows(exact, "exact"), _rows(approximate, "approximate")
    if len(truth) != len(found):
        raise ValueError(
            "`exact` and `approximate` must have one row for each query, "
            f"got {len(truth)} and {len(found)} rows."
        )
    total = sum(map(len, truth))
    if total == 0:
        raise ValueError("`exact` must hold at least one result, got none.")
    text = are_text(next(row for row in truth if len(row)))
    for row in found:
        check_kind(row, text, "approximate", "`exact`")
    hits = sum(
        len(set(wanted.tolist()) & set(row.tolist()))
        for wanted, row in zip(truth, found, strict=True)
    )
    return hits / total


def _rows(result: Any, argument: str) -> list[npt.NDArray[Any]]:
    """The ids found for each query, without padding."""
    ids, scores = getattr(result, "ids", result), getattr(result, "scores", None)
    if isinstance(ids, (list, tuple)) and ids and isinstance(ids[0], (list, tuple, np.ndarray)):
        rows = [as_ids(row, argument) for row in ids]
    else:
        rows = list(np.atleast_2d(as_ids(ids, argument, ndim=None)))
    if scores is not None:
        filled = np.atleast_2d(np.asarray(scores)) > -np.inf
        rows = [row[there] for row, there in zip(rows, filled, strict=True)]
    for query, row in enumerate(rows):
        if row.ndim != 1:
            raise ValueError(f"`{argument}` must have shape (q, k), got {np.shape(ids)}.")
        if (place := first_repeated(row)) is not None:
            raise ValueError(
                f"`{argument}` must hold an id once for each query, got {row.tolist()[place]!r} "
                f"twice for query {query}. Where ids are padded, give their scores too: -inf is "
                "padding, in whatever has `scores` and `ids`."
            )
    return rows
