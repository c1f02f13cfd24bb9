import numpy as np
import pytest

from ..bundle.parts import Parts
from .conftest import Running, running


def _expected(parts: Parts, query: np.ndarray, leave_out: set[str], k: int) -> list[str]:
    scores = parts.item_embeddings @ query
    order = np.argsort(-scores, kind="stable")
    return [i for i in (parts.item_ids[row] for row in order) if i not in leave_out][:k]


def _ids(answer) -> list:
    return [item["id"] for item in answer["items"]]


def test_a_known_user_gets_the_best_they_have_not_had(served: Running, parts: Parts):
    status, answer = served.json("/api/v1/recommend", {"user_id": "u0", "k": 3})
    assert status == 200
    assert _ids(answer) == _expected(parts, parts.user_embeddings[1], {"f3", "f5"}, 3)
    best = answer["items"][0]
    assert best["title"] == f"Film {best['id'][1:]}"
    assert best["score"] == pytest.approx(
        parts.item_embeddings[int(best["id"][1:])] @ parts.user_embeddings[1], rel=1e-5
    )
    assert answer["model_version"] == 1


def test_seen_items_come_back_when_asked(served: Running, parts: Parts):
    _, answer = served.json("/api/v1/recommend", {"user_id": "u0", "k": 8, "exclude_seen": False})
    assert _ids(answer) == _expected(parts, parts.user_embeddings[1], set(), 8)


def test_given_items_are_left_out_and_only_allowed_ones_return(served: Running, parts: Parts):
    request = {"user_id": "u1", "k": 8, "exclude": ["f0", "f2", "gone"]}
    _, answer = served.json("/api/v1/recommend", request)
    assert _ids(answer) == _expected(parts, parts.user_embeddings[2], {"f1", "f0", "f2"}, 8)
    _, answer = served.json("/api/v1/recommend", {**request, "allow": ["f0", "f4", "f6", "gone"]})
    others = {f"f{n}" for n in range(8)} - {"f4", "f6"}
    assert _ids(answer) == _expected(parts, parts.user_embeddings[2], others, 8)


def test_exact_search_is_exact(served: Running, parts: Parts):
    _, answer = served.json("/api/v1/recommend", {"user_id": "u3", "k": 5, "exact": True})
    assert answer["exact"] is True
    assert _ids(answer) == _expected(parts, parts.user_embeddings[4], set(), 5)


def test_a_history_stands_for_a_new_user(served: Running, parts: Parts):
    _, answer = served.json("/api/v1/recommend", {"history": ["f1", "f6"], "k": 4})
    mean = parts.item_embeddings[[1, 6]].mean(axis=0)
    assert _ids(answer) == _expected(parts, mean, {"f1", "f6"}, 4)


def test_similar_items_are_ordered_by_cosine(served: Running, parts: Parts):
    _, answer = served.json("/api/v1/similar", {"item_id": "f2", "k": 3})
    unit = parts.item_embeddings / np.linalg.norm(parts.item_embeddings, axis=1, keepdims=True)
    nearest = np.argsort(-(unit @ unit[2]), kind="stable")
    assert _ids(answer) == [f"f{row}" for row in nearest if row != 2][:3]
    assert answer["items"][0]["score"] == pytest.approx(np.sort(unit @ unit[2])[-2], rel=1e-5)


def test_items_and_users_are_found_and_described(served: Running):
    _, found = served.json("/api/v1/items?prefix=FILM&limit=2")
    assert found == {
        "items": [{"id": "f0", "title": "Film 0"}, {"id": "f1", "title": "Film 1"}],
        "total": 8,
    }
    _, found = served.json("/api/v1/items?prefix=5")
    assert found == {"items": [{"id": "f5", "title": "Film 5"}], "total": 8}
    _, found = served.json("/api/v1/items?prefix=f7")
    assert _ids(found) == ["f7"]
    _, item = served.json("/api/v1/items/f3")
    assert item == {"id": "f3", "title": "Film 3", "details": {"year": 1993}}
    _, found = served.json("/api/v1/users?prefix=u&limit=3")
    assert found == {"users": ["u0", "u1", "u2"], "total": 5}
    _, user = served.json("/api/v1/users/u0")
    assert [item["id"] for item in user["history"]] == ["f5", "f3"]


