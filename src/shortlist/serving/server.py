"""Run the service: one process, one port, until it is told to stop."""

import asyncio
import gc
import ipaddress
import logging
import math
import os
import signal
import socket
import time
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
import uvloop

from shortlist.bundle import BundleError
from shortlist.serving.answers import Service
from shortlist.serving.app import create_app, create_service
from shortlist.serving.gate import refusal
from shortlist.serving.protocol import guarded_protocol
from shortlist.serving.settings import ServiceSettings

logger = logging.getLogger("shortlist.serving")

_BACKLOG = 2048
_ACCEPTED_AT_ONCE = 64
_NO_SOCKETS_SECONDS = 0.1  # to wait when the process has no file descriptor left
_COLLECT_AFTER = (20_000, 10, 100)  # objects, and collections, before Python looks for cycles
_NOT_READY_SECONDS = 0.5  # between saying so and refusing connections


def serve(path: str | os.PathLike[str], settings: ServiceSettings | None = None) -> None:
    """Serve a bundle, or the newest of a folder of versions, until SIGTERM or SIGINT.

    Args:
        path: A bundle, or a folder of bundles named by their version numbers.
        settings: Address, keys and limits.

    Raises:
        BundleError: There is no good version to begin with.
        ValueError: A public address without a key.
        OSError: The port is taken.
    """
    settings = settings or ServiceSettings()
    check_address(settings)
    service = create_service_with_model(Path(path), settings)
    server = make_server(service)
    gc.freeze()  # what is loaded stays; to look through it for cycles took a sixth of the time
    gc.set_threshold(*_COLLECT_AFTER)
    with _listen(settings) as listener:
        uvloop.run(server.serve(sockets=[listener]))


def create_service_with_model(path: Path, settings: ServiceSettings) -> Service:
    """Load the newest good version.

    Raises:
        BundleError: There is none.
    """
    service = create_service(settings, path)
    service.repository.refresh()
    if service.repository.current is None:
        reasons = "; ".join(f"{v}: {why}" for v, why in sorted(service.repository.refused.items()))
        raise BundleError(reasons or f"{path} is neither a bundle nor a folder of versions.")
    return service


def check_address(settings: ServiceSettings) -> None:
    """Refuse to offer a service without a key to other machines.

    Raises:
        ValueError: The address is public, there is no key, and nobody insisted.
    """
    if settings.keys or settings.insecure:
        return
    addresses = {info[4][0] for info in socket.getaddrinfo(settings.host, settings.port)}
    if not all(ipaddress.ip_address(a.partition("%")[0]).is_loopback for a in map(str, addresses)):
        raise ValueError(
            f"{settings.host} can be reached from other machines, and there is no key: "
            "give --key, or --insecure if that is meant."
        )


def make_server(service: Service) -> uvicorn.Server:
    """Return a uvicorn server that drains at SIGTERM, for a socket that listens already."""
    limits = service.settings.limits
    config = uvicorn.Config(
        create_app(service),
        http=guarded_protocol(limits, service.metrics, refusal(limits)),
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(limits.drain_seconds),
        backlog=_BACKLOG,
    )
    return _Server(config, service)


class _Server(uvicorn.Server):
    """A server that takes all new clients at once, and that says it is not ready before it drains.

    The event loop itself would take one new client at a turn: under overload, where a turn lasts
    50 ms, 20 a second, and the others would wait for many seconds.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service
        self._leave_at = math.inf
        self._arriving: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])
        for listener in sockets or ():
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._watch(listener)
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            logger.info("listening on http://%s:%d", shown, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        await super().shutdown(sockets)

    def _watch(self, listener: socket.socket) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.error("no new client can be taken: %s", error.strerror)
                loop.remove_reader(listener)
                loop.call_later(_NO_SOCKETS_SECONDS, self._watch, listener)
                return
            connection.setblocking(False)
            task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.draining:  # a second signal: at once
            super().handle_exit(sig, frame)
            return
        logger.info("%s: not ready from now on, draining", signal.Signals(sig).name)
        self._service.draining = True
        self._leave_at = time.monotonic() + _NOT_READY_SECONDS

    async def on_tick(self, counter: int) -> bool:
        self.should_exit = self.should_exit or time.monotonic() >= self._leave_at
        return await super().on_tick(counter)


def _listen(settings: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it; uvloop sets it only for sockets it made itself. Without
        # it the second write of an answer waits 40 ms for the first to be acknowledged.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno, f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        ) from None
    return listener
