"""Requests on their way: the caller's bytes where dialects agree, the same call where they do not."""

import json
from typing import Any

import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2 as old_proto
from a2a.compat.v0_3 import conversions, proto_utils
from a2a.compat.v0_3 import types as old_types
from a2a.types import a2a_pb2 as new_types
from google.protobuf.json_format import MessageToDict, ParseDict

from a2a_gateway import raw
from a2a_gateway.inbound import HttpIn, Inbound, read
from a2a_gateway.operations import LEGACY_METHODS, Dialect, Operation, RestRoute, method_of, request_line
from a2a_gateway.outbound import HttpOut, with_push, write
from gateway_policies.refusal import BadRequest

RPC, REST = Dialect("1.0", "JSONRPC"), Dialect("1.0", "HTTP+JSON")
OLD_RPC, OLD_REST = Dialect("0.3", "JSONRPC"), Dialect("0.3", "HTTP+JSON")
DIALECTS = [RPC, REST, OLD_RPC, OLD_REST]

NEW_PUSH: dict[str, Any] = {
    "id": "c", "url": "https://h/x", "token": "k", "authentication": {"scheme": "Bearer", "credentials": "s"}
}  # fmt: skip
OLD_PUSH: dict[str, Any] = NEW_PUSH | {"authentication": {"schemes": ["Bearer"], "credentials": "s"}}
IDS: dict[str, Any] = {"messageId": "m", "taskId": "a:b", "contextId": "c", "metadata": {"k": True}}
FILE = {"url": "https://f/x", "mediaType": "image/png", "filename": "x.png"}

# What each dialect sends for a message, but for JSON-RPC's envelope.
NEW_SENT: dict[str, Any] = {
    "message": IDS | {"role": "ROLE_USER", "parts": [{"text": "hi"}, FILE, {"data": {"n": 1}}]},
    "configuration": {"historyLength": 2, "returnImmediately": True, "taskPushNotificationConfig": NEW_PUSH},
    "metadata": {"m": "x"},
}
OLD_SENT: dict[str, Any] = {
    "message": IDS
    | {
        "kind": "message",
        "role": "user",
        "parts": [
            {"kind": "text", "text": "hi"},
            {"kind": "file", "file": {"uri": "https://f/x", "mimeType": "image/png", "name": "x.png"}},
            {"kind": "data", "data": {"n": 1}},
        ],
    },
    "configuration": {"historyLength": 2, "blocking": False, "pushNotificationConfig": OLD_PUSH},
    "metadata": {"m": "x"},
}
OLD_REST_SENT: dict[str, Any] = {
    "message": IDS
    | {
        "role": "ROLE_USER",
        "content": [
            {"text": "hi"},
            {"file": {"fileWithUri": "https://f/x", "mimeType": "image/png", "name": "x.png"}},
            {"data": {"data": {"n": 1}}},
        ],
    },
    "configuration": {"historyLength": 2, "blocking": False, "pushNotification": OLD_PUSH},
    "metadata": {"m": "x"},
}
NEW_PARAMS: dict[Operation, dict[str, Any]] = {
    Operation.SEND: NEW_SENT,
    Operation.STREAM: NEW_SENT,
    Operation.GET_TASK: {"id": "t:1", "historyLength": 3},
    Operation.LIST_TASKS: {"contextId": "c d", "pageSize": 5, "includeArtifacts": True, "status": "TASK_STATE_WORKING"},
    Operation.CANCEL: {"id": "t:1", "metadata": {"k": 1}},
    Operation.SUBSCRIBE: {"id": "t:1"},
    Operation.CREATE_PUSH: {"taskId": "t:1"} | NEW_PUSH,
    Operation.GET_PUSH: {"taskId": "t:1", "id": "c"},
    Operation.LIST_PUSH: {"taskId": "t:1"},
    Operation.DELETE_PUSH: {"taskId": "t:1", "id": "c"},
    Operation.EXTENDED_CARD: {},
}
OLD_PARAMS: dict[Operation, dict[str, Any]] = NEW_PARAMS | {
    Operation.SEND: OLD_SENT,
    Operation.STREAM: OLD_SENT,
    Operation.CREATE_PUSH: {"taskId": "t:1", "pushNotificationConfig": OLD_PUSH},
    Operation.GET_PUSH: {"id": "t:1", "pushNotificationConfigId": "c"},
    Operation.LIST_PUSH: {"id": "t:1"},
    Operation.DELETE_PUSH: {"id": "t:1", "pushNotificationConfigId": "c"},
}


