"""The two-tower model."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data import Interactions, UserItems, Vocabulary
from shortlist.data.features import FeatureSpec, Output
from shortlist.evaluation import evaluate
from shortlist.evaluation.metrics import METRICS
from shortlist.index import Index, IndexConfig, SearchResult
from shortlist.models.catalogue import Catalogue, UserBatches, UsersAndCatalogue
from shortlist.models.history import History
from shortlist.models.ids import known_indices
from shortlist.models.inputs import (
    HISTORY,
    Histories,
    Inputs,
    feature_columns,
    history_output,
    id_columns,
    id_output,
    indices_only,
)
from shortlist.models.objectives import MultiTask, Objective, Retrieval, objective_of
from shortlist.models.progress import TrainingProgress
from shortlist.models.tower import Tower
from shortlist.models.towers import embedding_tower
from shortlist.models.training import Batches, BatchProgress, Pairs

EMBED_BLOCK = 65_536

# With histories an input is a row of up to MAX_HISTORY items.
HISTORY_BLOCK = 1_024
MAX_HISTORY = 1_024


Metric = Literal["dot", "cosine", "l2"]


class TwoTower:
    """Learns to place queries near the candidates they choose, and retrieves by dot product.

    Args:
        query_tower: Keras model from what `query_inputs` gives to (n, d) embeddings.
        candidate_tower: Keras model from what `candidate_inputs` gives to (n, d) embeddings.
        users: The users' vocabulary; index 0 is for users unknown.
        items: The candidates' vocabulary.
        objective: `"retrieval"` (in-batch softmax), `"rating"` (squared error), or an objective
            with options of its own, such as `Retrieval(temperature=0.1)`.
        query_inputs: From (n,) indices of `users` to the query tower's inputs; by default the
            indices themselves, as int32.
        candidate_inputs: The same for `items`.
        history: Whether the query tower has one more input, `"history"`: (n, h) indices of the
            items each user had in training, padded with 0. What is being predicted is left out.
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
        query_inputs: Inputs = indices_only,
        candidate_inputs: Inputs = indices_only,
        history: bool = False,
        rating_range: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> None:
        self.query_tower = query_tower
        self.candidate_tower = candidate_tower
        self.users = users
        self.items = items
        self.objective = objective_of(objective)
        self.query_inputs = query_inputs
        self.candidate_inputs = candidate_inputs
        self.history = history
        self.rating_range = rating_range
        self.seed = seed
        self.seen: UserItems | None = None
        self._histories: tuple[UserItems, Histories] | None = None
        self._indexes: dict[Metric, Index] = {}

    @classmethod
    def from_interactions(
        cls,
        train: Interactions,
        *,
        embedding_dim: int = 32,
        objective: str | Objective = "retrieval",
        user_features: FeatureSpec | None = None,
        item_features: FeatureSpec | None = None,
        history: bool | None = None,
        normalize: bool | None = None,
        seed: int = 0,
        **tower: Any,
    ) -> TwoTower:
        """Returns an untrained model for the users and items of `train`.

        Args:
            train: Interactions; their users and items become the vocabularies.
            embedding_dim: Length of the embedding of an id or feature.
            objective: As in the constructor.
            user_features: What the query tower knows of a user, over `user_id` and the columns of
                `train.users`; None knows the id. A spec not adapted yet learns from the users of
                `train`.
            item_features: The same for the candidate tower, `item_id` and `train.items`.
            history: Whether the query tower also has the user's items as a feature, so that users
                who were not in training can be served; None has it for `Catalogue`.
            normalize: Whether embeddings have one length, so that a dot product is a cosine; None
                does so for the in-batch softmax.
            seed: Seed of the initial embeddings and of the order of training.
            **tower: Further arguments of `Tower` for both towers: `layer_sizes`, `cross_layers`,
                `dropout`, …; dropout and pooling are the query tower's alone where the candidate
                tower is one embedding.

        Returns:
            The model, not yet fitted.

        Raises:
            ValueError: A feature or an argument that cannot be used.
        """
        objective = objective_of(objective)
        if normalize is None:
            normalize = isinstance(objective, Retrieval | MultiTask)
        if history is None:
            history = isinstance(objective, Catalogue)
        users, items = Vocabulary.from_ids(train.user_ids), Vocabulary.from_ids(train.item_ids)
        query, query_inputs = _side(
            "user_id", users, user_features, train.users, history_output(items) if history else None
        )
        candidate, candidate_inputs = _side("item_id", items, item_features, train.items, None)
        options = {"normalize": normalize, **tower}
        plain = dict(options)
        if len(candidate) == 1 and not tower.get("layer_sizes"):
            plain["dropout"] = 0.0
        return cls(
            Tower(query, embedding_dim, seed=2 * seed, name="query", **options),
            Tower(candidate, embedding_dim, seed=2 * seed + 1, name="candidate", **plain),
            users,
            items,
            objective=objective,
            query_inputs=query_inputs,
            candidate_inputs=candidate_inputs,
            history=history,
            seed=seed,
        )

    def fit(
        self,
        train: Interactions,
        *,
        epochs: int = 30,
        batch_size: int = 512,
        optimizer: str | keras.optimizers.Optimizer = "adagrad",
        decay: bool = False,
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
            batch_size: Interactions in a batch, for in-batch retrieval also the candidates in the
                softmax; for `Catalogue` users in a batch.
            optimizer: A Keras optimizer, or the name of one with Keras's own settings.
            decay: Whether the learning rate falls in equal steps, from its own in the first epoch
                to almost 0 in the last of `epochs`.
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
        self.seen = UserItems(train)
        pairs, batches = self._training(train, batch_size)
        optimizer = keras.optimizers.get(optimizer)
        pairs.compile(optimizer=optimizer)
        learning_rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))

        losses: list[float] = []
        validated: list[float] = []
        best, best_weights = 0, None
        shown = sys.stderr.isatty() if progress is None else progress
        with TrainingProgress(epochs, len(batches), shown) as bar:
            for epoch in range(epochs):
                if decay:
                    optimizer.learning_rate = learning_rate * (1 - epoch / epochs)
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
        if isinstance(self.objective, Catalogue):
            raise ValueError("Catalogue has no loss of held-out interactions; use `evaluate`.")
        pairs = Pairs(self.query_tower, self.candidate_tower, self.objective)
        pairs.compile()
        batches = self._pairs(interactions, batch_size, None)
        return float(pairs.evaluate(batches, verbose=0))

    def embed_queries(self, user_ids: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Returns the (q, d) embeddings of users.

        Raises:
            ValueError: If a user is unknown, naming the first.
        """
        indices = known_indices(self.users, user_ids, "user")
        return self._embed_users(indices, self._history_of_users() if self.history else None)

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

    def recommend_from(
        self,
        histories: Sequence[npt.ArrayLike],
        k: int = 10,
        *,
        exclude: Sequence[npt.ArrayLike] | None = None,
    ) -> SearchResult:
        """Returns the k best candidates for users who are known by what they chose.

        Args:
            histories: One sequence of item ids per user, oldest first.
            k: Number of candidates a user.
            exclude: One sequence of item ids per user to leave out; None leaves out the histories.

        Returns:
            Scores, ids and rows of shape (q, k), best first.

        Raises:
            ValueError: As `embed_histories`.
        """
        exclude = histories if exclude is None else exclude
        return self._exact("dot").search(self.embed_histories(histories), k, exclude=exclude)

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

    def _training(self, train: Interactions, batch_size: int) -> tuple[keras.Model, Any]:
        """Returns what is trained, and on which batches."""
        if isinstance(self.objective, Catalogue):
            model = UsersAndCatalogue(
                self.query_tower,
                self.candidate_tower,
                self.objective,
                self.candidate_inputs(np.arange(1, self.items.size)),
            )
            histories = self._history_of_users()
            return model, UserBatches(
                histories, self.query_inputs, self.history, self.objective, batch_size, self.seed
            )
        model = Pairs(self.query_tower, self.candidate_tower, self.objective)
        return model, self._pairs(train, batch_size, self.seed)

    def _pairs(self, interactions: Interactions, batch_size: int, seed: int | None) -> Batches:
        histories = self._history_of_users() if self.history else None

        def query_inputs(users: npt.NDArray[np.int64], candidates: npt.NDArray[np.int64]) -> Any:
            inputs = self.query_inputs(users)
            if histories is None:
                return inputs
            items = histories.padded(users, MAX_HISTORY, histories.longest(MAX_HISTORY))
            return {**inputs, HISTORY: np.where(items == candidates[:, None], 0, items)}

        return Batches(
            self._columns(interactions), query_inputs, self.candidate_inputs, batch_size, seed
        )

    def _history_of_users(self) -> Histories:
        if self.seen is None:
            raise ValueError("A tower that takes histories needs a fitted model: call fit.")
        if self._histories is None or self._histories[0] is not self.seen:
            histories = Histories.of_users(self.seen, self.users, self.items)
            self._histories = self.seen, histories
        return self._histories[1]

    def _embed_users(
        self, indices: npt.NDArray[np.int64], histories: Histories | None, own: bool = False
    ) -> npt.NDArray[np.float32]:
        if histories is None:
            return _embed(self.query_tower, self.query_inputs, indices, EMBED_BLOCK)
        numbers = np.arange(len(indices)) if own else indices

        def inputs(rows: npt.NDArray[np.int64]) -> Any:
            items = histories.padded(numbers[rows], MAX_HISTORY)
            # Widths in powers of 2, since a backend that compiles does so for every shape.
            width = 1 << (items.shape[1] - 1).bit_length()
            items = np.pad(items, ((0, 0), (0, width - items.shape[1])))
            return {**self.query_inputs(indices[rows]), HISTORY: items}

        return _embed(self.query_tower, inputs, np.arange(len(indices)), HISTORY_BLOCK)

    def _columns(self, interactions: Interactions) -> dict[str, npt.NDArray[Any]]:
        frame = interactions.frame
        candidate = self.items.encode(frame["item_id"]).astype(np.int32)
        counts = np.bincount(candidate, minlength=self.items.size)
        columns = {
            "user": self.users.encode(frame["user_id"]).astype(np.int32),
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


def _side(
    key: str,
    vocabulary: Vocabulary,
    spec: FeatureSpec | None,
    table: pl.DataFrame | None,
    history: Output | None,
) -> tuple[dict[str, Output], Inputs]:
    """Returns the features of a tower, and where their values come from."""
    if spec is None:
        outputs, columns = {key: id_output(vocabulary)}, id_columns(vocabulary, key)
    else:
        spec, columns = feature_columns(spec, table, vocabulary, key)
        outputs = dict(spec.outputs)
    if history is not None:
        if HISTORY in outputs:
            raise ValueError(f"{HISTORY!r} is the name of the history; call the feature otherwise.")
        outputs[HISTORY] = history
    return outputs, columns


def _embed(
    tower: keras.Model, inputs: Inputs, indices: npt.NDArray[np.int64], block: int
) -> npt.NDArray[np.float32]:
    blocks = [
        keras.ops.convert_to_numpy(tower(inputs(indices[start : start + block]), training=False))
        for start in range(0, len(indices), block)
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
