"""Ids of any characters, in every route and dialect: that item or user, and never another."""

import base64
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np
import polars as pl
import pytest
import tritonclient.http as triton

from shortlist.data import Vocabulary
from shortlist.serving import ServiceSettings

from ..bundle.parts import Parts
from .conftest import Running, running

AWKWARD = [
    "https://example.org//a/b/",
    "https://example.org/a/b",
    "//a",
    "/a",
    "a",
    "a/",
    "a//",
    "/",
    "//",
    ".",
    "..",
    "a/../b",
    "a/./b",
    "%2F",
    "%2Fa",
    "%",
    "%zz",
    "%FF",
    "a%2Fb",
    "a?b=c&d#e",
    "?",
    "#",
    "&id=a",
    "a+b",
    "a b",
    " ",
    " a ",
    "\t\n",
    "=a",
    "=",
    "a;b",
    "a:predict",
    "\\",
    "a\\..\\b",
    '"',
    "zażółć",
    "é",
    "e\u0301",  # looks as the one before
    "\ufffd",
    "👩‍👩‍👧",
    "\u202egnp",
    "007",
    "7",
    "-1",
    "None",
    "null",
    "true",
    "1e400",
    "x" * 9000,
    "👩" * 900,
]


class AwkwardParts(Parts):
    """Users and items are called alike."""

    def __init__(self) -> None:
        super().__init__(items=len(AWKWARD))
        self.users = Vocabulary(AWKWARD)
        self.item_ids = AWKWARD
        rng = np.random.default_rng(1)
        self.user_embeddings = rng.normal(size=(len(AWKWARD) + 1, 4)).astype(np.float32)
        self.items = self.items.with_columns(
            id=pl.Series(AWKWARD), title=pl.Series([f"Title {n}" for n in range(len(AWKWARD))])
        )
        self.interactions = pl.DataFrame({"user_id": AWKWARD, "item_id": AWKWARD[::-1]})


@pytest.fixture(scope="module")
def parts() -> AwkwardParts:
    return AwkwardParts()


@pytest.fixture(scope="module")
def awkward(tmp_path_factory: pytest.TempPathFactory, parts: AwkwardParts) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("awkward")
    parts.save(folder / "1")
    with running(folder, ServiceSettings(name="m")) as served:
        yield served


each = pytest.mark.parametrize(
    "number", range(len(AWKWARD)), ids=[ascii(one)[:20] for one in AWKWARD]
)


@each
@pytest.mark.parametrize("safe", ["", "/"], ids=["all encoded", "slashes as they are"])
def test_a_path_names_the_item_and_the_user_spelled_in_it(awkward: Running, number: int, safe: str):
    name = AWKWARD[number]
    part = quote(name, safe=safe).replace(".", "%2E")
    status, item = awkward.json(f"/api/v1/items/{part}")
    assert (status, item["id"], item["title"]) == (200, name, f"Title {number}")
    status, user = awkward.json(f"/api/v1/users/{part}?limit=1")
    assert (status, user["user_id"]) == (200, name)
    assert [one["id"] for one in user["history"]] == [AWKWARD[-1 - number]]


@each
def test_a_query_names_the_item_and_the_user_spelled_in_it(awkward: Running, number: int):
    query = urlencode({"id": AWKWARD[number]})
    status, item = awkward.json(f"/api/v1/item?{query}")
    assert (status, item["id"]) == (200, AWKWARD[number])
    status, user = awkward.json(f"/api/v1/user?limit=1&{query}")
    assert (status, user["user_id"]) == (200, AWKWARD[number])