def called(operation: Operation, dialect: Dialect, **changes: Any) -> Inbound:
    """Return the request of a caller that speaks `dialect`."""
    is_new = dialect.version == "1.0"
    params = (NEW_PARAMS if is_new else OLD_PARAMS)[operation] | changes
    headers = {"a2a-version": dialect.version, "a2a-extensions": "urn:x"}
    if dialect.binding == "JSONRPC":
        message = {"jsonrpc": "2.0", "id": 7, "method": method_of(operation, dialect.version), "params": params}
        return understood(HttpIn("POST", "/", "", headers, json.dumps(message).encode()))
    task, config = params.get("taskId", params.get("id", "")), "c" if "PUSH" in operation.name else ""
    route = RestRoute(operation, dialect.version, "", task if "id" in params or "taskId" in params else "",
                      config if operation in (Operation.GET_PUSH, Operation.DELETE_PUSH) else "")  # fmt: skip
    if not is_new and operation in (Operation.GET_PUSH, Operation.LIST_PUSH, Operation.DELETE_PUSH):
        route = RestRoute(operation, "0.3", "", "t:1", route.config_id)
    method, path = request_line(route)
    if method != "POST":
        named = {"id", "taskId", "pushNotificationConfigId"}
        query = "&".join(
            f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in params.items() if k not in named
        )
        return understood(HttpIn(method, path, query.replace(" ", "%20"), headers, b""))
    body = {k: v for k, v in params.items() if k not in ("taskId",)}
    if operation in (Operation.CANCEL, Operation.SUBSCRIBE):
        body.pop("id")
    if not is_new and operation in (Operation.SEND, Operation.STREAM):
        body = OLD_REST_SENT
    if not is_new and operation is Operation.CREATE_PUSH:
        config_body = {k: v for k, v in OLD_PUSH.items() if k != "id"}
        body = {"parent": "tasks/t:1", "configId": "c", "config": {"pushNotificationConfig": config_body}}
    return understood(HttpIn(method, path, "", headers, json.dumps(body).encode()))


def understood(request: HttpIn) -> Inbound:
    found = read(request)
    assert isinstance(found, Inbound), found
    return found


def arrived(out: HttpOut) -> Inbound:
    """Return what an agent that reads like we do makes of a request."""
    return understood(HttpIn(out.method, out.path or "/", out.query, dict(out.headers), out.body))


def supported(operation: Operation, dialect: Dialect) -> bool:
    return dialect.version == "1.0" or operation in LEGACY_METHODS


@pytest.mark.requirement("a2a.bytes-pass")
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("operation", Operation)
def test_in_the_caller_s_own_dialect_its_bytes_go_on(operation: Operation, dialect: Dialect) -> None:
    if not supported(operation, dialect):
        return
    inbound = called(operation, dialect)
    out = write(inbound, dialect)
    assert (out.method, out.body, out.query) == (inbound.http_method, inbound.body, inbound.query)
    assert arrived(out) == inbound or dialect.version == "0.3"  # the header of 0.3 has another name
    headers = dict(out.headers)
    assert headers["a2a-version"] == dialect.version
    assert headers["a2a-extensions" if dialect.version == "1.0" else "x-a2a-extensions"] == "urn:x"
    assert ("content-type" in headers) == bool(out.body)
    assert ("text/event-stream" in headers["accept"]) == (operation in (Operation.STREAM, Operation.SUBSCRIBE))


@pytest.mark.requirement("a2a.translation")
@pytest.mark.parametrize("target", DIALECTS)
@pytest.mark.parametrize("source", DIALECTS)
@pytest.mark.parametrize("operation", Operation)
def test_in_another_dialect_the_same_call_arrives(operation: Operation, source: Dialect, target: Dialect) -> None:
    if not supported(operation, source):
        return
    inbound = called(operation, source)
    if not supported(operation, target):
        with pytest.raises(BadRequest) as caught:
            write(inbound, target)
        assert caught.value.code == "unsupported_operation"
        return
    there = arrived(write(inbound, target))
    assert (there.operation, there.dialect) == (operation, target)
    assert there.parts.arguments() == inbound.parts.arguments()
    assert there.parts.is_blocking == inbound.parts.is_blocking
    if inbound.parts.push and there.parts.push:
        ours, theirs = there.parts.push, inbound.parts.push
        assert (ours.url, ours.token, ours.scheme, ours.credentials) == (
            theirs.url, theirs.token, theirs.scheme, theirs.credentials
        )  # fmt: skip
        assert there.parts.config_id == inbound.parts.config_id


