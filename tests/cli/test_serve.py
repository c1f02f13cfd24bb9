import os
import signal
import subprocess
import sys
import urllib.request


def test_serve_answers_until_it_is_told_to_stop(bundle) -> None:
    """As a person starts it; the log on stderr names the address."""
    command = [sys.executable, "-c", "from shortlist.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "serve", str(bundle), "--port", "0", "--name", "films"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )
    try:
        url = _address(process)
        with urllib.request.urlopen(f"{url}/v1/models/films", timeout=20) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.communicate()


def test_serve_refuses_a_public_address_without_a_key(fail, bundle) -> None:
    code, said = fail("serve", str(bundle), "--host", "0.0.0.0")
    assert code == 2
    assert "there is no key: give --key, or --insecure" in said


def test_serve_of_no_bundle_exits_with_4(fail, tmp_path) -> None:
    code, said = fail("serve", str(tmp_path / "none"))
    assert code == 4
    assert "neither a bundle nor a folder of versions" in said


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if "listening on " in line:
            return line.partition("listening on ")[2].strip()
    raise AssertionError("the service ended")
