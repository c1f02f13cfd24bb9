"""A model and its training as plain settings, as the command line and its files have them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

import keras
import numpy as np

from shortlist.data import Histories, Interactions, Split, hold_out, split_random
from shortlist.data.features import FeatureSpec
from shortlist.data.splits import Manner
from shortlist.models.growth import together
from shortlist.models.objectives import Objective, objective_of
from shortlist.models.search import Search, search
from shortlist.models.training_log import TrainingLog
from shortlist.models.two_tower import TwoTower

VALIDATION_USERS = 20_000


@dataclass(frozen=True)
class Recipe:
    """Settings of a split, a model and its training.

    Attributes:
        split: How to hold out: at `"random"`, the latest by `"time"`, or the `"last"` of each user.
        test: Share held out, for random and time.
        objective: `"retrieval"` (in-batch softmax), `"rating"`, `"multitask"` (both), or
            `"catalogue"` (softmax over all candidates, user by user, with a history tower),
            `"least_squares"` (iALS, with a history tower), `"bpr"` or `"cosine_contrastive"`.
        options: Options of the objective by their names, such as `{"temperature": 0.1}`.
        embedding_dim: Length of an embedding.
        layer_sizes: Units of the dense layers of both towers.
        cross_layers: Cross layers of both towers, before the dense ones.
        pooling: How several indices of a feature become one embedding: `"mean"`, `"sqrt"`, `"sum"`.
        history: Whether the query tower has the user's items as a feature; None leaves it to the
            objective.
        dropout: Share dropped in training.
        user_features: What the query tower knows of a user: a feature spec as plain data; empty
            for the id alone.
        item_features: The same for the candidate tower.
        time_features: What the query tower knows of the moment of a query, over `timestamp`.
        epochs: Passes over the interactions, at most.
        batch_size: Interactions in a batch; users for `"catalogue"`.
        optimizer: `"adam"` (AdamW where there is weight decay) or `"adagrad"`.
        learning_rate: Step of the optimizer.
        weight_decay: Of AdamW.
        decay: Whether the learning rate falls to 0 over the epochs.
        patience: Epochs without improvement on a tenth of train, held out, after which training
            stops; 0 trains on all of train for all epochs. Of the users of that tenth at most
            20,000, drawn at random, are asked after each epoch.
        seed: Seed of the split, the initial embeddings and the order of training.

    Example:
        >>> recipe = Recipe.of(objective="catalogue", epochs=2)
        >>> recipe.objective, recipe.epochs
        ('catalogue', 2)
    """

    split: Manner = "random"
    test: float = 0.2
    objective: str = "retrieval"
    options: Mapping[str, Any] = field(default_factory=dict)
    embedding_dim: int = 32
    layer_sizes: tuple[int, ...] = ()
    cross_layers: int = 0
    pooling: Literal["mean", "sqrt", "sum"] = "mean"
    history: bool | None = None
    dropout: float = 0.0
    user_features: Mapping[str, Any] = field(default_factory=dict)
    item_features: Mapping[str, Any] = field(default_factory=dict)
    time_features: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 7
    batch_size: int = 512
    optimizer: Literal["adam", "adagrad"] = "adam"
    learning_rate: float = 0.005
    weight_decay: float = 0.0
    decay: bool = False
    patience: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        self._objective()
        for name, holds, expected in (
            ("test", 0 < self.test < 1, "between 0 and 1"),
            ("embedding_dim", self.embedding_dim >= 1, "at least 1"),
            ("layer_sizes", all(units >= 1 for units in self.layer_sizes), "all at least 1"),
            ("cross_layers", self.cross_layers >= 0, "at least 0"),
            ("dropout", 0 <= self.dropout < 1, "at least 0 and below 1"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("weight_decay", self.weight_decay >= 0, "at least 0"),
            ("patience", self.patience >= 0, "at least 0"),
            ("seed", self.seed >= 0, "at least 0"),
        ):
            if not holds:
                raise ValueError(f"`{name}` must be {expected}, got {getattr(self, name)!r}.")

    def parts(self, interactions: Interactions) -> Split:
        """Returns the train and test part."""
        return hold_out(interactions, self.split, test=self.test, seed=self.seed)

    @classmethod
    def of(cls, **settings: Any) -> Recipe:
        """Returns the recipe for an objective, with some settings changed."""
        return (cls.best if settings.get("objective") == "catalogue" else cls)(**settings)

    @classmethod
    def for_data(cls, interactions: Interactions, **settings: Any) -> Recipe:
        """Returns the recipe that suits interactions by their size and density.

        The density is the share of all pairs of users and items that are there.

        - Up to 5,000 items and a density of 1 % or more, as in MovieLens 100k: `best`.
        - Else the least squares, in closed form. The weight of what was not chosen is 1.5 times
          the square root of the density, at most 0.2; the penalty is such that its product with
          that weight and the geometric mean of the numbers of users and items is 3. Embeddings
          have a length of 128, and beyond 5,000 users and items, below 3,000,000 interactions, of
          256. Beyond 5,000 users and items a graph filter adds ten choices a user.

        Chosen by trials on parts held out of LastFM, Amazon Beauty and games of one shop.
        Features, layers, an objective and settings of gradients, where they are given, are for
        another model: then it is `of`.

        Args:
            interactions: What will be trained on.
            **settings: Settings that are given.
        """
        plain = {"split", "test", "embedding_dim", "epochs", "patience", "seed", "history"}
        objective = settings.get("objective")
        if objective is None and set(settings) <= plain:
            users, items = len(interactions.user_ids), len(interactions.item_ids)
            if items <= 5_000 and len(interactions) >= 0.01 * users * items:
                return cls.best(**settings)
        elif objective != "least_squares" or not set(settings) <= plain | {"objective", "options"}:
            return cls.of(**settings)
        return cls._least_squares(interactions, **settings)

    @classmethod
    def _least_squares(
        cls, interactions: Interactions, options: Mapping[str, Any] | None = None, **settings: Any
    ) -> Recipe:
        users, items = len(interactions.user_ids), len(interactions.item_ids)
        weight = min(0.2, 1.5 * (len(interactions) / (users * items)) ** 0.5)
        large = min(users, items) > 5_000
        suited: dict[str, Any] = {
            "objective": "least_squares",
            "options": {
                "unobserved_weight": weight,
                "l2": 3.0 / (weight * (users * items) ** 0.5),
                "propensity": 0.15 if large else 0.0,
                "smoothing": 0.1 if large else 0.0,
                "damping": 0.3 if large else 0.15,
                **(options or {}),
            },
            "embedding_dim": 256 if large and len(interactions) < 3_000_000 else 128,
            "pooling": "sqrt",
            "epochs": 8,
            "patience": 0,
        }
        return cls(**{**suited, **settings})

    @classmethod
    def search(
        cls,
        interactions: Interactions,
        *,
        seconds: float,
        trials: int | None = None,
        monitor: str = "recall@20",
        progress: bool | None = None,
        **settings: Any,
    ) -> Search:
        """Searches for the recipe that finds most, for a given time.

        A tenth of the interactions, drawn at random, judges what was learnt from the rest. The
        first trial is the recipe of `for_data`; Optuna proposes what to change of it (TPE), and
        what does not promise more is given up early. The time leaves room for the training by the
        recipe that is found.

        The seed and the number of trials decide what is tried and found. Where the time ends the
        search, how far it comes differs from run to run.

        Args:
            interactions: What will be trained on; nothing else is seen.
            seconds: How long search and training may take. The first trial ends in any case, and
                so does one by gradients that has begun.
            trials: How many to try, at most.
            monitor: The metric that decides, of users' held-out interactions.
            progress: False says nothing; else there is a line a trial, on stderr.
            **settings: Settings that are given and stay.

        Returns:
            The recipe, and what was tried.

        Raises:
            MissingExtraError: Optuna is missing; it comes with `shortlist[search]`.

        Source:
            Akiba et al., "Optuna: a next-generation hyperparameter optimization framework", KDD
            2019; Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011 (TPE).
        """
        return search(
            cls.for_data(interactions, **settings),
            interactions,
            seconds=seconds,
            trials=trials,
            monitor=monitor,
            progress=progress,
        )

    @classmethod
    def best(cls, **settings: Any) -> Recipe:
        """Returns the recipe that finds most, with some settings changed.

        Chosen on a validation part of the train part of MovieLens 100k. There, by
        `benchmarks/accuracy.py --only choice --seeds 1`, its hit rate@10 and @100 are 0.143 and
        0.603; without history 0.140 and 0.592; with mean pooling 0.145 and 0.597; with 128
        dimensions 0.139 and 0.589; without dropout 0.120 and 0.551; without weight decay 0.141 and
        0.593; with 100 epochs 0.141 and 0.598.
        """
        best: dict[str, Any] = {
            "objective": "catalogue",
            "embedding_dim": 256,
            "pooling": "sqrt",
            "dropout": 0.7,
            "epochs": 150,
            "batch_size": 128,
            "learning_rate": 0.003,
            "weight_decay": 0.5,
            "decay": True,
            "patience": 0,
        }
        return cls(**{**best, **settings})

    def model(self, train: Interactions) -> TwoTower:
        """Returns the untrained model."""
        user_features, item_features, time_features = (
            FeatureSpec.from_dict(features) if features else None
            for features in (self.user_features, self.item_features, self.time_features)
        )
        return TwoTower.from_interactions(
            train,
            embedding_dim=self.embedding_dim,
            objective=self._objective(),
            user_features=user_features,
            item_features=item_features,
            time_features=time_features,
            history=self.history,
            layer_sizes=self.layer_sizes,
            cross_layers=self.cross_layers,
            pooling=self.pooling,
            dropout=self.dropout,
            seed=self.seed,
        )

    def fit(
        self,
        model: TwoTower,
        train: Interactions,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: bool = False,
        progress: bool | None = None,
        earlier: Histories | None = None,
    ) -> TrainingLog:
        """Trains the model, with a progress bar on a terminal.

        Args:
            model: What `model` gave.
            train: The train part.
            checkpoint: As for `TwoTower.fit`.
            resume: As for `TwoTower.fit`.
            progress: As for `TwoTower.fit`.
            earlier: As for `TwoTower.fit`.
        """
        validation, learnt = None, train
        if self.patience:
            inner = split_random(train, test=0.1, seed=self.seed)
            learnt, validation = inner.train, _of_some_users(inner.test, self.seed)
        log = model.fit(
            learnt,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optimizer=self._optimizer(),
            decay=self.decay,
            validation=validation,
            patience=self.patience or self.epochs,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
            earlier=earlier,
        )
        model.seen = together(earlier, train)
        return log

    def _objective(self) -> Objective:
        objective = objective_of(self.objective)
        names = [field.name for field in fields(objective)]  # type: ignore[arg-type]
        for name in self.options:
            if name not in names:
                raise ValueError(
                    f"`options` of {self.objective!r} may be {', '.join(names) or 'none'}, "
                    f"got {name!r}."
                )
        return type(objective)(**self.options)

    def _optimizer(self) -> Any:
        if self.optimizer == "adagrad":
            return keras.optimizers.Adagrad(self.learning_rate)
        if self.weight_decay:
            return keras.optimizers.AdamW(self.learning_rate, weight_decay=self.weight_decay)
        return keras.optimizers.Adam(self.learning_rate)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain data, fit for JSON."""
        return asdict(self)


def _of_some_users(validation: Interactions, seed: int) -> Interactions:
    """Draws the users that are asked after each epoch: 20,000 tell a rate to about 0.003."""
    number = len(validation.user_ids)
    if number <= VALIDATION_USERS:
        return validation
    asked = np.zeros(number, bool)
    asked[np.random.default_rng(seed).choice(number, VALIDATION_USERS, replace=False)] = True
    return validation.take(asked[validation.user.rows])
