"""How a refusal looks to a caller of A2A, in each binding and version.

A2A has codes of its own (-32001 to -32009); what only a gateway says (who may, how
much, whether the agent answered) is -32000 with a reason of ours and the HTTP status
that says the same. What an agent itself answers is translated by `translate`.
Source: A2A 1.0.1, 5.4 "Error code mappings", 9.5 and 11.6; google.rpc.ErrorInfo.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import msgspec

from a2a_gateway.operations import Dialect
from gateway_policies.refusal import Refusal

A2A_DOMAIN: Final = "a2a-protocol.org"
OUR_DOMAIN: Final = "agent-gateway"
ERROR_INFO: Final = "type.googleapis.com/google.rpc.ErrorInfo"
JSON: Final = "application/json"
GATEWAY_CODE: Final = -32000  # what A2A has no code for; the reason says it


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """One error on every wire.

    http_status  of the HTTP+JSON binding
    grpc_status  its name, which HTTP+JSON carries too
    reason       for programs, in ErrorInfo
    legacy_type  the class that 0.3's HTTP+JSON names
    is_protocol  A2A or JSON-RPC defines it: a JSON-RPC answer with it is an HTTP 200
    """

    http_status: int
    jsonrpc_code: int
    grpc_status: str
    reason: str
    legacy_type: str = "InternalError"
    is_protocol: bool = True


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """An HTTP answer with a whole body; challenges and `Retry-After` are added by the listener."""

    http_status: int
    content_type: str
    body: bytes


def _protocol(code: int, http_status: int, grpc_status: str, reason: str, legacy_type: str) -> ErrorForm:
    return ErrorForm(http_status, code, grpc_status, reason, legacy_type)


def _ours(http_status: int, grpc_status: str, reason: str) -> ErrorForm:
    return ErrorForm(http_status, GATEWAY_CODE, grpc_status, reason, is_protocol=False)


_UNMET: Final = "FAILED_PRECONDITION"
_BAD: Final = "INVALID_ARGUMENT"

FORMS: Final[Mapping[str, ErrorForm]] = MappingProxyType(
    {
        # JSON-RPC
        "parse_error": _protocol(-32700, 400, _BAD, "PARSE_ERROR", "JSONParseError"),
        "bad_request": _protocol(-32600, 400, _BAD, "INVALID_REQUEST", "InvalidRequestError"),
        "method_not_found": _protocol(-32601, 404, "NOT_FOUND", "METHOD_NOT_FOUND", "MethodNotFoundError"),
        "invalid_params": _protocol(-32602, 400, _BAD, "INVALID_PARAMS", "InvalidParamsError"),
        "invalid_arguments": _protocol(-32602, 400, _BAD, "INVALID_PARAMS", "InvalidParamsError"),
        "internal": _protocol(-32603, 500, "INTERNAL", "INTERNAL_ERROR", "InternalError"),
        # A2A
        "task_not_found": _protocol(-32001, 404, "NOT_FOUND", "TASK_NOT_FOUND", "TaskNotFoundError"),
        "task_not_cancelable": _protocol(-32002, 400, _UNMET, "TASK_NOT_CANCELABLE", "TaskNotCancelableError"),
        "push_not_supported": _protocol(
            -32003, 400, _UNMET, "PUSH_NOTIFICATION_NOT_SUPPORTED", "PushNotificationNotSupportedError"
        ),
        "unsupported_operation": _protocol(-32004, 400, _UNMET, "UNSUPPORTED_OPERATION", "UnsupportedOperationError"),
        "content_type_not_supported": _protocol(
            -32005, 400, _BAD, "CONTENT_TYPE_NOT_SUPPORTED", "ContentTypeNotSupportedError"
        ),
        "invalid_agent_response": _protocol(
            -32006, 500, "INTERNAL", "INVALID_AGENT_RESPONSE", "InvalidAgentResponseError"
        ),
        "no_extended_card": _protocol(
            -32007, 400, _UNMET, "EXTENDED_AGENT_CARD_NOT_CONFIGURED", "AuthenticatedExtendedCardNotConfiguredError"
        ),
        "extension_required": _protocol(-32008, 400, _UNMET, "EXTENSION_SUPPORT_REQUIRED", "InternalError"),
        "version_not_supported": _protocol(-32009, 400, _UNMET, "VERSION_NOT_SUPPORTED", "InternalError"),
        # the gateway's own
        "method_not_allowed": _ours(405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED"),
        "too_large": _ours(413, "RESOURCE_EXHAUSTED", "TOO_LARGE"),
        "bad_content_type": _ours(415, _BAD, "BAD_CONTENT_TYPE"),
        "not_acceptable": _ours(406, _BAD, "NOT_ACCEPTABLE"),
        "unauthenticated": _ours(401, "UNAUTHENTICATED", "UNAUTHENTICATED"),
        "forbidden": _ours(403, "PERMISSION_DENIED", "FORBIDDEN"),
        "not_found": _ours(404, "NOT_FOUND", "NOT_FOUND"),
        "too_much": _ours(429, "RESOURCE_EXHAUSTED", "TOO_MUCH"),
        "upstream_failed": _ours(502, "UNAVAILABLE", "UPSTREAM_FAILED"),
        "upstream_timeout": _ours(504, "DEADLINE_EXCEEDED", "UPSTREAM_TIMEOUT"),
        "unavailable": _ours(503, "UNAVAILABLE", "UNAVAILABLE"),
    }
)


def form(refusal: Refusal) -> ErrorForm:
    """Return how a refusal looks: by its own code, else by its class's with its own code as the reason."""
    found = FORMS.get(refusal.code)
    if found is not None:
        return found
    for kind in type(refusal).__mro__:
        found = FORMS.get(getattr(kind, "code", ""))
        if found is not None:
            return _narrowed(found, refusal.code)
    return FORMS["internal"]


