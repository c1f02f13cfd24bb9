import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from shortlist.data import DataError
from shortlist.data.download import download

CONTENT = b"ratings" * 1000
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()


class Files(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked += 1  # type: ignore[attr-defined]
        found = self.path == "/ml.zip"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        self.end_headers()
        self.wfile.write(CONTENT if found else b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Files) as server:
        server.asked = 0  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server: HTTPServer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.server_port}/ml.zip"
    for _ in range(2):
        path = download(url, md5=MD5, folder=tmp_path)
        assert path == tmp_path / "ml.zip"
        assert path.read_bytes() == CONTENT
    assert server.asked == 1  # type: ignore[attr-defined]


def test_a_file_with_another_hash_is_refused(server: HTTPServer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.server_port}/ml.zip"
    with pytest.raises(DataError, match=r"ml\.zip could not be downloaded .*hash.*data_dir"):
        download(url, md5="0" * 32, folder=tmp_path)
    assert not (tmp_path / "ml.zip").exists()


def test_a_file_that_is_not_there_is_named(server: HTTPServer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{server.server_port}/none.zip"
    with pytest.raises(DataError, match=r"none\.zip could not be downloaded .*404"):
        download(url, md5=None, folder=tmp_path)


def test_progress_is_shown_on_a_terminal(
    server: HTTPServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    url = f"http://127.0.0.1:{server.server_port}/ml.zip"
    assert download(url, md5=MD5, folder=tmp_path).read_bytes() == CONTENT
    shown = capsys.readouterr()
    assert "ml.zip" in shown.err
    assert "100%" in shown.err
    assert shown.out == ""
