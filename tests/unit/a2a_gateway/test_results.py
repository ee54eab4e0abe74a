"""Answers in the caller's dialect: what the SDK would make of them, and no byte changed where none must be."""

import json
from typing import Any

import pytest
from a2a.compat.v0_3 import a2a_v0_3_pb2 as old_proto
from a2a.compat.v0_3 import proto_utils
from a2a.compat.v0_3 import types as old_types
from google.protobuf.json_format import MessageToDict, ParseDict

from a2a_gateway.operations import STREAMED, Dialect, Operation
from a2a_gateway.results import Passage, event, whole
from gateway_policies.refusal import UpstreamFailed

RPC, REST = Dialect("1.0", "JSONRPC"), Dialect("1.0", "HTTP+JSON")
OLD_RPC, OLD_REST = Dialect("0.3", "JSONRPC"), Dialect("0.3", "HTTP+JSON")
DIALECTS = [RPC, REST, OLD_RPC, OLD_REST]

MESSAGE: dict[str, Any] = {
    "messageId": "m", "role": "ROLE_AGENT", "contextId": "c",
    "parts": [{"text": "x"}, {"data": {"n": 1}}, {"url": "https://f", "mediaType": "a/b", "filename": "f"}],
}  # fmt: skip
TASK: dict[str, Any] = {
    "id": "t", "contextId": "c", "status": {"state": "TASK_STATE_CANCELED", "message": MESSAGE},
    "history": [MESSAGE], "artifacts": [{"artifactId": "a", "name": "n", "parts": [{"text": "y"}]}],
    "metadata": {"k": "v"},
}  # fmt: skip
UPDATE: dict[str, Any] = {"taskId": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}
ENDED: dict[str, Any] = UPDATE | {"status": {"state": "TASK_STATE_CANCELED"}}
ARTIFACT: dict[str, Any] = {"taskId": "t", "contextId": "c", "artifact": TASK["artifacts"][0], "append": True}
PUSH: dict[str, Any] = {
    "taskId": "t", "id": "p", "url": "https://h", "authentication": {"scheme": "Bearer", "credentials": "s"}
}  # fmt: skip

RESULTS: list[tuple[Operation, Any]] = [
    (Operation.SEND, {"task": TASK}),
    (Operation.SEND, {"message": MESSAGE}),
    (Operation.SEND, {"message": MESSAGE | {"parts": [{"raw": "AA=="}, {"raw": ""}]}}),
    (Operation.STREAM, {"task": TASK}),
    (Operation.STREAM, {"message": MESSAGE}),
    (Operation.STREAM, {"statusUpdate": UPDATE}),
    (Operation.SUBSCRIBE, {"statusUpdate": ENDED}),
    (Operation.SUBSCRIBE, {"artifactUpdate": ARTIFACT}),
    (Operation.GET_TASK, TASK),
    (Operation.CANCEL, TASK),
    (Operation.CREATE_PUSH, PUSH),
    (Operation.GET_PUSH, PUSH),
    (Operation.LIST_PUSH, {"configs": [PUSH]}),
]


def sent(operation: Operation, source: Dialect, result: Any) -> bytes:
    """Return what an agent of `source` answers, made by our own way there, which is tested for itself."""
    if source == REST:
        return json.dumps(result).encode()
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()
    if source == RPC:
        return body
    passage = Passage(operation, RPC, source, b"1")
    return event(passage, body)[0] if operation in STREAMED else whole(passage, 200, body).body


def received(passage: Passage, body: bytes) -> Any:
    if passage.operation in STREAMED:
        data, name = event(passage, body)
        assert name == "message"
    else:
        answer = whole(passage, 200, body)
        assert answer.http_status == 200
        data = answer.body
    value = json.loads(data)
    if passage.target.binding == "JSONRPC":
        assert (value["jsonrpc"], value["id"]) == ("2.0", "x")
        return value["result"]
    return value


@pytest.mark.requirement("a2a.translation")
@pytest.mark.parametrize("target", DIALECTS)
@pytest.mark.parametrize("source", DIALECTS)
@pytest.mark.parametrize(("operation", "result"), RESULTS)
def test_a_result_goes_through_any_dialect_and_back(
    operation: Operation, result: Any, source: Dialect, target: Dialect
) -> None:
    there = received(Passage(operation, source, target, b'"x"'), sent(operation, source, result))
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "result": there} if target.binding == "JSONRPC" else there).encode()
    assert received(Passage(operation, target, RPC, b'"x"'), body) == result


