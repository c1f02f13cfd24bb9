import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shortlist.serving import Limits, ServiceSettings
from shortlist.serving.server import check_address

from .conftest import Running, running


def test_health_says_live_and_ready(served: Running):
    for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert served.request(path)[0] == 200


def test_metrics_count_answers_by_route_and_never_by_user(served: Running):
    served.json("/api/v1/recommend", {"user_id": "u0"})
    for path in ("/metrics", "/monitoring/prometheus/metrics"):
        status, headers, text = served.request(path)
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
    text = text.decode()
    assert re.search(
        r'shortlist_requests_total\{route="/api/v1/recommend",status="200"\} [1-9]', text
    )
    assert "shortlist_model_version 1.0" in text
    assert re.search(r'shortlist_stage_seconds_count\{stage="search"\} [1-9]', text)
    for name in ("shortlist_in_flight", "shortlist_queued", "shortlist_shed_total"):
        assert f"# TYPE {name.removesuffix('_total')}" in text
    assert "u0" not in text


def test_every_answer_forbids_foreign_scripts(served: Running):
    for path in ("/", "/docs", "/api/v1/model", "/page/app.js", "/nothing-here"):
        _, headers, _ = served.request(path)
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


@pytest.mark.parametrize("path", ["..%2fapp.py", "%2e%2e/app.py", "..%5capp.py", "x.js", ""])
def test_the_page_gives_nothing_but_its_own_files(served: Running, path: str):
    assert served.request(f"/page/{path}")[0] == 404


def test_with_keys_only_their_holders_are_answered(models: Path):
    with running(models, ServiceSettings(name="m", keys=("secret", "other"))) as served:
        body = {"user_id": "u0"}
        status, headers, answer = served.request("/api/v1/recommend", body)
        assert status == 401
        assert headers["www-authenticate"].startswith("Bearer")
        assert "Authorization: Bearer KEY" in json.loads(answer)["error"]
        for key in ({"Authorization": "Bearer wrong"}, {"api-key": "secre"}, {"api-key": ""}):
            assert served.request("/api/v1/recommend", body, key)[0] == 401
        for key in ({"Authorization": "Bearer secret"}, {"api-key": "other"}):
            assert served.request("/api/v1/recommend", body, key)[0] == 200
        for path in ("/v1/models/m", "/v2", "/v2/models/m", "/metrics", "/api/v1/users/u0"):
            assert served.request(path)[0] == 401
        for path in ("/livez", "/readyz", "/", "/docs", "/page/app.js"):
            assert served.request(path)[0] == 200


def test_a_public_address_needs_a_key_or_an_insistent_owner():
    with pytest.raises(ValueError, match="can be reached from other machines, and there is no key"):
        check_address(ServiceSettings(host="0.0.0.0"))
    with pytest.raises(ValueError, match="can be reached"):
        check_address(ServiceSettings(host="::"))
    check_address(ServiceSettings(host="0.0.0.0", insecure=True))
    check_address(ServiceSettings(host="0.0.0.0", keys=("secret",)))
    check_address(ServiceSettings(host="localhost"))


def test_the_limit_on_a_body_counts_after_decompression_and_is_named(served: Running):
    status, answer = served.json("/api/v1/recommend", b" " * ((1 << 20) + 1))
    assert status == 413
    assert "1048576 bytes" in answer["error"]
    assert served.json("/api/v1/recommend", b'{"user_id":"u0"' + b" " * 900_000 + b"}")[0] == 200


def test_over_the_limit_of_waiting_requests_the_answer_is_429_with_retry_after(models: Path):
    with running(models, ServiceSettings(name="m", limits=Limits(waiting=0))) as served:
        status, headers, answer = served.request("/api/v1/recommend", {"user_id": "u0"})
        assert status == 429
        assert headers["retry-after"] == "1"
        assert "More than 0 requests are waiting" in json.loads(answer)["error"]
        assert b'shortlist_shed_total{reason="queue"} 1.0' in served.request("/metrics")[2]


