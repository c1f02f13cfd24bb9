"""The search for a recipe: trials on a part held out, until the time is over."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shortlist._extras import needs
from shortlist.data import Histories, Interactions, Vocabulary, split_random
from shortlist.evaluation import evaluate
from shortlist.evaluation.metrics import rank_of
from shortlist.index import Index, IndexConfig
from shortlist.models.least_squares import LeastSquares

if TYPE_CHECKING:
    from shortlist.models.recipe import Recipe

# Users who are asked after each round: they tell a recall of 0.2 to about 0.005.
ASKED = 5_000
ROUNDS = 10  # of least squares
DAMPINGS = (0.0, 0.15, 0.3, 0.45)


@dataclass(frozen=True)
class Trial:
    """One recipe that was tried.

    Attributes:
        settings: What it changed of the recipe that the search began with.
        value: The best figure it reached; NaN where it reached none.
        pruned: Whether it was given up before its end, for it or the time did not promise more.
        seconds: How long it took.
    """

    settings: Mapping[str, Any]
    value: float
    pruned: bool
    seconds: float


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        recipe: The best recipe, to train on all of the interactions.
        monitor: The figure that decided.
        trials: All that was tried, in order.
        seconds: How long it took.
    """

    recipe: Recipe
    monitor: str
    trials: tuple[Trial, ...]
    seconds: float

    @property
    def best(self) -> Trial:
        """The trial that gave the recipe."""
        return max(self.trials, key=lambda trial: np.nan_to_num(trial.value, nan=-1.0))

    def to_dict(self) -> dict[str, Any]:
        """Returns the search as plain data, fit for JSON."""
        return {
            "monitor": self.monitor,
            "seconds": self.seconds,
            "best": self.trials.index(self.best),
            "trials": [
                {**asdict(trial), "value": None if np.isnan(trial.value) else trial.value}
                for trial in self.trials
            ],
        }


@dataclass
class _Course:
    """How a trial goes: what it has reached, and by which settings."""

    value: float = float("nan")
    settings: dict[str, Any] = field(default_factory=dict)
    began: float = field(default_factory=time.perf_counter)
    to_train: float = 0.0  # seconds that a training by these settings takes

    def reached(self, value: float, **settings: Any) -> None:
        if not value <= self.value:
            self.value, self.settings = value, {**self.settings, **settings}
            self.to_train = time.perf_counter() - self.began


def search(
    base: Recipe,
    interactions: Interactions,
    *,
    seconds: float,
    trials: int | None = None,
    monitor: str = "recall@20",
    progress: bool | None = None,
) -> Search:
    """Tries recipes near one until the time is over; see `Recipe.search`."""
    with needs("The search for a recipe", "search"):
        import optuna

    if not seconds > 0:
        raise ValueError(f"`seconds` must be above 0, got {seconds}.")
    rank_of(monitor)
    began = time.perf_counter()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=base.seed, n_startup_trials=6, multivariate=True),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
    )
    measured = _Measured(interactions, monitor, base.seed)
    try_once = _by_least_squares if base.objective == "least_squares" else _by_gradients
    done: list[Trial] = []
    best = _Course()
    longest = 0.0
    while trials is None or len(done) < trials:
        # What is left after the training by the best recipe, which comes after the search.
        deadline = began + seconds - 1.3 * best.to_train
        if done and time.perf_counter() + (longest / 3 if measured.users else 0) > deadline:
            break
        trial = study.ask()
        course = _Course()
        pruned = try_once(base, trial, measured, course, deadline if done else float("inf"))
        failed = np.isnan(course.value)
        study.tell(
            trial,
            None if failed else course.value,
            state=optuna.trial.TrialState.FAIL if failed else None,
        )
        took = time.perf_counter() - course.began
        longest = max(longest, took)
        if not failed and not course.value <= best.value:
            best = course
        done.append(Trial(course.settings, course.value, pruned, took))
        if progress is not False:
            _say(done, monitor, best, seconds - (time.perf_counter() - began))
    return Search(
        recipe=replace(base, **best.settings),
        monitor=monitor,
        trials=tuple(done),
        seconds=time.perf_counter() - began,
    )


class _Measured:
    """The interactions, parted into those that trials learn from and those that judge them."""

    def __init__(self, interactions: Interactions, monitor: str, seed: int) -> None:
        parts = split_random(interactions, test=0.1, seed=seed)
        self.learnt, self.held_out = parts.train, parts.test
        users = np.unique(self.held_out.user_ids)
        if len(users) > ASKED:
            asked = np.random.default_rng(seed).choice(users, ASKED, replace=False)
            ids = self.held_out.frame["user_id"].to_numpy()
            self.held_out = self.held_out.take(np.isin(ids, asked))
        self.monitor = monitor
        self.users = Vocabulary.from_ids(self.learnt.user_ids)
        self.items = Vocabulary.from_ids(self.learnt.item_ids)
        seen = Histories.from_interactions(self.learnt)
        self.histories = seen.encoded(self.users, self.items)

    def figure(self, recommender: Any) -> float:
        """Returns what decides, of anything that recommends."""
        result = evaluate(
            recommender,
            self.held_out,
            train=self.learnt,
            ks=(rank_of(self.monitor),),
            baselines={},
            at_their_times=False,
        )
        return float(result[self.monitor])

    def of_factors(
        self, users: npt.NDArray[np.float32], candidates: npt.NDArray[np.float32]
    ) -> float:
        """Returns what decides, of factors."""
        index = Index.build(candidates, self.items.ids, config=IndexConfig(exact=True))
        return self.figure(
            lambda asked, k, exclude: index.search(
                users[self.users.encode(asked) - 1], k, exclude=exclude
            )
        )