@pytest.mark.requirement("a2a.translation")
@pytest.mark.parametrize(("operation", "result"), [one for one in RESULTS if one[0] in STREAMED])
def test_0_3_s_http_json_is_what_the_sdk_makes(operation: Operation, result: Any) -> None:
    old = json.loads(sent(operation, OLD_RPC, result))["result"]
    typed = old_types.SendStreamingMessageSuccessResponse.model_validate({"id": 1, "result": old}).result
    theirs = MessageToDict(proto_utils.ToProto.stream_response(typed))
    ours = received(Passage(operation, RPC, OLD_REST), sent(operation, RPC, result))
    assert MessageToDict(ParseDict(ours, old_proto.StreamResponse())) == theirs


@pytest.mark.requirement("a2a.translation")
def test_webhooks_of_0_3_s_http_json_are_resources() -> None:
    ours = received(Passage(Operation.GET_PUSH, RPC, OLD_REST), sent(Operation.GET_PUSH, RPC, PUSH))
    parsed = ParseDict(ours, old_proto.TaskPushNotificationConfig())
    assert proto_utils.FromProto.task_push_notification_config(parsed).task_id == "t"
    nameless = received(Passage(Operation.GET_PUSH, OLD_REST, REST), b'{"pushNotificationConfig":{"url":"https://h"}}')
    assert nameless == {"url": "https://h"}


@pytest.mark.requirement("a2a.bytes-pass")
@pytest.mark.parametrize(("source", "target"), [(RPC, REST), (REST, RPC)])
def test_where_only_the_binding_differs_a_result_is_kept_byte_for_byte(source: Dialect, target: Dialect) -> None:
    result = b'{ "task":{"id":"t","generation":12345678901234567890,"status":{"state":"TASK_STATE_NEW"},"x": 1.00}}'
    body = b'{"jsonrpc":"2.0","id":1,"result":%b}' % result if source == RPC else result
    for got in (
        whole(Passage(Operation.SEND, source, target, b"7"), 200, body).body,
        event(Passage(Operation.STREAM, source, target, b"7"), body)[0],
    ):
        assert got == (b'{"jsonrpc":"2.0","id":7,"result":%b}' % result if target == RPC else result)


def test_nothing_is_said_of_a_deleted_webhook() -> None:
    null = b'{"jsonrpc":"2.0","id":1,"result":null}'
    for source, body in ((RPC, null), (REST, b"{}"), (REST, b""), (OLD_RPC, null), (OLD_REST, b"{}")):
        for target in DIALECTS:
            got = json.loads(whole(Passage(Operation.DELETE_PUSH, source, target, b"1"), 200, body).body)
            if target.binding == "HTTP+JSON":
                assert got == {}
            else:
                assert got["result"] in (None, {})


def test_a_card_and_a_list_of_tasks_pass() -> None:
    card = b'{"jsonrpc":"2.0","id":1,"result":{"name":"a"}}'
    assert json.loads(whole(Passage(Operation.EXTENDED_CARD, OLD_RPC, RPC, b"1"), 200, card).body)["result"] == {
        "name": "a"
    }
    assert whole(Passage(Operation.EXTENDED_CARD, RPC, OLD_REST), 200, card).content_type == "application/json"
    listed = whole(Passage(Operation.LIST_TASKS, RPC, REST), 200, b'{"jsonrpc":"2.0","id":1,"result":{"tasks":[]}}')
    assert (listed.body, listed.content_type) == (b'{"tasks":[]}', "application/a2a+json")
    assert json.loads(whole(Passage(Operation.EXTENDED_CARD, OLD_REST, RPC, b"1"), 200, b'{"name":"a"}').body)["result"]


def test_the_hybrids_of_real_agents_are_mended_on_the_way_to_another_version() -> None:
    fasta2a = {"task": {"kind": "task", "id": "t", "contextId": "c", "status": {"state": "submitted"}}}
    got = received(Passage(Operation.SEND, OLD_RPC, RPC, b'"x"'), envelope(fasta2a))
    assert got == {"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_SUBMITTED"}}}
    langgraph = {"taskId": "t", "contextId": "c", "kind": "status-update", "status": {"state": "TASK_STATE_WORKING"}}
    got = received(Passage(Operation.STREAM, RPC, OLD_RPC, b'"x"'), envelope(langgraph))
    assert got == langgraph | {"status": {"state": "working"}, "final": False}


def envelope(result: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


# --- errors ----------------------------------------------------------------------------------


INFO = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "TASK_NOT_FOUND", "domain": "a2a-protocol.org",
        "metadata": {"a": "b"}}  # fmt: skip