def test_the_model_says_what_it_is(served: Running):
    _, model = served.json("/api/v1/model")
    assert (model["candidates"], model["users"], model["dimensions"]) == (8, 5, 4)
    assert model["metrics"] == {"hit_rate@10": 0.5}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"user_id": "u9"}, 404, "unknown user 'u9'; 5 users, ids like 'u0'…'u4'"),
        ({"user_id": 3}, 404, "unknown user '3'; did you mean 'u3'?"),
        ({"history": ["f9"]}, 404, "unknown item 'f9'; 8 items, ids like 'f0'…'f7'"),
        ({"history": []}, 400, "at least one item"),
        ({}, 400, "either `user_id` or `history`"),
        ({"user_id": "u0", "history": ["f1"]}, 400, "either `user_id` or `history`"),
        ({"user_id": "u0", "k": 0}, 400, "`k` must be from 1 to 1000, got 0"),
        ({"user_id": "u0", "k": 1001}, 400, "`k` must be from 1 to 1000, got 1001"),
        ({"user_id": "u0", "k": 2.5}, 400, "Expected `int`, got `float`"),
        ({"user_id": "u0", "kk": 1}, 400, "unknown field `kk`"),
        ({"user_id": "u0", "exclude": "f1"}, 400, "Expected `array`, got `str`"),
        (b"", 400, "needs a body"),
        (b"{", 400, "truncated"),
        (b'{"user_id": NaN}', 400, "JSON is malformed"),
        (b'{"user_id": "\xff"}', 400, "not UTF-8"),
        (b"[]", 400, "Expected `object`, got `array`"),
        (b"null", 400, "Expected `object`, got `null`"),
        (b'{"user_id": "u0"}{}', 400, "JSON is malformed"),
        (b'{"user_id": "u0", "k": Infinity}', 400, "JSON is malformed"),
        (b'{"user_id": "u0", "k": 1e400}', 400, "out of range"),
        (b'{"user_id": "u0", "k": ' + b"9" * 5000 + b"}", 400, "out of range"),
        (b'{"user_id": "\\ud800"}', 400, "truncated"),
        ({"user_id": "u0", "k": True}, 400, "Expected `int`, got `bool`"),
        ({"user_id": "u0", "exact": 1}, 400, "Expected `bool`, got `int`"),
        ({"user_id": "u0", "exclude": [None]}, 400, "Expected `int | str`, got `null`"),
        ({"history": [["f1"]]}, 400, "Expected `int | str`, got `array`"),
        ({"history": ["f1"], "features": {"age": 3}}, 400, "takes no features"),
        (b"[" * 100_000, 400, "Expected `object`, got `array`"),
        (b'{"user_id":' + b"[" * 100_000, 400, "Expected `int | str | null`, got `array`"),
        (b'{"features":{"a":' + b"[" * 100_000, 400, "nested too deeply"),
        (b'{"other":' + b"[" * 100_000, 400, "unknown field `other`"),
    ],
)
def test_what_cannot_be_answered_says_why(served: Running, body, status: int, message: str):
    got, answer = served.json("/api/v1/recommend", body)
    assert got == status, answer
    assert message.lower() in answer["error"].lower()


@pytest.mark.parametrize(
    "content_type",
    ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "", "?"],
)
def test_the_body_is_json_whatever_it_is_called(served: Running, content_type: str):
    for path in ("recommend", "recommend/"):
        status, answer = served.json(
            f"/api/v1/{path}", {"user_id": "u0", "k": 1}, {"content-type": content_type}
        )
        assert (status, _ids(answer)) == (200, ["f4"])


