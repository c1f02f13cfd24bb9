import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from shortlist.bundle import BundleError
from shortlist.serving import ServiceSettings
from shortlist.serving.server import create_service_with_model

from ..bundle.parts import Parts
from .conftest import Running, running

SWAPS = int(os.environ.get("SHORTLIST_SWAPS", "8"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Parts(1).save(tmp_path / "1")
    return tmp_path


def _version(served: Running) -> int:
    return served.json("/api/v1/model")[1]["version"]


def _wait_for(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_new_version_is_noticed_and_answers(folder: Path):
    with running(folder) as served:
        assert _version(served) == 1
        Parts(2).save(folder / "2")
        _wait_for(lambda: _version(served) == 2)
        assert served.json("/v1/models/m")[1]["model_version_status"][0]["version"] == "2"
        status, answer = served.json("/v1/models/m/versions/1:predict", {"instances": ["u0"]})
        assert (status, answer["error"]) == (404, "Version 1 is not loaded; version 2 is.")


def test_the_newest_by_number_answers_first(folder: Path):
    Parts(2).save(folder / "10")
    Parts(3).save(folder / "9")
    (folder / "11").mkdir()
    (folder / "notes").mkdir()
    (folder / "12.partial").mkdir()
    service = create_service_with_model(folder, ServiceSettings())
    assert service.repository.current.version == 10


def test_a_bad_version_is_reported_and_the_old_one_goes_on(folder: Path):
    with running(folder) as served:
        Parts(2).save(folder / ".2")
        with (folder / ".2" / "index.slx").open("r+b") as file:
            file.write(b"damaged")
        (folder / ".2").rename(folder / "2")
        _wait_for(lambda: served.json("/api/v1/model")[1]["refused_versions"])
        _, model = served.json("/api/v1/model")
        assert model["version"] == 1
        assert "index.slx is damaged" in model["refused_versions"]["2"]
        assert served.json("/api/v1/recommend", {"user_id": "u0"})[0] == 200
        metrics = served.request("/metrics")[2]
        assert b'shortlist_model_loads_total{outcome="refused"} 1.0' in metrics
        shutil.rmtree(folder / "2")
        Parts(2).save(folder / "2")
        _wait_for(lambda: _version(served) == 2)
        assert served.json("/api/v1/model")[1]["refused_versions"] == {}


def test_a_bundle_by_itself_is_version_1_and_reloads_when_replaced(tmp_path: Path):
    Parts(1).save(tmp_path / "model")
    with running(tmp_path / "model") as served:
        before = served.json("/api/v1/model")[1]
        Parts(2).save(tmp_path / "model")
        _wait_for(lambda: served.json("/api/v1/model")[1]["fingerprint"] != before["fingerprint"])
        assert _version(served) == 1


def test_without_any_good_version_the_service_does_not_start(tmp_path: Path):
    with pytest.raises(BundleError, match="neither a bundle nor a folder of versions"):
        create_service_with_model(tmp_path, ServiceSettings())
    Parts().save(tmp_path / "1")
    (tmp_path / "1" / "run.json").unlink()
    with pytest.raises(BundleError, match=r"1: .*run\.json is missing"):
        create_service_with_model(tmp_path, ServiceSettings())


def test_the_old_version_leaves_memory(folder: Path):
    import gc
    import weakref

    service = create_service_with_model(folder, ServiceSettings())
    old = weakref.ref(service.repository.current)
    Parts(2).save(folder / "2")
    assert service.repository.refresh()
    gc.collect()
    assert old() is None


def test_hot_swaps_under_load_answer_200_and_from_one_version(folder: Path):
    """SHORTLIST_SWAPS sets how many; each answer must be that of the version it names."""
    answers: list[tuple[int, dict]] = []
    users = Parts().users.ids.tolist()
    stop = threading.Event()

    def ask(served: Running) -> None:
        body = {"instances": [{"user_id": user, "k": 3} for user in users]}
        while not stop.is_set():
            one = {"user_id": "u1", "k": 4, "exclude_seen": False}
            answers.append(served.json("/api/v1/recommend", one))
            assert served.json("/v1/models/m:predict", body)[0] == 200

    with running(folder) as served:
        threads = [threading.Thread(target=ask, args=(served,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for version in range(2, SWAPS + 2):
            Parts(version).save(folder / str(version))
            _wait_for(lambda version=version: _version(served) == version)
            shutil.rmtree(folder / str(version - 1))
        stop.set()
        for thread in threads:
            thread.join()
    assert {status for status, _ in answers} == {200}
    expected = {}
    for version in range(1, SWAPS + 2):
        parts = Parts(version)
        scores = parts.item_embeddings @ parts.user_embeddings[2]
        expected[version] = [f"f{row}" for row in (-scores).argsort(kind="stable")[:4]]
    assert len({answer["model_version"] for _, answer in answers}) > SWAPS // 2
    for _, answer in answers:
        assert [item["id"] for item in answer["items"]] == expected[answer["model_version"]]
