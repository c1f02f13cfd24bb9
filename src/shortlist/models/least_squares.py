"""Training two tables of embeddings by alternating least squares, without gradients."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from keras import ops

from shortlist.data import Histories
from shortlist.evaluation.baselines.least_squares import Choices, Floats, solve
from shortlist.models.checkpoint import Checkpoint
from shortlist.models.embedding_bag import count
from shortlist.models.inputs import HISTORY
from shortlist.models.progress import TrainingProgress
from shortlist.models.smoothing import smoothed
from shortlist.models.stopping import Stopped, StopRequest
from shortlist.models.tower import Tower
from shortlist.models.training_log import TrainingLog


@dataclass(frozen=True)
class LeastSquares:
    """Squared errors over all users and candidates: 1 where chosen, and 0 elsewhere, weighted less.

    Each tower is an embedding table, the query tower with a history beside it if wanted. The tables
    are the factors of iALS: each side is solved for in closed form given the other, in turns. So an
    epoch takes seconds, whatever the number of candidates, and batches and optimizer do not matter.
    It finds much on sparse data. That an item was chosen counts, not how often.

    A history is what strangers are known by. The embeddings of its items are the candidates',
    mapped linearly so that what the history becomes is as near as possible to the factors of the
    users of training. A user of training has in the id's table what is missing from there.

    Attributes:
        unobserved_weight: Weight of the zeros, where that of the ones is 1.
        l2: Strength of the penalty on the squares of a user's factors, which is
            `l2 * (n + unobserved_weight * candidates) ** power` where the user chose n; and the
            same for candidates.
        power: See `l2`. 1 penalises by the number of choices, 0 all alike.
        propensity: A choice of an item that n users chose, of m on average, counts
            (n / m) ** -propensity: 0 counts all alike, more lets rare items teach more.
        smoothing: Weight of further choices that a graph filter adds for each user; see `smoothed`.
            0 adds none. It helps where data are sparse, less where they are dense.
        smoothing_number: How many it adds, at most.
        smoothing_power: How much popularity counts against a candidate there.
        damping: After training each candidate's embedding is divided by its length to this power.
            Popular candidates have long embeddings, so that more of the others is found.

    Raises:
        ValueError: A number out of range.

    Example:
        >>> from shortlist.data import Interactions
        >>> from shortlist.models import TwoTower
        >>> views = Interactions.from_arrays([1, 1, 2, 2, 3, 4, 4], list("ababacd"))
        >>> model = TwoTower.from_interactions(views, objective=LeastSquares(), embedding_dim=2)
        >>> _ = model.fit(views, epochs=10, progress=False)
        >>> model.recommend([3], k=1).ids.tolist()
        [['b']]

    Source:
        Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008;
        Rendle et al., "Revisiting the performance of iALS on item recommendation benchmarks",
        RecSys 2022; Schnabel et al., "Recommendations as treatments", ICML 2016 (propensities);
        Shen et al., "How powerful is graph convolution for recommendation?", CIKM 2021 (smoothing).
    """

    unobserved_weight: float = 0.05
    l2: float = 0.005
    power: float = 1.0
    propensity: float = 0.0
    smoothing: float = 0.0
    smoothing_number: int = 10
    smoothing_power: float = 0.1
    damping: float = 0.0

    def __post_init__(self) -> None:
        for name, holds, expected in (
            ("unobserved_weight", self.unobserved_weight > 0, "above 0"),
            ("l2", self.l2 > 0, "above 0"),
            ("power", 0 <= self.power <= 1, "from 0 to 1"),
            ("propensity", 0 <= self.propensity <= 1, "from 0 to 1"),
            ("smoothing", 0 <= self.smoothing <= 1, "from 0 to 1"),
            ("smoothing_number", self.smoothing_number >= 1, "at least 1"),
            ("smoothing_power", 0 <= self.smoothing_power <= 1, "from 0 to 1"),
            ("damping", 0 <= self.damping <= 1, "from 0 to 1"),
        ):
            if not holds:
                raise ValueError(f"`{name}` must be {expected}, got {getattr(self, name)!r}.")

    @property
    def needs_ratings(self) -> bool:
        """An interaction is a positive, whatever its rating."""
        return False

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the loss without penalty: the weighted squares, a choice on average.

        Args:
            queries: (b, d) embeddings.
            candidates: (n, d) embeddings of the candidates with index 1, 2, …, n.
            batch: `chosen`, (b, h) int32 indices of candidates padded with 0.
        """
        scores = ops.matmul(queries, ops.transpose(candidates))
        chosen = count(batch["chosen"], ops.shape(candidates)[0] + 1)[:, 1:]
        squares = chosen * ops.square(scores - 1.0) + self.unobserved_weight * ops.square(scores)
        return ops.sum(squares) / ops.maximum(ops.sum(chosen), 1.0)

    def choices(self, histories: Histories, num_items: int) -> Choices:
        """Returns what each user but 0, who is unknown, chose; for encoded histories."""
        distinct = histories.distinct()
        offsets = np.concatenate([[0], np.cumsum(distinct.lengths[1:])])
        choices = Choices(offsets, np.asarray(distinct.items, np.int64) - 1, num_items)
        counts = np.bincount(choices.columns, minlength=num_items)
        if self.smoothing:
            choices = smoothed(
                choices,
                self.smoothing_number,
                weight=self.smoothing,
                power=self.smoothing_power,
            )
        if self.propensity:
            relative = np.maximum(counts, 1) / counts.mean()
            weights = (relative**-self.propensity).astype(np.float32)[choices.columns]
            choices = replace(choices, weights=weights * (choices.weights if self.smoothing else 1))
        return choices

    def users(self, choices: Choices, items: Floats) -> Floats:
        """Returns the best factors of users who chose these items."""
        return solve(
            choices, items, unobserved_weight=self.unobserved_weight, l2=self.l2, power=self.power
        )

    def damped(self, items: Floats) -> Floats:
        """Returns the candidates' embeddings."""
        lengths = np.linalg.norm(items, axis=1, keepdims=True)
        damped: Floats = items / np.maximum(lengths, 1e-12) ** np.float32(self.damping)
        return damped

    def loss(self, choices: Choices, users: Floats, items: Floats) -> float:
        """Returns what is minimised, penalty included, over the weights of the choices."""
        weights = choices.weights
        weights = np.ones(len(choices.columns), np.float32) if weights is None else weights
        total = self.unobserved_weight * float(np.sum((users.T @ users) * (items.T @ items)))
        rows = np.repeat(np.arange(len(choices)), choices.lengths)
        for start in range(0, len(rows), 65_536):
            pairs = slice(start, start + 65_536)
            products = users[rows[pairs]] * items[choices.columns[pairs]]
            total += float(weights[pairs] @ np.square(products.sum(axis=1) - 1.0))
        for factors, own in ((users, choices), (items, choices.transposed())):
            numbers = own.lengths + self.unobserved_weight * own.num_columns
            total += self.l2 * float(numbers**self.power @ np.sum(factors**2, axis=1))
        return total / max(float(weights.sum()), 1.0)


