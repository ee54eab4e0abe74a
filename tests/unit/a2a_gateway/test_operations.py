"""Operations: eleven, in two bindings and two versions, and no path that two servers read differently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2a_gateway.operations import (
    LEGACY_METHODS,
    Operation,
    RestRoute,
    Version,
    by_method,
    by_path,
    method_of,
    request_line,
)
from gateway_policies.refusal import BadRequest, NotFound

REST = [
    ("POST", "/message:send", Operation.SEND, "", ""),
    ("POST", "/message:stream", Operation.STREAM, "", ""),
    ("GET", "/tasks/t", Operation.GET_TASK, "t", ""),
    ("GET", "/tasks", Operation.LIST_TASKS, "", ""),
    ("POST", "/tasks/t:cancel", Operation.CANCEL, "t", ""),
    ("POST", "/tasks/t:subscribe", Operation.SUBSCRIBE, "t", ""),
    ("GET", "/tasks/t:subscribe", Operation.SUBSCRIBE, "t", ""),
    ("POST", "/tasks/t/pushNotificationConfigs", Operation.CREATE_PUSH, "t", ""),
    ("GET", "/tasks/t/pushNotificationConfigs", Operation.LIST_PUSH, "t", ""),
    ("GET", "/tasks/t/pushNotificationConfigs/c", Operation.GET_PUSH, "t", "c"),
    ("DELETE", "/tasks/t/pushNotificationConfigs/c", Operation.DELETE_PUSH, "t", "c"),
    ("GET", "/extendedAgentCard", Operation.EXTENDED_CARD, "", ""),
]


def test_there_are_eleven_operations_and_all_but_one_have_a_name_in_0_3() -> None:
    assert len(Operation) == 11
    assert set(Operation) - set(LEGACY_METHODS) == {Operation.LIST_TASKS}


@pytest.mark.parametrize("operation", Operation)
def test_a_method_is_read_back_in_the_version_that_it_belongs_to(operation: Operation) -> None:
    assert by_method(method_of(operation, "1.0")) == (operation, "1.0")
    if operation in LEGACY_METHODS:
        assert by_method(method_of(operation, "0.3")) == (operation, "0.3")


def test_listing_tasks_does_not_exist_in_0_3() -> None:
    for ask in (
        lambda: method_of(Operation.LIST_TASKS, "0.3"),
        lambda: request_line(RestRoute(Operation.LIST_TASKS, "0.3")),
    ):
        with pytest.raises(BadRequest) as caught:
            ask()
        assert caught.value.code == "unsupported_operation"


def test_an_unknown_method_is_none() -> None:
    assert by_method("sendMessage") is None


@pytest.mark.parametrize(("method", "path", "operation", "task", "config"), REST)
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("tenant", ["", "acme"])
def test_every_path_of_1_0_with_and_without_tenant_and_trailing_slash(
    method: str, path: str, operation: Operation, task: str, config: str, slash: str, tenant: str
) -> None:
    prefix = f"/{tenant}" if tenant else ""
    assert by_path(method, prefix + path + slash) == RestRoute(operation, "1.0", tenant, task, config)


@pytest.mark.parametrize(("method", "path", "operation", "task", "config"), REST)
def test_every_path_of_0_3_stands_below_v1(
    method: str, path: str, operation: Operation, task: str, config: str
) -> None:
    if operation is Operation.LIST_TASKS:
        with pytest.raises(NotFound):
            by_path(method, "/v1" + path)
        return
    path = "/card" if operation is Operation.EXTENDED_CARD else path
    assert by_path(method, "/v1" + path) == RestRoute(operation, "0.3", "", task, config)


@pytest.mark.parametrize(
    ("path", "task"),
    [
        ("/tasks/thread:run", "thread:run"),
        ("/tasks/thread%3Arun", "thread:run"),
        ("/tasks/:cancel", ":cancel"),
        ("/tasks/%C3%A9", "é"),
    ],
)
def test_an_id_may_hold_colons(path: str, task: str) -> None:
    assert by_path("GET", path).task_id == task


def test_only_the_last_colon_begins_a_verb() -> None:
    route = by_path("POST", "/tasks/thread:run:cancel")
    assert (route.operation, route.task_id) == (Operation.CANCEL, "thread:run")


@pytest.mark.parametrize(
    "path",
    [
        "/tasks/a%2Fb", "/tasks/a%5Cb", "/tasks/..", "/tasks/%2e%2e", "/tasks/.", "/tasks//x", "//tasks", "/tasks/a%00",
        "/tasks/a%0A", "/tasks/%FF", "/tasks/" + "a" * 1025, "/%2e%2e/tasks", "/tasks/a%C2%85",
    ],
)  # fmt: skip
def test_a_segment_that_servers_read_differently_is_refused(path: str) -> None:
    with pytest.raises(BadRequest):
        by_path("GET", path)


@pytest.mark.parametrize(
    "path",
    ["/", "", "/unknown", "/tasks/a/b", "/tasks/a/pushNotificationConfigs/b/c", "/a/b/message:send", "/v1", "/v2/x/y",
     "/tasks/extendedAgentCard/x", "/v1/acme/message:send"],
)  # fmt: skip
def test_a_path_of_no_operation_is_not_found(path: str) -> None:
    with pytest.raises(NotFound):
        by_path("POST", path)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/message:send"), ("GET", "/tasks/t:cancel"), ("DELETE", "/tasks/t"), ("PUT", "/acme/tasks")],
)
def test_another_http_method_is_not_allowed(method: str, path: str) -> None:
    with pytest.raises(BadRequest) as caught:
        by_path(method, path)
    assert caught.value.code == "method_not_allowed"


ids = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/\\"), min_size=1, max_size=20)


@given(operation=st.sampled_from(Operation), version=st.sampled_from(["1.0", "0.3"]), task=ids, config=ids, tenant=ids)
def test_a_request_line_is_read_back_the_same_or_not_written(
    operation: Operation, version: Version, task: str, config: str, tenant: str
) -> None:
    _, template = "", request_names(operation)
    route = RestRoute(
        operation,
        version,
        tenant if version == "1.0" else "",
        task if "task" in template else "",
        config if "config" in template else "",
    )
    try:
        method, path = request_line(route)
    except BadRequest:
        return
    assert by_path(method, path) == route


def request_names(operation: Operation) -> tuple[str, ...]:
    if operation in (Operation.GET_PUSH, Operation.DELETE_PUSH):
        return ("task", "config")
    is_about_a_task = "Task" in operation and operation is not Operation.LIST_TASKS
    return ("task",) if is_about_a_task else ()


@pytest.mark.parametrize(
    "route",
    [
        RestRoute(Operation.GET_TASK, "1.0", task_id="victim:subscribe"),
        RestRoute(Operation.GET_TASK, "1.0", task_id="victim:cancel"),
        RestRoute(Operation.GET_TASK, "1.0", task_id="a/b"),
        RestRoute(Operation.GET_TASK, "1.0", task_id=""),
        RestRoute(Operation.SEND, "1.0", tenant="v1"),
        RestRoute(Operation.SEND, "1.0", tenant="tasks"),
        RestRoute(Operation.SEND, "0.3", tenant="acme"),
    ],
)
def test_an_id_that_would_change_the_meaning_of_a_path_is_not_written(route: RestRoute) -> None:
    with pytest.raises(BadRequest):
        request_line(route)


@pytest.mark.parametrize("operation", [operation for operation in Operation if operation in LEGACY_METHODS])
def test_lines_of_0_3_stand_below_v1(operation: Operation) -> None:
    names = request_names(operation)
    route = RestRoute(
        operation, "0.3", task_id="a:b" if "task" in names else "", config_id="c" if "config" in names else ""
    )
    method, path = request_line(route)
    assert path.startswith("/v1/")
    assert by_path(method, path) == route
