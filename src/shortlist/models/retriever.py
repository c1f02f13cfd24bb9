"""Two towers at work: embedding, indexing, recommending."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

from shortlist.data import UserItems, Vocabulary
from shortlist.evaluation.embedding_recommender import EmbeddingRecommender
from shortlist.index import Index, IndexConfig, SearchResult
from shortlist.models.batches import MAX_HISTORY
from shortlist.models.ids import known_indices
from shortlist.models.inputs import HISTORY, Histories, Inputs, Moments, indices_only
from shortlist.models.towers import embedding_tower

EMBED_BLOCK = 65_536

# With histories an input is a row of up to MAX_HISTORY items.
HISTORY_BLOCK = 1_024


Metric = Literal["dot", "cosine", "l2"]


class Retriever(EmbeddingRecommender):
    """Retrieves candidates by the dot product of what two towers make of queries and candidates.

    Args:
        query_tower: Keras model from what `query_inputs` gives to (n, d) embeddings.
        candidate_tower: Keras model from what `candidate_inputs` gives to (n, d) embeddings.
        users: The users' vocabulary; index 0 is for users unknown.
        items: The candidates' vocabulary.
        query_inputs: From (n,) indices of `users` to the query tower's inputs; by default the
            indices themselves, as int32.
        candidate_inputs: The same for `items`.
        history: Whether the query tower has one more input, `"history"`: (n, h) indices of the
            items each user had in training, padded with 0.
        moments: What the query tower knows of the moment of a query, as further inputs.
        seed: Seed of the index.
    """

    def __init__(
        self,
        query_tower: keras.Model,
        candidate_tower: keras.Model,
        users: Vocabulary,
        items: Vocabulary,
        *,
        query_inputs: Inputs = indices_only,
        candidate_inputs: Inputs = indices_only,
        history: bool = False,
        moments: Moments | None = None,
        seed: int = 0,
    ) -> None:
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.users = users
        self.items = items
        self.query_inputs = query_inputs
        self.candidate_inputs = candidate_inputs
        self.history = history
        self.moments = moments
        self.seed = seed
        self._seen: UserItems | None = None
        self._histories: tuple[UserItems, Histories] | None = None
        self._indexes: dict[Metric, Index] = {}

    @property
    def seen(self) -> UserItems:
        """What each user had in training; what `recommend` leaves out.

        Raises:
            ValueError: If the model was not fitted.
        """
        if self._seen is None:
            raise ValueError(
                "What users have seen needs a fitted model: call fit, or say exclude_seen=False."
            )
        return self._seen

    @seen.setter
    def seen(self, seen: UserItems) -> None:
        self._seen = seen

    @property
    def timed(self) -> bool:
        """Whether the moment of a query is part of it."""
        return self.moments is not None

    def embed_queries(self, user_ids: npt.ArrayLike, *, at: Any = None) -> npt.NDArray[np.float32]:
        """Returns the (q, d) embeddings of users.

        Args:
            user_ids: (q,) ids of users known from training.
            at: For a model with time features: when each asks, (q,) seconds since 1970, date-times
                or ISO 8601 text, or one for all; None if nobody knows.

        Raises:
            ValueError: If a user is unknown, naming the first, or `at` does not fit.
        """
        indices = known_indices(self.users, user_ids, "user")
        return self._embed_users(indices, self._history_of_users() if self.history else None, at=at)

    def embed_histories(self, histories: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Returns the (q, d) embeddings of users who are known by what they chose.

        Args:
            histories: One sequence of item ids per user, oldest first.

        Raises:
            ValueError: If the query tower takes no history, or an item is unknown.
        """
        if not self.history:
            raise ValueError(
                "`histories` need a query tower that takes them: build the model with history=True."
            )
        lists = [
            known_indices(self.items, ids, "item") if len(ids) else np.zeros(0, np.int64)
            for ids in map(np.asarray, histories)
        ]
        # The users are unknown, whose index is 0, but their histories are not.
        return self._embed_users(np.zeros(len(lists), np.int64), Histories(lists), own=True)

    def embed_candidates(self, item_ids: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """Returns the (n, d) embeddings of items, by default all of `items.ids`.

        Raises:
            ValueError: If an item is unknown, naming the first.
        """
        if item_ids is None:
            indices = np.arange(1, self.items.size)
        else:
            indices = known_indices(self.items, item_ids, "item")
        return _embed(self.candidate_tower, self.candidate_inputs, indices, EMBED_BLOCK)

    def index(self, config: IndexConfig | None = None, *, metric: Metric = "dot") -> Index:
        """Returns an index of all candidates, embedded with the weights of now.

        Args:
            config: How to build it; None lets the index choose by the number of candidates.
            metric: `"dot"` as the model was trained; `"cosine"` for similar items.
        """
        return Index.build(
            self.embed_candidates(), self.items.ids, metric=metric, config=config, seed=self.seed
        )

    def similar(self, item_ids: npt.ArrayLike, k: int = 10) -> SearchResult:
        """Returns the k items whose candidate embeddings point most nearly the same way.

        Args:
            item_ids: (q,) ids of items known from training.
            k: Number of items for each; the item itself is left out.

        Returns:
            Cosines, ids and rows of shape (q, k), best first.

        Raises:
            ValueError: If an item is unknown, naming the first.
        """
        items = np.atleast_1d(np.asarray(item_ids))
        return self._exact("cosine").search(
            self.embed_candidates(items), k, exclude=[[item] for item in items.tolist()]
        )

    def _exact(self, metric: Metric = "dot") -> Index:
        if metric not in self._indexes:
            self._indexes[metric] = self.index(IndexConfig(exact=True), metric=metric)
        return self._indexes[metric]

    def user_table(self) -> keras.Model:
        """Returns a tower of one table: the query embedding of every user, computed now.

        It takes (n,) int32 indices of `users`, whatever features and history the query tower
        takes, and is what a bundle serves known users by. Row 0 is a user without history.
        """
        indices = np.arange(self.users.size)
        histories = self._history_of_users() if self.history else None
        embeddings = self._embed_users(indices, histories)
        tower = embedding_tower(*embeddings.shape, name="user_table")
        tower.set_weights([embeddings])
        return tower

    def _history_of_users(self) -> Histories:
        if self._histories is None or self._histories[0] is not self.seen:
            histories = Histories.of_users(self.seen, self.users, self.items)
            self._histories = self.seen, histories
        return self._histories[1]

    def _embed_users(
        self,
        indices: npt.NDArray[np.int64],
        histories: Histories | None,
        *,
        own: bool = False,
        at: Any = None,
    ) -> npt.NDArray[np.float32]:
        """Embeds users; with `own` the histories are theirs in this order, not by index."""
        if at is not None and self.moments is None:
            raise ValueError("`at` is for a model with time features, and this one has none.")
        moments = None if self.moments is None else self.moments(at, len(indices))
        numbers = np.arange(len(indices)) if own else indices

        def inputs(rows: npt.NDArray[np.int64]) -> Any:
            queries = self.query_inputs(indices[rows])
            if moments is not None:
                queries = {**queries, **{name: array[rows] for name, array in moments.items()}}
            if histories is not None:
                items = histories.padded(numbers[rows], MAX_HISTORY)
                # Widths in powers of 2, since a backend that compiles does so for every shape.
                width = 1 << (items.shape[1] - 1).bit_length()
                queries = {**queries, HISTORY: np.pad(items, ((0, 0), (0, width - items.shape[1])))}
            return queries

        block = EMBED_BLOCK if histories is None else HISTORY_BLOCK
        return _embed(self.query_tower, inputs, np.arange(len(indices)), block)


def _embed(
    tower: keras.Model, inputs: Inputs, indices: npt.NDArray[np.int64], block: int
) -> npt.NDArray[np.float32]:
    blocks = [
        keras.ops.convert_to_numpy(tower(inputs(indices[start : start + block]), training=False))
        for start in range(0, len(indices), block)
    ]
    embeddings: npt.NDArray[np.float32] = np.concatenate(blocks).astype(np.float32, copy=False)
    return embeddings
