"""Inbound requests: one operation however it is asked, and nothing that an agent could read otherwise."""

import json
from typing import Any

import pytest

from a2a_gateway.inbound import HttpIn, Inbound, Unread, read
from a2a_gateway.operations import LEGACY_METHODS, Dialect, Operation, method_of

V1 = {"a2a-version": "1.0"}


def rpc(method: str, params: Any = None, *, headers: dict[str, str] | None = None, **members: Any) -> Inbound | Unread:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params} | members
    is_old = "/" in method
    body = json.dumps({k: v for k, v in message.items() if v is not ...}).encode()
    return read(HttpIn("POST", "/", "", headers if headers is not None else ({} if is_old else V1), body))


def rest(
    method: str, path: str, body: Any = None, *, query: str = "", headers: dict[str, str] = V1
) -> Inbound | Unread:
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    return read(HttpIn(method, path, query, headers, raw))


def ok(found: Inbound | Unread) -> Inbound:
    assert isinstance(found, Inbound), found
    return found


def code(found: Inbound | Unread) -> str:
    assert isinstance(found, Unread), found
    return found.refusal.code


MESSAGE = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "hi"}], "taskId": "a:b", "contextId": "c",
           "referenceTaskIds": ["r1", "r2"], "extensions": ["urn:x"]}  # fmt: skip
OLD = MESSAGE | {"kind": "message", "role": "user", "parts": [{"kind": "text", "text": "hi"}]}
OLD_PROTO = {k: v for k, v in MESSAGE.items() if k != "parts"} | {"content": [{"text": "hi"}]}


@pytest.mark.requirement("a2a.one-operation")
def test_a_message_is_the_same_call_in_every_dialect() -> None:
    found = [
        rpc("SendMessage", {"message": MESSAGE}),
        rpc("message/send", {"message": OLD}),
        rest("POST", "/message:send", {"message": MESSAGE}),
        rest("POST", "/message:send/", {"message": MESSAGE}, headers={}, query="A2A-Version=1.0"),
        rest("POST", "/v1/message:send", {"message": OLD}, headers={}),
        rest("POST", "/v1/message:send", {"message": OLD_PROTO}, headers={"a2a-version": "0.3"}),
    ]
    assert {ok(one).operation for one in found} == {Operation.SEND}
    assert all(ok(one).parts == ok(found[0]).parts for one in found)
    assert ok(found[0]).parts.arguments() == {
        "taskId": "a:b", "contextId": "c", "referenceTaskIds": ["r1", "r2"], "messageId": "m",
        "mediaTypes": ["text/plain"], "extensions": ["urn:x"],
    }  # fmt: skip
    assert {ok(one).dialect for one in found} == {
        Dialect(version, binding) for version in ("1.0", "0.3") for binding in ("JSONRPC", "HTTP+JSON")
    }


@pytest.mark.parametrize("operation", [Operation.GET_TASK, Operation.CANCEL, Operation.SUBSCRIBE])
@pytest.mark.requirement("a2a.one-operation")
def test_a_task_is_named_the_same_in_every_dialect(operation: Operation) -> None:
    verb = {Operation.GET_TASK: "", Operation.CANCEL: ":cancel", Operation.SUBSCRIBE: ":subscribe"}[operation]
    http = "GET" if operation is Operation.GET_TASK else "POST"
    found = [
        rpc(operation.value, {"id": "t:1"}),
        rpc(method_of(operation, "0.3"), {"id": "t:1"}),
        rest(http, f"/tasks/t:1{verb}"),
        rest(http, f"/acme/tasks/t:1{verb}/"),
        rest(http, f"/v1/tasks/t:1{verb}", headers={}),
    ]
    assert {(ok(one).operation, ok(one).parts.task_id) for one in found} == {(operation, "t:1")}
    assert ok(found[3]).parts.tenant == "acme"