RPC_ERROR = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "gone", "data": [INFO]}}
REST_ERROR = {"error": {"code": 404, "status": "NOT_FOUND", "message": "gone", "details": [INFO]}}
OLD_REST_ERROR = {"type": "TaskNotFoundError", "message": "gone"}
OLD_RPC_ERROR = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32001, "message": "gone"}}


@pytest.mark.requirement("a2a.translation")
@pytest.mark.parametrize("target", DIALECTS)
@pytest.mark.parametrize(
    ("source", "status", "error"),
    [(RPC, 200, RPC_ERROR), (REST, 404, REST_ERROR), (OLD_RPC, 200, OLD_RPC_ERROR), (OLD_REST, 404, OLD_REST_ERROR)],
)
def test_an_error_means_the_same_in_every_dialect(source: Dialect, status: int, error: Any, target: Dialect) -> None:
    got = whole(Passage(Operation.GET_TASK, source, target, b'"x"'), status, json.dumps(error).encode())
    value = json.loads(got.body)
    if target.binding == "JSONRPC":
        assert got.http_status == 200
        assert (value["id"], value["error"]["code"], value["error"]["message"]) == ("x", -32001, "gone")
        if target == RPC:
            assert value["error"]["data"][0]["reason"] == "TASK_NOT_FOUND"
    else:
        assert got.http_status == 404
        assert (value["error"]["status"], value["error"]["message"]) == ("NOT_FOUND", "gone")
        assert value.get("type", "TaskNotFoundError") == "TaskNotFoundError"


@pytest.mark.parametrize(
    ("operation", "status", "body", "code"),
    [
        (Operation.GET_TASK, 404, b"not found", -32001),
        (Operation.GET_PUSH, 404, b"{}", -32001),
        (Operation.SEND, 404, b"[]", -32601),
        (Operation.SEND, 422, b'{"detail":"x"}', -32602),
        (Operation.SEND, 503, b"\xff", -32603),
        (Operation.SEND, 400, b'{"error":{"message":7,"details":[{"reason":"UNKNOWN"},7]}}', -32602),
        (Operation.SEND, 400, b'{"error":{"details":[7,{"reason":"CONTENT_TYPE_NOT_SUPPORTED"}]}}', -32005),
    ],
)
def test_an_error_without_a_name_is_read_by_its_status(
    operation: Operation, status: int, body: bytes, code: int
) -> None:
    got = json.loads(whole(Passage(operation, REST, RPC, b"1"), status, body).body)
    assert got["error"]["code"] == code
    assert got["error"]["message"] == "the agent answered with an error"


@pytest.mark.parametrize(
    ("error", "code", "details"),
    [
        ({"code": -32099, "message": "x", "data": {"own": 1}}, -32099, 2),
        ({"code": -32603, "message": "x", "data": "text"}, -32603, 1),
        ({"code": "y", "message": "x" * 9999}, -32603, 1),
        (7, -32603, 1),
    ],
)
def test_an_error_of_an_agent_s_own_is_kept(error: Any, code: int, details: int) -> None:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "error": error}).encode()
    got = json.loads(whole(Passage(Operation.SEND, OLD_RPC, RPC, b"1"), 200, body).body)["error"]
    assert (got["code"], len(got["data"])) == (code, details)
    assert len(got["message"]) <= 4096
    rest = whole(Passage(Operation.SEND, OLD_RPC, REST), 200, body)
    assert rest.http_status == 500


@pytest.mark.parametrize("target", DIALECTS)
def test_an_error_inside_a_stream(target: Dialect) -> None:
    for source, data in ((RPC, RPC_ERROR), (REST, REST_ERROR)):
        body, name = event(Passage(Operation.STREAM, source, target, b"1"), json.dumps(data).encode())
        assert name == ("error" if target.version == "1.0" else "message")
        assert json.loads(body)["error"]["message"] == "gone"


@pytest.mark.parametrize(
    ("source", "body"),
    [(RPC, b""), (RPC, b"[]"), (RPC, b"{}"), (RPC, b'{"jsonrpc":"2.0","id":1}'), (REST, b"[]"), (REST, b"{"),
     (OLD_RPC, b'{"jsonrpc":"2.0","result":"\xff"}'), (OLD_RPC, b'{"result":"\\ud800"}'), (RPC, b"[" * 10**6)],
)  # fmt: skip
def test_what_is_no_answer_is_the_agent_s_failure(source: Dialect, body: bytes) -> None:
    for ask in (
        lambda: whole(Passage(Operation.SEND, source, OLD_REST), 200, body),
        lambda: event(Passage(Operation.STREAM, source, OLD_REST), body),
    ):
        with pytest.raises(UpstreamFailed) as caught:
            ask()
        assert caught.value.code == "invalid_agent_response"
