"""The admin API against its own OpenAPI document: whatever is sent, nothing breaks inside."""

from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks

from agent_gateway.cli.local import operator_token
from agent_gateway.config.load import load
from support.running import RunningGateway, running_gateway, write_world

EXAMPLES = 15
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
CHECKS: list[Any] = [
    cast("Any", checks).not_a_server_error,
    cast("Any", openapi_checks).content_type_conformance,
    cast("Any", openapi_checks).response_schema_conformance,
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    with running_gateway(write_world(tmp_path_factory.mktemp("fuzzed"))) as running:
        yield running


def headers(config: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {operator_token(load(config), 900)}"}


def cases(operation: Any) -> Any:
    """Requests that fit the document and, where there is anything to get wrong, requests that do not."""
    good = operation.as_strategy()
    if not (operation.query or operation.path_parameters or operation.body):
        return good
    return good | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)


def test_no_request_breaks_the_admin_api(served: RunningGateway) -> None:
    token = headers(served.config)
    url = f"{served.ready['admin']}/openapi.json"
    # the stream never ends by itself, so it has tests of its own
    schema: Any = cast("Any", schemathesis.openapi).from_url(url, headers=token).exclude(path="/v1/audit/stream")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=SLOW)
        @given(case=cases(operation))
        def ask(case: Any) -> None:
            case.call_and_validate(checks=CHECKS, headers=token)

        ask()