@each
def test_every_dialect_takes_and_returns_it(awkward: Running, parts: AwkwardParts, number: int):
    name = AWKWARD[number]
    scores = parts.item_embeddings @ parts.user_embeddings[number + 1]
    best = [AWKWARD[row] for row in np.argsort(-scores, kind="stable")]
    best.remove(AWKWARD[-1 - number])  # had already
    k = len(best)

    _, answer = awkward.json("/api/v1/recommend", {"user_id": name, "k": k})
    assert [item["id"] for item in answer["items"]] == best
    _, answer = awkward.json("/api/v1/recommend", {"user_id": name, "k": k, "exclude": [name]})
    assert [item["id"] for item in answer["items"]] == [item for item in best if item != name]
    _, answer = awkward.json("/api/v1/recommend", {"history": [best[0]], "allow": [name]})
    assert [item["id"] for item in answer["items"]] == [name] * (name != best[0])
    _, answer = awkward.json("/api/v1/similar", {"item_id": name, "k": 1000})
    assert {item["id"] for item in answer["items"]} == {*AWKWARD} - {name}

    b64 = {"b64": base64.b64encode(name.encode()).decode()}
    body = {"instances": [{"user_id": name, "k": k}, {"user_id": b64, "k": k}]}
    _, answer = awkward.json("/v1/models/m:predict", body)
    assert [row["item_id"] for row in answer["predictions"]] == [best, best]

    client = triton.InferenceServerClient(f"127.0.0.1:{awkward.port}")
    users = triton.InferInput("user_id", [1], "BYTES")
    users.set_data_from_numpy(np.array([name.encode()], dtype=object))
    most = triton.InferInput("k", [1], "INT32")
    most.set_data_from_numpy(np.array([k], dtype=np.int32))
    found = client.infer("m", [users, most]).as_numpy("item_id")
    assert [item.decode() for item in found[0]] == best
    client.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/items/https%3A//example.org/a/b/", 404),
        ("/api/v1/items/", 404),
        ("/api/v1/items/b", 404),
        ("/api/v1/items/A", 404),
        ("/api/v1/items/%EF%BF", 400),
        ("/api/v1/items/%FF", 400),
        ("/api/v1/item?id=%FF", 400),
        ("/api/v1/users/%C0%AF", 400),
        ("/api/v1/%69tems/a", 404),
        ("/api//v1/items/a", 404),
        ("/api/v1/item", 400),
    ],
)
def test_an_address_that_names_nothing_is_answered_with_nothing_else(
    awkward: Running, path: str, status: int
):
    got, answer = awkward.json(path)
    assert got == status
    assert list(answer) == ["error"]


def test_integer_ids_have_one_spelling_in_every_dialect(tmp_path: Path):
    Parts(text_ids=False).save(tmp_path / "1")
    with running(tmp_path, ServiceSettings(name="m")) as served:

        def statuses(value) -> set[int]:
            tensor = {"name": "user_id", "shape": [1], "datatype": "BYTES", "data": [value]}
            return {
                served.request("/api/v1/recommend", {"user_id": value})[0],
                served.request("/api/v1/similar", {"item_id": value})[0],
                served.request("/api/v1/recommend", {"history": [value]})[0],
                served.request("/v1/models/m:predict", {"instances": [value]})[0],
                served.request("/v1/models/m:predict", {"inputs": {"user_id": [value]}})[0],
                served.request("/v2/models/m/infer", {"inputs": [tensor]})[0],
            }

        for value in ("007", " 11", "11 ", "+11", "11.0", "1e1", "\uff1011", "", "9" * 30, "true"):
            assert statuses(value) == {404}, value
            assert served.request(f"/api/v1/users/{quote(value)}")[0] == 404
        for value in (11.0, 1.5, True, [], [11, 12], {}, 2**63, -(2**63) - 1, 10**4000):
            assert statuses(value) <= {400}, value
        for value in (11, "11"):
            _, answer = served.json("/v1/models/m:predict", {"instances": [value]})
            assert answer["predictions"][0]["item_id"][0] in range(100, 108)
            assert served.json("/api/v1/user?id=11")[1]["user_id"] == 11


@pytest.mark.parametrize("field", ["exclude", "allow"])
def test_ids_to_leave_out_or_allow_are_ids_too(tmp_path: Path, field: str):
    Parts(text_ids=False).save(tmp_path / "1")
    with running(tmp_path, ServiceSettings(name="m")) as served:
        body = {"user_id": 10, "k": 8, "exclude_seen": False}
        _, everything = served.json("/api/v1/recommend", body)
        named = [100, "101", "0102", " 103", "x", "9" * 40]
        _, answer = served.json("/api/v1/recommend", {**body, field: named})
        ids = [item["id"] for item in answer["items"]]
        assert ids == [
            item["id"]
            for item in everything["items"]
            if (item["id"] in (100, 101)) == (field == "allow")
        ]
        for bad in (1.0, True, None, 2**63, [100]):
            status, answer = served.json("/api/v1/recommend", {**body, field: [100, bad]})
            assert status == 400, (bad, answer)
