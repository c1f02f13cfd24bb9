"""Which candidates recommendations show, and whether they are always the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

COLD = 5  # interactions under which a user or an item is cold


def exposure(
    rows: npt.NDArray[np.int64],
    popularity: npt.NDArray[np.int64],
    history_lengths: Sequence[int],
) -> dict[str, float]:
    """Returns how widely recommendations spread over the catalogue.

    Args:
        rows: int64, shape (q, k): what was recommended to each query, as rows of the catalogue; -1
            is padding.
        popularity: int64, shape (n,): how often each candidate stands in the training data.
        history_lengths: How many training interactions each user has.

    Returns:
        `coverage` (share of the catalogue recommended to anybody), `gini` (0 = every candidate is
        shown as often, 1 = one gets everything; Gini 1912), `mean_popularity` (mean share of the
        catalogue that is less popular than a recommended candidate: 0.5 is even), `top_decile`
        (share of recommendations from the tenth of candidates that are most popular),
        `cold_items_shown` (share of recommendations with fewer than 5 interactions), `cold_items`
        and `cold_users` (share of the catalogue and of the users with fewer than 5).

    Example:
        >>> figures = exposure(np.array([[0, 1], [0, 1]]), np.array([9, 9, 0, 0]), [4, 8])
        >>> figures["coverage"], figures["cold_items"], figures["cold_users"]
        (0.5, 0.5, 0.5)
    """
    shown = rows[rows >= 0]
    n = len(popularity)
    times = np.sort(np.bincount(shown, minlength=n))
    order = np.sort(popularity)
    less_popular = np.searchsorted(order, popularity[shown]) / n
    top = np.argsort(-popularity, kind="stable")[: max(1, n // 10)]
    ranks = np.arange(1, n + 1)
    gini = ((2 * ranks - n - 1) * times).sum() / (n * times.sum()) if len(shown) else 0.0
    return {
        "coverage": float((times > 0).mean()),
        "gini": float(gini),
        "mean_popularity": _mean(less_popular),
        "top_decile": _mean(np.isin(shown, top)),
        "cold_items_shown": _mean(popularity[shown] < COLD),
        "cold_items": _mean(popularity < COLD),
        "cold_users": _mean(np.asarray(history_lengths) < COLD),
    }


def _mean(values: npt.NDArray[np.floating] | npt.NDArray[np.bool_]) -> float:
    return float(values.mean()) if values.size else 0.0
