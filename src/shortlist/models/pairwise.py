"""Objectives that set each query's own candidate against the others of the batch, pair by pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras import ops


@dataclass(frozen=True)
class BPR:
    """Bayesian personalised ranking: the own candidate should score above each other of the batch.

    The loss of a query is the mean of log(1 + exp(s_j - s_i)) over its negatives j, with s_i the
    score of its own candidate. The other candidates of the batch are the negatives, so that
    popular ones are drawn more often; the same candidate, drawn again, is none.

    Attributes:
        temperature: Scores are divided by it.

    Raises:
        ValueError: `temperature` is not above 0.

    Example:
        >>> import numpy as np
        >>> pairs = np.eye(2, dtype=np.float32)
        >>> batch = {"candidate": np.arange(2), "weight": np.ones(2, np.float32)}
        >>> round(float(BPR()(pairs, pairs, batch)), 4)  # log(1 + exp(-1))
        0.3133

    Source:
        Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback", UAI 2009.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ValueError(f"`temperature` must be above 0, got {self.temperature}.")

    @property
    def needs_ratings(self) -> bool:
        """An interaction is a positive, whatever its rating."""
        return False

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the scalar loss; see `Objective`."""
        scores = ops.matmul(queries, ops.transpose(candidates)) / self.temperature
        own = ops.sum(queries * candidates, axis=1, keepdims=True) / self.temperature
        losses = _mean_of_negatives(ops.softplus(scores - own), batch["candidate"])
        return ops.mean(batch["weight"] * losses)


@dataclass(frozen=True)
class CosineContrastive:
    """The cosine contrastive loss of SimpleX: negatives count only while they are near.

    The loss of a query is 1 - cos_i for its own candidate, and `negative_weight` times the mean
    of max(0, cos_j - margin) over its negatives j: the other candidates of the batch, without the
    own one, drawn again.

    Attributes:
        margin: Negatives with a cosine below it count nothing.
        negative_weight: Weight of the negatives.

    Raises:
        ValueError: `margin` is not from -1 to 1, or `negative_weight` is below 0.

    Example:
        >>> import numpy as np
        >>> queries, candidates = np.eye(2, dtype=np.float32), np.ones((2, 2), np.float32)
        >>> batch = {"candidate": np.arange(2), "weight": np.ones(2, np.float32)}
        >>> loss = CosineContrastive(margin=0.5, negative_weight=2.0)
        >>> round(float(loss(queries, candidates, batch)), 4)  # 1 - √½ + 2 (√½ - 0.5)
        0.7071

    Source:
        Mao et al., "SimpleX: a simple and strong baseline for collaborative filtering", CIKM 2021.
    """

    margin: float = 0.4
    negative_weight: float = 20.0

    def __post_init__(self) -> None:
        if not -1 <= self.margin <= 1:
            raise ValueError(f"`margin` must be from -1 to 1, got {self.margin}.")
        if not self.negative_weight >= 0:
            raise ValueError(f"`negative_weight` must be at least 0, got {self.negative_weight}.")

    @property
    def needs_ratings(self) -> bool:
        """An interaction is a positive, whatever its rating."""
        return False

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the scalar loss; see `Objective`."""
        queries, candidates = _of_length_1(queries), _of_length_1(candidates)
        cosines = ops.matmul(queries, ops.transpose(candidates))
        own = ops.sum(queries * candidates, axis=1)
        near = _mean_of_negatives(ops.relu(cosines - self.margin), batch["candidate"])
        return ops.mean(batch["weight"] * (1.0 - own + self.negative_weight * near))


def _of_length_1(embeddings: Any) -> Any:
    squares = ops.sum(ops.square(embeddings), axis=-1, keepdims=True)
    return embeddings * ops.rsqrt(squares + 1e-12)


def _mean_of_negatives(losses: Any, candidates: Any) -> Any:
    """Means of each row of (b, b) losses over the columns that hold another candidate."""
    others = ops.not_equal(candidates[:, None], candidates[None, :])
    number = ops.maximum(ops.sum(ops.cast(others, "float32"), axis=1), 1.0)
    return ops.sum(ops.where(others, losses, 0.0), axis=1) / number
