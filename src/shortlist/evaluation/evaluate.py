"""Ranking metrics of a recommender on held-out interactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist import _native
from shortlist.data import Interactions, UserItems, Vocabulary
from shortlist.evaluation.baselines import Popularity
from shortlist.evaluation.evaluation import Evaluation
from shortlist.evaluation.metrics import METRICS
from shortlist.evaluation.ranking import Ranking
from shortlist.evaluation.recommender import (
    Answer,
    Recommender,
    as_answer,
    is_timed,
    scores_and_ids,
)

MOST_AT_ONCE = _native.MAX_K


def evaluate(
    recommender: Any,
    test: Interactions,
    *,
    train: Interactions | None = None,
    ks: Sequence[int] = (1, 5, 10, 50, 100),
    exclude_seen: bool = True,
    baselines: Mapping[str, Recommender] | None = None,
    queries: Callable[[npt.NDArray[Any]], Any] | None = None,
    block_size: int = 1024,
) -> Evaluation:
    """Measures how well a recommender finds held-out interactions, beside Popularity.

    Each test user is asked once for max(ks) candidates, in blocks of users. Positives are matched
    by id. Candidates with equal scores count by their expectation over all orders, and lists are
    asked for further where a tie runs past the last rank, so ties never flatter.

    A recommender to whom the moment of a query matters (a model with time features) is asked once
    for every held-out interaction, at its own time, and so are the baselines: each interaction is
    then a query with one positive.

    With `train`, users that have no interaction there are left out (they are counted in the
    result); with `exclude_seen`, held-out interactions that also stand in train are left out too,
    since no answer could contain them. Candidates unseen in train stay in: they are misses.

    Args:
        recommender: A model or baseline with a `recommend` method, an `Index` (with `queries`), or
            a callable (user_ids, k, exclude) -> SearchResult, (scores, ids) or ids, where
            `exclude` is None or one array of ids per user that must not come back.
        test: Held-out interactions, the positives; a pair that stands there twice counts once.
        train: What was trained on; gives the seen items and Popularity.
        ks: Numbers of ranks.
        exclude_seen: Whether a user's train items are kept out of the answers. Needs `train`.
        baselines: Recommenders to measure beside it, by name; None gives Popularity where `train`
            is given, an empty mapping none.
        queries: For an index: turns (q,) user ids into (q, d) embeddings.
        block_size: Users asked at once.

    Returns:
        The metrics at every k, of the recommender and of each baseline.

    Raises:
        ValueError: Empty test, ks below 1, `exclude_seen` without `train`, times needed and not
            there, or an answer of the wrong shape, with NaN, or out of order.

    Example:
        >>> from shortlist.data import Interactions
        >>> train = Interactions.from_arrays([1, 1, 2], [10, 20, 10])
        >>> test = Interactions.from_arrays([2], [20])
        >>> result = evaluate(lambda users, k, exclude: [[20, 10]], test, train=train, ks=(1,))
        >>> result["hit_rate@1"]
        1.0
    """
    ks = sorted({int(k) for k in ks})
    if not ks or ks[0] < 1:
        raise ValueError(f"`ks` must be one or more numbers of at least 1, got {ks}.")
    if block_size < 1:
        raise ValueError(f"`block_size` must be at least 1, got {block_size}.")
    if exclude_seen and train is None:
        raise ValueError("`exclude_seen=True` needs `train`: give it, or exclude_seen=False.")
    if baselines is None:
        baselines = {} if train is None else {"Popularity": Popularity(train)}

    pairs, left_out = _held_out(test, train, exclude_seen)
    asked = _Queries.at_their_times(pairs) if is_timed(recommender) else _Queries.of_users(pairs)
    seen = UserItems(train) if exclude_seen and train is not None else None
    answers = {"": as_answer(recommender, queries)}
    answers |= {name: as_answer(baseline, None) for name, baseline in baselines.items()}
    measured = {
        name: _measure(answer, asked, seen, ks, block_size) for name, answer in answers.items()
    }
    return Evaluation(
        metrics=measured.pop(""),
        baselines=measured,
        ks=tuple(ks),
        exclude_seen=exclude_seen,
        num_users=pairs["user_id"].n_unique(),
        num_positives=len(pairs),
        left_out=left_out,
    )


@dataclass(frozen=True)
class _Queries:
    """Who asks, when, and what should come back.

    Attributes:
        users: (q,) user ids.
        at: (q,) seconds since 1970, or None where it does not matter.
        wanted: The positives of each query.
    """

    users: npt.NDArray[Any]
    at: npt.NDArray[np.int64] | None
    wanted: list[npt.NDArray[Any]]

    @classmethod
    def of_users(cls, pairs: pl.DataFrame) -> _Queries:
        """Returns one query a user."""
        positives = UserItems(pairs)
        return cls(positives.users, None, positives(positives.users))

    @classmethod
    def at_their_times(cls, pairs: pl.DataFrame) -> _Queries:
        """Returns one query an interaction."""
        if "timestamp" not in pairs.columns:
            raise ValueError("A model with time features is evaluated on `test` with 'timestamp'.")
        users, items = pairs["user_id"].to_numpy(), pairs["item_id"].to_numpy()
        return cls(users, pairs["timestamp"].to_numpy(), list(items[:, None]))

    def __len__(self) -> int:
        return len(self.wanted)

    def take(self, rows: npt.NDArray[np.int64]) -> _Queries:
        """Returns some of the queries."""
        at = None if self.at is None else self.at[rows]
        return _Queries(self.users[rows], at, [self.wanted[row] for row in rows])


def _held_out(
    test: Interactions, train: Interactions | None, exclude_seen: bool
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Returns the held-out interactions that count, each pair once, and how many do not."""
    pairs = test.frame.unique(["user_id", "item_id"], keep="first", maintain_order=True)
    total = len(pairs)
    left_out = {"unknown_users": 0, "seen_in_train": 0}
    if train is not None:
        known = pairs.join(train.frame.select("user_id").unique(), on="user_id", how="semi")
        left_out["unknown_users"] = total - len(known)
        pairs = known
    if train is not None and exclude_seen:
        unseen = pairs.join(train.frame, on=["user_id", "item_id"], how="anti")
        left_out["seen_in_train"] = len(pairs) - len(unseen)
        pairs = unseen
    if pairs.is_empty():
        raise ValueError(
            f"`test` holds no interaction to evaluate: of {total}, {left_out['unknown_users']} are "
            f"of users unknown in train and {left_out['seen_in_train']} also stand in train."
        )
    return pairs, left_out


