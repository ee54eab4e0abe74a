"""Inbound: the era of a POST, and headers that must say what the body says."""

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared import inbound as sdk
from msgspec import Raw

from mcp_registry.protocol.envelope import Notification, Request, read_message
from mcp_registry.protocol.errors import INVALID_REQUEST, ProtocolError
from mcp_registry.protocol.headers import header_params
from mcp_registry.protocol.inbound import LegacyRoute, ModernRoute, Route, check_params, declares, route

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
INFO = "io.modelcontextprotocol/clientInfo"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"

META: dict[str, object] = {VERSION: "2026-07-28", CAPABILITIES: {"elicitation": {"url": {}}}}
HEADERS = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "a__b"}


def message(method: str, params: dict[str, object] | None = None) -> Request | Notification:
    body: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": method}
    if params is not None:
        body["params"] = params
    read = read_message(json.dumps(body).encode())
    assert isinstance(read, Request)
    return read


def call(meta: dict[str, object] | None = None, **params: object) -> Request | Notification:
    return message("tools/call", {"name": "a__b", "_meta": META if meta is None else meta, **params})


def refusal(headers: dict[str, str], sent: Request | Notification, *, has_session: bool = False) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        route(headers, sent, has_session=has_session)
    return caught.value


# --- which era -----------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"mcp-protocol-version": "2025-06-18"}, {"mcp-session-id": "old"}])
def test_initialize_opens_a_session_whatever_else_is_said(headers: dict[str, str]) -> None:
    version = headers.get("mcp-protocol-version", "2025-03-26")
    assert route(headers, message("initialize", {}), has_session=False) == LegacyRoute(version, None)


def test_initialize_negotiates_in_its_body_and_not_in_its_header() -> None:
    got = route({"mcp-protocol-version": "2099-01-01"}, message("initialize", {}), has_session=False)
    assert isinstance(got, LegacyRoute)


def test_a_handshake_with_the_keys_of_a_later_version_is_a_request_of_that_version() -> None:
    headers = {**HEADERS, "mcp-method": "initialize"}
    assert isinstance(route(headers, message("initialize", {"_meta": META}), has_session=False), ModernRoute)


def test_a_live_session_is_legacy_and_an_absent_version_is_the_oldest_without_header() -> None:
    headers = {"mcp-session-id": "s"}
    assert route(headers, message("tools/list"), has_session=True) == LegacyRoute("2025-03-26", "s")
    headers["mcp-protocol-version"] = "2025-11-25"
    assert route(headers, message("tools/list"), has_session=True) == LegacyRoute("2025-11-25", "s")


@pytest.mark.parametrize("version", ["2026-07-28", "1", ""])
def test_a_session_speaks_no_version_but_legacy_ones(version: str) -> None:
    headers = {"mcp-session-id": "s", "mcp-protocol-version": version}
    error = refusal(headers, message("tools/list"), has_session=True)
    assert (error.rpc_code, error.http_status) == (INVALID_REQUEST, 400)


def test_a_session_that_is_over_is_not_found() -> None:
    error = refusal({"mcp-session-id": "gone", "mcp-protocol-version": "2025-11-25"}, message("tools/list"))
    assert (error.rpc_code, error.http_status, error.hint) == (INVALID_REQUEST, 404, "initialize again")


@pytest.mark.parametrize("headers", [{}, {"mcp-protocol-version": "2025-11-25"}])
def test_no_session_and_nothing_modern_is_refused(headers: dict[str, str]) -> None:
    error = refusal(headers, message("tools/list"))
    assert (error.rpc_code, error.http_status) == (INVALID_REQUEST, 400)


def test_a_session_id_that_we_never_minted_does_not_make_a_modern_request_legacy() -> None:
    got = route({**HEADERS, "mcp-session-id": "made up"}, call(), has_session=False)
    assert isinstance(got, ModernRoute)


