import base64

import numpy as np
import ovmsclient
import pytest

from ..bundle.parts import Parts
from .conftest import Running


def _best(parts: Parts, user: int, leave_out: set[str], k: int) -> list[str]:
    order = np.argsort(-(parts.item_embeddings @ parts.user_embeddings[user + 1]), kind="stable")
    return [i for i in (parts.item_ids[row] for row in order) if i not in leave_out][:k]


@pytest.fixture
def expected(parts: Parts) -> list[list[str]]:
    return [_best(parts, 0, {"f3", "f5"}, 2), _best(parts, 1, {"f1"}, 2)]


def test_rows_take_bare_values_and_records(served: Running, expected):
    body = {"instances": [{"user_id": "u0", "k": 2}, {"user_id": "u1", "k": 2}]}
    status, answer = served.json("/v1/models/m:predict", body)
    assert status == 200
    assert [row["item_id"] for row in answer["predictions"]] == expected
    assert [row["count"] for row in answer["predictions"]] == [2, 2]
    _, answer = served.json("/v1/models/m:predict", {"instances": ["u0", {"b64": _b64("u1")}]})
    assert [row["item_id"][:2] for row in answer["predictions"]] == expected
    assert [row["count"] for row in answer["predictions"]] == [6, 7]


def test_columns_are_rectangular(served: Running, expected):
    body = {"inputs": {"user_id": ["u0", "u1"], "k": [2]}}
    _, answer = served.json("/v1/models/m/versions/1:predict", body)
    assert answer["outputs"]["item_id"] == expected
    assert np.shape(answer["outputs"]["score"]) == (2, 2)
    _, answer = served.json("/v1/models/m/labels/stable:predict", {"inputs": ["u0"]})
    assert answer["outputs"]["item_id"][0][6:] == [""] * 4
    assert answer["outputs"]["score"][0][6:] == [pytest.approx(np.finfo(np.float32).min)] * 4
    assert answer["outputs"]["count"] == [6]


def test_a_single_output_drops_its_name(served: Running, expected):
    body = {"signature_name": "item_ids", "instances": [{"user_id": "u0", "k": 2}]}
    _, answer = served.json("/v1/models/m:predict", body)
    assert answer == {"predictions": [expected[0]]}
    body = {"signature_name": "item_ids", "inputs": {"user_id": ["u0", "u1"], "k": 2}}
    assert served.json("/v1/models/m:predict", body)[1] == {"outputs": expected}


@pytest.mark.parametrize("name", ["", None, "serving_default"])
@pytest.mark.parametrize("form", [{"instances": ["u0"]}, {"inputs": ["u0"]}])
def test_no_signature_name_is_the_default(served: Running, name: str | None, form: dict):
    expected = served.json("/v1/models/m:predict", form)
    assert expected[0] == 200
    assert served.json("/v1/models/m:predict", {"signature_name": name, **form}) == expected


def test_each_row_keeps_its_own_k_and_exclusion(served: Running, parts: Parts):
    body = {"instances": [{"user_id": "u0", "k": 1}, {"user_id": "u0", "exclude_seen": False}]}
    _, answer = served.json("/v1/models/m:predict", body)
    first, second = answer["predictions"]
    assert first["item_id"] == _best(parts, 0, {"f3", "f5"}, 1)
    assert second["item_id"] == _best(parts, 0, set(), 8)


