"""What searches return."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shortlist import _native
from shortlist.html import html_table

if TYPE_CHECKING:
    from shortlist._native import IdArray

MAX_K = _native.MAX_K
"""The largest `k` of a search: 10,000."""

_SHOWN = 10  # queries and ranks that a notebook shows


class SearchResult(NamedTuple):
    """The best candidates of each query, best first; of equal scores, the lower row first.

    Where a query has fewer than k results the rest is padded: score -inf, row -1, id -1 or "".

    Attributes:
        scores: float32, shape (q, k), or (k,) for one 1-D query. Higher is better for every
            metric: for "l2" it is minus the squared distance.
        ids: Ids of candidates, int64 or an object array of str; same shape.
        rows: Positions in `index.ids` when the search began, int64; same shape. Until the index
            changes they are the positions in the embeddings given to `build`.

    Example:
        >>> from shortlist.index import Index
        >>> index = Index.build(np.eye(3, dtype=np.float32), ["a", "b", "c"])
        >>> scores, ids, rows = index.search([3, 2, 0], 2)
        >>> scores.tolist(), ids.tolist(), rows.tolist()
        ([3.0, 2.0], ['a', 'b'], [0, 1])
    """

    scores: NDArray[np.float32]
    ids: IdArray
    rows: NDArray[np.int64]

    def _repr_html_(self) -> str:
        scores, ids = np.atleast_2d(self.scores), np.atleast_2d(self.ids)
        shown = [
            [
                query,
                *(
                    "" if score == -np.inf else f"{name} ({score:.4g})"
                    for score, name in zip(scores[query, :_SHOWN], ids[query, :_SHOWN], strict=True)
                ),
            ]
            for query in range(min(len(ids), _SHOWN))
        ]
        parts = [f"{len(ids):,} queries" if len(ids) != 1 else "1 query"]
        parts.append(f"{ids.shape[1]:,} results each")
        if max(ids.shape) > _SHOWN:
            parts.append(f"the first {_SHOWN} shown")
        ranks = range(1, min(ids.shape[1], _SHOWN) + 1)
        return html_table(", ".join(parts) + "; id (score)", ["query", *ranks], shown)


class RangeResult(NamedTuple):
    """All candidates that score enough, those of one query after those of another.

    Those of query i are at `offsets[i] : offsets[i + 1]` of the other arrays, best first; of equal
    scores, the lower row first.

    Attributes:
        scores: float32, shape (total,).
        ids: Ids of candidates, int64 or an object array of str; same shape.
        rows: Positions in `index.ids` when the search began, int64; same shape. Until the index
            changes they are the positions in the embeddings given to `build`.
        offsets: int64, shape (q + 1,), from 0 to the total.

    Example:
        >>> from shortlist.index import Index
        >>> index = Index.build(np.eye(3, dtype=np.float32), ["a", "b", "c"])
        >>> found = index.range_search([[3, 2, 0], [0, 0, 9]], 1)
        >>> found.ids.tolist(), found.offsets.tolist()
        (['a', 'b', 'c'], [0, 2, 3])
    """

    scores: NDArray[np.float32]
    ids: IdArray
    rows: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def split(self) -> list[SearchResult]:
        """Returns the result of each query, as many candidates as it has.

        Example:
            >>> from shortlist.index import Index
            >>> index = Index.build(np.eye(3, dtype=np.float32))
            >>> found = index.range_search([[3, 2, 0], [0, 0, 9]], 1)
            >>> [one.ids.tolist() for one in found.split()]
            [[0, 1], [2]]
        """
        inner = self.offsets[1:-1]
        parts = zip(*(np.split(part, inner) for part in self[:3]), strict=True)
        return [SearchResult(*part) for part in parts][: len(self.offsets) - 1]