def test_a_modern_request_keeps_what_it_declares() -> None:
    got = route(HEADERS, call({**META, INFO: {"name": "x"}, LOG_LEVEL: "info"}), has_session=False)
    assert isinstance(got, ModernRoute)
    assert (got.version, got.log_level, got.era) == ("2026-07-28", "info", "modern")
    assert bytes(cast("Raw", got.client_info)) == b'{"name": "x"}'
    assert declares(got.client_capabilities, "elicitation", "url")
    assert not declares(got.client_capabilities, "elicitation", "form")
    assert not declares(got.client_capabilities, "sampling", "tools")
    assert not declares(Raw(b'{"a":true}'), "a", "b")


# --- the ladder ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "sent", "code"),
    [
        ({"mcp-protocol-version": "2099-01-01"}, message("tools/list"), -32602),
        (HEADERS, call({}), -32602),
        (HEADERS, call({VERSION: "2026-07-28"}), -32602),
        (HEADERS, call({CAPABILITIES: {}}), -32602),
        (HEADERS, call({**META, CAPABILITIES: None}), -32602),
        (HEADERS, call({**META, LOG_LEVEL: "loud"}), -32602),
        (HEADERS, call({**META, LOG_LEVEL: ["info"]}), -32602),
        ({}, call(), -32020),
        ({**HEADERS, "mcp-protocol-version": "2025-11-25"}, call(), -32020),
        (HEADERS, call({**META, VERSION: "2025-11-25"}), -32020),
        (HEADERS, call({**META, VERSION: None}), -32020),
        ({**HEADERS, "mcp-method": "tools/list"}, call(), -32020),
        ({k: v for k, v in HEADERS.items() if k != "mcp-method"}, call(), -32020),
        ({k: v for k, v in HEADERS.items() if k != "mcp-name"}, call(), -32020),
        ({**HEADERS, "mcp-name": "a__c"}, call(), -32020),
        ({**HEADERS, "mcp-name": "=?base64?!?="}, call(), -32020),
        (HEADERS, call(name=7), -32020),
        ({**HEADERS, "mcp-protocol-version": "2099-01-01"}, call({**META, VERSION: "2099-01-01"}), -32022),
        (
            {"mcp-protocol-version": "2026-07-28", "mcp-method": "tasks/get", "mcp-name": "other"},
            message("tasks/get", {"taskId": "t", "_meta": META}),
            -32020,
        ),
    ],
)
def test_the_first_rung_that_fails_answers(headers: dict[str, str], sent: Request | Notification, code: int) -> None:
    error = refusal(headers, sent)
    assert (error.rpc_code, error.http_status) == (code, 400)


def test_an_unsupported_version_is_told_what_is_supported() -> None:
    error = refusal({**HEADERS, "mcp-protocol-version": "x"}, call({**META, VERSION: "x"}))
    assert error.data == {"supported": ["2026-07-28"], "requested": "x"}


def test_a_method_that_bears_no_name_needs_no_name_header() -> None:
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
    assert isinstance(route(headers, message("tools/list", {"_meta": META}), has_session=False), ModernRoute)


def test_a_name_may_be_spelled_in_base64() -> None:
    route({**HEADERS, "mcp-name": "=?base64?YV9fYg==?="}, call(), has_session=False)


maybe_meta = st.fixed_dictionaries(
    {},
    optional={
        VERSION: st.sampled_from(["2026-07-28", "2025-11-25", "9", None, 7]),
        CAPABILITIES: st.just({}),
        INFO: st.none() | st.just({"name": "x"}),
    },
)
maybe_headers = st.fixed_dictionaries(
    {},
    optional={
        "mcp-protocol-version": st.sampled_from(["2026-07-28", "2025-11-25", "9"]),
        "mcp-method": st.sampled_from(["tools/call", "resources/read", "tools/list"]),
        "mcp-name": st.sampled_from(["a", "é", "=?base64?w6k=?=", "=?base64?w6k?="]),
    },
)


