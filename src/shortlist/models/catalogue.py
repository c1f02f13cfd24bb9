"""Training user by user against the whole catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shortlist.data.histories import MAX_HISTORY
from shortlist.losses.catalogue_loss import catalogue_loss


@dataclass(frozen=True)
class Catalogue:
    """Full softmax: a part of each user's items predicts the rest among all candidates.

    In every epoch each item of a user is hidden with probability `hidden`. The query tower sees the
    items not hidden, as the feature `history`. The hidden ones are the positives of one softmax
    over the catalogue without the items not hidden: the multinomial likelihood of a user's choices
    given those known. A target is never part of its own history.

    All candidates are embedded in every step, so this is for catalogues up to some ten thousands;
    `Retrieval` samples. Scores are made in blocks, and their whole matrix never.

    Attributes:
        hidden: Share of a user's items hidden in an epoch.
        unknown_users: Share of users who are shown as unknown and with fewer items, so that the
            model learns to serve those who were never in training and have just begun. On
            MovieLens 100k 0.3 serves them no better than 0.1, and the others worse.
        max_history: The last items of each user to learn from, at most.
        temperature: Scores are divided by it.
        likelihood: `"multinomial"`: the softmax, every positive a draw from it. `"logistic"`: for
            each candidate whether it is a positive, yes or no.

    Source:
        Liang et al., "Variational autoencoders for collaborative filtering", WWW 2018 (both
        likelihoods); Covington, Adams and Sargin, "Deep neural networks for YouTube
        recommendations", RecSys 2016 (history as a bag of embeddings, the softmax).

    Example:
        >>> Catalogue(hidden=0.3).likelihood
        'multinomial'
        >>> Catalogue(hidden=1.5)
        Traceback (most recent call last):
        ValueError: `hidden` must be ...
    """

    hidden: float = 0.5
    unknown_users: float = 0.1
    max_history: int = MAX_HISTORY
    temperature: float = 1.0
    likelihood: Literal["multinomial", "logistic"] = "multinomial"

    def __post_init__(self) -> None:
        if not 0 < self.hidden < 1:
            raise ValueError(f"`hidden` must be between 0 and 1, got {self.hidden}.")
        if not 0 <= self.unknown_users <= 1:
            raise ValueError(f"`unknown_users` must be from 0 to 1, got {self.unknown_users}.")
        if self.max_history < 2:
            raise ValueError(f"`max_history` must be at least 2, got {self.max_history}.")
        if not self.temperature > 0:
            raise ValueError(f"`temperature` must be above 0, got {self.temperature}.")
        if self.likelihood not in ("multinomial", "logistic"):
            raise ValueError(
                f"`likelihood` must be 'multinomial' or 'logistic', got {self.likelihood!r}."
            )

    @property
    def needs_ratings(self) -> bool:
        """An interaction is a positive, whatever its rating."""
        return False

    def __call__(self, queries: Any, candidates: Any, batch: Mapping[str, Any]) -> Any:
        """Returns the scalar loss, mean over the hidden items.

        Args:
            queries: (b, d) embeddings.
            candidates: (n, d) embeddings of the candidates with index 1, 2, …, n.
            batch: `known` and `hidden`, (b, h) int32 indices of candidates padded with 0.
        """
        return catalogue_loss(
            queries,
            candidates,
            batch["known"],
            batch["hidden"],
            temperature=self.temperature,
            logistic=self.likelihood == "logistic",
        )
