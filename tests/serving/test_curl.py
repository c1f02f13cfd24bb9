"""Plain curl, in all three dialects."""

import json
import shutil
import subprocess
from typing import Any

import pytest
from numpy.testing import assert_allclose

from .conftest import Running

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl here")


def _curl(url: str, body: Any = None, *options: str) -> Any:
    data = [] if body is None else ["--json", json.dumps(body)]
    command = ["curl", "--silent", "--show-error", "--fail-with-body", *options, *data, url]
    return json.loads(subprocess.check_output(command, timeout=20))


def test_the_three_dialects_answer_what_the_bundle_answers(served: Running):
    bundle = served.service.repository.model().bundle
    best = bundle.recommend(["u0", "u2"], 3)
    ids, scores = best.ids.tolist(), best.scores

    for user, ids_, scores_ in zip(["u0", "u2"], ids, scores, strict=True):
        answer = _curl(f"{served.url}/api/v1/recommend", {"user_id": user, "k": 3})
        assert [item["id"] for item in answer["items"]] == ids_
        assert_allclose([item["score"] for item in answer["items"]], scores_, rtol=1e-6)

    rows = [{"user_id": "u0", "k": 3}, {"user_id": "u2", "k": 3}]
    answer = _curl(f"{served.url}/v1/models/m:predict", {"instances": rows})
    assert [row["item_id"] for row in answer["predictions"]] == ids
    assert_allclose([row["score"] for row in answer["predictions"]], scores, rtol=1e-6)

    inputs = [
        {"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["u0", "u2"]},
        {"name": "k", "shape": [1], "datatype": "INT32", "data": [3]},
    ]
    answer = _curl(f"{served.url}/v2/models/m/infer", {"inputs": inputs})
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["item_id"]["shape"] == [2, 3]
    assert outputs["item_id"]["data"] == best.ids.ravel().tolist()
    assert_allclose(outputs["score"]["data"], scores.ravel(), rtol=1e-6)
    assert outputs["count"]["data"] == [3, 3]


def test_a_body_compressed_by_gzip_is_read(served: Running, tmp_path):
    packed = tmp_path / "body.gz"
    packed.write_bytes(subprocess.check_output(["gzip"], input=b'{"user_id": "u0"}'))
    headers = ["-H", "content-encoding: gzip", "-H", "content-type: application/json"]
    answer = _curl(f"{served.url}/api/v1/recommend", None, *headers, "--data-binary", f"@{packed}")
    assert answer["items"]
