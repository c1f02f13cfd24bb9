"""Ranking metrics of a recommender on held-out interactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from shortlist.data import Histories, Interactions
from shortlist.data.interactions import check_interactions
from shortlist.evaluation.answers import Lists, read_lists, refuse_any
from shortlist.evaluation.baselines import Popularity
from shortlist.evaluation.evaluation import Evaluation
from shortlist.evaluation.held_out import Queries, held_out
from shortlist.evaluation.metrics import METRICS, rank_of
from shortlist.evaluation.ranking import Ranking
from shortlist.evaluation.recommender import Answer, Recommender, as_answer, is_timed
from shortlist.index import MAX_K
from shortlist.index.numbers import as_flag, as_integer

BLOCK_SIZE = 1024  # users asked at once
MORE = 1000  # so many candidates more are asked for at a time, at least, while a tie goes on


def evaluate(
    recommender: Any,
    test: Interactions,
    *,
    train: Interactions | None = None,
    ks: Sequence[int] = (1, 5, 10, 50, 100),
    exclude_seen: bool = True,
    baselines: Mapping[str, Recommender] | None = None,
    queries: Callable[[npt.NDArray[Any]], Any] | None = None,
    at_their_times: bool | None = None,
    block_size: int = BLOCK_SIZE,
) -> Evaluation:
    """Measures how well a recommender finds held-out interactions, beside Popularity.

    Each test user is asked once for max(ks) candidates, in blocks of users. Positives are matched
    by id. Candidates with equal scores count by their expectation over all orders, and lists are
    asked for further where a tie runs past the last rank, so ties never flatter.

    A model that learnt with times (time features, or histories up to each interaction) is asked
    once for every held-out interaction, at its own time, and so are the baselines. Each interaction
    is then a query with one positive, whose history and seen items end before its time.

    With `train`, users without interactions there are left out; the result counts them. With
    `exclude_seen`, held-out interactions that are also in train are left out too, since no answer
    could contain them. Candidates unseen in train stay in: they are misses.

    Args:
        recommender: A model or baseline with a `recommend` method, an `Index` (with `queries`), or
            a callable (user_ids, k, exclude) -> SearchResult, (scores, ids) or ids, where
            `exclude` is None or one array of ids per user that must not come back. Scores and ids
            are arrays, tensors or data frames of shape (q, k), or one sequence for each user; ids
            alone count as strictly ordered. Where a list is shorter than k it ends, or its scores
            are -inf; an id is never padding.
        test: Held-out interactions, the positives; a pair that stands there twice counts once.
        train: What was trained on; gives the seen items and Popularity.
        ks: Numbers of ranks.
        exclude_seen: Whether a user's train items are kept out of the answers. Needs `train`.
        baselines: Recommenders to measure beside it, by name; None gives Popularity where `train`
            is given, an empty mapping none.
        queries: For an index: turns (q,) user ids into (q, d) embeddings.
        at_their_times: Whether each held-out interaction is a query at its own time, as said above;
            None does as the model learnt. `Catalogue` learns sets, as the baselines do, and is
            asked with all of train, unless you say True.
        block_size: Users asked at once.

    Returns:
        The metrics at every k, of the recommender and of each baseline.

    Raises:
        ValueError: Empty test, ks below 1, `exclude_seen` without `train`, times needed and not
            there; or an answer of the wrong shape, with NaN, out of order, with an id twice, with
            an excluded item among the ranks that count, or with ids of another type than those of
            `test`.
        DataError: The ids of `test` and `train` are of different types.

    Example:
        >>> from shortlist.data import Interactions
        >>> train = Interactions.from_arrays([1, 1, 2], [10, 20, 10])
        >>> test = Interactions.from_arrays([2], [20])
        >>> result = evaluate(lambda users, k, exclude: [[20, 10]], test, train=train, ks=(1,))
        >>> result["hit_rate@1"]
        1.0
    """
    ranks = _ranks(ks)
    block_size = as_integer(block_size, "block_size", 1)
    exclude_seen = as_flag(exclude_seen, "exclude_seen")
    if exclude_seen and train is None:
        raise ValueError("`exclude_seen=True` needs `train`: give it, or exclude_seen=False.")
    for name, given in (("test", test), ("train", train)):
        if given is not None or name == "test":
            check_interactions(given, name)
    if not isinstance(baselines, Mapping | None):
        raise TypeError(
            "`baselines` must name each recommender, as {'Popularity': Popularity(train)}, got "
            f"{type(baselines).__name__}."
        )
    pairs, left_out = held_out(test, train, exclude_seen)
    if baselines is None:
        baselines = {} if train is None else {"Popularity": Popularity(train)}
    timed = is_timed(recommender) if at_their_times is None else at_their_times
    asked = Queries.at_their_times(pairs) if timed else Queries.of_users(pairs)
    seen = Histories.from_interactions(train) if exclude_seen and train is not None else None
    text = pairs["item_id"].dtype == pl.String
    answers = {"The recommender": as_answer(recommender, queries)}
    answers |= {f"Baseline {name!r}": as_answer(other, None) for name, other in baselines.items()}
    values = [
        _measure(_Asking(who, answer, seen, text, ranks[-1]), asked, ranks, block_size)
        for who, answer in answers.items()
    ]
    return Evaluation(
        metrics=values[0],
        baselines=dict(zip(baselines, values[1:], strict=True)),
        ks=ranks,
        exclude_seen=exclude_seen,
        num_users=pairs["user_id"].n_unique(),
        num_positives=len(pairs),
        left_out=left_out,
    )


class Validation:
    """A metric on held-out interactions, measured again and again while a model learns.

    Whatever `evaluate` works out from the interactions is worked out once.

    Args:
        test: Held-out interactions, as for `evaluate`.
        train: What is trained on.
        monitor: The metric, such as `"hit_rate@10"`.
        seen: What each user had in train, which is kept out of the answers.
        timed: Whether the model is asked at the time of each interaction.

    Raises:
        ValueError: No such metric, or nothing to measure.

    Example:
        >>> from shortlist.data import Interactions
        >>> from shortlist.evaluation.baselines import Popularity
        >>> train = Interactions.from_arrays([1, 1, 2, 3], [10, 20, 10, 20])
        >>> test = Interactions.from_arrays([2], [20])
        >>> seen = Histories.from_interactions(train)
        >>> measure = Validation(test, train, "hit_rate@1", seen, timed=False)
        >>> measure(Popularity(train))
        1.0
    """

    def __init__(
        self, test: Interactions, train: Interactions, monitor: str, seen: Histories, *, timed: bool
    ) -> None:
        self._rank = rank_of(monitor)
        self._monitor = monitor
        self._seen = seen
        pairs, _ = held_out(test, train, exclude_seen=True)
        self._asked = Queries.at_their_times(pairs) if timed else Queries.of_users(pairs)
        self._text = pairs["item_id"].dtype == pl.String

    def __call__(self, recommender: Any) -> float:
        """Returns the metric of a model as it is now."""
        answer = as_answer(recommender, None)
        asking = _Asking("The recommender", answer, self._seen, self._text, self._rank)
        return _measure(asking, self._asked, (self._rank,), BLOCK_SIZE)[self._monitor]


def _ranks(ks: Any) -> tuple[int, ...]:
    """The different ks, ascending."""
    try:
        ranks = tuple(sorted({index(k) for k in ks}))
    except TypeError:
        ranks = ()
    if not ranks or ranks[0] < 1:
        raise ValueError(f"`ks` must be one or more numbers of at least 1, got {ks!r}.")
    return ranks


@dataclass(frozen=True)
class _Asking:
    """How one recommender is asked.

    Attributes:
        who: What it is called in error messages.
        answer: Asks it.
        seen: What each user must not get, or None.
        text: Whether the ids of items are str.
        k: Ranks that count.
    """

    who: str
    answer: Answer
    seen: Histories | None
    text: bool
    k: int

    def lists(self, asked: Queries) -> Iterator[tuple[Queries, Lists]]:
        """Yields queries and their lists, long enough to hold the ties of rank k.

        Every query is asked for one candidate more than k. Where that one scores like the k-th,
        more are asked for, with those already given excluded, until the tie ends.
        """
        exclude = None if self.seen is None else _had(self.seen, asked)
        width = min(self.k + 1, MAX_K)
        lists = self._ask(asked, width, exclude, start=0)
        if lists.width == 0:
            raise ValueError(
                f"{self.who}, asked for {width} candidates of each of {len(asked)} users, "
                "answered without any: no columns."
            )
        while len(asked):
            last = lists.scores[:, -1]
            ended = np.full(len(asked), lists.width < width) | np.isneginf(last)
            if lists.width > self.k:
                ended |= lists.scores[:, self.k - 1] != last
            yield asked.take(ended), lists.take(ended)
            asked, lists = asked.take(~ended), lists.take(~ended)
            if len(asked):
                exclude = _longer(exclude, ended, lists.ids)
                count = min(max(MORE, width), MAX_K)  # ever more, so that rounds are few
                lists = lists.followed_by(self._more(asked, lists, count, exclude))
                width += count

    def _more(
        self, asked: Queries, lists: Lists, count: int, exclude: Sequence[npt.NDArray[Any]]
    ) -> Lists:
        more = self._ask(asked, count, exclude, start=lists.width)
        # An approximate search that is asked for more may find better ones that it missed before.
        # They are no part of the tie, nor of what it answered: they go to the end.
        scores = np.where(more.scores > lists.scores[:, -1:], -np.inf, more.scores)
        order = np.argsort(-scores, axis=1, kind="stable")
        return Lists(
            np.take_along_axis(scores, order, axis=1), np.take_along_axis(more.ids, order, axis=1)
        )

    def _ask(self, asked: Queries, k: int, exclude: Any, start: int) -> Lists:
        answered = self.answer(asked.users, asked.at, k, exclude)
        lists = read_lists(answered, asked.users, self.text, self.who, start)
        if exclude is not None and lists.width:
            # Beyond the ranks that count it takes up no place.
            counts = lists.scores >= lists.scores[:, [min(self.k, lists.width) - 1]]
            refuse_any(
                lists,
                counts & lists.among(exclude),
                asked.users,
                f"{self.who} answered {{user}} with the item {{item}}, which it was told to "
                "exclude"
                + (
                    " because the user had it in train; exclude_seen=False keeps such items in."
                    if start == 0
                    else ": candidates tie beyond the last rank, so more were asked for."
                ),
            )
        return lists


def _had(seen: Histories, asked: Queries) -> list[npt.NDArray[Any]]:
    """What each query's user had in train, before its time where it has one."""
    if asked.at is None or seen.times is None:
        return seen(asked.users)
    return seen.before(asked.users, asked.at)


def _longer(
    exclude: Sequence[npt.NDArray[Any]] | None,
    ended: npt.NDArray[np.bool_],
    given: npt.NDArray[Any],
) -> list[npt.NDArray[Any]]:
    """What to exclude for the queries that go on: what was excluded, and what they were given."""
    if exclude is None:
        return list(given)
    still = [excluded for excluded, done in zip(exclude, ended, strict=True) if not done]
    return [np.concatenate(pair) for pair in zip(still, given, strict=True)]


def _measure(
    asking: _Asking, asked: Queries, ks: Sequence[int], block_size: int
) -> dict[str, float]:
    names = [(name, k) for name in METRICS for k in ks]
    totals = np.zeros((len(names), 2))
    for start in range(0, len(asked), block_size):
        for queries, lists in asking.lists(asked.block(start, block_size)):
            relevant = lists.among(queries.wanted)
            ranking = Ranking.from_scores(lists.scores, relevant, queries.counts, asking.k)
            for at, (name, k) in enumerate(names):
                numerators, denominators = METRICS[name](ranking, k)
                totals[at] += numerators.sum(), denominators.sum()
    return {
        f"{name}@{k}": float(numerator / denominator)
        for (name, k), (numerator, denominator) in zip(names, totals, strict=True)
    }
