"""Errors: one refusal in four dialects, held to the SDK's own tables."""

import json

import pytest
from a2a.utils.errors import A2A_ERROR_MAPPING, JSON_RPC_ERROR_CODE_MAP

from a2a_gateway.errors import FORMS, answer, event, form
from a2a_gateway.operations import Dialect
from gateway_policies.refusal import (
    BadRequest,
    Forbidden,
    NotFound,
    OverBudget,
    OverRate,
    Refusal,
    Unauthenticated,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)

RPC, REST = Dialect("1.0", "JSONRPC"), Dialect("1.0", "HTTP+JSON")
OLD_RPC, OLD_REST = Dialect("0.3", "JSONRPC"), Dialect("0.3", "HTTP+JSON")


def test_the_table_says_what_the_sdk_says() -> None:
    theirs = {
        mapping.reason: (JSON_RPC_ERROR_CODE_MAP[kind], mapping.http_code, mapping.grpc_status)
        for kind, mapping in A2A_ERROR_MAPPING.items()
    }
    ours = {f.reason: (f.jsonrpc_code, f.http_status, f.grpc_status) for f in FORMS.values() if f.is_protocol}
    assert {reason: ours[reason] for reason in theirs} == theirs


def test_codes_of_the_protocol_are_never_ours() -> None:
    assert {f.jsonrpc_code for f in FORMS.values() if not f.is_protocol} == {-32000}


@pytest.mark.parametrize(
    ("refusal", "status", "reason"),
    [
        (Forbidden("no"), 403, "FORBIDDEN"),
        (Unauthenticated("no"), 401, "UNAUTHENTICATED"),
        (NotFound("no"), 404, "NOT_FOUND"),
        (OverRate("no"), 429, "OVER_RATE"),
        (OverBudget("no"), 429, "OVER_BUDGET"),
        (UpstreamFailed("no"), 502, "UPSTREAM_FAILED"),
        (UpstreamUnreachable("no"), 502, "UPSTREAM_UNREACHABLE"),
        (UpstreamTimeout("no"), 504, "UPSTREAM_TIMEOUT"),
        (Forbidden("no", code="delegation_loop"), 403, "DELEGATION_LOOP"),
    ],
)
def test_a_denial_has_its_own_status_in_both_bindings(refusal: Refusal, status: int, reason: str) -> None:
    for dialect in (RPC, REST, OLD_RPC, OLD_REST):
        assert answer(refusal, dialect, b"1").http_status == status
    assert form(refusal).reason == reason


def test_what_no_table_knows_is_internal() -> None:
    assert form(Refusal("no")).reason == "INTERNAL_ERROR"


def test_a_foreign_task_in_json_rpc() -> None:
    refusal = NotFound("no such task", code="task_not_found", hint="see your tasks", details={"n": 1, "s": "x"})
    got = answer(refusal, RPC, b'"a"', "c1")
    assert (got.http_status, got.content_type) == (200, "application/json")
    assert json.loads(got.body) == {
        "jsonrpc": "2.0",
        "id": "a",
        "error": {
            "code": -32001,
            "message": "no such task",
            "data": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "TASK_NOT_FOUND",
                    "domain": "a2a-protocol.org",
                    "metadata": {
                        "code": "task_not_found",
                        "move": "caller",
                        "hint": "see your tasks",
                        "n": "1",
                        "s": "x",
                        "call": "c1",
                    },
                }
            ],
        },
    }


def test_the_same_in_http_json() -> None:
    refusal = NotFound("no such task", code="task_not_found")
    got = answer(refusal, REST, None)
    body = json.loads(got.body)
    assert got.http_status == 404
    assert (body["error"]["code"], body["error"]["status"]) == (404, "NOT_FOUND")
    assert body["error"]["details"][0]["reason"] == "TASK_NOT_FOUND"
    old = json.loads(answer(refusal, OLD_REST, None).body)
    assert (old["type"], old["message"]) == ("TaskNotFoundError", "no such task")


def test_an_unreadable_id_is_null_and_a_wait_is_said() -> None:
    got = json.loads(answer(OverRate("slow down", retry_after_s=1.23456), OLD_RPC, None).body)
    assert got["id"] is None
    assert got["error"]["code"] == -32000
    assert got["error"]["data"][0]["metadata"]["retryAfterSeconds"] == "1.235"
    assert got["error"]["data"][0]["domain"] == "agent-gateway"


def test_inside_a_stream_1_0_names_the_event_and_0_3_does_not() -> None:
    refusal = BadRequest("x", code="invalid_params")
    assert event(refusal, RPC, b"7").startswith(b'event: error\ndata: {"jsonrpc":"2.0","id":7,"error":{"code":-32602')
    assert event(refusal, OLD_RPC, b"7").startswith(b'data: {"jsonrpc":"2.0","id":7,"error"')
    assert event(refusal, REST, None).startswith(b'event: error\ndata: {"error":{"code":400')
    assert event(refusal, OLD_REST, None, "c").endswith(b"\n\n")
