"""How a service is run: address, keys and limits."""

from collections.abc import Sized

import msgspec

from shortlist.index import MAX_K
from shortlist.serving.errors import RequestError


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a request may ask for, and for how long.

    Args:
        body_bytes: Largest body, after decompression.
        rows: Most queries in one request.
        k: Most candidates for each query.
        ids: Most ids in a history, an exclusion or an allowance.
        waiting: Requests that may be under way or waiting; more are shed with 429.
        queue_seconds: A request that waited longer than this is shed with 429.
        receive_seconds: Time for headers and body to arrive, from the first byte on. A connection
            that sends nothing is closed after the same time.
        send_seconds: A connection whose client reads nothing of its answer for this long is closed.
        drain_seconds: How long requests under way may take after SIGTERM.

    Raises:
        ValueError: A limit that would let nothing through, or `k` beyond what an index returns.

    Example:
        >>> Limits(k=0)
        Traceback (most recent call last):
        ValueError: `k` must be at least 1, got 0.
    """

    body_bytes: int = 1 << 20
    rows: int = 256
    k: int = 1_000
    ids: int = 10_000
    waiting: int = 256
    queue_seconds: float = 0.5
    receive_seconds: float = 5.0
    send_seconds: float = 10.0
    drain_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("body_bytes", "rows", "k", "ids"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be at least 1, got {getattr(self, name)}.")
        if self.k > MAX_K:
            raise ValueError(
                f"`k` must be at most {MAX_K}, the most that an index returns, got {self.k}."
            )

    @property
    def usual_k(self) -> int:
        """The k of a request that names none: 10, or the limit where that is less."""
        return min(10, self.k)

    def check_rows(self, count: int) -> None:
        """Refuse a request for nobody, or for too many.

        Raises:
            RequestError: With status 400.
        """
        if not 1 <= count <= self.rows:
            raise RequestError(
                400,
                f"A request may have 1 to {self.rows} rows, this one has {count} (limit `rows`).",
            )

    def check_k(self, k: int) -> None:
        """Refuse a number of candidates that is too small or too large.

        Raises:
            RequestError: With status 400.
        """
        if not 1 <= k <= self.k:
            shown = str(k)[:20]
            raise RequestError(400, f"`k` must be from 1 to {self.k}, got {shown} (limit `k`).")

    def check_ids(self, **given: Sized | None) -> None:
        """Refuse lists of ids, given by name, that are too long.

        Raises:
            RequestError: With status 400.
        """
        for name, ids in given.items():
            if ids is not None and len(ids) > self.ids:
                raise RequestError(
                    400, f"`{name}` may have {self.ids} ids, got {len(ids)} (limit `ids`)."
                )


class ServiceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a service is run.

    Args:
        name: The model's name in the paths of TensorFlow Serving and KServe.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        keys: Accepted keys; none, here and in `read_keys`, means that every request is answered.
        read_keys: Keys that may read, and change nothing.
        live: Where changes are kept, as for `LiveState.open`; None takes no changes.
        insecure: Whether a public address without a key is allowed.
        poll_seconds: How often to look for a new version.
        limits: What a request may ask for.

    Raises:
        ValueError: A name that is no part of a path.

    Example:
        >>> ServiceSettings(port=8080, limits=Limits(k=100)).limits.k
        100
    """

    name: str = "shortlist"
    host: str = "127.0.0.1"
    port: int = 8501
    keys: tuple[str, ...] = ()
    read_keys: tuple[str, ...] = ()
    live: str | None = None
    insecure: bool = False
    poll_seconds: float = 1.0
    limits: Limits = msgspec.field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError(f"`name` must be a part of a path, without `/`, got {self.name!r}.")
