"""Limits hold in every dialect: at the limit an answer, one more and an error that names it."""

import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from shortlist.serving import Limits, ServiceSettings

from .conftest import Running, running

SMALL = Limits(rows=3, k=4, ids=5)


@pytest.fixture(scope="module")
def small(models) -> Iterator[Running]:
    with running(models, ServiceSettings(name="m", limits=SMALL)) as served:
        yield served


def _tensors(users: int, k: int) -> dict:
    names = {"name": "user_id", "shape": [users], "datatype": "BYTES", "data": ["u0"] * users}
    return {"inputs": [names, {"name": "k", "shape": [1], "datatype": "INT32", "data": [k]}]}


K = {
    "recommend": ("/api/v1/recommend", lambda k: {"user_id": "u0", "k": k}),
    "recommend by history": ("/api/v1/recommend", lambda k: {"history": ["f0"], "k": k}),
    "similar": ("/api/v1/similar", lambda k: {"item_id": "f0", "k": k}),
    "rows": ("/v1/models/m:predict", lambda k: {"instances": [{"user_id": "u0", "k": k}] * 2}),
    "columns": ("/v1/models/m:predict", lambda k: {"inputs": {"user_id": ["u0", "u1"], "k": k}}),
    "tensors": ("/v2/models/m/infer", lambda k: _tensors(2, k)),
}
IDS = {
    "history": lambda n: {"history": ["f0"] * n},
    "exclude": lambda n: {"user_id": "u0", "exclude": ["f0"] * n},
    "exclude beside a history": lambda n: {"history": ["f1"], "exclude": ["f0"] * n},
    "allow": lambda n: {"user_id": "u0", "allow": ["f0"] * n},
}
ROWS = {
    "rows": ("/v1/models/m:predict", lambda n: {"instances": [{"user_id": "u0", "k": 1}] * n}),
    "columns": ("/v1/models/m:predict", lambda n: {"inputs": {"user_id": ["u0"] * n, "k": 1}}),
    "tensors": ("/v2/models/m/infer", lambda n: _tensors(n, 1)),
}


@pytest.mark.parametrize(("path", "body"), K.values(), ids=K)
def test_k_is_limited(small: Running, path: str, body):
    assert small.request(path, body(4))[0] == 200
    for k in (5, 0, -1, 10**30):
        status, answer = small.json(path, body(k))
        assert status == 400
        assert "`k` must be from 1 to 4" in answer["error"]
        assert "limit `k`" in answer["error"]


WITHOUT_K = {
    "recommend": ("/api/v1/recommend", {"user_id": "u0"}, lambda found: len(found["items"])),
    "similar": ("/api/v1/similar", {"item_id": "f0"}, lambda found: len(found["items"])),
    "rows": (
        "/v1/models/m:predict",
        {"instances": ["u0"]},
        lambda found: found["predictions"][0]["count"],
    ),
    "columns": (
        "/v1/models/m:predict",
        {"inputs": ["u0"]},
        lambda found: found["outputs"]["count"][0],
    ),
    "tensors": (
        "/v2/models/m/infer",
        {"inputs": _tensors(1, 0)["inputs"][:1]},
        lambda found: found["outputs"][2]["data"][0],
    ),
}


@pytest.mark.parametrize(("path", "body", "count"), WITHOUT_K.values(), ids=WITHOUT_K)
def test_a_request_that_names_no_k_gets_what_the_limit_allows(
    small: Running, path: str, body, count
):
    status, answer = small.json(path, body)
    assert (status, count(answer)) == (200, SMALL.k)


def test_the_usual_k_is_ten_or_the_limit():
    assert [Limits(k=k).usual_k for k in (1, 9, 10, 1_000)] == [1, 9, 10, 10]


@pytest.mark.parametrize("value", ["3", 2.5, 2.0, True, None, [2]])
@pytest.mark.parametrize(("path", "body"), K.values(), ids=K)
def test_k_is_an_integer(small: Running, path: str, body, value):
    status, answer = small.json(path, body(value))
    if value == [2] and path.startswith(("/v1", "/v2")):
        assert status == 200  # a column or value of its own is one value
        return
    assert status == 400
    assert "k" in answer["error"]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain"])