def _narrowed(general: ErrorForm, code: str) -> ErrorForm:
    """Return the form of a class under the narrower code of an instance, which only we define."""
    return _ours(general.http_status, general.grpc_status, code.upper())


def answer(refusal: Refusal, dialect: Dialect, id_raw: bytes | None, call_id: str = "") -> ErrorAnswer:
    """Return a refusal as the whole answer to a request that has no stream yet.

    id_raw  the JSON-RPC id, None where there is none; not used in HTTP+JSON
    """
    found = form(refusal)
    is_rpc = dialect.binding == "JSONRPC"
    status = 200 if is_rpc and found.is_protocol else found.http_status
    return ErrorAnswer(status, JSON, _body(refusal, found, dialect, id_raw, call_id))


def event(refusal: Refusal, dialect: Dialect, id_raw: bytes | None, call_id: str = "") -> bytes:
    """Return a refusal as the last event of a stream that has begun: named `error` in 1.0, plain data in 0.3."""
    body = _body(refusal, form(refusal), dialect, id_raw, call_id)
    return b"event: error\ndata: %b\n\n" % body if dialect.version == "1.0" else b"data: %b\n\n" % body


def _body(refusal: Refusal, found: ErrorForm, dialect: Dialect, id_raw: bytes | None, call_id: str) -> bytes:
    details = [_error_info(refusal, found, call_id)]
    if dialect.binding == "JSONRPC":
        error = {"code": found.jsonrpc_code, "message": refusal.message, "data": details}
        return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id_raw or b"null", _ENCODER.encode(error))
    error = {
        "code": found.http_status,
        "status": found.grpc_status,
        "message": refusal.message,
        "details": details,
    }
    if dialect.version == "1.0":
        return _ENCODER.encode({"error": error})
    return _ENCODER.encode({"type": found.legacy_type, "message": refusal.message, "error": error})


def _error_info(refusal: Refusal, found: ErrorForm, call_id: str) -> dict[str, object]:
    """Return google.rpc.ErrorInfo; its metadata are strings, ours say what a caller may know."""
    metadata = {"code": refusal.code, "move": refusal.move.value}
    if refusal.hint:
        metadata["hint"] = refusal.hint
    if refusal.retry_after_s is not None:
        metadata["retryAfterSeconds"] = str(round(refusal.retry_after_s, 3))
    for name, value in refusal.details.items():
        metadata[name] = value if isinstance(value, str) else _ENCODER.encode(value).decode()
    if call_id:
        metadata["call"] = call_id
    domain = A2A_DOMAIN if found.is_protocol else OUR_DOMAIN
    return {"@type": ERROR_INFO, "reason": found.reason, "domain": domain, "metadata": metadata}


_ENCODER: Final = msgspec.json.Encoder()