@pytest.mark.requirement("a2a.one-operation")
def test_push_operations_name_task_and_configuration_the_same() -> None:
    for operation, http in ((Operation.GET_PUSH, "GET"), (Operation.DELETE_PUSH, "DELETE")):
        found = [
            rpc(operation.value, {"taskId": "t", "id": "c"}),
            rpc(method_of(operation, "0.3"), {"id": "t", "pushNotificationConfigId": "c"}),
            rest(http, "/tasks/t/pushNotificationConfigs/c"),
            rest(http, "/v1/tasks/t/pushNotificationConfigs/c", headers={}),
        ]
        assert {(ok(one).operation, ok(one).parts.task_id, ok(one).parts.config_id) for one in found} == {
            (operation, "t", "c")
        }
    assert ok(rpc("tasks/pushNotificationConfig/get", {"id": "t"})).parts.config_id == ""
    assert ok(rpc("tasks/pushNotificationConfig/list", {"id": "t"})).parts.task_id == "t"
    assert ok(rpc("ListTaskPushNotificationConfigs", {"taskId": "t"})).parts.task_id == "t"


def test_a_webhook_is_found_wherever_a_version_puts_it() -> None:
    flat = {"id": "c", "url": "https://h/x", "token": "k", "authentication": {"scheme": "Bearer", "credentials": "s"}}
    nested = flat | {"authentication": {"schemes": ["Bearer"], "credentials": "s"}}
    sent = {"message": MESSAGE}
    found = {
        (): rpc("CreateTaskPushNotificationConfig", {"taskId": "t"} | flat),
        ("pushNotificationConfig",): rpc(
            "tasks/pushNotificationConfig/set", {"taskId": "t", "pushNotificationConfig": nested}
        ),
        ("config", "pushNotificationConfig"): rest(
            "POST", "/v1/tasks/t/pushNotificationConfigs", headers={},
            body={"parent": "tasks/t",
                  "config": {"name": "tasks/t/pushNotificationConfigs/c", "pushNotificationConfig": nested}},
        ),
        ("config",): rest("POST", "/v1/tasks/t/pushNotificationConfigs", {"config": nested}, headers={}),
        ("configuration", "taskPushNotificationConfig"): rpc(
            "SendMessage", sent | {"configuration": {"taskPushNotificationConfig": flat}}
        ),
        ("configuration", "pushNotificationConfig"): rpc(
            "message/stream", {"message": OLD, "configuration": {"pushNotificationConfig": nested}}
        ),
        ("configuration", "pushNotification"): rest(
            "POST", "/v1/message:stream", headers={},
            body={"message": OLD_PROTO, "configuration": {"pushNotification": nested}},
        ),
    }  # fmt: skip
    for path, one in found.items():
        push = ok(one).parts.push
        assert push is not None
        assert (push.path, push.id, push.url, push.token, push.scheme, push.credentials) == (
            path, "c", "https://h/x", "k", "Bearer", "s"
        )  # fmt: skip


@pytest.mark.requirement("a2a.no-second-reading")
@pytest.mark.parametrize(
    "params",
    [
        {"message": MESSAGE | {"task_id": "victim"}},
        {"message": MESSAGE | {"TaskId": "victim"}},
        {"message": MESSAGE | {"TASK_ID": "victim"}},
        {"message": MESSAGE | {"reference_task_ids": ["victim"]}},
        {"message": MESSAGE, "request": MESSAGE | {"taskId": "victim"}},
        {"message": MESSAGE, "Message": MESSAGE},
        {"message": MESSAGE, "configuration": {"TaskPushNotificationConfig": {"url": "http://in"}}},
        {"message": MESSAGE, "configuration": {"task_push_notification_config": {"url": "http://in"},
                                               "pushNotification": {"url": "http://a"}}},
        {"message": MESSAGE, "configuration": {"pushNotificationConfig": {"url": "http://a"},
                                               "taskPushNotificationConfig": {"url": "http://b"}}},
        {"message": MESSAGE, "configuration": {"taskPushNotificationConfig": {"url": "http://a", "URL": "http://in"}}},
        {"message": MESSAGE, "configuration": {"taskPushNotificationConfig": {"token": "x"}}},
        {"message": MESSAGE, "configuration": {"taskPushNotificationConfig":
            {"url": "http://a", "authentication": {"Scheme": "x"}}}},
        {"message": MESSAGE | {"content": [{"text": "x"}]}},
        {"message": MESSAGE | {"parts": [{"url": "https://a", "Url": "https://in"}]}},
        {"message": MESSAGE | {"parts": [{"file": {"file_with_uri": "https://in", "fileWithUri": "https://a"}}]}},
        {"message": MESSAGE | {"parts": [{"File": {"uri": "https://in"}}]}},
    ],
)  # fmt: skip
def test_what_an_agent_could_read_otherwise_is_refused(params: Any) -> None:
    assert code(rpc("SendMessage", params)) == "invalid_params"


