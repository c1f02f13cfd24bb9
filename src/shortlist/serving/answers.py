"""From a checked request to an answer; the three dialects differ only around this."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from shortlist.bundle import BundleError
from shortlist.index import SearchResult
from shortlist.serving.errors import RequestError
from shortlist.serving.metrics import Metrics
from shortlist.serving.model import ServedModel, Workers
from shortlist.serving.repository import Repository
from shortlist.serving.settings import ServiceSettings


@dataclass(frozen=True)
class Query:
    """What is asked for, for every user of a request.

    Args:
        k: How many candidates.
        exclude_seen: Whether to leave out what a user has had; one answer for all or for each.
        exclude: Candidates to leave out; those that are not there do not matter.
        allow: The only candidates to return; None allows all.
        exact: Search exactly.
    """

    k: int = 10
    exclude_seen: bool | Sequence[bool] = True
    exclude: Sequence[Any] = ()
    allow: Sequence[Any] | None = None
    exact: bool = False


@dataclass(frozen=True)
class Answer:
    """What was found, and how long its parts took.

    Args:
        result: Scores, ids and rows, one row a query.
        embed_seconds: From ids to embeddings.
        search_seconds: From embeddings to candidates.
    """

    result: SearchResult
    embed_seconds: float
    search_seconds: float


@dataclass
class Service:
    """What the handlers of all dialects share."""

    settings: ServiceSettings
    metrics: Metrics
    repository: Repository
    workers: Workers
    draining: bool = field(default=False)

    async def recommend(
        self,
        model: ServedModel,
        user: Any,
        history: Sequence[Any] | None,
        query: Query,
        features: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Answer for a known user, or for somebody else by their history and features.

        Raises:
            RequestError: Neither or both are given, more than the limits allow, or features that
                the model does not take (400); or a user or an item is not known (404).
        """
        new = history is not None or features is not None
        if new == (user is not None):
            raise RequestError(
                400, "Give either `user_id` or `history`, which `features` may go with."
            )
        if not new:
            return await self.recommend_users(model, [user], query)
        self._check(query)
        self.settings.limits.check_ids(history=history)
        items = [model.item(item, "history") for item in history or ()]

        def embed() -> Any:
            try:
                return model.bundle.embed_history(items, features)
            except BundleError:
                raise
            except ValueError as error:
                raise RequestError(400, f"{error}") from None

        seen = items if query.exclude_seen else []
        excluded = [[*seen, *model.known_items(query.exclude, "exclude")]]
        return await self._search(model, query, 1, embed, lambda: excluded)

    async def recommend_users(
        self, model: ServedModel, users: Sequence[Any], query: Query
    ) -> Answer:
        """Answer for known users.

        Raises:
            RequestError: More users or candidates than the limits allow (400), or a user that is
                not known (404).
        """
        self.settings.limits.check_rows(len(users))
        self._check(query)
        known = [model.user(user) for user in users]
        exclude = model.known_items(query.exclude, "exclude")
        return await self._search(
            model,
            query,
            len(users),
            lambda: model.bundle.embed(known),
            lambda: model.bundle.excluded(known, query.exclude_seen, exclude),
        )

    async def similar(self, model: ServedModel, item: Any, k: int) -> Answer:
        """Answer for an item.

        Raises:
            RequestError: More candidates than the limits allow (400), or the item is not known
                (404).
        """
        self.settings.limits.check_k(k)
        known = model.item(item)

        def work() -> Answer:
            start = perf_counter()
            result = model.bundle.similar(known, k)
            return Answer(result, 0.0, perf_counter() - start)

        return await self._run(work, model.quick(4, 10 * k, False))

    def _check(self, query: Query) -> None:
        limits = self.settings.limits
        limits.check_k(query.k)
        limits.check_ids(exclude=query.exclude, allow=query.allow)

    async def _search(
        self,
        model: ServedModel,
        query: Query,
        count: int,
        embed: Callable[[], Any],
        exclusions: Callable[[], Sequence[Sequence[Any]]],
    ) -> Answer:
        allow = None if query.allow is None else model.known_items(query.allow, "allow")

        def work() -> Answer:
            start = perf_counter()
            embeddings = embed()
            embedded = perf_counter()
            result = model.bundle.search(
                embeddings, query.k, exclude=exclusions(), allow=allow, exact=query.exact
            )
            return Answer(result, embedded - start, perf_counter() - embedded)

        quick = allow is None and model.quick(count, query.k, query.exact)
        return await self._run(work, quick)

    async def _run(self, work: Callable[[], Answer], quick: bool) -> Answer:
        answer = work() if quick else await self.workers.run(work)
        self.metrics.stages["embed"].observe(answer.embed_seconds)
        self.metrics.stages["search"].observe(answer.search_seconds)
        return answer


def found(result: SearchResult, row: int) -> int:
    """Return how many candidates a row of a result holds, its padding not counted."""
    return int(np.count_nonzero(result.rows[row] >= 0))
