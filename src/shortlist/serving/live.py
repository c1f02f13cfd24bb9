"""Changes over HTTP: items put and removed, and what users did, kept in the live state."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, post
from litestar.datastructures import State
from litestar.params import HeaderParameter, JSONBody

from shortlist.embeddings import as_embeddings
from shortlist.ids import parse_id
from shortlist.live import (
    Change,
    Interaction,
    ItemRemoval,
    ItemUpsert,
    KeyReusedError,
    LiveStateError,
)
from shortlist.serving.answers import Service
from shortlist.serving.errors import CHANGE_ERRORS, RequestError, decoded
from shortlist.serving.model import ServedModel
from shortlist.serving.paths import id_in
from shortlist.serving.rest import Id, PathId, QueryId

Key = Annotated[
    str | None,
    HeaderParameter(
        name="idempotency-key",
        max_length=200,
        description="A name for this request; where it comes again, nothing is applied twice.",
    ),
]


class PutItem(msgspec.Struct, forbid_unknown_fields=True):
    """An item as it is from now on, by attributes, an embedding, or both."""

    id: Id
    attributes: dict[str, Any] | None = None
    embedding: list[float] | None = None


class PutItems(msgspec.Struct, forbid_unknown_fields=True):
    """Items to add or to change, all or none."""

    items: list[PutItem]


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """Something a user did with an item, in seconds since 1970; without a time it is now."""

    user_id: Id
    item_id: Id
    timestamp: int | None = None


class AddEvents(msgspec.Struct, forbid_unknown_fields=True):
    """What users did, all or none."""

    events: list[Event]


class Kept(msgspec.Struct):
    """The places of the changes in the log. They are durable, and the next answer knows them."""

    first: int
    last: int


@post("/items", status_code=200, responses=CHANGE_ERRORS, summary="Put items")
async def put_items(
    data: JSONBody[PutItems],  # noqa: ARG001 - for the description
    request: Request[Any, Any, Any],
    state: State,
    key: Key = None,
) -> Kept:
    """Add items, or change those that are there."""
    body = await _json(request)

    def changes(model: ServedModel) -> list[Change]:
        items = decoded(_put_items, body, "list of items").items
        return [
            ItemUpsert(
                _id(model, "item", one.id),
                one.attributes,
                None if one.embedding is None else as_embeddings(one.embedding, "embedding"),
            )
            for one in items
        ]

    return await _append(state.service, changes, key)


@delete("/items/{item_id:str}", status_code=200, responses=CHANGE_ERRORS, summary="Remove an item")
async def remove_item(state: State, item_id: PathId, key: Key = None) -> Kept:
    """Remove an item: nobody gets it from now on."""
    return await _remove(state.service, id_in(item_id), key)


@delete("/item", status_code=200, responses=CHANGE_ERRORS, summary="Remove an item, by query")
async def remove_item_by_query(state: State, item_id: QueryId, key: Key = None) -> Kept:
    """The same; browsers change a path that ends in the id `.` or `..`, and leave a query alone."""
    return await _remove(state.service, item_id, key)


@post("/events", status_code=200, responses=CHANGE_ERRORS, summary="Add events")
async def add_events(
    data: JSONBody[AddEvents],  # noqa: ARG001 - for the description
    request: Request[Any, Any, Any],
    state: State,
    key: Key = None,
) -> Kept:
    """Say what users did: it is left out of what they get next, and a history tower reads it."""
    body = await _json(request)

    def changes(model: ServedModel) -> list[Change]:
        return [
            Interaction(
                _id(model, "user", one.user_id), _id(model, "item", one.item_id), one.timestamp
            )
            for one in decoded(_add_events, body, "list of events").events
        ]

    return await _append(state.service, changes, key)


# Decoded here, because Litestar takes 7.0 and "7" for 7.
_put_items = msgspec.json.Decoder(PutItems)
_add_events = msgspec.json.Decoder(AddEvents)


async def _json(request: Request[Any, Any, Any]) -> bytes:
    # A page of another site may send any body but one of this type without asking first.
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(
            415, f"The content-type must be application/json, got {media_type[:40]!r}."
        )
    return await request.body()


async def _remove(service: Service, item: str, key: str | None) -> Kept:
    return await _append(service, lambda model: [ItemRemoval(_id(model, "item", item))], key)


async def _append(
    service: Service, changes: Callable[[ServedModel], Sequence[Change]], key: str | None
) -> Kept:
    model = service.repository.model()
    follower = model.follower
    if follower is None:
        raise RequestError(
            404, "This service has no live state; start it with `shortlist serve --live PLACE`."
        )
    try:
        given = changes(model)
        service.settings.limits.check_ids(changes=given)
        receipt = await service.workers.run(lambda: follower.append(given, key=key))
    except KeyReusedError as error:
        raise RequestError(409, f"{error}") from None
    except LiveStateError as error:
        raise RequestError(503, f"{error}", retry_after=1) from error
    except ValueError as error:
        raise RequestError(400, f"{error}") from None
    return Kept(receipt.first, receipt.last)


def _id(model: ServedModel, what: str, value: Id) -> int | str:
    text = model.bundle.items.text if what == "item" else model.user_ids_are_text
    known = parse_id(value, text, f"{what}_id")
    if known is None:
        raise RequestError(400, f"`{what}_id` must be an integer, got {str(value)[:60]!r}.")
    return known


handlers = (put_items, remove_item, remove_item_by_query, add_events)
