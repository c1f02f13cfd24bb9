import gzip
import json
import struct
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from ..bundle.parts import Parts
from .conftest import Running


@pytest.fixture
def client(served: Running) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(f"127.0.0.1:{served.port}")
    yield client
    client.close()


@pytest.fixture
def expected(parts: Parts) -> list[list[str]]:
    answers = []
    for user, leave_out in ((0, {"f3", "f5"}), (1, {"f1"})):
        scores = parts.item_embeddings @ parts.user_embeddings[user + 1]
        order = np.argsort(-scores, kind="stable")
        answers.append([f"f{row}" for row in order if f"f{row}" not in leave_out][:3])
    return answers


def _inputs(users: list[str], k: int | None = None, binary: bool = True) -> list[triton.InferInput]:
    inputs = [triton.InferInput("user_id", [len(users)], "BYTES")]
    inputs[0].set_data_from_numpy(np.array(users, dtype=object), binary_data=binary)
    if k is not None:
        inputs.append(triton.InferInput("k", [1], "INT32"))
        inputs[1].set_data_from_numpy(np.array([k], dtype=np.int32), binary_data=binary)
    return inputs


def _text(array: np.ndarray) -> list:
    return np.vectorize(lambda v: v.decode() if isinstance(v, bytes) else v)(array).tolist()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_the_client_of_triton_works_unchanged(client, expected, binary: bool, compression):
    result = client.infer(
        "m",
        _inputs(["u0", "u1"], 3, binary),
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
        request_id="7",
    )
    assert _text(result.as_numpy("item_id")) == expected
    assert result.as_numpy("score").dtype == np.float32
    assert result.as_numpy("score").shape == (2, 3)
    assert result.as_numpy("count").tolist() == [3, 3]
    assert result.get_response()["id"] == "7"


def test_chosen_outputs_come_in_the_chosen_form(client, expected):
    outputs = [
        triton.InferRequestedOutput("count", binary_data=True),
        triton.InferRequestedOutput("item_id", binary_data=False),
    ]
    result = client.infer("m", _inputs(["u0", "u1"], 3), outputs=outputs, model_version="1")
    assert _text(result.as_numpy("item_id")) == expected
    assert result.as_numpy("count").tolist() == [3, 3]
    assert result.as_numpy("score") is None


def test_short_rows_are_padded(client):
    result = client.infer("m", _inputs(["u0", "u3"], 10))
    assert result.as_numpy("count").tolist() == [6, 8]
    assert _text(result.as_numpy("item_id"))[0][6:] == [""] * 4
    assert np.isneginf(result.as_numpy("score")[0][6:]).all()


def test_large_answers_are_compressed_when_asked(client):
    result = client.infer("m", _inputs(["u0"] * 200, 10), response_compression_algorithm="gzip")
    assert result.as_numpy("item_id").shape == (200, 10)


def test_seen_items_come_back_when_asked(client):
    inputs = _inputs(["u0"], 8)
    seen = triton.InferInput("exclude_seen", [1], "BOOL")
    seen.set_data_from_numpy(np.array([False]))
    result = client.infer("m", [*inputs, seen])
    assert result.as_numpy("count").tolist() == [8]


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("m")
    assert client.is_model_ready("m", "1")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("m")
    assert metadata["inputs"][0] == {"name": "user_id", "datatype": "BYTES", "shape": [-1]}
    assert [output["name"] for output in metadata["outputs"]] == ["item_id", "score", "count"]


def test_errors_reach_the_client_with_their_reason(client):
    with pytest.raises(InferenceServerException, match="unknown user 'zz'"):
        client.infer("m", _inputs(["zz"]))
    with pytest.raises(InferenceServerException, match="unknown model"):
        client.infer("other", _inputs(["u0"]))
    with pytest.raises(InferenceServerException, match="256 rows"):
        client.infer("m", _inputs(["u0"] * 257))
    with pytest.raises(InferenceServerException, match="`k` must be from 1 to 1000, got 1001"):
        client.infer("m", _inputs(["u0"], 1001))


def test_plain_json_works_with_curl(served: Running, expected):
    body = {
        "inputs": [
            {"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["u0", "u1"]},
            {"name": "k", "shape": [1], "datatype": "INT32", "data": [3]},
        ]
    }
    status, answer = served.json("/v2/models/m/infer", body)
    assert status == 200
    assert answer["outputs"][0]["data"] == [item for row in expected for item in row]
    assert answer["model_version"] == "1"


def _binary(head: dict, blob: bytes, length: str | None = None) -> tuple[bytes, dict[str, str]]:
    encoded = json.dumps(head).encode()
    length = str(len(encoded)) if length is None else length
    return encoded + blob, {"Inference-Header-Content-Length": length}


def _user(size: int, shape: list[int] | None = None, datatype: str = "BYTES") -> dict:
    parameters = {"binary_data_size": size}
    tensor = {"name": "user_id", "shape": [1] if shape is None else shape, "datatype": datatype}
    return {"inputs": [{**tensor, "parameters": parameters}]}


U0 = struct.pack("<I", 2) + b"u0"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (_binary(_user(6), U0, "999"), "the body has"),
        (_binary(_user(6), U0, "-1"), "must be a number"),
        (_binary(_user(6), U0, "3"), "The body is not what this takes"),
        (_binary(_user(7), U0), "binary_data_size 7 with 6 bytes left"),
        (_binary(_user(-1), U0), "binary_data_size -1"),
        (_binary(_user(5), U0), "a string of 2 bytes beyond its end"),
        (_binary(_user(6), U0 + b"tail"), "4 bytes that belong to no input"),
        (_binary(_user(6, [2]), U0), "has 1 values"),
        (_binary(_user(6, [10**12]), U0), "may have 256 rows"),
        (_binary(_user(6, [-1]), U0), "may have 256 rows"),
        (_binary(_user(3), U0[:3]), "a length that is cut short"),
        (_binary(_user(6), struct.pack("<I", 2**32 - 1) + b"u0"), "beyond its end"),
        (_binary(_user(6), struct.pack("<I", 2) + b"\xff\xfe"), "not UTF-8"),
        (_binary(_user(6, datatype="FP99"), U0), "unknown datatype"),
        (_binary(_user(6, datatype="INT32"), U0), "has 6 bytes"),
        (_binary({"inputs": []}, b""), "'user_id' is needed"),
        (_binary({"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES"}]}, b""), "unknown"),
        (_binary({"inputs": 3}, b""), "inputs: Expected `array`, got `int`"),
        ((b'{"inputs":' + b"[" * 100_000, {}), "nested too deeply"),
    ],
)
def test_malformed_requests_say_what_is_wrong(served: Running, request_, message: str):
    body, headers = request_
    status, answer = served.json("/v2/models/m/infer", body, headers)
    assert status == 400
    assert message in answer["error"]


def test_a_gzip_bomb_is_refused_before_it_unfolds(served: Running):
    bomb = gzip.compress(b" " * (64 << 20))
    status, answer = served.json("/v2/models/m/infer", bomb, {"Content-Encoding": "gzip"})
    assert status == 413
    assert "1048576 bytes after decompression" in answer["error"]


def test_what_is_no_gzip_is_said_to_be_none(served: Running):
    for body, message in ((b"plain", "no gzip"), (gzip.compress(b"{}")[:-3], "cut short")):
        status, answer = served.json("/v2/models/m/infer", body, {"Content-Encoding": "gzip"})
        assert status == 400
        assert message in answer["error"]
    status, answer = served.json("/v2/models/m/infer", b"x", {"Content-Encoding": "br"})
    assert status == 415