def test_status_and_metadata(served: Running):
    state = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    for path in ("/v1/models/m", "/v1/models/m/versions/1", "/v1/models/m/labels/latest"):
        assert served.json(path) == (200, {"model_version_status": [state]})
    _, metadata = served.json("/v1/models/m/metadata")
    signatures = metadata["metadata"]["signature_def"]["signature_def"]
    assert signatures["serving_default"]["inputs"]["user_id"]["dtype"] == "DT_STRING"
    assert metadata["model_spec"] == {"name": "m", "signature_name": "", "version": "1"}


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v1/models/x:predict", {"instances": ["u0"]}, 404, "unknown model 'x'"),
        ("/v1/models/m:classify", {"instances": ["u0"]}, 404, "unknown method"),
        ("/v1/models/m", {"instances": ["u0"]}, 404, "unknown method"),
        ("/v1/models/m/versions/7:predict", {"instances": ["u0"]}, 404, "Version 7 is not loaded"),
        ("/v1/models/m/versions/x:predict", {"instances": ["u0"]}, 404, "A version is a number"),
        ("/v1/models/m/labels/x:predict", {"instances": ["u0"]}, 404, "unknown label"),
        ("/v1/models/m:predict", {}, 400, "either `instances`"),
        ("/v1/models/m:predict", {"instances": ["u0"], "inputs": ["u0"]}, 400, "either"),
        ("/v1/models/m:predict", {"instances": "u0"}, 400, "Expected `array | null`, got `str`"),
        ("/v1/models/m:predict", {"instances": ["zz"]}, 404, "unknown user 'zz'"),
        ("/v1/models/m:predict", {"instances": [None]}, 400, "one value a row"),
        ("/v1/models/m:predict", {"instances": [True]}, 400, "got the bool True"),
        ("/v1/models/m:predict", {"instances": [42.0]}, 400, "got the float 42.0"),
        ("/v1/models/m:predict", {"instances": [2**64]}, 400, "must fit in 64 bits"),
        ("/v1/models/m:predict", {"instances": [["u0", "u1"]]}, 400, "one value a row"),
        ("/v1/models/m:predict", {"inputs": {"user_id": {"a": 1}}}, 400, "one value a row"),
        ("/v1/models/m:predict", {"inputs": ["u0"], "signature_name": 3}, 400, "got `int`"),
        ("/v1/models/m/versions/99:predict", {"instances": ["u0"]}, 404, "Version 99"),
        ("/v1/models/m/versions/-1:predict", {"instances": ["u0"]}, 404, "a number"),
        ("/v1/models/m/versions/1e0:predict", {"instances": ["u0"]}, 404, "a number"),
        ("/v1/models/M:predict", {"instances": ["u0"]}, 404, "unknown model 'M'"),
        ("/v1/models/m:predict", b"", 400, "needs a body"),
        ("/v1/models/m:predict", b'{"instances": [NaN]}', 400, "malformed"),
        ("/v1/models/m:predict", b'{"instances": ["\xff"]}', 400, "UTF-8"),
        ("/v1/models/m:predict", {"instances": [{"user": 1}]}, 400, "instances[0] must be"),
        ("/v1/models/m:predict", {"instances": [{"b64": "%"}]}, 400, "bad base64"),
        ("/v1/models/m:predict", {"instances": [{"user_id": "u0", "k": 0}]}, 400, "from 1 to 1000"),
        ("/v1/models/m:predict", {"instances": [{"user_id": "u0", "k": "2"}]}, 400, "an integer"),
        ("/v1/models/m:predict", {"instances": []}, 400, "1 to 256 rows, this one has 0"),
        ("/v1/models/m:predict", {"instances": ["u0"] * 257}, 400, "256 rows, this one has 257"),
        ("/v1/models/m:predict", {"inputs": ["u0"] * 257}, 400, "256 rows, this one has 257"),
        (
            "/v1/models/m:predict",
            {"inputs": {"user_id": ["u0"], "k": [1, 2]}},
            400,
            "1 or 1 values",
        ),
        ("/v1/models/m:predict", {"inputs": ["u0"], "signature_name": "x"}, 400, "signature_name"),
        ("/v1/models/m:predict", b"[" * 100_000, 400, "too deeply"),
        ("/v1/models/m:predict", b'{"inputs":' + b"[" * 100_000, 400, "too deeply"),
    ],
)
def test_errors_have_the_one_field_error(served: Running, path, body, status, message: str):
    got, answer = served.json(path, body)
    assert got == status, answer
    assert list(answer) == ["error"]
    assert message in answer["error"]


def test_the_client_of_openvino_model_server_works_unchanged(served: Running, expected):
    client = ovmsclient.make_http_client(f"127.0.0.1:{served.port}")
    inputs = {"user_id": np.array(["u0", "u1"]), "k": np.array([2])}
    answer = client.predict(inputs, "m")
    assert answer["item_id"].tolist() == expected
    assert answer["score"].shape == (2, 2)
    answer = client.predict({"user_id": [b"u0", b"u1"], "k": [2]}, "m", model_version=1)
    assert answer["item_id"].tolist() == expected
    assert client.get_model_status("m")[1]["state"] == "AVAILABLE"
    metadata = client.get_model_metadata("m")["metadata"]["signature_def"]["signature_def"]
    assert metadata["serving_default"]["inputs"]["user_id"]["dtype"] == "DT_STRING"


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