class Tables:
    """The weights of two towers that are tables, as factors of users and items.

    Args:
        query_tower: A `Tower` of the user's id, and of the history if there is one.
        candidate_tower: A `Tower` of the item's id.
        embed_histories: Gives (users, d): what the query tower makes of each user's history while
            the id's table is 0; None without a history.

    Raises:
        ValueError: Other towers.
    """

    def __init__(
        self,
        query_tower: Any,
        candidate_tower: Any,
        embed_histories: Callable[[], Floats] | None,
    ) -> None:
        history = {HISTORY} if embed_histories else set()
        self._users = _tables(query_tower, {"user_id"} | history, "query")
        self._items = _tables(candidate_tower, {"item_id"}, "candidate")["item_id"]
        self._embed_histories = embed_histories

    @property
    def items(self) -> Floats:
        """(n, d) the embeddings of the candidates."""
        return np.array(ops.convert_to_numpy(self._items.embeddings), np.float32)[1:]

    def write(self, users: Floats, items: Floats, candidates: Floats) -> None:
        """Writes the factors into the towers.

        Args:
            users: (u, d) factors.
            items: (n, d) factors.
            candidates: (n, d) what the candidates' embeddings become.
        """
        _assign(self._items, candidates)
        if self._embed_histories is None:
            _assign(self._users["user_id"], users)
            return
        _assign(self._users["user_id"], np.zeros_like(users))
        _assign(self._users[HISTORY], items)
        bags = self._embed_histories().astype(np.float64)
        # By least squares with a touch of a penalty, for histories that span fewer dimensions.
        gram = bags.T @ bags
        gram[np.diag_indices_from(gram)] += 1e-6 * np.trace(gram) / len(gram) + 1e-12
        mapping = np.linalg.solve(gram, bags.T @ users)
        _assign(self._users[HISTORY], (items @ mapping).astype(np.float32))
        _assign(self._users["user_id"], (users - bags @ mapping).astype(np.float32))


