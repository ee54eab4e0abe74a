"""JSON-RPC errors of MCP: codes, their HTTP status per era, and their translation between eras.

Which refusal of ours becomes which code is the work of `agent_gateway.errors`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from gateway_policies.refusal import BadRequest
from mcp_registry.protocol.versions import Era

__all__ = [
    "HEADER_MISMATCH",
    "HTTP_STATUS",
    "INTERNAL_ERROR",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_NOT_FOUND",
    "MISSING_REQUIRED_CLIENT_CAPABILITY",
    "MODERN_CODES",
    "PARSE_ERROR",
    "RESOURCE_NOT_FOUND",
    "UNSUPPORTED_PROTOCOL_VERSION",
    "URL_ELICITATION_REQUIRED",
    "ProtocolError",
    "http_status",
    "translate_error",
]

# Source: JSON-RPC 2.0 and the schemas of MCP; a test holds them to `mcp_types`, which takes 0.2 s to import.
PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
MISSING_REQUIRED_CLIENT_CAPABILITY: Final = -32021
UNSUPPORTED_PROTOCOL_VERSION: Final = -32022
URL_ELICITATION_REQUIRED: Final = -32042
RESOURCE_NOT_FOUND: Final = -32002  # legacy only; retired by 2026-07-28, which says -32602

MODERN_CODES: Final = frozenset({HEADER_MISMATCH, MISSING_REQUIRED_CLIENT_CAPABILITY, UNSUPPORTED_PROTOCOL_VERSION})

HTTP_STATUS: Final[Mapping[Era, Mapping[int, int]]] = MappingProxyType(
    {
        "modern": MappingProxyType(
            {
                PARSE_ERROR: 400,
                INVALID_REQUEST: 400,
                INVALID_PARAMS: 400,
                METHOD_NOT_FOUND: 404,
                HEADER_MISMATCH: 400,
                MISSING_REQUIRED_CLIENT_CAPABILITY: 400,
                UNSUPPORTED_PROTOCOL_VERSION: 400,
            }
        ),
        "legacy": MappingProxyType({PARSE_ERROR: 400, INVALID_REQUEST: 400}),
    }
)


class ProtocolError(BadRequest):
    """A message that breaks the rules of JSON-RPC or of MCP, with its own wire form.

    rpc_code     the JSON-RPC error code
    http_status  what the HTTP answer says
    data         the error's `data`, a JSON value, or None for none
    """

    code = "protocol_error"

    def __init__(
        self, rpc_code: int, message: str, *, http_status: int = 400, data: object = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.rpc_code = rpc_code
        self.http_status = http_status
        self.data = data


def http_status(rpc_code: int, era: Era) -> int:
    """Return the HTTP status of a JSON-RPC error: 200 unless the era's table says otherwise."""
    return HTTP_STATUS[era].get(rpc_code, 200)


def translate_error(error: msgspec.Raw, *, source: Era, target: Era, method: str) -> msgspec.Raw:
    """Return an upstream's raw error object in the words of the caller's era; the same object if they agree.

    error   a JSON object with `code`, `message` and maybe `data`; only `code` is ever changed
    method  what was asked: "not found" is a code of its own for legacy `resources/read`

    An error that is no object, or whose code is no integer, comes back unchanged.
    """
    if source == target:
        return error
    try:
        members = _MEMBERS.decode(error)
        code = _INTEGER.decode(members["code"])
    except (msgspec.DecodeError, KeyError):
        return error
    translate = _to_legacy if target == "legacy" else _to_modern
    translated = translate(code, members, method)
    if translated == code:
        return error
    members["code"] = msgspec.Raw(b"%d" % translated)
    return msgspec.Raw(msgspec.json.encode(members))


def _to_legacy(code: int, members: Mapping[str, msgspec.Raw], method: str) -> int:
    if code in MODERN_CODES:
        return INVALID_REQUEST
    if code == INVALID_PARAMS and method == "resources/read" and _has(members.get("data"), "uri"):
        return RESOURCE_NOT_FOUND
    return code


def _to_modern(code: int, members: Mapping[str, msgspec.Raw], method: str) -> int:
    if code == RESOURCE_NOT_FOUND and method == "resources/read":
        return INVALID_PARAMS
    if code == MISSING_REQUIRED_CLIENT_CAPABILITY and _has(members.get("data"), "requiredCapabilities"):
        return code  # a server on an SDK of both eras: nobody else says it so
    # In a legacy server's mouth these mean something of its own; a modern client would act on them.
    if code in MODERN_CODES or code == URL_ELICITATION_REQUIRED:
        return INTERNAL_ERROR
    return code


def _has(data: msgspec.Raw | None, member: str) -> bool:
    """Say whether an error's data has a member: `uri` names a resource, which bad params do not."""
    if data is None:
        return False
    try:
        return member in _MEMBERS.decode(data)
    except msgspec.DecodeError:
        return False


_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_INTEGER: Final = msgspec.json.Decoder(int)
