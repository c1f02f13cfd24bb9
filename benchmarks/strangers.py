"""Users withheld from training, who are known by a few of their films."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from shortlist import Index, IndexConfig
from shortlist.data import Histories, Interactions, Vocabulary
from shortlist.evaluation import evaluate

KS = (10, 100)
PER_USER = "per_user@10"

Metrics = dict[str, float]
Answer = Callable[[Any, int, Any], Any]


class Strangers:
    """Some users, drawn at random, and their films in random order.

    Attributes:
        ids: Who they are.
        train: The interactions of all others.
    """

    def __init__(self, data: Interactions, number: int, seed: int) -> None:
        self._data = data
        self.ids = np.random.default_rng(seed).choice(data.user_ids, number, replace=False)
        theirs = data.frame["user_id"].is_in(self.ids.tolist())
        self.train = data.take(~theirs.to_numpy())
        shuffled = data.frame.filter(theirs).sample(fraction=1.0, shuffle=True, seed=seed)
        self._films = shuffled.with_columns(pl.int_range(pl.len()).over("user_id").alias("place"))

    def measure(self, fitted: Mapping[str, Any], given: int, note: str = "") -> dict[str, Metrics]:
        """Hit rates on the rest when the first `given` films are given, which never come back."""
        known = self._given(given)

        def asking(recommender: Any) -> Answer:
            return lambda users, k, exclude: recommender.recommend_from(
                known(users), k, exclude=exclude
            )

        return {
            f"{name}{note}": self._hit_rates(asking(recommender), given)
            for name, recommender in fitted.items()
        }

    def ceiling(self, given: int) -> Metrics:
        """What k films each can hold at most."""
        each = self._rest(given).frame.group_by("user_id").len()["len"].to_numpy()
        return {f"hit_rate@{k}": float(np.minimum(each, k).sum() / each.sum()) for k in KS}

    def oracles(self, given: int, directions: Iterable[int]) -> dict[str, Metrics]:
        """What would be found by one who has seen all of each stranger's films, blurred.

        The principal components of the table of all users, the strangers among them, and each
        stranger's whole row, what is to be found included, on the first few of them: the best
        that so few numbers can tell of these rows in squares. No recommender can know them.
        """
        frame = self._data.frame
        users, items = (
            Vocabulary.from_ids(ids) for ids in (self._data.user_ids, self._data.item_ids)
        )
        table = np.zeros((len(users.ids), len(items.ids)))
        table[users.encode(frame["user_id"]) - 1, items.encode(frame["item_id"]) - 1] = 1.0
        mean = table.mean(axis=0)
        rows, strengths, columns = np.linalg.svd(table - mean, full_matrices=False)

        def knowing(count: int) -> Answer:
            candidates = np.column_stack([columns[:count].T, mean])
            queries = np.column_stack([(rows * strengths)[:, :count], np.ones(len(rows))])
            index = Index.build(candidates, items.ids, config=IndexConfig(exact=True))
            return lambda asked, k, exclude: index.search(
                queries[users.encode(asked) - 1], k, exclude=exclude
            )

        return {
            f"all films in {count} numbers": self._hit_rates(knowing(count), given)
            for count in directions
        }

    def _hit_rates(self, answer: Answer, given: int) -> Metrics:
        known = self._given(given)

        def without_given(users: Any, k: int, exclude: Any) -> Any:
            return answer(users, k, known.excluded(users, exclude))

        result = evaluate(without_given, self._rest(given), ks=KS, exclude_seen=False, baselines={})
        rates = {f"hit_rate@{k}": result[f"hit_rate@{k}"] for k in KS}
        return {**rates, PER_USER: result["recall@10"]}

    def _given(self, count: int) -> Histories:
        known = pl.col("item_id").is_in(self.train.item_ids)
        return Histories.from_interactions(self._films.filter(pl.col("place") < count, known))

    def _rest(self, count: int) -> Interactions:
        return Interactions.from_polars(self._films.filter(pl.col("place") >= count))


def compare(figures: dict[str, Metrics], base: str, note: str = "") -> dict[str, Metrics]:
    """The figures, and beside the hit rates of 10 how many times those of `base` they are."""
    for row in figures.values():
        for key in ("hit_rate@10", PER_USER):
            row[f"{key}_times_popularity{note}"] = row[key] / figures[base][key]
    return figures
