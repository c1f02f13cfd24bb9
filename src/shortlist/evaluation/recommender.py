"""What can be evaluated: anything that answers users with ranked candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from shortlist.index import Index, SearchResult

# answer(user_ids, at, k, exclude) -> ranked candidates of each user; at: when each asks, or None
Answer = Callable[
    [npt.NDArray[Any], npt.NDArray[Any] | None, int, Sequence[npt.NDArray[Any]] | None], Any
]


@runtime_checkable
class Recommender(Protocol):
    """A model or baseline that recommends candidates to users.

    Any class with this method can be evaluated; it need not inherit from this one.

    Example:
        >>> import numpy as np
        >>> from shortlist.data import Interactions
        >>> from shortlist.evaluation import evaluate
        >>> from shortlist.index import SearchResult
        >>> class Always:
        ...     def recommend(self, user_ids, k=10, *, exclude_seen=True, exclude=None):
        ...         ids = np.tile([7, 8], (len(user_ids), 1))
        ...         return SearchResult(np.ones(ids.shape, np.float32), ids, ids)
        >>> test = Interactions.from_arrays([1, 2], [7, 9])
        >>> evaluate(Always(), test, ks=(2,), exclude_seen=False)["hit_rate@2"]
        0.5
    """

    def recommend(
        self,
        user_ids: npt.ArrayLike,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[npt.ArrayLike] | None = None,
    ) -> SearchResult:
        """Returns scores and ids of shape (q, k), best first, padded where a user has fewer.

        Args:
            user_ids: The users, shape (q,).
            k: How many candidates for each.
            exclude_seen: Whether to leave out what a user has had in training.
            exclude: For each user, the ids of further candidates to leave out.
        """
        ...


def is_timed(recommender: Any) -> bool:
    """Returns whether the time of a query was part of it in training."""
    return bool(getattr(recommender, "timed", False))


def as_answer(recommender: Any, queries: Callable[[npt.NDArray[Any]], Any] | None) -> Answer:
    """Returns one way to ask a recommender, an index, or any callable."""
    if isinstance(recommender, Index):
        if queries is None:
            raise ValueError(
                "`queries` must turn user ids into (q, d) embeddings when an index is evaluated; "
                "for a TwoTower that is `model.embed_queries`."
            )

        def search(users: npt.NDArray[Any], _: Any, k: int, exclude: Any) -> SearchResult:
            return recommender.search(queries(users), k, exclude=exclude)

        return search
    if isinstance(recommender, Recommender):
        takes_time = getattr(recommender, "takes_time", is_timed(recommender))
        return lambda users, at, k, exclude: recommender.recommend(
            users,
            k,
            exclude_seen=False,
            exclude=exclude,
            **({"at": at} if takes_time and at is not None else {}),
        )
    if callable(recommender):
        return lambda users, _, k, exclude: recommender(users, k, exclude)
    raise TypeError(
        "`recommender` must have a `recommend` method, be an Index, or be a callable "
        f"(user_ids, k, exclude) -> (scores, ids), got {type(recommender).__name__}."
    )
