"""What stands before every handler: keys, limits, shedding, bodies and the counting of answers."""

import hmac
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

from shortlist.serving.errors import RequestError
from shortlist.serving.metrics import Metrics
from shortlist.serving.paths import with_id_in_one_part
from shortlist.serving.settings import Limits, ServiceSettings

logger = logging.getLogger("shortlist.serving")

Receive = Callable[[], Any]
Send = Callable[[Mapping[str, Any]], Any]
Direct = Callable[[bytes], Awaitable[bytes]]

OPEN_PATHS = frozenset(
    {
        "/",
        "/livez",
        "/readyz",
        "/v2/health/live",
        "/v2/health/ready",
        "/docs",
        "/favicon.ico",
        "/api/openapi.json",
    }
)
_SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)

GUARD = "shortlist.guard"  # where the state of a scope has the guard of its connection
_DISCARDED = 8  # times the limit on a body: so much more is read, and kept nowhere


class Gate:
    """An ASGI application around another.

    Args:
        app: What answers the requests that are let in.
        settings: Keys and limits.
        metrics: Where answers are counted.
        direct: By path, what makes of the body of a POST the JSON of its answer. These requests do
            not go through `app`, which takes 110 of the 150 µs of a request.
    """

    def __init__(
        self, app: Any, settings: ServiceSettings, metrics: Metrics, direct: Mapping[str, Direct]
    ) -> None:
        self._app = app
        self._direct = direct
        self._limits = settings.limits
        self._keys = tuple(key.encode() for key in settings.keys)
        self._read_keys = tuple(key.encode() for key in settings.read_keys)
        self._metrics = metrics

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or pass the lifespan on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        guard = scope.get("state", {}).get(GUARD)
        if guard is None:  # another server, which does not count what arrives
            self._metrics.in_flight += 1
        start = perf_counter() if guard is None else guard.started()
        status = 500
        head_only = scope["method"] == "HEAD"

        async def counted_send(message: Mapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                if status in (204, 405):
                    headers = _with_head(headers)
                message = {**message, "headers": [*headers, *_SECURITY_HEADERS]}
            elif head_only:
                message = {**message, "body": b""}
            await send(message)

        try:
            headers = dict(scope["headers"])
            body = await self._admit(scope, headers, receive, start)
            if head_only:
                scope = {**scope, "method": "GET"}
            if scope["method"] in ("GET", "DELETE"):
                scope = with_id_in_one_part(scope)
            direct = self._direct.get(scope["path"])
            if direct and scope["method"] == "POST":
                await _send_json(counted_send, 200, await _guarded(direct, body))
            else:
                await self._app(scope, replayed(body, receive), counted_send)
        except RequestError as error:
            await _send_json(counted_send, error.status, error.body, _fields(error))
        finally:
            if guard is None:
                self._metrics.in_flight -= 1
            else:
                guard.answered()
            self._metrics.answered(scope["path"], status, perf_counter() - start)

    async def _admit(
        self, scope: dict[str, Any], headers: Mapping[bytes, bytes], receive: Receive, start: float
    ) -> bytes:
        path = scope["path"]
        if path in OPEN_PATHS or path.startswith("/page/"):
            return b""
        if self._keys or self._read_keys:
            self._check_key(headers, _writes(scope))
        if scope["method"] != "POST":
            return b""
        self._check_load(start)
        body = await self._read(headers, receive)
        encoding = headers.get(b"content-encoding")
        if encoding is None:
            return body
        encoding = encoding.strip().lower()
        scope["headers"] = [item for item in scope["headers"] if item[0] != b"content-encoding"]
        return _decompressed(body, encoding, self._limits.body_bytes)

    def _check_key(self, headers: Mapping[bytes, bytes], writes: bool) -> None:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = token.strip() if scheme.lower() == b"bearer" else headers.get(b"api-key", b"")
        matches = [hmac.compare_digest(given, key) for key in self._keys]
        reads = [hmac.compare_digest(given, key) for key in self._read_keys]
        if writes and any(reads) and not any(matches):
            raise RequestError(403, "This key may read, and not write.")
        if not any(matches) and not any(reads):
            raise RequestError(
                401, "A key is needed: send `Authorization: Bearer KEY` or `api-key: KEY`."
            )

    def _check_load(self, arrived: float) -> None:
        limits = self._limits
        if self._metrics.in_flight > limits.waiting:
            self._metrics.shed["queue"] += 1
            raise _overloaded(limits)
        waited = perf_counter() - arrived
        self._metrics.stages["wait"].observe(waited)
        if waited > limits.queue_seconds:
            self._metrics.shed["deadline"] += 1
            raise RequestError(
                429, f"The request waited longer than {limits.queue_seconds} s.", retry_after=1
            )

    async def _read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        limit = self._limits.body_bytes
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > _DISCARDED * limit:
            raise _too_large(limit)
        message = await receive()
        if not message.get("more_body", False) and len(message.get("body", b"")) <= limit:
            whole: bytes = message.get("body", b"")
            return whole  # all has arrived, as nearly always
        body, received, more = bytearray(), 0, True
        while more and received <= _DISCARDED * limit:  # a client hears why only when it has sent
            if message["type"] == "http.disconnect":
                raise RequestError(400, "The connection closed before the body was complete.")
            part = message.get("body", b"")
            received += len(part)
            if received <= limit:
                body += part
            more = message.get("more_body", False)
            if more:
                message = await receive()
        if received > limit:
            raise _too_large(limit)
        return bytes(body)


def _writes(scope: Mapping[str, Any]) -> bool:
    """Whether a request may change something: as the router reads a path, `//` being `/`."""
    parts = [part for part in scope["path"].split("/") if part]
    if scope["method"] != "POST":
        return scope["method"] not in ("GET", "HEAD", "OPTIONS")
    return parts[:2] == ["api", "v1"] and parts[2:] not in (["recommend"], ["similar"])


def refusal(limits: Limits) -> bytes:
    """Return what a server that is full answers at once: headers, an empty line and the body."""
    error = _overloaded(limits)
    fields = [*_fields(error), *_json_fields(error.body), *_SECURITY_HEADERS]
    return b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n" + error.body


def _overloaded(limits: Limits) -> RequestError:
    return RequestError(429, f"More than {limits.waiting} requests are waiting.", retry_after=1)


def _decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    if encoding in (b"", b"identity"):
        return body
    if encoding not in (b"gzip", b"deflate"):
        raise RequestError(
            415, f"The content-encoding {encoding.decode('latin-1')!r} is not read; gzip is."
        )
    decompressor = zlib.decompressobj(wbits=47)  # the header says whether gzip or zlib
    try:
        plain = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(400, f"The body is no {encoding.decode()}: {error}.") from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise RequestError(400, f"The {encoding.decode()} body is cut short or has a tail.")
    return plain


def _too_large(limit: int) -> RequestError:
    return RequestError(
        413,
        f"The body may have {limit} bytes after decompression (limit `body_bytes`); it has more.",
    )


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a whole body first."""
    sent = False

    async def first_the_body() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return first_the_body


async def _guarded(direct: Direct, body: bytes) -> bytes:
    try:
        return await direct(body)
    except RequestError:
        raise
    except Exception as error:
        logger.error("a request failed", exc_info=error)
        raise RequestError(500, "The service failed on this request.") from error


async def _send_json(
    send: Send, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    fields = [*headers, *_json_fields(body)]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def _with_head(headers: Any) -> list[tuple[bytes, bytes]]:
    """Add HEAD, which the gate answers, to the methods that the application names."""
    return [
        (name, b"HEAD, " + value if name == b"allow" and b"GET" in value else value)
        for name, value in headers
    ]


def _fields(error: RequestError) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in error.headers.items()]


def _json_fields(body: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))
