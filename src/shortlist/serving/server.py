"""Run the service: one process, one port, until it is told to stop."""

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import resource
import signal
import socket
from pathlib import Path

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
# The event loop takes one new client a turn from each listener: under overload, where a turn lasts
# 50 ms, 20 a second. So it gets as many listeners on the same socket.
_ACCEPTED_AT_ONCE = 16
_OPEN_FILES = 65_536
_A_DAY = 24 * 60 * 60
_COLLECT_AFTER = (20_000, 10, 100)  # objects, and collections, before Python looks for cycles
_NOT_READY_SECONDS = 0.5  # between saying so and refusing connections


def serve(path: str | os.PathLike[str], settings: ServiceSettings | None = None) -> None:
    """Serve a bundle, or the newest of a folder of versions, until SIGTERM or SIGINT.

    Args:
        path: A bundle, or a folder of bundles named by their version numbers.
        settings: Address, keys and limits.

    Raises:
        BundleError: There is no good version to begin with.
        LiveStateError: The live state cannot be opened.
        ValueError: A public address without a key.
        OSError: The port is taken.

    Example:
        >>> serve("nowhere")
        Traceback (most recent call last):
        shortlist.bundle.manifest.BundleError: nowhere is neither a bundle nor a folder of versions.
    """
    settings = settings or ServiceSettings()
    check_address(settings)
    service = create_service_with_model(Path(path), settings)
    server = make_server(service)
    _allow_connections()
    gc.freeze()  # what is loaded stays; to look through it for cycles took a sixth of the time
    gc.set_threshold(*_COLLECT_AFTER)
    with _listen(settings) as listener:
        uvloop.run(_run(server, service, listener))


def create_service_with_model(path: Path, settings: ServiceSettings) -> Service:
    """Load the newest good version.

    Raises:
        BundleError: There is none.
        LiveStateError: The live state cannot be opened.
    """
    service = create_service(settings, path)
    service.repository.refresh()
    if service.repository.current is None:
        reasons = "; ".join(f"{v}: {why}" for v, why in sorted(service.repository.refused.items()))
        raise BundleError(reasons or f"{path} is neither a bundle nor a folder of versions.")
    return service


def check_address(settings: ServiceSettings) -> None:
    """Refuse to offer a service without a key to other machines.

    Args:
        settings: Address and keys.

    Raises:
        ValueError: The address is public, there is no key, and `insecure` is not set.

    Example:
        >>> check_address(ServiceSettings(host="127.0.0.1"))
        >>> check_address(ServiceSettings(host="0.0.0.0"))
        Traceback (most recent call last):
        ValueError: 0.0.0.0 can be reached from other machines, and there is no key: ...
    """
    if settings.keys or settings.read_keys or settings.insecure:
        return
    addresses = {info[4][0] for info in socket.getaddrinfo(settings.host, settings.port)}
    if not all(ipaddress.ip_address(a.partition("%")[0]).is_loopback for a in map(str, addresses)):
        raise ValueError(
            f"{settings.host} can be reached from other machines, and there is no key: "
            "give --key, or --insecure if that is meant."
        )


def make_server(service: Service) -> uvicorn.Server:
    """Return a uvicorn server for sockets that are bound already."""
    limits = service.settings.limits
    config = uvicorn.Config(
        create_app(service),
        http=guarded_protocol(limits, service.metrics, refusal(limits)),  # type: ignore[arg-type]
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_A_DAY,  # the guard closes idle connections sooner
        timeout_graceful_shutdown=int(limits.drain_seconds),
        backlog=_BACKLOG,
    )
    return uvicorn.Server(config)


def _allow_connections() -> None:
    """Raise the limit on open files, which most systems keep at 1,024 for a start."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < min(hard, _OPEN_FILES):
        with contextlib.suppress(ValueError, OSError):  # the system may have another limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _OPEN_FILES), hard))


async def _run(server: uvicorn.Server, service: Service, listener: socket.socket) -> None:
    """Serve until a signal; be not ready before connections are refused, and drain."""
    loop = asyncio.get_running_loop()

    def leave(sig: signal.Signals) -> None:
        if service.draining:  # a second signal: at once
            server.should_exit = server.force_exit = True
            return
        logger.info("%s: not ready from now on, draining", sig.name)
        service.draining = True
        loop.call_later(_NOT_READY_SECONDS, setattr, server, "should_exit", True)

    listeners = [listener.dup() for _ in range(_ACCEPTED_AT_ONCE)]
    serving = asyncio.create_task(server.serve(sockets=listeners))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, leave, sig)
    host, port = listener.getsockname()[:2]
    logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    listener.close()
    await serving


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