@pytest.mark.requirement("a2a.no-second-reading")
def test_protobuf_s_own_spelling_is_read_and_goes_on_in_the_specification_s() -> None:
    message = {
        "message_id": "m",
        "task_id": "t",
        "reference_task_ids": ["r"],
        "parts": [{"text": "x", "media_type": "a/b"}],
    }
    push = {"url": "https://h", "authentication": {"scheme": "Bearer"}}
    params = {
        "message": message,
        "configuration": {"task_push_notification_config": push, "history_length": 2},
        "big": 2**70,
    }
    for found in (ok(rpc("SendMessage", params)), ok(rest("POST", "/message:send", params))):
        assert (found.parts.task_id, found.parts.reference_task_ids) == ("t", ("r",))
        assert found.parts.media_types == ("a/b",)
        assert found.parts.push is not None
        assert found.parts.push.path == ("configuration", "taskPushNotificationConfig")
        sent = json.loads(found.body)
        assert sent.get("params", sent) == found.parsed
        assert json.loads(bytes(found.params["message"])) == {
            "messageId": "m", "taskId": "t", "referenceTaskIds": ["r"], "parts": [{"text": "x", "mediaType": "a/b"}]
        }  # fmt: skip
        assert bytes(found.params["big"]) == str(2**70).encode()
        assert b"_" not in found.body.replace(b"ROLE_", b"")
    listed = ok(rest("GET", "/tasks", query="context_id=c%20d&page_size=2&A2A-Version=1.0"))
    assert (listed.parts.context_id, listed.query) == ("c d", "contextId=c+d&pageSize=2")
    assert ok(rpc("GetTask", {"id": "t", "history_length": 1}, id=10**30)).id_raw == str(10**30).encode()


@pytest.mark.requirement("a2a.no-second-reading")
@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tasks/get", {"id": "mine", "taskId": "victim"}),
        ("GetTask", {"id": "mine", "Id": "victim"}),
        ("tasks/pushNotificationConfig/get", {"id": "mine", "taskId": "victim"}),
        ("CreateTaskPushNotificationConfig",
         {"taskId": "t", "url": "https://a", "pushNotificationConfig": {"url": "http://in"}}),
        ("tasks/pushNotificationConfig/set",
         {"taskId": "t", "pushNotificationConfig": {"url": "https://a"}, "config": {"url": "http://in"}}),
        ("CreateTaskPushNotificationConfig", {"taskId": "t", "token": "x"}),
        ("CreateTaskPushNotificationConfig", {"taskId": "t", "pushNotificationConfig": {"token": "x"}}),
    ],
)  # fmt: skip
def test_two_names_for_one_thing_are_refused(method: str, params: Any) -> None:
    assert code(rpc(method, params)) == "invalid_params"


@pytest.mark.requirement("a2a.no-second-reading")
def test_a_body_names_no_other_task_than_its_path() -> None:
    push = {"url": "https://a"}
    for body in (
        push | {"taskId": "victim"},
        push | {"parent": "tasks/victim"},
        push | {"name": "tasks/victim"},
        push | {"parent": 7},
    ):
        assert code(rest("POST", "/tasks/t/pushNotificationConfigs", body)) == "invalid_params"
    for config in ({"name": "tasks/victim/pushNotificationConfigs/c"}, {"name": "tasks/tt"}):
        body = {"config": config | {"pushNotificationConfig": push}}
        assert code(rest("POST", "/v1/tasks/t/pushNotificationConfigs", body, headers={})) == "invalid_params"
    assert code(rest("POST", "/message:send", {"message": MESSAGE, "name": "tasks/x"})) == "invalid_params"
    assert code(rest("POST", "/acme/message:send", {"message": MESSAGE, "tenant": "other"})) == "invalid_params"
    assert code(rest("GET", "/tasks/mine", query="id=victim")) == "invalid_params"
    assert code(rest("GET", "/tasks/mine/pushNotificationConfigs/c", query="id=d")) == "invalid_params"
    assert ok(rest("GET", "/tasks/t", query="id=t&historyLength=2")).query == "id=t&historyLength=2"


