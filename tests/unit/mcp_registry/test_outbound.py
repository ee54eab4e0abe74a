"""Outbound: each era gets its own words, and its answers are read for what they are."""

import json
from typing import Any

import pytest
from mcp.shared.inbound import InboundModernRoute, classify_inbound_request, validate_mcp_param_headers
from msgspec import Raw

from mcp_registry.protocol import outbound
from mcp_registry.protocol.headers import header_params
from mcp_registry.protocol.outbound import Outgoing, Probe, Speaker, read_probe
from mcp_registry.protocol.versions import META_CLIENT_CAPABILITIES, META_CLIENT_INFO, META_LOG_LEVEL, META_VERSION

SPEAKER = Speaker(info=Raw(b'{"name":"agent-gateway","version":"1"}'), capabilities=Raw(b'{"elicitation":{}}'))
SCHEMA = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
TRACE = {"traceparent": "00-1-2-01", "baggage": "a=1", "other": "no"}


def read(body: bytes) -> dict[str, Any]:
    return json.loads(body)


def as_dict(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    assert len({name for name, _ in headers}) == len(headers)
    return {name.decode(): value.decode() for name, value in headers}


def call(**changes: Any) -> Outgoing:
    params = {
        "name": Raw(b'"caf\xc3\xa9"'),
        "arguments": Raw(b'{"region": "eu", "n": 1.0}'),
        "_meta": Raw(b'{"progressToken":"theirs","io.modelcontextprotocol/protocolVersion":"x","own":null}'),
    }
    values: dict[str, Any] = {
        "id": b"7", "method": "tools/call", "params": params, "name": "café", "header_params": header_params(SCHEMA),
        "arguments": {"region": "eu"}, "progress_token": b'"ours"', "log_level": b'"info"', "trace": TRACE,
    }  # fmt: skip
    return Outgoing(**{**values, **changes})


def test_a_modern_call_passes_the_sdks_own_ladder() -> None:
    body, headers = read(outbound.modern_body(call(), SPEAKER)), as_dict(outbound.modern_headers(call(), SPEAKER))
    route = classify_inbound_request(body, headers=headers)
    assert route == InboundModernRoute("2026-07-28", {"name": "agent-gateway", "version": "1"}, {"elicitation": {}})
    assert validate_mcp_param_headers(SCHEMA, body["params"]["arguments"], headers) is None


def test_a_modern_call_carries_our_keys_and_the_callers_own() -> None:
    body = outbound.modern_body(call(), SPEAKER)
    assert b'"arguments":{"region": "eu", "n": 1.0}' in body
    assert read(body)["params"]["_meta"] == {
        "own": None,
        "progressToken": "ours",
        META_VERSION: "2026-07-28",
        META_CLIENT_CAPABILITIES: {"elicitation": {}},
        META_CLIENT_INFO: {"name": "agent-gateway", "version": "1"},
        META_LOG_LEVEL: "info",
        "traceparent": "00-1-2-01",
        "baggage": "a=1",
    }
    assert as_dict(outbound.modern_headers(call(), SPEAKER)) == {
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "=?base64?Y2Fmw6k=?=",
        "mcp-param-region": "eu",
        "traceparent": "00-1-2-01",
        "baggage": "a=1",
    }


def test_a_call_that_wants_nothing_more_carries_nothing_more() -> None:
    bare = Outgoing(b"1", "tools/list")
    assert set(read(outbound.modern_body(bare, SPEAKER))["params"]["_meta"]) == {
        META_VERSION, META_CLIENT_CAPABILITIES, META_CLIENT_INFO,
    }  # fmt: skip
    assert {"mcp-name", "mcp-param-region"}.isdisjoint(as_dict(outbound.modern_headers(bare, SPEAKER)))
    assert outbound.legacy_body(bare) == b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'


def test_a_legacy_call_carries_no_protocol_keys() -> None:
    body = outbound.legacy_body(call())
    assert read(body)["params"]["_meta"] == {"own": None, "progressToken": "ours"}
    assert b'"arguments":{"region": "eu", "n": 1.0}' in body
    emptied = call(progress_token=None, params={"_meta": Raw(b'{"progressToken":1}')})
    assert b"params" not in outbound.legacy_body(emptied)


@pytest.mark.parametrize(
    ("version", "session", "expected"),
    [
        ("2025-11-25", "s1", {"mcp-protocol-version": "2025-11-25", "mcp-session-id": "s1"}),
        ("2025-06-18", "", {"mcp-protocol-version": "2025-06-18"}),
        ("2025-03-26", "s1", {"mcp-session-id": "s1"}),
        ("", "", {}),
    ],
)
def test_legacy_headers_are_those_the_version_knows(version: str, session: str, expected: dict[str, str]) -> None:
    headers = as_dict(outbound.legacy_headers(version, session))
    assert headers.pop("accept") == "application/json, text/event-stream"
    assert headers.pop("content-type") == "application/json"
    assert headers == expected


def test_a_trace_that_would_break_a_header_is_not_sent() -> None:
    assert outbound.trace_headers({"traceparent": "a\r\nx: y", "tracestate": "é", "baggage": "k=v"}) == [
        (b"baggage", b"k=v")
    ]
    assert (b"baggage", b"k=v") in outbound.legacy_headers("", "", {"baggage": "k=v"})


def test_the_probe_passes_the_sdks_own_ladder() -> None:
    headers, body = outbound.discover(b"0", SPEAKER)
    assert isinstance(classify_inbound_request(read(body), headers=as_dict(headers)), InboundModernRoute)
    assert read(body)["method"] == "server/discover"


def test_the_handshake_offers_the_newest_legacy_version() -> None:
    assert read(outbound.initialize(b"0", SPEAKER)) == {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"elicitation": {}},
            "clientInfo": {"name": "agent-gateway", "version": "1"},
        },
    }
    assert read(outbound.INITIALIZED) == {"jsonrpc": "2.0", "method": "notifications/initialized"}


