"""The API against its own description, by schemathesis. SHORTLIST_CASES sets how many cases."""

import os
from collections import Counter

import hypothesis
import schemathesis
from schemathesis import checks
from schemathesis.generation import GenerationMode

from .conftest import Running

CASES = int(os.environ.get("SHORTLIST_CASES", "280"))
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
    assert set(document["paths"]) == {
        "/api/v1/recommend",
        "/api/v1/similar",
        "/api/v1/items",
        "/api/v1/items/{item_id}",
        "/api/v1/users",
        "/api/v1/users/{user_id}",
        "/api/v1/model",
    }
    assert (
        document["components"]["schemas"]["RecommendRequest"]["properties"]["k"]["maximum"] == 1000
    )


def test_answers_keep_to_the_description(served: Running):
    schema = schemathesis.openapi.from_url(f"{served.url}/api/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    statuses: Counter[int] = Counter()
    runs = [
        (operation, mode)
        for operation in operations
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if operation.path != "/api/v1/model"  # takes nothing
        and (operation.path, mode) != ("/api/v1/items/{item_id}", GenerationMode.NEGATIVE)
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
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            response = case.call()
            statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        check()
    assert statuses.total() >= CASES, statuses
    assert statuses[200] > 0
    assert statuses[400] > 0
    assert statuses[404] > 0
