"""The HTTP application: three dialects over one model, operations, and the page."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib import metadata as packages
from importlib import resources
from typing import Any

from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException, SerializationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin

from shortlist.live import LiveState
from shortlist.serving import kserve, live, rest, tensorflow_serving
from shortlist.serving.answers import Service
from shortlist.serving.errors import NO_BODY, RequestError
from shortlist.serving.gate import Gate
from shortlist.serving.metrics import Metrics
from shortlist.serving.model import Workers
from shortlist.serving.repository import Repository
from shortlist.serving.settings import ServiceSettings

logger = logging.getLogger("shortlist.serving")

_PAGE_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


@get(["/livez", "/v2/health/live"], include_in_schema=False)
async def alive() -> dict[str, Any]:
    """Whether the process answers at all."""
    return {"live": True}


@get(["/readyz", "/v2/health/ready"], include_in_schema=False)
async def ready(state: State) -> dict[str, Any]:
    """Whether requests should come here: a model is loaded, and no shutdown is under way."""
    service: Service = state.service
    if service.draining:
        raise RequestError(503, "The service is shutting down.")
    return {"ready": True, "version": str(service.repository.model().version)}


@get(["/metrics", "/monitoring/prometheus/metrics"], include_in_schema=False)
async def metrics(state: State) -> Response[bytes]:
    """Counts and times for Prometheus."""
    text = state.service.metrics.text()
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


@get(["/", "/docs", "/favicon.ico", "/page/{name:str}"], include_in_schema=False)
async def page(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The page, the documentation of the API, and what they are made of."""
    fixed = {"/": "index.html", "/docs": "docs.html", "/favicon.ico": "icon.svg"}
    name = fixed.get(request.url.path) or request.path_params["name"]
    file = resources.files("shortlist.serving").joinpath("page", name)
    suffix = name.rpartition(".")[2]
    if suffix not in _PAGE_TYPES or "/" in name or not file.is_file():
        raise RequestError(404, f"There is no {request.url.path}.")
    headers = {"cache-control": "no-cache"}
    return Response(file.read_bytes(), media_type=_PAGE_TYPES[suffix], headers=headers)


def create_app(service: Service) -> Gate:
    """Build the application.

    Args:
        service: The model, limits and metrics it works with.

    Returns:
        An ASGI application.

    Example:
        >>> from pathlib import Path
        >>> service = create_service(ServiceSettings(name="films"), Path("models"))
        >>> callable(create_app(service))
        True
        >>> service.workers.close()
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        watcher = asyncio.create_task(service.repository.watch(service.settings.poll_seconds))
        try:
            yield
        finally:
            watcher.cancel()
            service.repository.close()
            service.workers.close()

    app = Litestar(
        [
            alive,
            ready,
            metrics,
            page,
            Router("/api/v1", route_handlers=[*rest.handlers, *live.handlers], tags=["Shortlist"]),
            tensorflow_serving.router,
            kserve.router,
        ],
        lifespan=[lifespan],
        state=State({"service": service}),
        openapi_config=OpenAPIConfig(
            title="Shortlist",
            version=packages.version("shortlist"),
            description="Recommendations and similar items from a two-tower model.",
            path="/api",
            render_plugins=[JsonRenderPlugin(path="/openapi.json")],
        ),
        exception_handlers={
            RequestError: _request_error,
            HTTPException: _http_error,
            RecursionError: _too_deep,
            UnicodeDecodeError: _not_utf8,
            Exception: _server_error,
        },
        request_max_body_size=None,  # the gate has looked already
        logging_config=None,
    )
    rest.describe_limits(app.openapi_schema, service.settings.limits)
    return Gate(app, service.settings, service.metrics, rest.direct(service))


def create_service(settings: ServiceSettings, repository_path: Any) -> Service:
    """Put together what an application works with; no model is loaded yet.

    Raises:
        LiveStateError: The live state cannot be opened.
    """
    metrics = Metrics()
    state = None if settings.live is None else LiveState.open(settings.live)
    repository = Repository(repository_path, metrics, state)
    return Service(settings, metrics, repository, Workers(settings.limits, metrics))


def _request_error(_: Request[Any, Any, Any], error: RequestError) -> Response[bytes]:
    return Response(
        error.body,
        status_code=error.status,
        headers=error.headers,
        media_type=MediaType.JSON,
    )


def _http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    message = error.detail
    fields = error.headers or {}
    if error.status_code == 404:
        message = f"There is no {request.url.path}."
    elif error.status_code == 405:
        message = f"{request.method} is not answered here; these are: {fields.get('allow')}."
    elif isinstance(error.__cause__, SerializationException):
        message = f"The body is not what this takes: {message}."
    extra = getattr(error, "extra", None)
    if isinstance(extra, list) and any(e.get("message") == "'data'" for e in extra):
        message = NO_BODY
    elif isinstance(extra, list):
        message = "; ".join(
            f"{_named(e.get('key'))}: {e.get('message', '')}" for e in extra if isinstance(e, dict)
        )
    response = _request_error(request, RequestError(error.status_code, message or "Bad request."))
    for name, value in fields.items():
        response.set_header(name, value)
    return response


def _named(key: object) -> object:
    return "body" if key in (None, "data") else key


def _too_deep(request: Request[Any, Any, Any], _: Exception) -> Response[bytes]:
    return _request_error(request, RequestError(400, "The JSON is nested too deeply."))


def _not_utf8(request: Request[Any, Any, Any], error: UnicodeDecodeError) -> Response[bytes]:
    return _request_error(request, RequestError(400, f"The JSON is not UTF-8: {error.reason}."))


def _server_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    logger.error("a request failed", exc_info=error)
    return _request_error(request, RequestError(500, "The service failed on this request."))