WRONG: list[Any] = [
    None, 7, [], {"taskId": 7}, {"taskId": "x" * 1025}, {"referenceTaskIds": "r"}, {"referenceTaskIds": [1]},
    {"referenceTaskIds": ["r"] * 101}, {"parts": {}}, {"parts": ["x"]}, {"parts": [{}] * 10_001},
    {"parts": [{"file": "x"}]}, {"parts": [{"mediaType": 1}]}, {"referenceTaskIds": ["x" * 1025]},
]  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_parts_of_the_wrong_type_are_refused(message: Any) -> None:
    assert code(rpc("SendMessage", {"message": message})) == "invalid_params"


def test_null_is_absent() -> None:
    nulls = dict.fromkeys(("taskId", "contextId", "referenceTaskIds", "extensions", "parts"))
    found = ok(rpc("SendMessage", {"message": {"messageId": "m"} | nulls, "configuration": None}))
    assert found.parts.arguments() == {"messageId": "m"}
    push = ok(rpc("SendMessage", {"message": {}, "configuration": {"taskPushNotificationConfig": None}})).parts.push
    assert push is None


def test_media_types_and_hosts_of_parts() -> None:
    parts: list[Any] = [
        {"text": "x"}, {"data": {}, "mediaType": "Application/X"}, {"data": 1}, {"raw": "AA"},
        {"url": "https://Files.example/a", "mediaType": "image/png"}, {"url": "mailto:x"}, {"url": "http://[bad"},
        {"kind": "file", "file": {"uri": "https://two.example/", "mimeType": "text/csv"}},
        {"file": {"fileWithUri": "https://three.example/"}}, {"url": ""},
    ]  # fmt: skip
    found = ok(rpc("SendMessage", {"message": {"parts": parts}})).parts
    assert found.media_types == (
        "text/plain", "application/x", "application/json", "application/octet-stream", "image/png", "text/csv"
    )  # fmt: skip
    assert found.url_hosts == ("files.example", "?", "two.example", "three.example")


@pytest.mark.parametrize(
    ("configuration", "is_blocking"),
    [
        ({}, True),
        ({"returnImmediately": True}, False),
        ({"blocking": False}, False),
        ({"returnImmediately": "x"}, True),
    ],
)
def test_whether_the_caller_waits(configuration: Any, is_blocking: bool) -> None:
    found = ok(rpc("SendMessage", {"message": {}, "configuration": configuration}))
    assert found.parts.is_blocking is is_blocking


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b"", "parse_error"), (b"{", "parse_error"), (b'{"a":1,"a":2}', "parse_error"), (b"NaN", "parse_error"),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"a","id":"b"}}', "parse_error"),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":' + b"[" * 70 + b"]" * 70 + b"}", "parse_error"),
        (b"[]", "bad_request"), (b"7", "bad_request"), (b"{}", "bad_request"),
        (b'{"jsonrpc":"1.0","id":1,"method":"GetTask"}', "bad_request"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"GetTask"}', "bad_request"),
        (b'{"jsonrpc":"2.0","id":true,"method":"GetTask"}', "bad_request"),
        (b'{"jsonrpc":"2.0","id":"' + b"x" * 300 + b'","method":"GetTask"}', "bad_request"),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', "bad_request"),
        (b'{"jsonrpc":"2.0","id":1,"method":""}', "bad_request"),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","result":1}', "bad_request"),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":[]}', "invalid_params"),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask"}', "invalid_params"),
        (b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{}}', "invalid_params"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}', "method_not_found"),
        (b'{"jsonrpc":"2.0","id":1,"method":"message/send"}', "version_not_supported"),
    ],
)  # fmt: skip
def test_a_json_rpc_message_is_read_strictly(body: bytes, refused: str) -> None:
    assert code(read(HttpIn("POST", "", "", V1, body))) == refused


def test_the_id_is_kept_raw_and_echoed_even_when_refused() -> None:
    body = b'{"jsonrpc":"2.0","id": 10000000000000000000000 ,"method":"GetTask","params":{"id":"t","x":1e400}}'
    assert code(read(HttpIn("POST", "/", "", V1, body))) == "parse_error"
    found = read(HttpIn("POST", "/", "", V1, body.replace(b"1e400", b"1")))
    assert ok(found).id_raw == b"10000000000000000000000"
    refused = rpc("nope", id="é")
    assert isinstance(refused, Unread)
    assert json.loads(refused.id_raw or b"") == "é"
    assert ok(rpc("GetTask", {"id": "t"}, id=None)).id_raw is None