def _measure(
    answer: Answer,
    asked: _Queries,
    seen: UserItems | None,
    ks: Sequence[int],
    block_size: int,
) -> dict[str, float]:
    vocabulary = Vocabulary.from_ids(np.concatenate(asked.wanted))
    names = [(name, k) for name in METRICS for k in ks]
    totals = np.zeros((len(names), 2))
    for start in range(0, len(asked), block_size):
        block = asked.take(np.arange(start, min(start + block_size, len(asked))))
        for queries, scores, ids in _lists(answer, block, max(ks), seen):
            ranking = _rank(scores, ids, queries.wanted, vocabulary, max(ks))
            for at, (name, k) in enumerate(names):
                numerators, denominators = METRICS[name](ranking, k)
                totals[at] += numerators.sum(), denominators.sum()
    return {
        f"{name}@{k}": float(numerator / denominator)
        for (name, k), (numerator, denominator) in zip(names, totals, strict=True)
    }


def _lists(
    answer: Answer, asked: _Queries, k: int, seen: UserItems | None
) -> Iterator[tuple[_Queries, npt.NDArray[np.float64], npt.NDArray[Any]]]:
    """Yields (queries, scores, ids) with lists long enough to hold the ties of rank k.

    Every query is asked for one candidate more than k. Where that one scores like the k-th, more
    are asked for, with those already given excluded, until the tie ends.
    """
    exclude = None if seen is None else seen(asked.users)
    width = min(k + 1, MOST_AT_ONCE)
    scores, ids = scores_and_ids(answer(asked.users, asked.at, width, exclude), len(asked))
    while len(asked):
        last = scores[:, -1]
        ended = np.full(len(asked), scores.shape[1] < width) | np.isneginf(last)
        if scores.shape[1] > k:
            ended |= scores[:, k - 1] != last
        yield asked.take(np.flatnonzero(ended)), scores[ended], ids[ended]
        open_rows = np.flatnonzero(~ended)
        asked, scores, ids = asked.take(open_rows), scores[~ended], ids[~ended]
        exclude = exclude and [exclude[row] for row in open_rows]
        if len(asked):
            given = list(ids) if exclude is None else _joined(exclude, ids)
            more = answer(asked.users, asked.at, MOST_AT_ONCE, given)
            more_scores, more_ids = scores_and_ids(more, len(asked))
            if (more_ids[:, :1] == ids).any():
                raise ValueError("The recommender gave a candidate that it was told to exclude.")
            # An approximate search that is asked for more may find better ones that it missed
            # before. They are no part of the tie, nor of what it answered: they go to the end.
            more_scores = np.where(more_scores > scores[:, -1:], -np.inf, more_scores)
            order = np.argsort(-more_scores, axis=1, kind="stable")
            more_scores = np.take_along_axis(more_scores, order, axis=1)
            more_ids = np.take_along_axis(more_ids, order, axis=1)
            scores = np.concatenate([scores, more_scores], axis=1)
            ids = np.concatenate([ids, more_ids], axis=1)
            width += MOST_AT_ONCE


def _joined(
    first: Sequence[npt.NDArray[Any]], second: Iterable[npt.NDArray[Any]]
) -> list[npt.NDArray[Any]]:
    return [np.concatenate(pair) for pair in zip(first, second, strict=True)]


def _rank(
    scores: npt.NDArray[np.float64],
    ids: npt.NDArray[Any],
    wanted: Sequence[npt.NDArray[Any]],
    vocabulary: Vocabulary,
    k: int,
) -> Ranking:
    counts = np.array([len(items) for items in wanted], dtype=np.int64)
    rows = np.arange(len(wanted))
    codes = vocabulary.encode(np.concatenate(wanted)) if len(wanted) else np.zeros(0, np.int64)
    pairs = np.sort(np.repeat(rows, counts) * vocabulary.size + codes)
    retrieved = rows[:, None] * vocabulary.size + vocabulary.encode(ids)
    nearest = np.searchsorted(pairs, retrieved).clip(max=len(pairs) - 1)
    return Ranking.from_scores(scores, pairs[nearest] == retrieved, counts, k)