def _by_least_squares(
    base: Recipe, trial: Any, measured: _Measured, course: _Course, deadline: float
) -> bool:
    """Alternates round by round; returns whether it gave up."""
    options: dict[str, Any] = dict(base.options)
    course.settings = {"embedding_dim": base.embedding_dim, "options": options}
    if trial.number:  # the first trial is the recipe itself
        default = LeastSquares(**options)
        weight, l2 = default.unobserved_weight, default.l2
        weight = trial.suggest_float("unobserved_weight", weight / 4, weight * 4, log=True)
        # What counts is their product with the number of rows.
        strength = trial.suggest_float("strength", 0.3, 3.0, log=True)
        dims = sorted({max(8, base.embedding_dim // 2), base.embedding_dim, base.embedding_dim * 2})
        course.settings["embedding_dim"] = trial.suggest_categorical("embedding_dim", dims)
        options |= {
            "unobserved_weight": weight,
            "l2": strength * l2 * default.unobserved_weight / weight,
            "propensity": trial.suggest_float("propensity", 0.0, 0.4),
            "smoothing": trial.suggest_float("smoothing", 0.01, 0.4, log=True),
            "smoothing_number": trial.suggest_int("smoothing_number", 4, 32, log=True),
            "smoothing_power": trial.suggest_float("smoothing_power", 0.0, 0.5),
        }
    objective = LeastSquares(**options)
    choices = objective.choices(measured.histories, len(measured.items.ids))
    of_items = choices.transposed()
    rng = np.random.default_rng(base.seed)
    shape = len(measured.items.ids), course.settings["embedding_dim"]
    items = rng.uniform(-0.05, 0.05, shape).astype(np.float32)
    users = objective.users(choices, items)
    without_gain = 0
    for epoch in range(1, ROUNDS + 1):
        items = objective.users(of_items, users)
        users = objective.users(choices, items)
        if epoch > 2:
            before = course.value
            dampings = DAMPINGS if epoch == 3 else (options.get("damping", 0.0),)
            for damping in dampings:
                damped = replace(objective, damping=damping).damped(items)
                figure = measured.of_factors(users, damped)
                if not figure <= course.value:
                    options["damping"] = damping
                course.reached(figure, epochs=epoch, patience=0)
            trial.report(course.value, epoch)
            without_gain = 0 if not course.value <= before else without_gain + 1
            if trial.should_prune():
                return True
        if time.perf_counter() > deadline:
            return True
        if without_gain == 2:
            break
    return False


def _by_gradients(
    base: Recipe, trial: Any, measured: _Measured, course: _Course, deadline: float
) -> bool:
    """Trains a model by Keras; a training that has begun ends."""
    del deadline
    options = dict(base.options)
    if trial.number:
        if base.objective in ("retrieval", "catalogue"):
            default = 0.25 if base.objective == "retrieval" else 1.0
            at = float(options.get("temperature", default))
            options["temperature"] = trial.suggest_float("temperature", at / 3, at * 2, log=True)
        rate = base.learning_rate
        course.settings |= {
            "options": options,
            "embedding_dim": trial.suggest_categorical(
                "embedding_dim", [max(8, base.embedding_dim // 2), base.embedding_dim]
            ),
            "learning_rate": trial.suggest_float("learning_rate", rate / 3, rate * 3, log=True),
        }
        if base.dropout:
            course.settings["dropout"] = trial.suggest_float("dropout", 0.3, 0.8)
        if base.weight_decay:
            decay = base.weight_decay
            course.settings["weight_decay"] = trial.suggest_float(
                "weight_decay", decay / 4, decay * 4, log=True
            )
    recipe = replace(base, **course.settings)
    model = recipe.model(measured.learnt)
    try:
        recipe.fit(model, measured.learnt, progress=False)
    except ValueError:  # it diverged
        return False
    course.reached(measured.figure(model))
    return False


def _say(done: list[Trial], monitor: str, best: _Course, left: float) -> None:
    trial = done[-1]
    sys.stderr.write(
        f"search: trial {len(done)}, {monitor} {trial.value:.4f}"
        f"{', given up' if trial.pruned else ''}; best {best.value:.4f}; "
        f"{max(left, 0):.0f} s left\n"
    )
    sys.stderr.flush()