def test_members_are_kept_byte_for_byte() -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t","new": [12345678901234567890, 1.0 , false]}}'
    found = ok(read(HttpIn("POST", "/", "", V1, body)))
    assert found.body == body
    assert bytes(found.params["new"]) == b"[12345678901234567890, 1.0 , false]"


@pytest.mark.requirement("a2a.version-negotiation")
@pytest.mark.parametrize("operation", list(LEGACY_METHODS))
def test_a_method_in_the_other_version_is_refused(operation: Operation) -> None:
    assert code(rpc(operation.value, {"id": "t"}, headers={})) == "version_not_supported"
    assert code(rpc(LEGACY_METHODS[operation], {"id": "t"}, headers=V1)) == "version_not_supported"


@pytest.mark.requirement("a2a.version-negotiation")
def test_a_path_in_the_other_version_is_refused() -> None:
    assert code(rest("GET", "/tasks/t", headers={})) == "version_not_supported"
    assert code(rest("GET", "/v1/tasks/t")) == "version_not_supported"
    assert code(rest("GET", "/tasks/t", headers={"a2a-version": "2.0"})) == "version_not_supported"


def test_json_rpc_is_posted() -> None:
    assert code(read(HttpIn("GET", "/", "", V1, b""))) == "method_not_allowed"


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "refused"),
    [
        ("GET", "/nope", b"", "", "not_found"),
        ("GET", "/tasks/t", b'{"id":"x"}', "", "bad_request"),
        ("POST", "/message:send", b"[]", "", "invalid_params"),
        ("POST", "/message:send", b"{", "", "parse_error"),
        ("POST", "/message:send", b"", "", "invalid_params"),
        ("POST", "/message:send", b"{}", "message=x", "bad_request"),
        ("GET", "/tasks", b"", "a=1&a=2", "bad_request"),
        ("GET", "/tasks", b"", "a=%FF", "bad_request"),
        ("GET", "/tasks", b"", "context_id=x&contextId=y", "invalid_params"),
        ("GET", "/tasks", b"", "CONTEXTID=x", "invalid_params"),
        ("GET", "/tasks", b"", "&".join(f"a{n}=1" for n in range(65)), "bad_request"),
        ("GET", "/tasks", b"", "A2A-Version=0.3", "bad_request"),
    ],
)
def test_an_http_json_request_is_read_strictly(method: str, path: str, body: bytes, query: str, refused: str) -> None:
    assert code(rest(method, path, body, query=query)) == refused


def test_a_query_is_kept_raw_without_the_version() -> None:
    found = ok(rest("GET", "/tasks", query="contextId=c%20d&A2A%2DVersion=1.0&status=X", headers={}))
    assert found.query == "contextId=c%20d&status=X"
    assert found.parts.context_id == "c d"
    assert found.parsed == {"contextId": "c d", "status": "X"}
    assert found.http_method == "GET"


def test_a_delete_or_cancel_may_have_an_empty_object_as_its_body() -> None:
    assert ok(rest("DELETE", "/tasks/t/pushNotificationConfigs/c", b" {} ")).params == {}
    assert ok(rest("POST", "/tasks/t:cancel", {"metadata": {"a": 1}})).parts.task_id == "t"


def test_a_push_configuration_to_delete_is_named() -> None:
    assert code(rpc("DeleteTaskPushNotificationConfig", {"taskId": "t"})) == "invalid_params"


def test_extensions_come_from_both_headers_once() -> None:
    headers = V1 | {"a2a-extensions": "urn:a, urn:b,,urn:a", "x-a2a-extensions": "urn:c"}
    assert ok(rpc("GetTask", {"id": "t"}, headers=headers)).extensions == ("urn:a", "urn:b", "urn:c")
    many = {"a2a-extensions": ",".join(f"urn:{n}" for n in range(65))}
    assert code(rpc("GetTask", {"id": "t"}, headers=V1 | many)) == "bad_request"
    assert code(rpc("GetTask", {"id": "t"}, headers=V1 | {"a2a-extensions": "x" * 1025})) == "bad_request"


def test_the_card_and_the_list_name_no_task() -> None:
    assert ok(rpc("GetExtendedAgentCard")).parts.arguments() == {}
    assert ok(rpc("ListTasks", {"contextId": "c", "tenant": "a"})).parts.arguments() == {
        "tenant": "a",
        "contextId": "c",
    }
    assert ok(rest("GET", "/v1/card", headers={})).operation is Operation.EXTENDED_CARD
