"""The native API: recommendations, similar items, and what the page looks up."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import polars as pl
from litestar import Router, get, post
from litestar.datastructures import State
from litestar.params import FromPath, JSONBody, QueryParameter

from shortlist.serving.answers import Query, Service
from shortlist.serving.errors import LOADING_ERRORS, LOOKUP_ERRORS, QUERY_ERRORS, decoded
from shortlist.serving.model import ServedModel

Id = int | Annotated[str, msgspec.Meta(max_length=1024)]
Ids = Annotated[list[Id], msgspec.Meta(max_length=10_000)]
K = Annotated[int, msgspec.Meta(ge=1, le=1_000)]
Prefix = Annotated[str, QueryParameter(max_length=200, description="How a word or the id begins.")]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="At most so many.")]


class RecommendRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to recommend to: a known user, or somebody of whom a history is known."""

    user_id: Id | None = None
    history: Ids | None = None
    features: dict[str, Any] | None = None
    k: K = 10
    exclude_seen: bool = True
    exclude: Ids = []
    allow: Ids | None = None
    exact: bool = False


class SimilarRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which item to find others like."""

    item_id: Id
    k: K = 10


class ScoredItem(msgspec.Struct):
    """One recommended item; of two, the one with the higher score is better."""

    id: int | str
    title: str
    score: float


class RankedItems(msgspec.Struct):
    """Recommended items, best first, with the version that answered and the time it took."""

    items: list[ScoredItem]
    model_version: int
    exact: bool
    embed_microseconds: float
    search_microseconds: float


class NamedItem(msgspec.Struct):
    """An item by id and title."""

    id: int | str
    title: str


class Found(msgspec.Struct):
    """Items or users whose title or id begins as asked."""

    items: list[NamedItem]


class FoundUsers(msgspec.Struct):
    """Users whose id begins as asked, and how many there are in all."""

    users: list[int | str]
    total: int


class ItemDetails(msgspec.Struct):
    """Everything the bundle says of an item."""

    id: int | str
    title: str
    details: dict[str, Any]


class UserDetails(msgspec.Struct):
    """A user and what they have had, most recent first."""

    user_id: int | str
    history: list[NamedItem]
    total: int


class ModelDetails(msgspec.Struct):
    """The model that answers."""

    name: str
    version: int
    fingerprint: str
    candidates: int
    users: int
    dimensions: int
    metric: str
    metrics: dict[str, Any]
    refused_versions: dict[str, str]


@post("/recommend", status_code=200, responses=QUERY_ERRORS, summary="Recommend")
async def recommend(data: JSONBody[RecommendRequest], state: State) -> RankedItems:
    """The best items for a known user, or for a history sent along."""
    return await _recommended(state.service, data)


@post("/similar", status_code=200, responses=QUERY_ERRORS, summary="Similar items")
async def similar(data: JSONBody[SimilarRequest], state: State) -> RankedItems:
    """The items most like one of them, by cosine."""
    return await _similar(state.service, data)


@get("/items", responses=LOOKUP_ERRORS, summary="Find items")
async def find_items(state: State, prefix: Prefix = "", limit: Limit = 10) -> Found:
    """Items with a word of the title, or the id, that begins as asked."""
    service: Service = state.service
    model = service.repository.model()
    items = model.bundle.items
    rows = await service.workers.run(lambda: items.find(prefix, limit))
    return Found(_named(model, rows.tolist()))


@get("/items/{item_id:path}", responses=LOOKUP_ERRORS, summary="One item")
async def item_details(state: State, item_id: FromPath[str]) -> ItemDetails:
    """Everything the bundle says of an item."""
    model = state.service.repository.model()
    item = model.item(item_id.removeprefix("/"))
    items = model.bundle.items
    row = items.row(item) or 0  # `model.item` has looked it up
    details = {name: _plain(value) for name, value in items.details(row).items()}
    (title,) = items.titles([row])
    details.pop("id")
    details.pop("title", None)
    return ItemDetails(item, title, details)


@get("/users", responses=LOOKUP_ERRORS, summary="Find users")
async def find_users(state: State, prefix: Prefix = "", limit: Limit = 10) -> FoundUsers:
    """Users whose id begins as asked."""
    service: Service = state.service
    users = service.repository.model().bundle.tower.user_ids
    found = await service.workers.run(
        lambda: users.filter(users.cast(pl.String).str.starts_with(prefix.strip())).head(limit)
    )
    return FoundUsers(found.to_list(), len(users))


@get("/users/{user_id:path}", responses=LOOKUP_ERRORS, summary="One user")
async def user_details(state: State, user_id: FromPath[str], limit: Limit = 50) -> UserDetails:
    """What a user has had, most recent first."""
    model = state.service.repository.model()
    user = model.user(user_id.removeprefix("/"))
    rows = model.bundle.histories.rows(user)
    return UserDetails(user, _named(model, rows[::-1][:limit].tolist()), len(rows))


@get("/model", responses=LOADING_ERRORS, summary="The model")
async def model_details(state: State) -> ModelDetails:
    """The version that answers, its size and the metrics it was saved with."""
    service: Service = state.service
    model = service.repository.model()
    bundle = model.bundle
    metrics = bundle.run.get("metrics")
    return ModelDetails(
        name=service.settings.name,
        version=model.version,
        fingerprint=bundle.manifest.fingerprint,
        candidates=len(bundle.items),
        users=len(bundle.tower.user_ids),
        dimensions=bundle.index.dim,
        metric=bundle.index.metric,
        metrics=metrics if isinstance(metrics, dict) else {},
        refused_versions={str(v): why for v, why in service.repository.refused.items()},
    )


def direct(service: Service) -> dict[str, Callable[[bytes], Awaitable[bytes]]]:
    """Return the two operations that serve, from JSON to JSON, by path."""
    encode = msgspec.json.Encoder().encode
    recommend_request = msgspec.json.Decoder(RecommendRequest)
    similar_request = msgspec.json.Decoder(SimilarRequest)

    async def recommended(body: bytes) -> bytes:
        return encode(
            await _recommended(service, decoded(recommend_request, body, "recommend request"))
        )

    async def similar_items(body: bytes) -> bytes:
        return encode(await _similar(service, decoded(similar_request, body, "similar request")))

    return {"/api/v1/recommend": recommended, "/api/v1/similar": similar_items}


async def _recommended(service: Service, data: RecommendRequest) -> RankedItems:
    model = service.repository.model()
    query = Query(
        k=data.k,
        exclude_seen=data.exclude_seen,
        exclude=data.exclude,
        allow=data.allow,
        exact=data.exact,
    )
    answer = await service.recommend(model, data.user_id, data.history, query, data.features)
    return _ranked(model, answer.result, data.exact, answer.embed_seconds, answer.search_seconds)


async def _similar(service: Service, data: SimilarRequest) -> RankedItems:
    model = service.repository.model()
    answer = await service.similar(model, data.item_id, data.k)
    return _ranked(model, answer.result, False, answer.embed_seconds, answer.search_seconds)


def _ranked(
    model: ServedModel, result: Any, exact: bool, embed_seconds: float, search_seconds: float
) -> RankedItems:
    rows = result.rows[0]
    rows = rows[rows >= 0]
    ids, scores = result.ids[0][: len(rows)].tolist(), result.scores[0][: len(rows)].tolist()
    titles = model.bundle.items.titles(rows.tolist())
    return RankedItems(
        items=[ScoredItem(*item) for item in zip(ids, titles, scores, strict=True)],
        model_version=model.version,
        exact=exact,
        embed_microseconds=round(embed_seconds * 1e6, 1),
        search_microseconds=round(search_seconds * 1e6, 1),
    )


def _named(model: ServedModel, rows: list[int]) -> list[NamedItem]:
    items = model.bundle.items
    return [
        NamedItem(item, title)
        for item, title in zip(items.id_array[rows].tolist(), items.titles(rows), strict=True)
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, pl.Series):
        return value.to_list()
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)


router = Router(
    "/api/v1",
    route_handlers=[
        recommend,
        similar,
        find_items,
        item_details,
        find_users,
        user_details,
        model_details,
    ],
    tags=["Shortlist"],
)