@settings(max_examples=400)
@given(
    method=st.sampled_from(["tools/call", "resources/read", "tools/list"]),
    params=st.fixed_dictionaries(
        {},
        optional={"name": st.sampled_from(["a", "é", None]), "uri": st.sampled_from(["a", "é"]), "_meta": maybe_meta},
    ),
    headers=maybe_headers,
)
def test_the_ladder_agrees_with_the_sdk(method: str, params: dict[str, Any], headers: dict[str, str]) -> None:
    theirs = sdk.classify_inbound_request({"method": method, "params": params}, headers=headers)
    try:
        mine: Route | ProtocolError = route(headers, message(method, params), has_session=False)
    except ProtocolError as error:
        mine = error
    if isinstance(mine, ProtocolError) and mine.rpc_code == INVALID_REQUEST:  # not modern at all
        assert VERSION not in params.get("_meta", {})
        assert headers.get("mcp-protocol-version", "2025-11-25") == "2025-11-25"
    elif isinstance(mine, ProtocolError):
        assert isinstance(theirs, sdk.InboundLadderRejection)
        assert (mine.rpc_code, mine.data) == (theirs.code, theirs.data)
    else:
        assert isinstance(theirs, sdk.InboundModernRoute)
        assert isinstance(mine, ModernRoute)
        assert mine.version == theirs.protocol_version


# --- mirrored arguments --------------------------------------------------------------------

SCHEMA = {
    "properties": {
        "region": {"type": "string", "x-mcp-header": "Region"},
        "at": {"properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
    }
}


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, {}),
        ({"region": None}, {}),
        ({"region": ["eu"]}, {}),
        ({"region": "eu"}, {"mcp-param-region": "eu"}),
        ({"region": "é"}, {"mcp-param-region": "=?base64?w6k=?="}),
        ({"at": {"n": 42}}, {"mcp-param-n": "42.0"}),
        ({}, {"mcp-param-other": "x"}),
    ],
)
def test_headers_that_mirror_the_arguments_pass(arguments: dict[str, object], headers: dict[str, str]) -> None:
    check_params(header_params(SCHEMA), arguments, headers)


@pytest.mark.parametrize(
    ("arguments", "headers"),
    [
        ({}, {"mcp-param-region": "eu"}),
        ({"region": None}, {"mcp-param-region": "eu"}),
        ({"region": ["eu"]}, {"mcp-param-region": "eu"}),
        ({"region": "us"}, {"mcp-param-region": "eu"}),
        ({"region": "us"}, {}),
        ({"region": "us"}, {"mcp-param-region": "=?base64?!?="}),
        ({"at": {"n": 42}}, {"mcp-param-n": "43"}),
    ],
)
def test_headers_that_say_something_else_are_refused(arguments: dict[str, object], headers: dict[str, str]) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_params(header_params(SCHEMA), arguments, headers)
    assert caught.value.rpc_code == -32020


@settings(max_examples=200)
@given(
    arguments=st.fixed_dictionaries(
        {},
        optional={
            "region": st.sampled_from(["eu", "é", None, 4, True, ["x"]]),
            "at": st.just(1)
            | st.fixed_dictionaries({}, optional={"n": st.integers(0, 3) | st.sampled_from([1.0, 1.5, "1"])}),
        },
    ),
    headers=st.fixed_dictionaries(
        {},
        optional={
            "mcp-param-region": st.sampled_from(["eu", "=?base64?w6k=?=", "=?base64?x?=", "4", "true"]),
            "mcp-param-n": st.sampled_from(["1", "1.0", "1.5", "2", "x"]),
        },
    ),
)
def test_mirrored_arguments_agree_when_the_sdk_says_so(arguments: dict[str, object], headers: dict[str, str]) -> None:
    theirs = sdk.validate_mcp_param_headers(SCHEMA, arguments, headers)
    try:
        check_params(header_params(SCHEMA), arguments, headers)
    except ProtocolError:
        assert theirs is not None
    else:
        assert theirs is None