def answer(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 0, **members}).encode()


def failure(code: int, data: object = None) -> bytes:
    return answer(error={"code": code, "message": "no", "data": data})


@pytest.mark.parametrize(
    ("status", "body", "verdict", "version"),
    [
        (200, answer(result={"supportedVersions": ["2025-11-25", "2026-07-28"]}), "modern", "2026-07-28"),
        (200, answer(result={"supportedVersions": ["2025-11-25"]}), "legacy", ""),
        (200, answer(result={"supportedVersions": ["2099-01-01"]}), "unclear", ""),
        (200, answer(result={"supportedVersions": "2026-07-28"}), "legacy", ""),
        (200, answer(result={}), "legacy", ""),
        (200, answer(result=[]), "legacy", ""),
        (200, b"<html>", "legacy", ""),
        (200, failure(-32601), "legacy", ""),
        (202, b"", "legacy", ""),
        (400, failure(-32020), "modern", "2026-07-28"),
        (400, failure(-32021, {"requiredCapabilities": {}}), "modern", "2026-07-28"),
        (400, failure(-32022, {"supported": ["2026-07-28"], "requested": "x"}), "modern", "2026-07-28"),
        (400, failure(-32022, {"supported": ["2025-11-25"], "requested": "x"}), "legacy", ""),
        (400, failure(-32022, {"supported": ["2027-01-01"], "requested": "x"}), "unclear", ""),
        (400, failure(-32022), "unclear", ""),
        # measured: TypeScript SDK 1.30; Python SDK 1.30 with and without sessions; an HTTP+SSE server
        (400, failure(-32000), "legacy", ""),
        (400, answer(id=None, error={"code": -32000, "message": "Server not initialized"}), "legacy", ""),
        (400, answer(id="server-error", error={"code": -32600, "message": "Missing session ID"}), "legacy", ""),
        (400, answer(error={"code": -32600, "message": "Unsupported protocol version"}), "legacy", ""),
        (404, b"<html>not found</html>", "legacy", ""),
        (405, b"", "legacy", ""),
        (400, answer(error="text"), "legacy", ""),
        (401, b"", "unclear", ""),
        (403, failure(-32600), "unclear", ""),
        (429, b"", "unclear", ""),
        (500, b"", "unclear", ""),
        (503, failure(-32603), "unclear", ""),
    ],
)  # fmt: skip
def test_the_answer_to_the_probe_tells_the_era(status: int, body: bytes, verdict: str, version: str) -> None:
    probe = read_probe("server/discover", status, body)
    assert (probe.verdict, probe.version) == (verdict, version)
    assert (probe.result is not None) == (verdict == "modern" and status == 200)


@pytest.mark.parametrize(
    ("status", "body", "verdict", "version"),
    [
        (200, answer(result={"protocolVersion": "2025-03-26"}), "legacy", "2025-03-26"),
        (200, answer(result={"protocolVersion": "1999-01-01"}), "unclear", ""),
        (200, answer(result={"protocolVersion": 7}), "unclear", ""),
        (200, failure(-32602), "unclear", ""),
        (200, b"<html>", "unclear", ""),
        (400, failure(-32022, {"supported": ["2026-07-28"], "requested": "x"}), "modern", "2026-07-28"),
        (400, b"", "old_sse", ""),
        (404, b"<html>", "old_sse", ""),
        (405, b"Method Not Allowed", "old_sse", ""),
        (404, failure(-32600), "unclear", ""),
        (401, b"", "unclear", ""),
        (502, b"", "unclear", ""),
    ],
)
def test_the_answer_to_the_handshake_tells_the_rest(status: int, body: bytes, verdict: str, version: str) -> None:
    probe = read_probe("initialize", status, body)
    assert (probe.verdict, probe.version) == (verdict, version)


def test_a_probe_keeps_the_result_as_it_came() -> None:
    body = b'{"jsonrpc":"2.0","id":0,"result":{"supportedVersions":["2026-07-28"], "x": 1.0}}'
    probe = read_probe("server/discover", 200, body)
    assert probe.result is not None
    assert bytes(probe.result) == b'{"supportedVersions":["2026-07-28"], "x": 1.0}'
    assert read_probe("server/discover", 500, body) == Probe("unclear")
