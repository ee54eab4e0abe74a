"""Errors: one status per code and era, and codes that say the same to either era."""

import pytest
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS
from mcp_types import jsonrpc
from msgspec import Raw

from gateway_policies.refusal import BadRequest
from mcp_registry.protocol import errors
from mcp_registry.protocol.errors import ProtocolError, http_status, translate_error
from mcp_registry.protocol.versions import Era


def test_codes_are_the_sdks() -> None:
    shared = {name for name in vars(jsonrpc) if isinstance(getattr(jsonrpc, name), int)} & set(errors.__all__)
    assert len(shared) == 9
    assert {name: getattr(errors, name) for name in shared} == {name: getattr(jsonrpc, name) for name in shared}


def test_modern_statuses_are_the_sdks() -> None:
    assert dict(errors.HTTP_STATUS["modern"]) == dict(ERROR_CODE_HTTP_STATUS)


@pytest.mark.parametrize(
    ("code", "era", "status"),
    [
        (-32601, "modern", 404), (-32601, "legacy", 200), (-32602, "modern", 400), (-32602, "legacy", 200),
        (-32700, "legacy", 400), (-32600, "legacy", 400), (-32603, "modern", 200), (1, "modern", 200),
    ],
)  # fmt: skip
def test_a_code_has_a_status_per_era(code: int, era: Era, status: int) -> None:
    assert http_status(code, era) == status


def test_a_protocol_error_is_a_refusal_with_a_wire_form() -> None:
    error = ProtocolError(-32022, "unsupported protocol version", data={"supported": []}, hint="ask for another")
    assert isinstance(error, BadRequest)
    assert (error.code, error.rpc_code, error.http_status, error.data, error.hint) == (
        "protocol_error", -32022, 400, {"supported": []}, "ask for another",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "source", "target", "error", "expected"),
    [
        ("tools/call", "modern", "legacy", b'{"code":-32020, "message":"m"}', b'{"code":-32600,"message":"m"}'),
        ("tools/call", "modern", "legacy", b'{"code":-32022,"data":{"x":1.0}}', b'{"code":-32600,"data":{"x":1.0}}'),
        (
            "resources/read",
            "modern",
            "legacy",
            b'{"code":-32602,"data":{"uri":"u"}}',
            b'{"code":-32002,"data":{"uri":"u"}}',
        ),
        ("resources/read", "legacy", "modern", b'{"code":-32002}', b'{"code":-32602}'),
        ("tools/call", "legacy", "modern", b'{"code":-32042}', b'{"code":-32603}'),
        ("tools/call", "legacy", "modern", b'{"code":-32021,"data":{}}', b'{"code":-32603,"data":{}}'),
        ("tools/call", "legacy", "modern", b'{"code":-32022}', b'{"code":-32603}'),
    ],
)
def test_a_code_is_said_in_the_callers_words(
    method: str, source: Era, target: Era, error: bytes, expected: bytes
) -> None:
    assert bytes(translate_error(Raw(error), source=source, target=target, method=method)) == expected


@pytest.mark.parametrize(
    ("method", "source", "target", "error"),
    [
        ("tools/call", "modern", "modern", b'{"code":-32020}'),
        ("tools/call", "legacy", "legacy", b'{"code":-32002}'),
        ("resources/read", "modern", "legacy", b'{"code":-32602}'),
        ("resources/read", "modern", "legacy", b'{"code":-32602,"data":"uri"}'),
        ("resources/read", "modern", "legacy", b'{"code":-32602,"data":{"path":1}}'),
        ("tools/call", "modern", "legacy", b'{"code":-32602,"data":{"uri":"u"}}'),
        ("tools/call", "legacy", "modern", b'{"code":-32002}'),
        ("tools/call", "legacy", "modern", b'{"code":-32021,"data":{"requiredCapabilities":{}}}'),
        ("tools/call", "legacy", "modern", b'{"code":"text"}'),
        ("tools/call", "modern", "legacy", b'"no object"'),
        ("tools/call", "modern", "legacy", b"{}"),
    ],
)
def test_what_needs_no_translation_is_the_same_object(method: str, source: Era, target: Era, error: bytes) -> None:
    raw = Raw(error)
    assert translate_error(raw, source=source, target=target, method=method) is raw
