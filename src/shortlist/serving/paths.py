"""Ids of any characters in paths: a part of a path as it was sent, not as a server reads it.

Servers decode a path before it is routed, and routers take `//` for `/` and drop a trailing one. An
id that holds slashes, as a URL does, would not survive that. So the part after `/items/` or
`/users/` is taken from the path as it was sent, and encoded again into one part that nothing
changes.
"""

from typing import Any
from urllib.parse import quote, unquote

from shortlist.serving.errors import RequestError

_WITH_ID = {b"items", b"users"}
_MARK = "="  # before the id, so that an empty one is a part too


def with_id_in_one_part(scope: dict[str, Any]) -> dict[str, Any]:
    """Return a scope whose path has the id that it may end in as one part.

    Args:
        scope: Of an HTTP request.

    Raises:
        RequestError: Path or query are not percent-encoded UTF-8 (400).
    """
    raw: bytes = scope["raw_path"]
    _check_utf8(raw)
    _check_utf8(scope["query_string"])
    parts = raw.split(b"/", 4)
    if len(parts) < 5 or parts[:3] != [b"", b"api", b"v1"] or parts[3] not in _WITH_ID:
        return scope
    part = quote(unquote(parts[4]), safe="")
    return {**scope, "path": f"/api/v1/{parts[3].decode()}/{_MARK}{part}"}


def id_in(part: str) -> str:
    """Return the id in a part that `with_id_in_one_part` made.

    Raises:
        RequestError: It did not make it, because the path was spelled in some other way (404).
    """
    if not part.startswith(_MARK):
        raise RequestError(404, "There is no such path.")
    return unquote(part.removeprefix(_MARK))


def _check_utf8(encoded: bytes) -> None:
    if b"%" in encoded:
        try:
            unquote(encoded, errors="strict")
        except UnicodeDecodeError:
            raise RequestError(400, "The address must be percent-encoded UTF-8.") from None