def test_of_repeated_keys_the_last_counts(served: Running):
    status, answer = served.json("/api/v1/recommend", b'{"user_id": "zz", "user_id": "u0"}')
    assert status == 200
    assert _ids(answer) == _ids(served.json("/api/v1/recommend", {"user_id": "u0"})[1])


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/api/v1/users", 405, {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "/api/v1/users/u0", 405, {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/api/v1/recommend", 405, {"POST", "OPTIONS"}),
        ("GET", "/api/v1/recommend", 405, {"POST", "OPTIONS"}),
        ("HEAD", "/api/v1/similar", 405, {"POST", "OPTIONS"}),
        ("PATCH", "/v1/models/m", 405, {"GET", "HEAD", "POST", "OPTIONS"}),
        ("GET", "/v2/models/m/infer", 405, {"POST", "OPTIONS"}),
        ("POST", "/livez", 405, {"GET", "HEAD", "OPTIONS"}),
        ("OPTIONS", "/livez", 204, {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/nothing", 404, set()),
        ("GET", "/api/v1/recommend/nothing", 404, set()),
    ],
)
def test_another_method_is_refused_with_those_there_are(
    served: Running, method: str, path: str, status: int, allow: set[str]
):
    got, headers, _ = served.request(path, method=method)
    assert got == status
    assert {one for one in headers.get("allow", "").split(", ") if one} == allow


def test_head_is_answered_wherever_get_is_and_has_no_body(served: Running):
    document = served.json("/api/openapi.json")[1]
    described = [path for path, item in document["paths"].items() if "get" in item]
    known = {"name": "m", "version": "1", "label": "stable", "item_id": "f0", "user_id": "u0"}
    paths = [path.format(**known) for path in described]
    paths += ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/metrics"]
    paths += ["/monitoring/prometheus/metrics", "/", "/docs", "/favicon.ico", "/page/app.js"]
    for path in paths:
        url = f"{path}?id=u0" if path.endswith("/user") else f"{path}?id=f0"
        status, headers, body = served.request(url, method="HEAD")
        assert (status, body) == (200, b""), path
        assert served.request(url)[1].keys() == headers.keys()
        assert int(headers["content-length"]) > 0
    assert served.request("/api/v1/items/nothing", method="HEAD")[0] == 404


def test_integer_ids_are_taken_as_numbers_or_text(tmp_path):
    parts = Parts(text_ids=False)
    parts.save(tmp_path)
    with running(tmp_path) as served:
        _, number = served.json("/api/v1/recommend", {"user_id": 11, "k": 2, "exclude": [100]})
        _, text = served.json("/api/v1/recommend", {"user_id": "11", "k": 2, "exclude": ["100"]})
        assert _ids(number) == _ids(text)
        assert all(isinstance(i, int) for i in _ids(number))
        assert served.json("/api/v1/users/11")[1]["history"] == [{"id": 101, "title": "Film 1"}]
        for bad in ("x", "1e1", "9" * 30, ""):
            assert served.json("/api/v1/recommend", {"user_id": bad})[0] == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("recommend", {"user_id": "u0", "k": 4, "exclude": ["f2"]}),
        ("recommend", {"history": ["f1"], "k": 0}),
        ("similar", {"item_id": "f1"}),
        ("similar", {"item": 1}),
        ("recommend", {"user_id": "u0", "k": "3"}),
        ("recommend", {"user_id": "u0", "k": 3.0}),
    ],
)
def test_what_goes_past_the_framework_is_answered_as_it_answers(served: Running, path: str, body):
    answers = [served.json(f"/api/v1/{path}{end}", body) for end in ("/", "")]
    (status, through), (direct_status, direct) = answers
    assert status == direct_status
    assert through.keys() == direct.keys()
    assert through.get("items") == direct.get("items")
