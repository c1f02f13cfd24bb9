"""Services to talk to: a real one on a port of its own, for each module that asks."""

import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from shortlist.serving import ServiceSettings
from shortlist.serving.answers import Service
from shortlist.serving.server import create_service_with_model, make_server

from ..bundle.parts import Parts


@dataclass
class Running:
    """A service that listens."""

    url: str
    port: int
    service: Service
    server: uvicorn.Server

    def request(
        self,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        method: str | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, dict(answer.headers.items()), answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers.items()), error.read()

    def json(self, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        status, _, answer = self.request(path, body, headers)
        return status, json.loads(answer)


@contextlib.contextmanager
def running(folder: Path, settings: ServiceSettings | None = None) -> Iterator[Running]:
    """Serve a folder on a free port until the block ends."""
    service = create_service_with_model(
        folder, settings or ServiceSettings(name="m", poll_seconds=0.1)
    )
    server = make_server(service)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield Running(f"http://127.0.0.1:{port}", port, service, server)
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def parts() -> Parts:
    return Parts()


@pytest.fixture(scope="session")
def models(parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    parts.save(folder / "1")
    return folder


@pytest.fixture(scope="session")
def served(models: Path) -> Iterator[Running]:
    with running(models) as one:
        yield one
