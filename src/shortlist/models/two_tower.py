"""The two-tower model."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from shortlist.data import Histories, Interactions, Vocabulary
from shortlist.data.features import FeatureSpec
from shortlist.data.interactions import check_interactions
from shortlist.data.storage import counts, gathered
from shortlist.evaluation import Validation
from shortlist.evaluation.metrics import rank_of
from shortlist.ids import as_ids, check_kind
from shortlist.index.numbers import as_integer
from shortlist.models.batches import Batches, PairBatches, UserBatches
from shortlist.models.catalogue import Catalogue
from shortlist.models.checkpoint import Checkpoint
from shortlist.models.epochs import Epochs
from shortlist.models.growth import grown, later, together
from shortlist.models.identity import identity
from shortlist.models.inputs import (
    HISTORY,
    TIMESTAMP,
    Inputs,
    Moments,
    history_output,
    indices_only,
    side,
)
from shortlist.models.least_squares import LeastSquares, Tables, alternate
from shortlist.models.objectives import (
    MultiTask,
    Objective,
    Retrieval,
    further_negatives,
    objective_of,
)
from shortlist.models.pairwise import CosineContrastive
from shortlist.models.progress import TrainingProgress
from shortlist.models.retriever import Retriever
from shortlist.models.tower import Tower
from shortlist.models.training import Towers, all_or_nothing
from shortlist.models.training_log import TrainingLog


class TwoTower(Retriever):
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
            items each user had in training, padded with 0. Where interactions have times, training
            shows only what came before the one to be predicted; else all but that one. `Catalogue`
            hides items at random, whatever their times.
        moments: What the query tower knows of the moment of a query, as further inputs.
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
        moments: Moments | None = None,
        rating_range: tuple[float, float] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            query_tower,
            candidate_tower,
            users,
            items,
            query_inputs=query_inputs,
            candidate_inputs=candidate_inputs,
            history=history,
            moments=moments,
            seed=seed,
        )
        self.objective = objective
        self.rating_range = rating_range
        _check_range(rating_range)

    @property
    def objective(self) -> Objective:
        """What the model is trained to do; may be set to another, or to the name of one."""
        return self._objective

    @objective.setter
    def objective(self, objective: str | Objective) -> None:
        objective = objective_of(objective)
        if self.moments is not None and isinstance(objective, Catalogue | LeastSquares):
            raise ValueError(
                f"{type(objective).__name__} learns user by user and can have no time features."
            )
        self._objective = objective

    @property
    def timed(self) -> bool:
        """Whether an evaluation asks at the time of each held-out interaction.

        It does where training was so: with time features, or with histories up to each interaction.
        `Catalogue` and `LeastSquares` learn sets of items without times, and are asked with all of
        a user's items.
        """
        return self.takes_time and not isinstance(self.objective, Catalogue | LeastSquares)

    @classmethod
    def from_interactions(
        cls,
        train: Interactions,
        *,
        embedding_dim: int = 32,
        objective: str | Objective = "retrieval",
        user_features: FeatureSpec | None = None,
        item_features: FeatureSpec | None = None,
        time_features: FeatureSpec | None = None,
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
            time_features: What the query tower knows of the moment of a query, over the column
                `timestamp` alone, such as its hour and weekday; not for `Catalogue`, which learns
                user by user.
            history: Whether the query tower also has the user's items as a feature, so that users
                who were not in training can be served; None has it for `Catalogue` and
                `LeastSquares`.
            normalize: Whether embeddings have one length, so that a dot product is a cosine; None
                does so for the in-batch softmax and `CosineContrastive`.
            seed: Seed of the initial embeddings and of the order of training.
            **tower: Further arguments of `Tower` for both towers: `layer_sizes`, `cross_layers`,
                `dropout`, …; dropout and pooling are the query tower's alone where the candidate
                tower is one embedding.

        Returns:
            The model, not yet fitted.

        Raises:
            ValueError: A feature or an argument that cannot be used.
        """
        check_interactions(train, "train")
        seed = as_integer(seed, "seed", 0)
        objective = objective_of(objective)
        if normalize is None:
            normalize = isinstance(objective, Retrieval | MultiTask | CosineContrastive)
        if history is None:
            history = isinstance(objective, Catalogue | LeastSquares)
        users, items = Vocabulary(train.user.ids), Vocabulary(train.item.ids)
        moments = None
        if time_features is not None:
            moments = Moments(time_features, train.values.get(TIMESTAMP))
        further = {} if moments is None else moments.features.outputs
        if history:
            further = {**further, HISTORY: history_output(items)}
        query, query_inputs = side("user_id", users, user_features, train.users, further)
        candidate, candidate_inputs = side("item_id", items, item_features, train.items, {})
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
            moments=moments,
            seed=seed,
        )

    def grown(self, train: Interactions) -> TwoTower:
        """Returns a model that also knows the users and items of `train`: for a warm start.

        Whatever this model knows keeps its embedding, also where `train` no longer has it. New ids,
        and new values of categories, get initial embeddings; `fit` then learns them.

        Args:
            train: New interactions, with the tables of users and items that the features read.

        Returns:
            Another model; this one stays as it is.

        Raises:
            ValueError: Towers that `from_interactions` did not make.
            DataError: A table that is missing, or ids of another type.

        Example:
            >>> views = Interactions.from_arrays([1, 1, 2], [10, 20, 10])
            >>> model = TwoTower.from_interactions(views, embedding_dim=4)
            >>> more = model.grown(Interactions.from_arrays([2, 3], [30, 10]))
            >>> more.users.ids, more.items.ids
            (array([1, 2, 3]), array([10, 20, 30]))
            >>> bool((more.embed_candidates([10]) == model.embed_candidates([10])).all())
            True
        """
        query_tower, candidate_tower, query_inputs, candidate_inputs = grown(self, train)
        model = TwoTower(
            query_tower,
            candidate_tower,
            later(self.users, train.user.ids),
            later(self.items, train.item.ids),
            objective=self.objective,
            query_inputs=query_inputs,
            candidate_inputs=candidate_inputs,
            history=self.history,
            moments=self.moments,
            rating_range=self.rating_range,
            seed=self.seed,
        )
        model._seen = self._seen
        return model

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
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        earlier: Histories | None = None,
    ) -> TrainingLog:
        """Trains the towers.

        Args:
            train: Interactions; `rating` is needed for the rating objective, `weight` is used where
                present.
            epochs: Passes over the interactions, at most.
            batch_size: Interactions in a batch, for in-batch retrieval also the candidates in the
                softmax; for `Catalogue` users in a batch.
            optimizer: A Keras optimizer, or the name of one with Keras's own settings. Tables of
                more than 16,384 rows are updated by row where it is SGD without momentum, Adagrad,
                Adam or AdamW; Adam and weight decay are then lazy: they change a row only when it
                is looked up.
            decay: Whether the learning rate falls in equal steps, from its own in the first epoch
                to almost 0 in the last of `epochs`.
            validation: Held-out interactions. After every epoch the candidates are embedded and
                indexed anew and `monitor` is measured, seen items left out; the weights of the best
                epoch are kept.
            monitor: The metric of `evaluation.evaluate` that decides.
            patience: Epochs without improvement after which training stops.
            progress: True shows a progress bar on stderr, False nothing; None shows the bar on a
                terminal, and elsewhere a line an epoch and at least one a minute, with the rate
                and the time left.
            checkpoint: A file that keeps how far the training is: replaced after every epoch, and
                when SIGTERM comes, which ends the program at the next step. It stays when the
                training is done.
            resume: Whether to go on from the checkpoint, to the result that the training would
                have had without the interruption; where there is none, training starts anew.
            earlier: What users had before `train`, such as `seen` of a model that goes on. It is
                not recommended again, a tower with a history knows it, and objectives that learn
                user by user learn from both.

        Returns:
            The course of the training.

        Raises:
            ValueError: A number out of range, ids of another type than the model's, ratings or
                times that are missing or all equal, an optimizer that there is not, a training
                that diverged, or a checkpoint of another training.
            OSError: The checkpoint cannot be written; the one before it is still there.

        A call that fails, or is interrupted (Ctrl-C), changes nothing: weights, seen items and the
        optimizer's state are what they were before.
        """
        epochs = as_integer(epochs, "epochs", 1)
        batch_size = as_integer(batch_size, "batch_size", 1)
        patience = as_integer(patience, "patience", 1)
        rank_of(monitor)
        optimizer = _optimizer(optimizer, decay)
        if resume and checkpoint is None:
            raise ValueError("`resume=True` needs `checkpoint`: the file to go on from.")
        with TrainingProgress(progress) as shown:
            self._check(train, "train")
            if validation is not None:
                self._check(validation, "validation")
            kept = self._seen, self.rating_range, self._indexes
            seen, rating_range = together(earlier, train), self._range_of(train)
            self._seen, self.rating_range, self._indexes = seen, rating_range, {}
            try:
                self._check_dimensions()
                measure = kept_at = None
                if validation is not None:
                    timed = self.timed and TIMESTAMP in validation.values
                    measured = Validation(validation, train, monitor, seen, timed=timed)
                    measure = partial(self._measured, measured)
                if checkpoint is not None:
                    settings = {
                        "epochs": epochs,
                        "batch_size": batch_size,
                        "optimizer": {
                            "class": type(optimizer).__name__,
                            **{k: v for k, v in optimizer.get_config().items() if k != "name"},
                        },
                        "decay": decay,
                        "monitor": monitor,
                        "patience": patience,
                        "seen": int(seen.lengths.sum()),
                    }
                    kept_at = Checkpoint(checkpoint, identity(self, train, validation, **settings))
                watched: dict[str, Any] = {
                    "epochs": epochs,
                    "measure": measure,
                    "monitor": monitor,
                    "patience": patience,
                    "progress": shown,
                    "checkpoint": kept_at,
                }
                if isinstance(self.objective, LeastSquares):
                    log = self._alternate(self.objective, watched, resume)
                else:
                    towers, batches = self._training(train, batch_size)
                    with all_or_nothing(towers, optimizer):
                        run = Epochs(towers, batches, decay=decay, **watched)
                        log = run.run(optimizer, resume=resume)
            except BaseException:
                self._seen, self.rating_range, self._indexes = kept
                raise
            self._indexes = {}
            return log

    def loss(self, interactions: Interactions, *, batch_size: int = 1024) -> float:
        """Returns the objective's loss on interactions, without training, mean over batches.

        Args:
            interactions: What to measure; candidates and users unknown get index 0.
            batch_size: Interactions in a batch.

        Returns:
            The mean over batches, each weighted by its interactions.
        """
        if isinstance(self.objective, Catalogue | LeastSquares):
            raise ValueError(
                f"{type(self.objective).__name__} has no loss of held-out interactions; use "
                "`evaluate`."
            )
        self._check(interactions, "interactions")
        batch_size = as_integer(batch_size, "batch_size", 1)
        towers = Towers(self.query_tower, self.candidate_tower, self.objective)
        towers.compile()
        return float(towers.evaluate(self._pairs(interactions, batch_size, None), verbose=0))

    def _measured(self, validation: Validation) -> float:
        """The metric with the weights of now."""
        self._indexes.clear()
        return validation(self)

    def _alternate(
        self, objective: LeastSquares, watched: dict[str, Any], resume: bool
    ) -> TrainingLog:
        """Trains towers that are tables, in closed form."""
        histories = self._history_of_users()

        def embed_histories() -> npt.NDArray[np.float32]:
            return self._embed_users(np.arange(1, self.users.size), histories)

        given = embed_histories if self.history else None
        tables = Tables(self.query_tower, self.candidate_tower, given)
        choices = objective.choices(histories, len(self.items.ids))
        towers = Towers(self.query_tower, self.candidate_tower, objective)
        with all_or_nothing(towers, keras.optimizers.SGD()):
            return alternate(objective, tables, choices, resume=resume, **watched)

    def _training(self, train: Interactions, batch_size: int) -> tuple[Towers, Batches]:
        """Returns what is trained, and on which batches."""
        parts = self.query_tower, self.candidate_tower, self.objective
        if not isinstance(self.objective, Catalogue):
            return Towers(*parts), self._pairs(train, batch_size, self.seed)
        histories = self._history_of_users()
        everything = self.candidate_inputs(np.arange(1, self.items.size))
        return Towers(*parts, candidate_inputs=everything), UserBatches(
            histories, self.query_inputs, self.history, self.objective, batch_size, self.seed
        )

    def _pairs(self, interactions: Interactions, batch_size: int, seed: int | None) -> PairBatches:
        histories = self._history_of_users() if self.history else None
        moments, times = None, interactions.values.get(TIMESTAMP)
        if self.moments is not None and times is not None:
            moments = self.moments.to_learn_from(times, seed)
        columns = self._columns(interactions)
        chosen = counts(columns["candidate"], self.items.size)
        return PairBatches(
            columns,
            self.query_inputs,
            self.candidate_inputs,
            batch_size,
            seed,
            shares=(chosen / len(interactions)).astype(np.float32),
            histories=histories,
            times=None if histories is None or histories.times is None else times,
            moments=moments,
            further=further_negatives(self.objective),
        )

    def _columns(self, interactions: Interactions) -> dict[str, npt.NDArray[Any]]:
        users, items = interactions.user, interactions.item
        columns = {
            "user": gathered(self.users.encode(users.ids).astype(np.int32), users.rows),
            "candidate": gathered(self.items.encode(items.ids).astype(np.int32), items.rows),
        }
        if "weight" in interactions.values:
            columns["weight"] = interactions.values["weight"]
        if self.objective.needs_ratings:
            low, high = self._range_of(interactions) or (0.0, 1.0)
            ratings = interactions.values["rating"]
            columns["rating"] = ((ratings - low) / (high - low)).astype(np.float32)
        return columns

    def _range_of(self, interactions: Interactions) -> tuple[float, float] | None:
        """The ratings that scale to 0 and 1: those given or first trained on, or these."""
        if not self.objective.needs_ratings:
            return self.rating_range
        if "rating" not in interactions.values:
            raise ValueError("The rating objective needs interactions with ratings.")
        if self.rating_range is not None:
            _check_range(self.rating_range)
            return self.rating_range
        ratings = interactions.values["rating"]
        low, high = float(ratings.min()), float(ratings.max())
        if not high > low:
            raise ValueError(
                f"the ratings must differ to be learnt from, and all are {low:g}; give "
                "`rating_range`, or learn choices by objective='retrieval'."
            )
        return low, high

    def _check_dimensions(self) -> None:
        """Refuses towers whose embeddings cannot be multiplied; makes weights not made yet."""
        nobody = np.zeros(1, np.int64)
        queries = self._embed_users(nobody, self._history_of_users() if self.history else None)
        candidates = self._embed("candidate", self.candidate_inputs, nobody, 1)
        if queries.shape != candidates.shape:
            raise ValueError(
                "the towers must give embeddings of one length, got "
                f"{queries.shape[1:]} for queries and {candidates.shape[1:]} for candidates."
            )

    def _check(self, interactions: Any, argument: str) -> None:
        """Refuses what cannot be learnt from or measured, before anything is changed."""
        if not isinstance(interactions, Interactions):
            raise ValueError(
                f"`{argument}` must be Interactions, got {type(interactions).__name__}; "
                "Interactions.from_polars, from_pandas and from_arrow read tables."
            )
        if not len(interactions):
            raise ValueError(f"`{argument}` must hold at least one interaction, and has none.")
        for what, column, vocabulary in (
            ("user", interactions.user, self.users),
            ("item", interactions.item, self.items),
        ):
            ids = as_ids(column.values(slice(1)), argument)
            check_kind(ids, vocabulary.id_type is str, f"{argument}: {what}_id", f"the {what}s")
        if not self.items.encode(interactions.item.ids).any():
            raise ValueError(
                f"`{argument}` holds none of the items of this model; build a model for it by "
                "TwoTower.from_interactions."
            )
        if self.moments is not None and TIMESTAMP not in interactions.values:
            raise ValueError(
                f"`{argument}`: time features need interactions with a column 'timestamp'."
            )


def _check_range(rating_range: tuple[float, float] | None) -> None:
    if rating_range is not None and not rating_range[1] > rating_range[0]:
        raise ValueError(f"`rating_range` must go from low to high, got {rating_range}.")


def _optimizer(given: Any, decay: bool) -> keras.optimizers.Optimizer:
    """The optimizer itself, by its name where it is one."""
    try:
        optimizer = keras.optimizers.get(given)
    except (ValueError, TypeError):
        optimizer = None
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            "`optimizer` must be a Keras optimizer or the name of one, such as 'adam' or "
            f"'adagrad', got {given!r}."
        )
    if decay and isinstance(optimizer.get_config()["learning_rate"], dict):
        raise ValueError("`decay` needs an optimizer without a schedule of its own; drop one.")
    return optimizer
