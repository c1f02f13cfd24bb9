"""Plain curl, in all three dialects."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from .conftest import Running

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")


def _curl(url: str, body: Any = None, *options: str) -> Any:
    data = [] if body is None else ["--json", json.dumps(body)]
    command = ["curl", "--silent", "--show-error", "--fail-with-body", *options, *data, url]
    return json.loads(subprocess.check_output(command, timeout=20))


def test_the_three_dialects_give_one_answer(served: Running):
    native = _curl(f"{served.url}/api/v1/recommend", {"user_id": "u0", "k": 3})
    ids = [item["id"] for item in native["items"]]
    assert len(ids) == 3

    rows = {"instances": [{"user_id": "u0", "k": 3}]}
    answer = _curl(f"{served.url}/v1/models/m:predict", rows)
    assert answer["predictions"][0]["item_id"] == ids

    inputs = [
        {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": ["u0"]},
        {"name": "k", "shape": [1], "datatype": "INT32", "data": [3]},
    ]
    answer = _curl(f"{served.url}/v2/models/m/infer", {"inputs": inputs})
    assert answer["outputs"][0]["data"] == ids


def test_a_body_compressed_by_gzip_is_read(served: Running, tmp_path):
    packed = tmp_path / "body.gz"
    packed.write_bytes(subprocess.check_output(["gzip"], input=b'{"user_id": "u0"}'))
    headers = ["-H", "content-encoding: gzip", "-H", "content-type: application/json"]
    answer = _curl(f"{served.url}/api/v1/recommend", None, *headers, "--data-binary", f"@{packed}")
    assert answer["items"]
