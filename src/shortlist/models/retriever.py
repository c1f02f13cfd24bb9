"""Two towers at work: embedding, indexing, recommending."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

from shortlist.data import DataError, Histories, Vocabulary
from shortlist.data.histories import MAX_HISTORY
from shortlist.ids import Ids, as_ids, check_kind, unknown_id
from shortlist.index import Index, IndexConfig, SearchResult
from shortlist.models.inputs import HISTORY, Inputs, Moments, ends, indices_only
from shortlist.models.towers import embedding_tower

# Users or items embedded at a time; fewer where each has a history of up to MAX_HISTORY items.
EMBED_BLOCK = 65_536
HISTORY_BLOCK = 1_024

# The dot product of two embeddings with larger values may not fit float32.
LARGEST_EMBEDDING = 1e18

Metric = Literal["dot", "cosine", "l2"]


class NotFiniteError(ValueError):
    """A tower gives embeddings that are no numbers to search among."""


class Retriever:
    """Retrieves candidates by the dot product of what two towers make of queries and candidates.

    It can be pickled and copied where its towers and inputs can: indexes are not copied but built
    again when they are needed.

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

    Raises:
        ValueError: `history` and the names of the query tower's inputs do not agree.
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
        _check_history_input(query_tower, history)
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.users = users
        self.items = items
        self.query_inputs = query_inputs
        self.candidate_inputs = candidate_inputs
        self.history = history
        self.moments = moments
        self.seed = seed
        self._seen: Histories | None = None
        self._histories: tuple[Histories, Histories] | None = None
        self._indexes: dict[Metric, Index] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Returns what is pickled: all but what can be made again."""
        return {**self.__dict__, "_indexes": {}, "_histories": None}

    @property
    def seen(self) -> Histories:
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
    def seen(self, seen: Histories) -> None:
        self._seen = seen

    @property
    def timed(self) -> bool:
        """Whether an evaluation asks at the time of each held-out interaction."""
        return self.takes_time

    @property
    def takes_time(self) -> bool:
        """Whether a query may say when it is asked: time features, or a history with times."""
        in_time = self.history and self._seen is not None and self._seen.times is not None
        return self.moments is not None or in_time

    def embed_queries(self, user_ids: Any, *, at: Any = None) -> npt.NDArray[np.float32]:
        """Returns the (q, d) embeddings of users.

        Args:
            user_ids: (q,) ids of users known from training, or one.
            at: When each asks, (q,) seconds since 1970, date-times or ISO 8601 text, or one for
                all: time features are of then, and a history ends before. None if nobody knows; a
                history is then whole.

        Raises:
            ValueError: If a user is unknown, naming the first, or `at` does not fit.
        """
        indices = _known(self.users, user_ids, "user")
        return self._embed_users(indices, self._history_of_users() if self.history else None, at=at)

    def embed_histories(self, histories: Sequence[Any]) -> npt.NDArray[np.float32]:
        """Returns the (q, d) embeddings of users who are known by what they chose.

        Args:
            histories: One sequence of item ids per user, oldest first; the last 1,024 count.

        Raises:
            ValueError: If the query tower takes no history, or an item is unknown.
        """
        if not self.history:
            raise ValueError(
                "`histories` need a query tower that takes them: build the model with history=True."
            )
        given = Histories.from_lists(histories)
        if len(given.item_ids):
            _known(self.items, given.item_ids, "item", "histories")
        nobody = Vocabulary(given.users)
        encoded = given.encoded(nobody, self.items)
        # The users are unknown, whose index is 0, but their histories are not.
        indices = np.zeros(len(given), np.int64)
        return self._embed_users(indices, encoded, np.arange(1, nobody.size))

    def embed_candidates(self, item_ids: Any = None) -> npt.NDArray[np.float32]:
        """Returns the (n, d) embeddings of items, by default all of `items.ids`.

        Raises:
            ValueError: If an item is unknown, naming the first.
        """
        if item_ids is None:
            indices = np.arange(1, self.items.size)
        else:
            indices = _known(self.items, item_ids, "item")
        return self._embed("candidate", self.candidate_inputs, indices, EMBED_BLOCK)

    def index(self, config: IndexConfig | None = None, *, metric: Metric = "dot") -> Index:
        """Returns an index of all candidates, embedded with the weights of now.

        Args:
            config: How to build it; None lets the index choose by the number of candidates.
            metric: `"dot"` as the model was trained; `"cosine"` for similar items.
        """
        return Index.build(
            self.embed_candidates(), self.items.ids, metric=metric, config=config, seed=self.seed
        )

    def recommend(
        self,
        user_ids: Any,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[Any] | None = None,
        at: Any = None,
    ) -> SearchResult:
        """Returns each user's k best candidates, by exact search.

        Args:
            user_ids: (q,) ids of users known from training, or one.
            k: Number of candidates a user.
            exclude_seen: Whether to leave out what the user had in training.
            exclude: One sequence of item ids per user, left out as well.
            at: When each asks, as for `embed_queries`.

        Returns:
            Scores, ids and rows of shape (q, k), best first; padded where a user has fewer.

        Raises:
            ValueError: If a user is unknown, naming the first, or the model was not fitted.
        """
        users = _several(user_ids, "user_ids")
        queries = self.embed_queries(users, at=at)
        if exclude_seen:
            exclude = self.seen.excluded(users, exclude)
        return self._search("dot", queries, k, exclude)

    def recommend_from(
        self, histories: Sequence[Any], k: int = 10, *, exclude: Sequence[Any] | None = None
    ) -> SearchResult:
        """Returns the k best candidates for users who are known by what they chose.

        Args:
            histories: One sequence of item ids per user, oldest first; the last 1,024 count.
            k: Number of candidates a user.
            exclude: One sequence of item ids per user to leave out; None leaves out the histories.

        Returns:
            Scores, ids and rows of shape (q, k), best first.

        Raises:
            ValueError: If the query tower takes no histories, or an item is unknown.
        """
        queries = self.embed_histories(histories)
        return self._search("dot", queries, k, histories if exclude is None else exclude)

    def similar(self, item_ids: Any, k: int = 10) -> SearchResult:
        """Returns the k items whose candidate embeddings point most nearly the same way.

        Args:
            item_ids: (q,) ids of items known from training, or one.
            k: Number of items for each; the item itself is left out.

        Returns:
            Cosines, ids and rows of shape (q, k), best first.

        Raises:
            ValueError: If an item is unknown, naming the first.
        """
        items = _several(item_ids, "item_ids")
        return self._search("cosine", self.embed_candidates(items), k, items[:, None])

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

    def _search(
        self, metric: Metric, queries: npt.NDArray[np.float32], k: int, exclude: Any
    ) -> SearchResult:
        if metric not in self._indexes:
            self._indexes[metric] = self.index(IndexConfig(exact=True), metric=metric)
        return self._indexes[metric].search(queries, k, exclude=exclude)

    def _history_of_users(self) -> Histories:
        if self._histories is None or self._histories[0] is not self.seen:
            self._histories = self.seen, self.seen.encoded(self.users, self.items)
        return self._histories[1]

    def _embed_users(
        self,
        indices: npt.NDArray[np.int64],
        histories: Histories | None,
        owners: npt.NDArray[np.int64] | None = None,
        at: Any = None,
    ) -> npt.NDArray[np.float32]:
        """Embeds users, each with the encoded history of its owner: of the same user if None."""
        if at is not None and not self.takes_time:
            raise ValueError(
                "`at` is for a model with time features, or with a history of interactions that "
                "have times, and this one has neither."
            )
        moments = None if self.moments is None else self.moments(at, len(indices))
        owners = indices if owners is None else owners
        before = None
        if at is not None and histories is not None and histories.times is not None:
            before = ends(at, len(indices))

        def inputs(rows: npt.NDArray[np.int64]) -> Any:
            queries = self.query_inputs(indices[rows])
            if moments is not None:
                queries = {**queries, **{name: array[rows] for name, array in moments.items()}}
            if histories is not None:
                items = histories.padded(
                    owners[rows], MAX_HISTORY, before=None if before is None else before[rows]
                )
                # Widths in powers of 2, since a backend that compiles does so for every shape.
                width = 1 << (items.shape[1] - 1).bit_length()
                queries = {**queries, HISTORY: np.pad(items, ((0, 0), (0, width - items.shape[1])))}
            return queries

        block = EMBED_BLOCK if histories is None else HISTORY_BLOCK
        return self._embed("query", inputs, np.arange(len(indices)), block)

    def _embed(
        self,
        side: Literal["query", "candidate"],
        inputs: Inputs,
        rows: npt.NDArray[np.int64],
        block: int,
    ) -> npt.NDArray[np.float32]:
        if not len(rows):  # of the length that the embedding of an unknown item has
            nothing = np.zeros(1, np.int64)
            return self._embed("candidate", self.candidate_inputs, nothing, 1)[:0]
        tower = self.query_tower if side == "query" else self.candidate_tower
        blocks = [
            keras.ops.convert_to_numpy(tower(inputs(rows[start : start + block]), training=False))
            for start in range(0, len(rows), block)
        ]
        embeddings: npt.NDArray[np.float32] = np.concatenate(blocks).astype(np.float32, copy=False)
        if not (np.abs(embeddings) < LARGEST_EMBEDDING).all():
            raise NotFiniteError(
                f"the {side} tower gives embeddings that are not finite, or too large to multiply: "
                "its training diverged. Train it again with a lower learning rate."
            )
        return embeddings


def _several(ids: Any, argument: str) -> Ids:
    """Ids as an array, also where only one is given."""
    one = isinstance(ids, str | bytes) or not isinstance(ids, Iterable)
    one = one or getattr(ids, "shape", None) == ()
    return as_ids([ids] if one else ids, argument)


def _known(
    vocabulary: Vocabulary, ids: Any, what: str, argument: str | None = None
) -> npt.NDArray[np.int64]:
    """The (n,) indices of ids that must all be known."""
    argument = argument or f"{what}_ids"
    array = _several(ids, argument)
    check_kind(array, vocabulary.id_type is str, argument, f"this model's {what}s")
    indices = vocabulary.encode(array)
    if not indices.all():
        raise DataError(unknown_id(what, array[np.argmin(indices)], vocabulary.ids))
    return indices


def _check_history_input(tower: keras.Model, history: bool) -> None:
    """Refuses a query tower whose named inputs say otherwise than `history`."""
    inputs = getattr(tower, "input", None)
    if not isinstance(inputs, dict):
        return
    names = list(inputs)
    if history and HISTORY not in names:
        raise ValueError(
            f"`history=True` needs a query tower with an input called {HISTORY!r}; "
            f"it has {names}. Call that input so."
        )
    if not history and HISTORY in names:
        raise ValueError(
            f"the query tower has an input called {HISTORY!r}: say history=True to feed it what "
            "users had, or call the input otherwise."
        )
