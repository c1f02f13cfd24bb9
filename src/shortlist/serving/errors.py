"""What is wrong with a request, with the HTTP status that says so."""

from typing import TypeVar

import msgspec
from litestar.openapi.datastructures import ResponseSpec

T = TypeVar("T")

NO_BODY = "The request needs a body."


class ErrorBody(msgspec.Struct):
    """The body of every answer that is an error, in all dialects.

    Args:
        error: What is wrong, and what would be right.
    """

    error: str


def _described(what: str) -> ResponseSpec:
    return ResponseSpec(ErrorBody, description=what)


LOADING_ERRORS = {
    401: _described("A key is needed."),
    503: _described("No model is loaded yet."),
}
LOOKUP_ERRORS = {
    **LOADING_ERRORS,
    400: _described("The request is not one this API takes."),
    404: _described("There is no such model, user or item."),
}
QUERY_ERRORS = {
    **LOOKUP_ERRORS,
    413: _described("The body is over the limit."),
    415: _described("The body is compressed as nothing that is read here."),
    429: _described("Too many requests; see Retry-After."),
}


CHANGE_ERRORS = {
    **QUERY_ERRORS,
    403: _described("The key may read, and not write."),
    404: _described("There is no live state to keep a change in."),
    409: _described("The idempotency key came before, with another request."),
    503: _described("No model is loaded yet, or the live state failed: try again."),
}


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        status: The HTTP status.
        message: What is wrong, and what would be right.
        retry_after: Seconds after which to try again, where that helps.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    @property
    def headers(self) -> dict[str, str]:
        """The headers that go with the status."""
        headers = {"cache-control": "no-store"}
        if self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        if self.status == 401:
            headers["www-authenticate"] = 'Bearer realm="shortlist"'
        return headers

    @property
    def body(self) -> bytes:
        """The JSON body."""
        return msgspec.json.encode(ErrorBody(self.message))


def decoded(decoder: msgspec.json.Decoder[T], body: bytes | memoryview, what: str) -> T:
    """Return what the JSON of a request says.

    Args:
        decoder: Of the requests that are taken.
        body: The JSON.
        what: Such a request in words, for the error.

    Raises:
        RequestError: It is not JSON, or not that of such a request (400).
    """
    if not body:
        raise RequestError(400, NO_BODY)
    try:
        return decoder.decode(body)
    except RecursionError:
        why = "it is nested too deeply"
    except UnicodeDecodeError as error:
        why = f"it is not UTF-8: {error.reason}"
    except msgspec.MsgspecError as error:
        why = str(error)
    raise RequestError(400, f"The body is no {what}: {why}.")
