"""The REST API of our own: recommendations, similar items, and what the page looks up."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import polars as pl
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.openapi.spec import OpenAPI
from litestar.params import JSONBody, PathParameter, QueryParameter

from shortlist.serving.answers import Query, Service, found
from shortlist.serving.errors import LOADING_ERRORS, LOOKUP_ERRORS, QUERY_ERRORS, decoded
from shortlist.serving.model import ServedModel
from shortlist.serving.paths import id_in
from shortlist.serving.settings import Limits

Id = int | str
PathId = Annotated[str, PathParameter(description="The id, percent-encoded.")]
QueryId = Annotated[str, QueryParameter(name="id", description="The id, percent-encoded.")]
Prefix = Annotated[str, QueryParameter(max_length=200, description="How a word or the id begins.")]
Offset = Annotated[int, QueryParameter(ge=0, le=10_000_000, description="Leave out so many.")]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="At most so many.")]


class RecommendRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to recommend to: a known user, or somebody of whom a history is known."""

    user_id: Id | None = None
    history: list[Id] | None = None
    features: dict[str, Any] | None = None
    k: int | msgspec.UnsetType = msgspec.UNSET
    exclude_seen: bool = True
    exclude: list[Id] = []
    allow: list[Id] | None = None
    exact: bool = False


class SimilarRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Which item to find others like."""

    item_id: Id
    k: int | msgspec.UnsetType = msgspec.UNSET


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
    """Items whose title or id begins as asked, and how many items there are in all."""

    items: list[NamedItem]
    total: int


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
    """The model that answers, and what may be asked of it."""

    name: str
    version: int
    fingerprint: str
    candidates: int
    users: int
    dimensions: int
    metric: str
    metrics: dict[str, Any]
    limits: Limits
    refused_versions: dict[str, str]


@post("/recommend", status_code=200, responses=QUERY_ERRORS, summary="Recommend")
async def recommend(
    data: JSONBody[RecommendRequest],  # noqa: ARG001 - for the description
    request: Request[Any, Any, Any],
    state: State,
) -> RankedItems:
    """The best items for a known user, or for a history sent along."""
    return await _recommended(state.service, await request.body())


@post("/similar", status_code=200, responses=QUERY_ERRORS, summary="Similar items")
async def similar(
    data: JSONBody[SimilarRequest],  # noqa: ARG001 - for the description
    request: Request[Any, Any, Any],
    state: State,
) -> RankedItems:
    """The items most like one of them, by cosine."""
    return await _similar(state.service, await request.body())


@get("/items", responses=LOOKUP_ERRORS, summary="Find items")
async def find_items(
    state: State, prefix: Prefix = "", limit: Limit = 10, offset: Offset = 0
) -> Found:
    """Items with a word of the title, or the id, that begins as asked."""
    service: Service = state.service
    model = service.repository.model()
    items = model.bundle.items
    ids = await service.workers.run(lambda: items.find(prefix, offset + limit))
    return Found(_named(model, ids[offset:]), len(items))


@get("/items/{item_id:str}", responses=LOOKUP_ERRORS, summary="One item")
async def item_in_path(state: State, item_id: PathId) -> ItemDetails:
    """Everything the bundle says of an item."""
    return _item(state.service, id_in(item_id))


@get("/item", responses=LOOKUP_ERRORS, summary="One item, by query")
async def item_in_query(state: State, item_id: QueryId) -> ItemDetails:
    """The same; browsers change a path that ends in the id `.` or `..`, and leave a query alone."""
    return _item(state.service, item_id)


@get("/users", responses=LOOKUP_ERRORS, summary="Find users")
async def find_users(state: State, prefix: Prefix = "", limit: Limit = 10) -> FoundUsers:
    """Users whose id begins as asked."""
    service: Service = state.service
    users = service.repository.model().bundle.tower.user_ids
    found = await service.workers.run(
        lambda: users.filter(users.cast(pl.String).str.starts_with(prefix.strip())).head(limit)
    )
    return FoundUsers(found.to_list(), len(users))


@get("/users/{user_id:str}", responses=LOOKUP_ERRORS, summary="One user")
async def user_in_path(state: State, user_id: PathId, limit: Limit = 50) -> UserDetails:
    """What a user has had, most recent first."""
    return _user(state.service, id_in(user_id), limit)


@get("/user", responses=LOOKUP_ERRORS, summary="One user, by query")
async def user_in_query(state: State, user_id: QueryId, limit: Limit = 50) -> UserDetails:
    """The same; browsers change a path that ends in the id `.` or `..`, and leave a query alone."""
    return _user(state.service, user_id, limit)


@get("/model", responses=LOADING_ERRORS, summary="The model")
async def model_details(state: State) -> ModelDetails:
    """The version that answers, its size and the metrics it was saved with."""
    service: Service = state.service
    model = service.repository.model()
    bundle = model.bundle
    metrics = model.saved.run.get("metrics")
    return ModelDetails(
        name=service.settings.name,
        version=model.version,
        fingerprint=model.saved.manifest.fingerprint,
        candidates=len(bundle.items),
        users=len(bundle.tower.user_ids),
        dimensions=bundle.index.dim,
        metric=bundle.index.metric,
        metrics=metrics if isinstance(metrics, dict) else {},
        limits=service.settings.limits,
        refused_versions={str(v): why for v, why in service.repository.refused.items()},
    )


def direct(service: Service) -> dict[str, Callable[[bytes], Awaitable[bytes]]]:
    """Return the two operations that serve, from JSON to JSON, by path."""
    encode = msgspec.json.Encoder().encode

    async def recommended(body: bytes) -> bytes:
        return encode(await _recommended(service, body))

    async def similar_items(body: bytes) -> bytes:
        return encode(await _similar(service, body))

    return {"/api/v1/recommend": recommended, "/api/v1/similar": similar_items}


def describe_limits(document: OpenAPI, limits: Limits) -> None:
    """Write the limits of a service into the description of its API."""
    schemas: Any = document.components.schemas
    for name in ("RecommendRequest", "SimilarRequest"):
        properties = schemas[name].properties
        properties["k"].minimum, properties["k"].maximum = 1, limits.k
        properties["k"].default = limits.usual_k
        for ids in properties.keys() & {"history", "exclude", "allow"}:
            lists = [properties[ids], *(properties[ids].one_of or ())]
            for one in lists:
                if one.items is not None:
                    one.max_items = limits.ids


# Decoded here, because Litestar takes 7.0 and "7" for 7.
_recommend_request = msgspec.json.Decoder(RecommendRequest)
_similar_request = msgspec.json.Decoder(SimilarRequest)


async def _recommended(service: Service, body: bytes) -> RankedItems:
    data = decoded(_recommend_request, body, "recommend request")
    model = service.repository.model()
    query = Query(
        k=_named_or_usual(service, data.k),
        exclude_seen=data.exclude_seen,
        exclude=data.exclude,
        allow=data.allow,
        exact=data.exact,
    )
    answer = await service.recommend(model, data.user_id, data.history, query, data.features)
    return _ranked(model, answer.result, data.exact, answer.embed_seconds, answer.search_seconds)


async def _similar(service: Service, body: bytes) -> RankedItems:
    data = decoded(_similar_request, body, "similar request")
    model = service.repository.model()
    answer = await service.similar(model, data.item_id, _named_or_usual(service, data.k))
    return _ranked(model, answer.result, False, answer.embed_seconds, answer.search_seconds)


def _named_or_usual(service: Service, k: int | msgspec.UnsetType) -> int:
    return service.settings.limits.usual_k if isinstance(k, msgspec.UnsetType) else k


def _item(service: Service, value: str) -> ItemDetails:
    model = service.repository.model()
    item = model.item(value)
    items = model.bundle.items
    details = {name: _plain(value) for name, value in items.details(item).items()}
    (title,) = items.titles([item])
    details.pop("title", None)
    return ItemDetails(item, title, details)


def _user(service: Service, value: str, limit: int) -> UserDetails:
    model = service.repository.model()
    user = model.user(value)
    had = model.bundle.had(user)
    return UserDetails(user, _named(model, had[:limit]), len(had))


def _ranked(
    model: ServedModel, result: Any, exact: bool, embed_seconds: float, search_seconds: float
) -> RankedItems:
    count = found(result, 0)
    ids, scores = result.ids[0][:count].tolist(), result.scores[0][:count].tolist()
    titles = model.bundle.items.titles(ids)
    return RankedItems(
        items=[ScoredItem(*item) for item in zip(ids, titles, scores, strict=True)],
        model_version=model.version,
        exact=exact,
        embed_microseconds=round(embed_seconds * 1e6, 1),
        search_microseconds=round(search_seconds * 1e6, 1),
    )


def _named(model: ServedModel, ids: list[int | str]) -> list[NamedItem]:
    titles = model.bundle.items.titles(ids)
    return [NamedItem(item, title) for item, title in zip(ids, titles, strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, pl.Series):
        return value.to_list()
    return value if isinstance(value, str | int | float | bool | list | None) else str(value)


handlers = (
    recommend,
    similar,
    find_items,
    item_in_path,
    item_in_query,
    find_users,
    user_in_path,
    user_in_query,
    model_details,
)
