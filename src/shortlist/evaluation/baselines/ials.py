"""iALS: matrix factorisation of implicit feedback by alternating least squares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shortlist.data import Interactions
from shortlist.evaluation.baselines.least_squares import Choices, solve
from shortlist.evaluation.baselines.linear import Chosen, LinearRecommender


class IALS(LinearRecommender):
    """Fits users' and items' factors to 1 where chosen and, with less weight, to 0 elsewhere.

    A user's factors are computed from the user's items whenever they are needed, so users who were
    not in train are served like any other.

    Args:
        train: Interactions.
        factors: Length of the factors.
        unobserved_weight: Weight of the zeros, where that of the ones is 1.
        l2: Strength of the penalty; it grows with the number of a user's or item's interactions.
            On MovieLens 100k the pair (0.2, 0.02) is best for both the first 10 and the first 100
            ranks.
        iterations: Rounds of both half-steps.
        seed: Seed of the initial factors.

    Raises:
        ValueError: If an argument is not above 0.

    Example:
        >>> from shortlist.data import Interactions
        >>> train = Interactions.from_arrays([1, 1, 2, 2, 3, 4], list("ababac"))
        >>> IALS(train, factors=2).recommend([3], k=1).ids.tolist()
        [['b']]

    Source:
        Hu, Koren and Volinsky, "Collaborative filtering for implicit feedback datasets", ICDM 2008,
        with the penalty of Rendle et al., "Revisiting the performance of iALS on item
        recommendation benchmarks", RecSys 2022.
    """

    def __init__(
        self,
        train: Interactions,
        *,
        factors: int = 32,
        unobserved_weight: float = 0.2,
        l2: float = 0.02,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        for argument, value in (
            ("factors", factors),
            ("unobserved_weight", unobserved_weight),
            ("l2", l2),
            ("iterations", iterations),
        ):
            if not value > 0:
                raise ValueError(f"`{argument}` must be above 0, got {value}.")
        self._factors = factors
        self._unobserved_weight = unobserved_weight
        self._l2 = l2
        self._iterations = iterations
        self._seed = seed
        super().__init__(train)

    def _fit(self, chosen: Chosen, num_items: int) -> npt.NDArray[np.floating]:
        rng = np.random.default_rng(self._seed)
        items = rng.normal(0.0, 0.1 / np.sqrt(self._factors), (num_items, self._factors))
        self._item_factors = items.astype(np.float32)
        of_users = Choices.from_lists(chosen, num_items)
        of_items = of_users.transposed()
        for _ in range(self._iterations):
            users = self._solve(of_users, self._item_factors)
            self._item_factors = self._solve(of_items, users)
        return self._item_factors

    def _embed(self, chosen: Chosen) -> npt.NDArray[np.floating]:
        choices = Choices.from_lists(chosen, len(self._item_factors))
        return self._solve(choices, self._item_factors)

    def _solve(self, choices: Choices, others: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return solve(choices, others, unobserved_weight=self._unobserved_weight, l2=self._l2)
