"""What a bundle answers: recommendations for users and histories, and similar items."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shortlist.bundle.items import Items
from shortlist.bundle.tower import QueryTower
from shortlist.data import Histories
from shortlist.ids import Ids
from shortlist.index import MAX_K, Index, SearchResult, SearchSettings

_EXACT = SearchSettings(exact=True)


@dataclass(frozen=True)
class Answering:
    """The parts that answer.

    Args:
        tower: Users to embeddings.
        index: The candidates' embeddings, searchable.
        items: What is known of each candidate.
        histories: What each user has had, by id; empty where none were saved.
    """

    tower: QueryTower
    index: Index
    items: Items
    histories: Histories

    def knows(self, user: object) -> bool:
        """Whether a user can be recommended to by their id."""
        return user in self.tower

    def history(self, user: int | str) -> Ids:
        """Return the ids of what a user has had until now, oldest first."""
        return self.histories[user]

    def embed(self, users: Sequence[int | str]) -> npt.NDArray[np.float32]:
        """Return the queries of known users.

        Returns:
            float32 array of shape (n, d).

        Raises:
            UnknownUserError: A user who is not known.
        """
        return self.tower.embed(users)

    def recommend(
        self,
        users: Sequence[int | str],
        k: int = 10,
        *,
        exclude_seen: bool | Sequence[bool] = True,
        exclude: Sequence[int | str] = (),
        allow: Sequence[int | str] | None = None,
        exact: bool = False,
    ) -> SearchResult:
        """Return the best candidates of known users.

        Args:
            users: Users the tower knows.
            k: How many candidates for each user, from 1 to 10,000.
            exclude_seen: Whether to leave out what a user has had; one answer for all or for each.
            exclude: Candidates that nobody gets.
            allow: The only candidates anybody gets; None allows all.
            exact: Search exactly, whatever the index does by default.

        Returns:
            Scores, ids and rows of shape (n, k), as from `Index.search`.

        Raises:
            UnknownUserError: A user that the tower was not trained on.
        """
        queries = self.embed(users)
        excluded = self.excluded(users, exclude_seen, exclude)
        return self.search(queries, k, exclude=excluded, allow=allow, exact=exact)

    def recommend_for_history(
        self,
        history: Sequence[int | str],
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[int | str] = (),
        allow: Sequence[int | str] | None = None,
        exact: bool = False,
        features: Mapping[str, Any] | None = None,
    ) -> SearchResult:
        """Return the best candidates for somebody the tower does not know, by what they have had.

        Args:
            history: Candidates, oldest first.
            k: How many candidates, from 1 to 10,000.
            exclude_seen: Whether to leave out the history itself.
            exclude: Candidates to leave out.
            allow: The only candidates to return; None allows all.
            exact: Search exactly, whatever the index does by default.
            features: As for `embed_history`.

        Returns:
            Scores, ids and rows of shape (1, k), as from `Index.search`.

        Raises:
            ValueError: As `embed_history`.
        """
        excluded = [*history, *exclude] if exclude_seen else list(exclude)
        query = self.embed_history(history, features)
        return self.search(query, k, exclude=[excluded], allow=allow, exact=exact)

    def embed_history(
        self, history: Sequence[int | str], features: Mapping[str, Any] | None = None
    ) -> npt.NDArray[np.float32]:
        """Return the query of somebody the tower does not know, by what they have had.

        The tower answers where it takes a history, as it was trained; where it does not, the query
        is the mean of the embeddings of the history.

        Args:
            history: Candidates, oldest first; may be empty where there are features.
            features: Values known of them, by column, for a tower that takes features.

        Returns:
            float32 array of shape (1, d).

        Raises:
            ValueError: Nothing is given, an id that is no candidate, or features that the tower
                does not take.
        """
        if features is not None and not self.tower.takes_features:
            raise ValueError("this model takes no features, only ids.")
        if not history and features is None:
            raise ValueError("`history` must hold at least one item.")
        rows = self.index.rows(list(history)) if history else np.zeros(0, np.int64)
        if rows.size and rows.min() < 0:
            raise ValueError(self.items.unknown(history[int(rows.argmin())]))
        # The tower knows the items of training; where all came later, their embeddings speak.
        known = [row for row in self.items.positions(history).tolist() if row >= 0]
        if features is not None or (self.tower.takes_history and known):
            return self.tower.embed_new(known, features or {})
        mean: npt.NDArray[np.float32] = self.index.vectors(list(history)).mean(0, keepdims=True)
        return mean

    def excluded(
        self,
        users: Sequence[int | str],
        exclude_seen: bool | Sequence[bool],
        exclude: Sequence[int | str],
    ) -> list[list[Any]]:
        """Return what each user must not get: what they have had, where asked, and `exclude`."""
        seen = [exclude_seen] * len(users) if isinstance(exclude_seen, bool) else exclude_seen
        return [
            [*(self.history(user).tolist() if left_out else ()), *exclude]
            for user, left_out in zip(users, seen, strict=True)
        ]

    def had(self, user: int | str) -> list[int | str]:
        """Return the candidates that a user has had, each once, the most recent first."""
        items = list(dict.fromkeys(self.history(user)[::-1].tolist()))
        rows = self.index.rows(items) if items else ()
        return [item for item, row in zip(items, rows, strict=True) if row >= 0]

    def similar(self, item: int | str, k: int = 10) -> SearchResult:
        """Return the candidates that point the same way as one of them.

        The index is searched for the candidate's own embedding. The best 10 k of that search (at
        least 200) are then ordered by cosine: otherwise a popular candidate with a long embedding
        would be similar to everything.

        Args:
            item: A candidate.
            k: How many, from 1 to 10,000.

        Returns:
            Scores (cosine), ids and rows of shape (1, k).

        Raises:
            ValueError: `item` is no candidate.
        """
        query = self.index.vectors([item])
        wide = self.search(query, min(max(10 * k, 200), MAX_K), exclude=[[item]])
        rows = wide.rows[0][wide.rows[0] >= 0]
        near = wide.ids[0][: len(rows)]
        vectors = self.index.vectors(near)
        lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        cosines = (vectors @ query[0]) / np.maximum(lengths, np.finfo(np.float32).tiny)
        best = np.lexsort((rows, -cosines))[:k]
        scores = np.full((1, k), -np.inf, np.float32)
        found = np.full((1, k), -1, np.int64)
        scores[0, : best.size], found[0, : best.size] = cosines[best], rows[best]
        ids: Any = np.full((1, k), "" if self.items.text else -1, wide.ids.dtype)
        ids[0, : best.size] = near[best]
        return SearchResult(scores, ids, found)

    def search(
        self,
        queries: npt.NDArray[np.float32],
        k: int,
        *,
        exclude: Sequence[Sequence[int | str]] | None = None,
        allow: Sequence[int | str] | None = None,
        exact: bool = False,
    ) -> SearchResult:
        """Search the index, on the calling thread only: `Index.search` with ids of any kind."""
        return self.index.search(
            queries,
            k,
            settings=_EXACT if exact else None,
            exclude=exclude if exclude is not None and any(map(len, exclude)) else None,
            allow=allow,
            threads=1,
        )
