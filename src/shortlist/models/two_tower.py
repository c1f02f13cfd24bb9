"""The two-tower model."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt

from shortlist.data import Interactions, UserItems, Vocabulary
from shortlist.evaluation import evaluate
from shortlist.evaluation.metrics import METRICS
from shortlist.index import Index, IndexConfig, SearchResult
from shortlist.models.history import History
from shortlist.models.ids import known_indices
from shortlist.models.objectives import Objective, objective_of
from shortlist.models.progress import TrainingProgress
from shortlist.models.towers import embedding_tower
from shortlist.models.training import Batches, BatchProgress, Pairs

EMBED_BLOCK = 65_536


Metric = Literal["dot", "cosine", "l2"]


class TwoTower:
    """Learns to place queries near the candidates they choose, and retrieves by dot product.

    Args:
        query_tower: Keras model from (n,) int32 indices of `users` to (n, d) embeddings.
        candidate_tower: Keras model from (n,) int32 indices of `items` to (n, d) embeddings.
        users: The users' vocabulary; index 0 is for users unknown.
        items: The candidates' vocabulary.
        objective: `"retrieval"` (in-batch softmax), `"rating"` (squared error), or an objective
            with options of its own, such as `Retrieval(temperature=0.1)`.
        rating_range: The ratings that scale to 0 and 1; None takes the least and greatest of the
            first training.
        seed: Seed of the order of training.

    Example:
        >>> from shortlist.data import Interactions
        >>> views = Interactions.from_arrays([1, 1, 2, 2], [10, 20, 10, 30])
        >>> model = TwoTower.from_interactions(views, embedding_dim=4)
        >>> history = model.fit(views, epochs=2, batch_size=4, progress=False)
        >>> model.recommend([1], k=1).ids  # the only film user 1 has not seen
        array([[30]])
    """

    def __init__(
        self,
        query_tower: keras.Model,
        candidate_tower: keras.Model,
        users: Vocabulary,
        items: Vocabulary,
        *,
        objective: str | Objective = "retrieval",
        rating_range: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.users = users
        self.items = items
        self.objective = objective_of(objective)
        self.rating_range = rating_range
        self.seed = seed
        self.seen: UserItems | None = None
        self._indexes: dict[Metric, Index] = {}

    @classmethod
    def from_interactions(
        cls,
        train: Interactions,
        *,
        embedding_dim: int = 32,
        objective: str | Objective = "retrieval",
        normalize: bool | None = None,
        seed: int = 0,
    ) -> TwoTower:
        """Returns an untrained model whose towers are embedding tables for the ids of `train`.

        Args:
            train: Interactions; their users and items become the vocabularies.
            embedding_dim: Length of an embedding.
            objective: As in the constructor.
            normalize: Whether embeddings have length 1; None does so unless ratings are learnt.
            seed: Seed of the initial embeddings and of the order of training.

        Returns:
            The model, not yet fitted.
        """
        objective = objective_of(objective)
        if normalize is None:
            normalize = not objective.needs_ratings
        users, items = Vocabulary.from_ids(train.user_ids), Vocabulary.from_ids(train.item_ids)
        return cls(
            embedding_tower(
                users.size, embedding_dim, normalize=normalize, seed=2 * seed, name="query"
            ),
            embedding_tower(
                items.size, embedding_dim, normalize=normalize, seed=2 * seed + 1, name="candidate"
            ),
            users,
            items,
            objective=objective,
            seed=seed,
        )

    def fit(
        self,
        train: Interactions,
        *,
        epochs: int = 30,
        batch_size: int = 512,
        optimizer: str | keras.optimizers.Optimizer = "adagrad",
        validation: Interactions | None = None,
        monitor: str = "hit_rate@10",
        patience: int = 3,
        progress: bool | None = None,
    ) -> History:
        """Trains the towers.

        Args:
            train: Interactions; `rating` is needed for the rating objective, `weight` is used where
                present.
            epochs: Passes over the interactions, at most.
            batch_size: Interactions in a batch; for retrieval also the candidates in the softmax.
            optimizer: A Keras optimizer, or the name of one with Keras's own settings.
            validation: Held-out interactions. After every epoch the candidates are embedded and
                indexed anew and `monitor` is measured, seen items left out; the weights of the best
                epoch are kept.
            monitor: The metric of `evaluation.evaluate` that decides.
            patience: Epochs without improvement after which training stops.
            progress: Whether to show a progress bar on stderr; None shows it on a terminal.

        Returns:
            The course of the training.

        Raises:
            ValueError: Numbers out of range, ratings missing, or no interaction.
        """
        for argument, value in (
            ("epochs", epochs),
            ("batch_size", batch_size),
            ("patience", patience),
        ):
            if value < 1:
                raise ValueError(f"`{argument}` must be at least 1, got {value}.")
        rank = _rank_of(monitor)
        started = time.perf_counter()
        pairs = Pairs(self.query_tower, self.candidate_tower, self.objective)
        pairs.compile(optimizer=keras.optimizers.get(optimizer))
        batches = Batches(self._columns(train), batch_size, self.seed)
        self.seen = UserItems(train)

        losses: list[float] = []
        validated: list[float] = []
        best, best_weights = 0, None
        shown = sys.stderr.isatty() if progress is None else progress
        with TrainingProgress(epochs, len(batches), shown) as bar:
            for epoch in range(epochs):
                result = pairs.fit(
                    batches,
                    initial_epoch=epoch,
                    epochs=epoch + 1,
                    shuffle=False,  # Keras would shuffle again, by its global seed
                    verbose=0,
                    callbacks=[BatchProgress(bar.advance)] if shown else [],
                )
                losses.append(float(result.history["loss"][-1]))
                self._indexes.clear()
                if validation is not None:
                    measured = evaluate(self, validation, train=train, ks=(rank,), baselines={})
                    validated.append(measured[monitor])
                    if validated[-1] > max(validated[:-1], default=-1.0):
                        best, best_weights = epoch, pairs.get_weights()
                bar.epoch(losses[-1], monitor, validated[-1] if validated else None)
                if validation is not None and epoch - best >= patience:
                    break
        if best_weights is not None:
            pairs.set_weights(best_weights)
            self._indexes.clear()
        return History(
            loss=tuple(losses),
            validation=tuple(validated),
            monitor=monitor,
            best_epoch=(best if validation is not None else len(losses) - 1) + 1,
            seconds=time.perf_counter() - started,
        )

    def loss(self, interactions: Interactions, *, batch_size: int = 1024) -> float:
        """Returns the objective's loss on interactions, without training, mean over batches.

        Args:
            interactions: What to measure; candidates and users unknown get index 0.
            batch_size: Interactions in a batch.

        Returns:
            The mean over batches, each weighted by its interactions.
        """
        pairs = Pairs(self.query_tower, self.candidate_tower, self.objective)
        pairs.compile()
        batches = Batches(self._columns(interactions), batch_size, None)
        return float(pairs.evaluate(batches, verbose=0))

    def embed_queries(self, user_ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Returns the (q, d) embeddings of users.

        Raises:
            ValueError: If a user is unknown, naming the first.
        """
        return _embed(self.query_tower, known_indices(self.users, user_ids, "user"))

    def embed_candidates(self, item_ids: npt.ArrayLike | None = None) -> npt.NDArray[np.float32]:
        """Returns the (n, d) embeddings of items, by default all of `items.ids`.

        Raises:
            ValueError: If an item is unknown, naming the first.
        """
        if item_ids is None:
            return _embed(self.candidate_tower, np.arange(1, self.items.size))
        return _embed(self.candidate_tower, known_indices(self.items, item_ids, "item"))

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
        user_ids: npt.ArrayLike,
        k: int = 10,
        *,
        exclude_seen: bool = True,
        exclude: Sequence[npt.ArrayLike] | None = None,
    ) -> SearchResult:
        """Returns each user's k best candidates, by exact search.

        Args:
            user_ids: (q,) ids of users known from training.
            k: Number of candidates a user.
            exclude_seen: Whether to leave out what the user had in training.
            exclude: One sequence of item ids per user, left out as well.

        Returns:
            Scores, ids and rows of shape (q, k), best first; padded where a user has fewer.

        Raises:
            ValueError: If a user is unknown, or `exclude_seen` before the model was fitted.
        """
        users = np.atleast_1d(np.asarray(user_ids))
        if exclude_seen:
            if self.seen is None:
                raise ValueError(
                    "`exclude_seen=True` needs a fitted model: call fit, or say exclude_seen=False."
                )
            exclude = self.seen.excluded(users, exclude)
        return self._exact("dot").search(self.embed_queries(users), k, exclude=exclude)

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

    def _exact(self, metric: Metric) -> Index:
        if metric not in self._indexes:
            self._indexes[metric] = self.index(IndexConfig(exact=True), metric=metric)
        return self._indexes[metric]

    def _columns(self, interactions: Interactions) -> dict[str, npt.NDArray[Any]]:
        frame = interactions.frame
        candidate = self.items.encode(frame["item_id"]).astype(np.int32)
        counts = np.bincount(candidate, minlength=self.items.size)
        columns = {
            "query": self.users.encode(frame["user_id"]).astype(np.int32),
            "candidate": candidate,
            "probability": (counts[candidate] / len(candidate)).astype(np.float32),
            "weight": np.ones(len(candidate), np.float32),
        }
        if "weight" in frame.columns:
            columns["weight"] = frame["weight"].to_numpy().astype(np.float32)
        if self.objective.needs_ratings:
            if "rating" not in frame.columns:
                raise ValueError("The rating objective needs interactions with ratings.")
            columns["rating"] = self._scaled(frame["rating"].to_numpy())
        return columns

    def _scaled(self, ratings: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        if self.rating_range is None:
            self.rating_range = float(ratings.min()), float(ratings.max())
        low, high = self.rating_range
        if not high > low:
            raise ValueError(f"`rating_range` must go from low to high, got {self.rating_range}.")
        return ((ratings - low) / (high - low)).astype(np.float32)


def _embed(tower: keras.Model, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    blocks = [
        keras.ops.convert_to_numpy(
            tower(indices[start : start + EMBED_BLOCK].astype(np.int32), training=False)
        )
        for start in range(0, len(indices), EMBED_BLOCK)
    ]
    embeddings: npt.NDArray[np.float32] = np.concatenate(blocks).astype(np.float32, copy=False)
    return embeddings


def _rank_of(monitor: str) -> int:
    name, _, rank = monitor.partition("@")
    if name not in METRICS or not rank.isdigit() or int(rank) < 1:
        raise ValueError(
            f"`monitor` must be one of {list(METRICS)} and a rank, such as 'hit_rate@10', "
            f"got {monitor!r}."
        )
    return int(rank)
