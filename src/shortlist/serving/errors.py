"""What is wrong with a request, with the HTTP status that says so."""

import msgspec


class ErrorBody(msgspec.Struct):
    """The body of every answer that is an error, in all dialects.

    Args:
        error: What is wrong, and what would be right.
    """

    error: str


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
