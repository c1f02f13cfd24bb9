"""The API against its own description, by schemathesis. SHORTLIST_CASES sets how many cases."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies
from schemathesis import checks
from schemathesis.generation import GenerationMode

from shortlist.serving import ServiceSettings

from ..live.parts import saved, year_tower
from .conftest import Running, running

CASES = int(os.environ.get("SHORTLIST_CASES", "400"))
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]


def test_the_description_is_openapi_3_1_and_names_every_operation(served: Running):
    status, document = served.json("/api/openapi.json")
    assert status == 200
    assert document["openapi"].startswith("3.1")
    operations = {(verb, path) for path, item in document["paths"].items() for verb in item}
    assert operations == {
        ("post", "/api/v1/recommend"),
        ("post", "/api/v1/similar"),
        ("get", "/api/v1/items"),
        ("post", "/api/v1/items"),
        ("delete", "/api/v1/items/{item_id}"),
        ("delete", "/api/v1/item"),
        ("post", "/api/v1/events"),
        ("get", "/api/v1/items/{item_id}"),
        ("get", "/api/v1/item"),
        ("get", "/api/v1/users"),
        ("get", "/api/v1/users/{user_id}"),
        ("get", "/api/v1/user"),
        ("get", "/api/v1/model"),
        ("get", "/v1/models/{name}"),
        ("post", "/v1/models/{name}"),
        ("get", "/v1/models/{name}/versions/{version}"),
        ("post", "/v1/models/{name}/versions/{version}"),
        ("get", "/v1/models/{name}/labels/{label}"),
        ("post", "/v1/models/{name}/labels/{label}"),
        ("get", "/v1/models/{name}/metadata"),
        ("get", "/v1/models/{name}/versions/{version}/metadata"),
        ("get", "/v2"),
        ("get", "/v2/models/{name}"),
        ("get", "/v2/models/{name}/versions/{version}"),
        ("get", "/v2/models/{name}/ready"),
        ("get", "/v2/models/{name}/versions/{version}/ready"),
        ("post", "/v2/models/{name}/infer"),
        ("post", "/v2/models/{name}/versions/{version}/infer"),
    }
    assert (
        document["components"]["schemas"]["RecommendRequest"]["properties"]["k"]["maximum"] == 1000
    )


KNOWN = {"name": "m", "version": "1", "label": "stable", "user_id": "u0", "item_id": "f1"}
TENSORS = [
    {"name": "user_id", "shape": [2], "datatype": "BYTES", "data": ["u0", "u1"]},
    {"name": "k", "shape": [1], "datatype": "INT32", "data": [3]},
]


def _make_known(case: schemathesis.Case) -> None:
    """Put in what there is: made-up names and ids are all unknown, and no case would get far."""
    parameters = case.path_parameters
    for name in parameters.keys() & KNOWN.keys():
        parameters[name] = KNOWN[name]
    if case.operation.method == "post" and parameters:
        last = list(parameters)[-1]
        if case.path.startswith("/v1/"):
            parameters[last] += ":predict"
    if case.operation.method == "delete":  # not what others ask for
        case.path_parameters |= dict.fromkeys(parameters, "f7")
        case.query |= {"id": "f7"} if case.query else {}
        return
    if case.query and "id" in case.query:
        case.query["id"] = "u0" if case.path.endswith("/user") else "f1"
    if not isinstance(case.body, dict):
        return
    if case.path == "/api/v1/items":
        case.body["items"] = [{"id": "f1", "attributes": {"title": "Film 1", "year": 1991}}]
    if case.path == "/api/v1/events":
        case.body["events"] = [{"user_id": "u0", "item_id": "f1"}]
    for name in case.body.keys() & {"user_id", "item_id"}:
        case.body[name] = KNOWN[name]
        case.body.pop("history", None)  # goes with no user
        case.body.pop("features", None)
    if case.path.startswith("/v1/"):
        form = "instances" if case.body.get("instances") else "inputs"
        case.body |= {"instances": None, "inputs": None, form: ["u0", "u1"]}
        case.body.pop("signature_name", None)
    if case.path.startswith("/v2/"):
        case.body["inputs"] = TENSORS
        case.body.pop("outputs", None)


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[Running]:
    """A service that takes changes."""
    saved(tmp_path / "1", candidate_tower=year_tower())
    with running(tmp_path, ServiceSettings(name="m", live=str(tmp_path))) as one:
        yield one


def test_answers_keep_to_the_description(changing: Running):
    schema = schemathesis.openapi.from_url(f"{changing.url}/api/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    statuses: Counter[int] = Counter()
    answered: set[str] = set()
    runs = [
        (operation, mode)
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if operation.path not in ("/api/v1/model", "/v2")  # take nothing
        # Any string is a good part of a path, so that there are no bad ones.
        and (mode == GenerationMode.POSITIVE or operation.body or operation.query)
    ]
    for operation, mode in runs:

        @hypothesis.settings(
            max_examples=CASES // len(runs) + 1,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        @hypothesis.given(
            case=operation.as_strategy(generation_mode=mode),
            known=strategies.sampled_from([True, True, False]),
        )
        def check(case: schemathesis.Case, known: bool) -> None:
            if known:
                _make_known(case)
            response = case.call()
            statuses[response.status_code] += 1
            if response.status_code == 200:
                answered.add(case.operation.label)
            case.validate_response(response, checks=CHECKS)

        check()
    assert statuses.total() >= CASES, statuses
    assert statuses[400] > 0
    assert statuses[404] > 0
    assert answered == {operation.label for operation, _ in runs}