@pytest.mark.parametrize("body", IDS.values(), ids=IDS)
def test_lists_of_ids_are_limited(small: Running, body, content_type: str):
    headers = {"content-type": content_type}
    asked = {"k": 1}
    assert small.request("/api/v1/recommend", body(5) | asked, headers)[0] == 200
    status, answer = small.json("/api/v1/recommend", body(6) | asked, headers)
    assert status == 400
    assert "may have 5 ids, got 6 (limit `ids`)" in answer["error"]


@pytest.mark.parametrize(("path", "body"), ROWS.values(), ids=ROWS)
def test_rows_are_limited(small: Running, path: str, body):
    assert small.request(path, body(3))[0] == 200
    for count in (4, 0):
        status, answer = small.json(path, body(count))
        assert status == 400
        assert "3 rows" in answer["error"] or "limit `rows`" in answer["error"]


@pytest.mark.parametrize(
    "path", ["/api/v1/recommend", "/v1/models/m:predict", "/v2/models/m/infer"]
)
def test_bodies_are_limited(models, path: str):
    bodies = {
        "/api/v1/recommend": b'{"user_id":"u0"}',
        "/v1/models/m:predict": b'{"instances":["u0"]}',
        "/v2/models/m/infer": json.dumps(_tensors(1, 1)).encode(),
    }
    limits = Limits(body_bytes=200)
    with running(models, ServiceSettings(name="m", limits=limits)) as served:
        assert served.request(path, bodies[path].ljust(200))[0] == 200
        status, answer = served.json(path, bodies[path].ljust(201))
        assert status == 413
        assert "200 bytes after decompression (limit `body_bytes`); it has more" in answer["error"]


@pytest.mark.parametrize("name", ["rows", "k", "ids", "body_bytes"])
def test_a_limit_lets_something_through(name: str):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, got 0"):
        Limits(**{name: 0})


def test_the_limit_on_k_is_at_most_what_an_index_returns(models):
    with pytest.raises(
        ValueError, match="`k` must be at most 10000, the most that an index returns"
    ):
        Limits(k=10_001)
    with running(models, ServiceSettings(name="m", limits=Limits(k=10_000))) as served:
        for path, body in K.values():
            assert served.request(path, body(10_000))[0] == 200


@pytest.mark.parametrize("name", ["a b", "m:predict", "naïve", "%2F", "v1", "."])
def test_a_model_has_any_name_that_is_a_part_of_a_path(models, name: str):
    part = quote(name, safe="").replace(".", "%2E")
    with running(models, ServiceSettings(name=name)) as served:
        asked = {"instances": ["u0"]}
        assert served.request(f"/v1/models/{part}:predict", asked)[0] == 200
        assert served.request(f"/v1/models/{part}/versions/1:predict", asked)[0] == 200
        assert served.request(f"/v1/models/{part}")[0] == 200
        assert served.request(f"/v2/models/{part}/infer", _tensors(1, 1))[0] == 200
        assert served.request("/v1/models/other:predict", asked)[0] == 404


@pytest.mark.parametrize("name", ["", "a/b", "/"])
def test_a_name_that_is_no_part_of_a_path_is_refused(name: str):
    with pytest.raises(ValueError, match="`name` must be a part of a path"):
        ServiceSettings(name=name)


def test_the_limits_can_be_read_and_stand_in_the_description(small: Running):
    limits = small.json("/api/v1/model")[1]["limits"]
    assert (limits["rows"], limits["k"], limits["ids"]) == (3, 4, 5)
    schemas = small.json("/api/openapi.json")[1]["components"]["schemas"]
    for name in ("RecommendRequest", "SimilarRequest"):
        k = schemas[name]["properties"]["k"]
        assert (k["minimum"], k["maximum"]) == (1, 4)
    asked = schemas["RecommendRequest"]["properties"]
    assert asked["exclude"]["maxItems"] == 5
    assert any(one.get("maxItems") == 5 for one in asked["history"]["oneOf"])