def alternate(
    objective: LeastSquares,
    tables: Tables,
    choices: Choices,
    *,
    epochs: int,
    measure: Callable[[], float] | None,
    monitor: str,
    patience: int,
    progress: TrainingProgress,
    checkpoint: Checkpoint | None = None,
    resume: bool = False,
) -> TrainingLog:
    """Solves for users and items in turns until `measure` no longer improves; keeps the best.

    Args:
        objective: What to minimise.
        tables: Where the factors go; training starts from the items' there.
        choices: What each user chose.
        epochs: Rounds of both sides, at most.
        measure: Gives the figure to watch, after every round; None goes on for all rounds.
        monitor: What the figure is called.
        patience: Rounds without improvement after which training stops.
        progress: Where to report how far it is.
        checkpoint: Where to keep how far it is, after every round.
        resume: Whether to go on from the checkpoint, where there is one.

    Raises:
        Stopped: SIGTERM came; the checkpoint holds the last round.
    """
    started = time.perf_counter()
    losses: list[float] = []
    measured: list[float] = []
    of_items = choices.transposed()
    items = best = tables.items
    best_epoch = 0
    saved = checkpoint.read() if checkpoint is not None and resume else None
    if checkpoint is not None and resume:
        progress.resumed(checkpoint.path, saved and len(saved[0]["loss"]))
    if saved is not None:
        state, arrays = saved
        losses, measured, best_epoch = state["loss"], state["validation"], state["best_epoch"]
        started -= state["seconds"]
        items, best = arrays["factors"]
    progress.start(epochs, 2, 2 * len(choices), "users", 2 * len(losses))
    with StopRequest(listens=checkpoint is not None) as stop:
        users = objective.users(choices, items)
        while len(losses) < epochs and not (losses and len(losses) - 1 - best_epoch >= patience):
            items = objective.users(of_items, users)
            progress.advance()
            users = objective.users(choices, items)
            progress.advance()
            losses.append(objective.loss(choices, users, items))
            if measure is not None:
                progress.measuring(monitor)
                tables.write(users, items, objective.damped(items))
                measured.append(measure())
            if measure is None or measured[-1] > max(measured[:-1], default=-1.0):
                best, best_epoch = items, len(losses) - 1
            progress.epoch(losses[-1], monitor, measured[-1] if measured else None)
            if checkpoint is not None:
                state = {
                    "loss": losses,
                    "validation": measured,
                    "best_epoch": best_epoch,
                    "seconds": time.perf_counter() - started,
                }
                checkpoint.write(state, {"factors": [items, best]})
                if stop.asked:
                    progress.stopped(checkpoint.path, len(losses), 0)
                    raise Stopped
        tables.write(objective.users(choices, best), best, objective.damped(best))
    return TrainingLog(
        loss=tuple(losses),
        validation=tuple(measured),
        monitor=monitor,
        best_epoch=best_epoch + 1,
        seconds=time.perf_counter() - started,
    )


def _tables(tower: Any, features: set[str], name: str) -> dict[str, Any]:
    """The layers of the tables of a tower that is nothing but their sum, by feature."""
    is_plain = isinstance(tower, Tower)
    if is_plain:
        config = tower.get_config()
        deep = config["layer_sizes"] or config["cross_layers"] or config["normalize"]
        is_plain = not deep and set(config["features"]) == features
    if not is_plain:
        raise ValueError(
            f"LeastSquares needs a {name} tower with the features {sorted(features)} and no "
            "others, no layers and no normalization; use another objective, or leave them out."
        )
    return {feature: tower.get_layer(f"{feature}_embedding") for feature in features}


def _assign(layer: Any, rows: npt.NDArray[np.float32]) -> None:
    """Writes a table; row 0, the unknown, is 0."""
    layer.embeddings.assign(np.concatenate([np.zeros_like(rows[:1]), rows]))