@pytest.mark.requirement("a2a.translation")
def test_a_message_into_1_0_is_what_the_sdk_makes_of_it() -> None:
    old = old_types.SendMessageRequest(id=1, params=old_types.MessageSendParams.model_validate(OLD_SENT))
    theirs = conversions.to_core_send_message_request(old)
    for source in (OLD_RPC, OLD_REST):
        sent = json.loads(write(called(Operation.SEND, source), RPC).body)["params"]
        assert ParseDict(sent, new_types.SendMessageRequest()) == theirs


@pytest.mark.requirement("a2a.translation")
def test_a_message_into_0_3_is_what_the_sdk_makes_of_it() -> None:
    core = ParseDict(NEW_SENT, new_types.SendMessageRequest())
    theirs = conversions.to_compat_send_message_request(core, 7).params
    sent = json.loads(write(called(Operation.SEND, RPC), OLD_RPC).body)["params"]
    assert old_types.MessageSendParams.model_validate(sent) == theirs
    body = json.loads(write(called(Operation.SEND, REST), OLD_REST).body)
    parsed = ParseDict(body, old_proto.SendMessageRequest(), ignore_unknown_fields=False)
    assert told(proto_utils.FromProto.message_send_params(parsed)) == told(theirs)


def told(model: old_types.MessageSendParams) -> Any:
    """Return what a model says, without the lists that protobuf cannot tell from absent ones."""
    dumped = model.model_dump(exclude_none=True)
    for holder in (dumped["message"], dumped["configuration"]):
        for name in ("extensions", "accepted_output_modes", "acceptedOutputModes"):
            assert not holder.pop(name, [])
    return dumped


@pytest.mark.requirement("a2a.translation")
def test_0_3_s_http_json_in_the_shapes_of_its_json_rpc_is_read_too() -> None:
    body = json.dumps(OLD_SENT).encode()
    inbound = understood(HttpIn("POST", "/v1/message:send", "", {}, body))
    for target in (RPC, OLD_RPC):
        theirs = json.loads(write(called(Operation.SEND, OLD_RPC), target).body)
        assert json.loads(write(inbound, target).body)["params"] == theirs["params"]
    bare = understood(HttpIn("POST", "/message:send", "", {"a2a-version": "1.0"}, b'{"message":{},"configuration":{}}'))
    assert json.loads(write(bare, OLD_REST).body) == {"message": {}, "configuration": {"blocking": True}}


@pytest.mark.requirement("a2a.translation")
def test_a_webhook_over_0_3_s_http_json_is_what_the_sdk_reads() -> None:
    body = json.loads(write(called(Operation.CREATE_PUSH, RPC), OLD_REST).body)
    parsed = ParseDict(body, old_proto.CreateTaskPushNotificationConfigRequest())
    theirs = proto_utils.FromProto.task_push_notification_config_request(parsed)
    assert theirs.task_id == "t:1"
    assert theirs.push_notification_config.model_dump(by_alias=True, exclude_none=True) == OLD_PUSH
    assert MessageToDict(parsed)["configId"] == "c"


def test_a_history_of_0_means_no_limit_in_0_3() -> None:
    got = json.loads(write(called(Operation.GET_TASK, OLD_RPC, historyLength=0), RPC).body)
    assert got["params"] == {"id": "t:1"}
    sent = called(Operation.SEND, OLD_RPC, configuration={"historyLength": 0, "acceptedOutputModes": ["text/plain"]})
    assert json.loads(write(sent, RPC).body)["params"]["configuration"] == {"acceptedOutputModes": ["text/plain"]}
    kept = json.loads(write(called(Operation.GET_TASK, RPC, historyLength=0), OLD_RPC).body)
    assert kept["params"]["historyLength"] == 0
    bare = json.loads(write(called(Operation.SEND, RPC, configuration={}), OLD_RPC).body)
    assert bare["params"]["configuration"] == {"blocking": True}


