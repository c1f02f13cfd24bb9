"""Changes over HTTP: the next answer knows them, every server does, and a key may only read."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shortlist.live import LiveState
from shortlist.serving import ServiceSettings

from ..bundle.parts import Parts
from ..live.parts import saved, year_tower
from .conftest import Running, running

JSON = {"content-type": "application/json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved(tmp_path / "models" / "1", candidate_tower=year_tower())
    return tmp_path / "models"


def settings(folder: Path, **options: object) -> ServiceSettings:
    return ServiceSettings(name="m", poll_seconds=0.1, live=str(folder), **options)


@pytest.fixture
def live(folder: Path) -> Iterator[Running]:
    with running(folder, settings(folder)) as one:
        yield one


def ids(service: Running, user: str, k: int = 9) -> list[str]:
    status, answer = service.json("/api/v1/recommend", {"user_id": user, "k": k})
    assert status == 200, answer
    return [item["id"] for item in answer["items"]]


def put(service: Running, *items: dict, **headers: str) -> tuple[int, dict]:
    return service.json("/api/v1/items", {"items": items}, {**JSON, **headers})


def remove(service: Running, path: str) -> int:
    return service.request(f"/api/v1/{path}", method="DELETE")[0]


def test_an_item_that_is_put_is_recommended_and_known(live: Running) -> None:
    assert "new" not in ids(live, "u0")
    item = {"id": "new", "attributes": {"title": "Alien", "year": 1979}}
    assert put(live, item) == (200, {"first": 1, "last": 1})
    assert "new" in ids(live, "u0")
    assert live.json("/api/v1/items/new") == (
        200,
        {"id": "new", "title": "Alien", "details": {"year": 1979}},
    )
    assert live.json("/api/v1/items?prefix=ali") == (
        200,
        {"items": [{"id": "new", "title": "Alien"}], "total": 9},
    )
    _, answer = live.json("/api/v1/similar", {"item_id": "new", "k": 3})
    assert len(answer["items"]) == 3


def test_items_are_paged_and_counted(live: Running) -> None:
    pages = [live.json(f"/api/v1/items?limit=3&offset={at}")[1] for at in (0, 3, 6, 9)]
    assert [page["total"] for page in pages] == [8] * 4
    found = [item["id"] for page in pages for item in page["items"]]
    assert found == [f"f{n}" for n in range(8)]


def test_an_item_that_is_removed_never_comes_back(live: Running) -> None:
    first, second = ids(live, "u1", 2)
    assert remove(live, f"items/{first}") == 200
    assert remove(live, f"item?id={second}") == 200
    assert not {first, second} & set(ids(live, "u1"))
    assert live.json(f"/api/v1/items/{first}")[0] == 404


def test_an_event_changes_the_next_answer(live: Running) -> None:
    first = ids(live, "u1")[0]
    event = {"user_id": "u1", "item_id": first}
    assert live.json("/api/v1/events", {"events": [event]}, JSON)[0] == 200
    assert first not in ids(live, "u1")
    _, user = live.json("/api/v1/users/u1")
    assert [item["id"] for item in user["history"]] == [first, "f1"]


def test_somebody_new_is_known_by_what_they_do(live: Running) -> None:
    assert live.json("/api/v1/recommend", {"user_id": "guest"})[0] == 404
    event = {"user_id": "guest", "item_id": "f2", "timestamp": 5}
    assert live.json("/api/v1/events", {"events": [event]}, JSON)[0] == 200
    assert len(ids(live, "guest", 7)) == 7
    assert "f2" not in ids(live, "guest")


def test_a_request_that_comes_again_with_its_key_is_applied_once(live: Running) -> None:
    item = {"id": "new", "embedding": [1, 2, 3, 4]}
    first = put(live, item, **{"idempotency-key": "k"})
    assert first == put(live, item, **{"idempotency-key": "k"}) == (200, {"first": 1, "last": 1})
    status, answer = put(live, {**item, "id": "other"}, **{"idempotency-key": "k"})
    assert status == 409
    assert "choose a new key" in answer["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("items", {"items": []}, 400, "from 1 to 10,000, got 0"),
        ("items", {"items": [{"id": "x"}]}, 400, "`attributes`, an `embedding` or both"),
        ("items", {"items": [{"id": "x", "attributes": {"yeer": 1}}]}, 400, "did you mean 'year'"),
        ("items", {"items": [{"id": "x", "attributes": {"year": "1"}}]}, 400, "an integer of Int"),
        ("items", {"items": [{"id": "x", "embedding": [1]}]}, 400, "must have shape (4,)"),
        ("items", {"items": [{"id": "x", "embedding": [1e300] * 4}]}, 400, "must fit float32"),
        ("items", {"items": [{"id": "a\0b", "attributes": {}}]}, 400, "without the character"),
        ("items", {"items": [{"id": 1.5, "attributes": {}}]}, 400, "items[0].id: Expected"),
        ("items", {"things": []}, 400, "body: Object contains unknown field `things`"),
        ("events", {"events": [{"user_id": "u0", "item_id": "f00"}]}, 400, "did you mean 'f0'"),
        ("events", {"events": [{"user_id": "u0"}]}, 400, "events[0]: Object missing required"),
    ],
)
def test_what_is_no_change_is_refused_and_changes_nothing(
    live: Running, path: str, body: dict, status: int, said: str
) -> None:
    got, answer = live.json(f"/api/v1/{path}", body, JSON)
    assert (got, said in answer["error"]) == (status, True), answer
    assert live.service.repository.model().follower.state.last == 0


def test_a_page_of_another_site_can_change_nothing(live: Running) -> None:
    """A browser sends text/plain to any address without asking, and JSON only where it may."""
    body = {"items": [{"id": "new", "attributes": {}}]}
    status, answer = live.json("/api/v1/items", body, {"content-type": "text/plain"})
    assert (status, "application/json" in answer["error"]) == (415, True)


def test_a_service_without_a_live_state_says_how_to_start_one(folder: Path) -> None:
    with running(folder) as service:
        status, answer = put(service, {"id": "new", "attributes": {}})
        assert (status, "--live" in answer["error"]) == (404, True)
        assert remove(service, "items/f0") == 404
    assert [path.name for path in folder.iterdir()] == ["1"]


def test_a_key_that_may_read_may_not_write(folder: Path) -> None:
    with running(folder, settings(folder, keys=("all",), read_keys=("read",))) as service:
        answers = []
        for key in ("all", "read", "none"):
            headers = {"api-key": key, **JSON}
            body = {"items": [{"id": "new", "attributes": {}}]}
            event = {"events": [{"user_id": "u0", "item_id": "f0"}]}
            answers.append(
                [
                    service.request("/api/v1/model", None, headers)[0],
                    service.request("/api/v1/recommend", {"user_id": "u0"}, headers)[0],
                    service.request("/api/v1/items", body, headers)[0],
                    service.request("/api/v1/events", event, headers)[0],
                    service.request("//api/v1//events/", event, headers)[0],
                    service.request("/api/v1/items/new", None, headers, "DELETE")[0],
                    service.request("/api/v1/item?id=new", None, headers, "DELETE")[0],
                ]
            )
        assert answers == [[200] * 7, [200, 200, *[403] * 5], [401] * 7]


def test_two_servers_on_one_state_agree(folder: Path) -> None:
    with running(folder, settings(folder)) as one, running(folder, settings(folder)) as other:
        put(one, {"id": "new", "attributes": {"title": "Alien"}})
        until = time.monotonic() + 30
        while other.json("/api/v1/items/new")[0] != 200 and time.monotonic() < until:
            time.sleep(0.01)
        assert ids(one, "u3") == ids(other, "u3")
        assert "new" in ids(other, "u3")


def test_a_server_started_again_has_all_changes(folder: Path) -> None:
    with running(folder, settings(folder)) as service:
        put(service, {"id": "new", "attributes": {"title": "Alien"}})
        before = ids(service, "u3")
    with running(folder, settings(folder)) as service:
        assert ids(service, "u3") == before
        assert "new" in before


def test_a_new_version_takes_over_what_it_has_not_learnt(folder: Path) -> None:
    with running(folder, settings(folder)) as service:
        put(service, {"id": "new", "attributes": {"title": "Alien"}})
        put(service, {"id": "f8", "attributes": {"title": "learnt"}})
        with LiveState.open(folder) as state:
            mark = state.mark()
            saved(folder / "2", Parts(items=9), candidate_tower=year_tower(), run={"live": mark})
            until = time.monotonic() + 30
            while service.json("/api/v1/model")[1]["version"] != 2 and time.monotonic() < until:
                time.sleep(0.01)
            assert service.json("/api/v1/items/f8")[1]["title"] == "Film 8"
            assert service.json("/api/v1/items/new")[1]["title"] == "Alien"
            while state.dropped < 2 and time.monotonic() < until:
                time.sleep(0.01)
            assert [entry.change.item_id for entry in state.changes()] == ["new"]


def test_the_metrics_tell_how_far_the_changes_are_applied(live: Running) -> None:
    put(live, {"id": "new", "attributes": {}})
    text = live.request("/metrics")[2].decode()
    assert "shortlist_live_position 1.0" in text
    assert "shortlist_live_candidates 9.0" in text
    assert "shortlist_live_refused_items 0.0" in text
    assert "shortlist_live_lag_seconds" in text
