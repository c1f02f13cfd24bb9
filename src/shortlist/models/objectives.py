"""What a two-tower model is trained to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from keras import ops

from shortlist.index.numbers import as_integer
from shortlist.losses import RetrievalLoss
from shortlist.models.catalogue import Catalogue
from shortlist.models.least_squares import LeastSquares
from shortlist.models.pairwise import BPR, CosineContrastive


class Objective(Protocol):
    """The loss of one batch of positive pairs."""

    @property
    def needs_ratings(self) -> bool:
        """Whether the interactions must have ratings."""
        ...

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the scalar loss.

        Args:
            queries: (b, d) embeddings.
            candidates: (m, d) embeddings; row i < b is what query i chose, the others are further
                negatives (see `Retrieval`).
            batch: (m,) arrays `candidate` (index) and `probability` (the chance of this candidate
                in a batch: its share of the interactions, unless there are further negatives);
                (b,) arrays `weight` and, where there are ratings, `rating` (scaled to 0 to 1).
        """
        ...


@dataclass(frozen=True)
class Rating:
    """Squared error of the dot product against ratings scaled to 0 to 1, mean over the batch.

    Example:
        >>> import numpy as np
        >>> ones = np.ones((1, 2), np.float32)  # their dot product is 2
        >>> float(Rating()(ones, ones, {"rating": np.float32([1]), "weight": np.float32([1])}))
        1.0

    Source:
        Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems",
        Computer 2009 (without the biases).
    """

    @property
    def needs_ratings(self) -> bool:
        """Ratings are what is learnt."""
        return True

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the scalar loss; see `Objective`."""
        error = ops.sum(queries * candidates, axis=-1) - batch["rating"]
        return ops.mean(batch["weight"] * error * error)


@dataclass(frozen=True)
class Retrieval:
    """In-batch softmax: each query's own candidate against those of the rest of the batch.

    Attributes:
        temperature: Scores are divided by it; the default suits embeddings of length 1.
        sampling_correction: Whether to subtract the logarithm of each candidate's share of the
            interactions (logQ correction). Without it popular candidates score too low, because
            they are drawn as negatives more often.
        remove_accidental_hits: Whether a negative that is the query's own candidate, drawn again
            by another row, is left out.
        reduction: `"mean"` or `"sum"` over the batch.
        num_uniform_negatives: Candidates drawn evenly from the catalogue in every batch, as further
            negatives of all its queries (mixed negative sampling). So those that few or no
            interactions chose are negatives, too. The correction takes the mixture for the chance
            of a candidate.
        num_cross_batch_negatives: Candidates of the interactions before those of the batch, in the
            order of the epoch, as further negatives of all its queries. They are embedded anew,
            with the weights of now, and learnt from as those of the batch are.

    Raises:
        ValueError: `temperature` is not above 0, `reduction` is another, or a number of negatives
            is below 0.

    Example:
        >>> import numpy as np
        >>> pairs, halves = np.eye(2, dtype=np.float32), np.float32([0.5, 0.5])
        >>> batch = {"candidate": np.arange(2), "weight": halves * 2, "probability": halves}
        >>> round(float(Retrieval(temperature=1.0)(pairs, pairs, batch)), 3)
        0.313

    Source:
        Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations",
        RecSys 2019; Yang et al., "Mixed negative sampling for learning two-tower neural networks in
        recommendations", WWW 2020; Wang, Zhu and He, "Cross-batch negative sampling for training
        two-tower recommenders", SIGIR 2021 (who keep the embeddings of earlier batches instead).
    """

    temperature: float = 0.25
    sampling_correction: bool = True
    remove_accidental_hits: bool = True
    reduction: str = "mean"
    num_uniform_negatives: int = 0
    num_cross_batch_negatives: int = 0

    def __post_init__(self) -> None:
        RetrievalLoss(temperature=self.temperature, reduction=self.reduction)
        for name in ("num_uniform_negatives", "num_cross_batch_negatives"):
            as_integer(getattr(self, name), name, 0)

    @property
    def needs_ratings(self) -> bool:
        """An interaction is a positive, whatever its rating."""
        return False

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the scalar loss; see `Objective`."""
        loss = RetrievalLoss(temperature=self.temperature, reduction=self.reduction, in_blocks=True)
        return loss(
            queries,
            candidates,
            batch["weight"],
            candidate_ids=batch["candidate"] if self.remove_accidental_hits else None,
            sampling_probabilities=batch["probability"] if self.sampling_correction else None,
        )


@dataclass(frozen=True)
class MultiTask:
    """Ratings and choices together: the weighted sum of both losses on the same dot product.

    Attributes:
        rating: The loss on ratings.
        retrieval: The loss on choices.
        rating_weight: Weight of the first.
        retrieval_weight: Weight of the second.

    Raises:
        ValueError: A weight below 0.

    Example:
        >>> MultiTask(retrieval=Retrieval(temperature=0.2), rating_weight=0.5).needs_ratings
        True

    Source:
        Caruana, "Multitask learning", Machine Learning 1997.
    """

    rating: Rating = field(default_factory=Rating)
    retrieval: Retrieval = field(default_factory=lambda: Retrieval(temperature=0.1))
    rating_weight: float = 1.0
    retrieval_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("rating_weight", "retrieval_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"`{name}` must be at least 0, got {getattr(self, name)}.")

    @property
    def needs_ratings(self) -> bool:
        """Ratings are a part of what is learnt."""
        return True

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the scalar loss; see `Objective`."""
        own = candidates[: ops.shape(queries)[0]]  # further candidates are negatives
        rating = self.rating(queries, own, batch)
        retrieval = self.retrieval(queries, candidates, batch)
        return self.rating_weight * rating + self.retrieval_weight * retrieval


OBJECTIVES: dict[str, type[Objective]] = {
    "retrieval": Retrieval,
    "rating": Rating,
    "multitask": MultiTask,
    "catalogue": Catalogue,
    "least_squares": LeastSquares,
    "bpr": BPR,
    "cosine_contrastive": CosineContrastive,
}


def objective_of(objective: str | Objective) -> Objective:
    """Returns an objective by its name, or as given."""
    if isinstance(objective, str):
        if objective not in OBJECTIVES:
            raise ValueError(f"`objective` must be one of {list(OBJECTIVES)}, got {objective!r}.")
        return OBJECTIVES[objective]()
    made = not isinstance(objective, type) and callable(objective)  # not the class itself
    if not made or not hasattr(objective, "needs_ratings"):
        raise ValueError(
            f"`objective` must be one of {list(OBJECTIVES)} or an objective such as Retrieval(), "
            f"got {objective!r}."
        )
    return objective


def further_negatives(objective: Objective) -> tuple[int, int]:
    """Returns how many further negatives an objective wants: uniform ones, and of other batches."""
    if isinstance(objective, MultiTask):
        objective = objective.retrieval
    if not isinstance(objective, Retrieval):
        return 0, 0
    return objective.num_uniform_negatives, objective.num_cross_batch_negatives