def test_numbers_and_flags_of_a_query_are_typed() -> None:
    out = json.loads(write(called(Operation.LIST_TASKS, REST), RPC).body)["params"]
    assert out == {"contextId": "c d", "pageSize": 5, "includeArtifacts": True, "status": "TASK_STATE_WORKING"}
    odd = understood(HttpIn("GET", "/tasks", "pageSize=x&includeArtifacts=maybe", {"a2a-version": "1.0"}, b""))
    assert json.loads(write(odd, RPC).body)["params"] == {"pageSize": "x", "includeArtifacts": "maybe"}
    back = write(called(Operation.LIST_TASKS, RPC, filter={"no": "object"}), REST)
    assert back.query == "contextId=c+d&pageSize=5&includeArtifacts=true&status=TASK_STATE_WORKING"


@pytest.mark.parametrize("source", [RPC, REST])
def test_the_agent_s_tenant_is_named_where_the_caller_names_none(source: Dialect) -> None:
    inbound = called(Operation.GET_TASK, source)
    for target in (RPC, REST):
        assert arrived(write(inbound, target, tenant="blue")).parts.tenant == "blue"
    for target in (OLD_RPC, OLD_REST):
        assert arrived(write(inbound, target, tenant="blue")).parts.tenant == ""
    own = understood(HttpIn("GET", "/red/tasks/t", "", {"a2a-version": "1.0"}, b""))
    for target in (RPC, REST):
        assert arrived(write(own, target, tenant="blue")).parts.tenant == "red"
    assert "tenant" not in json.loads(write(own, OLD_RPC).body)["params"]


def test_an_id_that_a_path_cannot_carry_is_refused() -> None:
    with pytest.raises(BadRequest):
        write(called(Operation.GET_TASK, RPC, id="victim:subscribe"), REST)


def test_a_request_without_an_id_gets_one_and_an_empty_body_stays_empty() -> None:
    assert json.loads(write(called(Operation.GET_TASK, REST), RPC).body)["id"] == "1"
    assert json.loads(write(called(Operation.GET_TASK, OLD_RPC), RPC).body)["id"] == 7
    assert write(called(Operation.SUBSCRIBE, RPC), REST).body == b""
    assert write(called(Operation.CANCEL, REST), REST, params={}).body == b""


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("operation", [Operation.SEND, Operation.CREATE_PUSH])
def test_a_webhook_is_replaced_and_everything_else_is_kept(operation: Operation, dialect: Dialect) -> None:
    inbound = called(operation, dialect)
    push = inbound.parts.push
    assert push is not None
    ours = {"url": "https://gw/push/x", "id": "c"}
    for target in (dialect, RPC, OLD_RPC):
        out = write(inbound, target, params=with_push(inbound.params, push, ours))
        assert b"https://h/x" not in out.body
        found = arrived(out).parts.push
        assert found is not None
        assert (found.url, found.token, found.credentials) == ("https://gw/push/x", "", "")
    if operation is Operation.SEND:
        without = arrived(write(inbound, dialect, params=with_push(inbound.params, push, None)))
        assert without.parts.push is None
        assert bytes(without.params["metadata"]) == b'{"m": "x"}'


def test_an_edit_keeps_unknown_members_byte_for_byte() -> None:
    body = (
        b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"new": [1.00, 12345678901234567890],'
        b'"message":{"messageId":"m","parts":[]},"configuration":{"new":1e2,"taskPushNotificationConfig":{"url":"http://in"}}}}'
    )
    inbound = understood(HttpIn("POST", "", "", {"a2a-version": "1.0"}, body))
    push = inbound.parts.push
    assert push is not None
    out = write(inbound, RPC, params=with_push(inbound.params, push, {"url": "https://gw"}), tenant="blue")
    assert out.body == (
        b'{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":{"new":[1.00, 12345678901234567890],'
        b'"message":{"messageId":"m","parts":[]},"configuration":{"new":1e2,'
        b'"taskPushNotificationConfig":{"url":"https://gw"}},"tenant":"blue"}}'
    )
    assert raw.parse(out.body)