def test_a_request_that_waited_too_long_is_shed(models: Path):
    with running(models, ServiceSettings(name="m", limits=Limits(queue_seconds=1e-9))) as served:
        status, headers, _ = served.request("/api/v1/recommend", {"user_id": "u0"})
        assert (status, headers["retry-after"]) == (429, "1")


def test_a_slow_sender_is_closed_at_the_deadline_and_others_are_served(models: Path):
    settings = ServiceSettings(name="m", limits=Limits(receive_seconds=1.0))
    with running(models, settings) as served:
        begun = [b"", b"POST / HTTP/1.1\r\nX-Slow: ", _head(99), _head(99) + b'{"user']
        slow = [socket.create_connection(("127.0.0.1", served.port)) for _ in begun]
        for one, start in zip(slow, begun, strict=True):
            one.sendall(start)
        deadline = time.monotonic() + 1.8
        trickled = slow[1:]
        while time.monotonic() < deadline:
            assert served.request("/api/v1/recommend", {"user_id": "u0"})[0] == 200
            for one in trickled:  # a byte now and then does not move the deadline
                with contextlib.suppress(OSError):
                    one.sendall(b"x")
            time.sleep(0.1)
        for one in slow:
            assert _is_closed(one)
            one.close()
        assert b"shortlist_slow_clients_closed_total 4.0" in served.request("/metrics")[2]


def test_a_connection_kept_open_between_requests_is_not_a_slow_one(models: Path):
    settings = ServiceSettings(name="m", limits=Limits(receive_seconds=0.3))
    with (
        running(models, settings) as served,
        socket.create_connection(("127.0.0.1", served.port)) as one,
    ):
        for _ in range(2):
            one.sendall(_head(16) + b'{"user_id":"u0"}')
            assert _answer(one) == 200
            time.sleep(0.6)


SERVE = """
import sys
from pathlib import Path
from shortlist.serving import ServiceSettings, serve
serve(Path(sys.argv[1]), ServiceSettings(name="m", port=int(sys.argv[2])))
"""


def test_sigterm_says_not_ready_finishes_what_runs_and_exits_with_0(models: Path):
    port = _free_port()
    process = subprocess.Popen([sys.executable, "-c", SERVE, str(models), str(port)])
    try:
        _until_open(port, process)
        with socket.create_connection(("127.0.0.1", port)) as late:
            late.sendall(_head(16) + b'{"user_id"')  # under way when the signal comes
            with socket.create_connection(("127.0.0.1", port)) as probe:
                time.sleep(0.2)
                process.send_signal(signal.SIGTERM)
                time.sleep(0.2)
                probe.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
                assert _answer(probe) == 503
            time.sleep(1.0)
            late.sendall(b':"u0"}')
            assert _answer(late) == 200
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()


def test_clients_beyond_the_file_descriptors_are_closed_and_then_all_is_well(models: Path):
    port = _free_port()
    few = f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100)){SERVE}"
    process = subprocess.Popen([sys.executable, "-c", few, str(models), str(port)])
    try:
        _until_open(port, process)
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(150)]
        assert _is_closed(clients[-1])
        clients[0].sendall(_head(16) + b'{"user_id":"u0"}')
        assert _answer(clients[0]) == 200
        for one in clients:
            one.close()
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", port)) as late:
            late.sendall(_head(16) + b'{"user_id":"u0"}')
            assert _answer(late) == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()


def test_the_service_imports_no_deep_learning_framework():
    code = (
        "import sys, shortlist.serving\n"
        "print([m for m in ('keras', 'jax', 'tensorflow', 'torch', 'onnx') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_taken_port_is_an_error_that_names_it(models: Path, served: Running):
    from shortlist.serving import serve

    with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{served.port}"):
        serve(models, ServiceSettings(port=served.port))


def _head(length: int) -> bytes:
    return (
        b"POST /api/v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: " + str(length).encode() + b"\r\n\r\n"
    )


def _answer(one: socket.socket) -> int:
    answer = http.client.HTTPResponse(one)
    answer.begin()
    answer.read()
    return answer.status


def _is_closed(one: socket.socket) -> bool:
    one.settimeout(2)
    try:
        return one.recv(1) == b""
    except ConnectionResetError:
        return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def _until_open(port: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError
