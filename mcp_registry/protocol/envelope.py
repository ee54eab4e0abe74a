"""JSON-RPC 2.0 envelopes: messages in, messages out, members kept byte for byte.

`read_message` is for what callers send us: strict, and never an exception.
`read_answer` is for what upstreams send us: it looks at the envelope alone, for
results are handed on unread. What a method means is left to others.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from gateway_policies import strict_json
from gateway_policies.refusal import BadRequest
from mcp_registry.protocol.errors import INVALID_REQUEST, PARSE_ERROR, ProtocolError

RawObject = dict[str, Raw]  # a JSON object whose members are kept byte for byte

MAX_ID_BYTES: Final = 256
MAX_METHOD_CHARS: Final = 128


@dataclass(frozen=True, slots=True)
class Request:
    """A message that wants an answer.

    id      raw JSON, a string or an integer: copy it into the answer as it is
    params  raw members, `{}` when the message has none; what is forwarded
    meta    raw members of `params._meta`, `{}` when there is none
    parsed  the same params as Python values; what is decided on
    """

    id: bytes
    method: str
    params: RawObject
    meta: RawObject
    parsed: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that wants no answer; members as in `Request`."""

    method: str
    params: RawObject
    meta: RawObject
    parsed: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer: exactly one of `result` and `error`, raw; `id` is None when it is JSON null."""

    id: bytes | None
    result: Raw | None
    error: Raw | None


@dataclass(frozen=True, slots=True)
class Invalid:
    """What is no message, and how to say so; `id` is the sender's when it could be read."""

    id: bytes | None
    error: ProtocolError


Message = Request | Notification | Response | Invalid


class _Wire(msgspec.Struct):
    """The members of any message; UNSET tells an absent one from null."""

    jsonrpc: object = UNSET
    id: Raw | UnsetType = UNSET
    method: object = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


# --- in --------------------------------------------------------------------------------------


def read_message(body: bytes, *, allow_response: bool = False, max_depth: int = strict_json.MAX_DEPTH) -> Message:
    """Read one message of a caller, strictly.

    allow_response  whether a posted answer is a `Response` (legacy sessions) or `Invalid`

    Returns `Invalid` (-32700 for what is not strict JSON, -32600 else) for batches, a missing
    `jsonrpc`, ids that are neither string nor integer, params that are no object, both a method
    and a result, and names or ids beyond the limits. Never raises.
    """
    try:
        value = strict_json.parse(body, max_depth=max_depth)
    except BadRequest as error:
        return Invalid(None, ProtocolError(PARSE_ERROR, error.message, hint=error.hint))
    if not isinstance(value, dict):
        what = "batches are not served" if isinstance(value, list) else "a message is a JSON object"
        return Invalid(None, ProtocolError(INVALID_REQUEST, what, hint="send one message per request"))
    return _read(body, cast("dict[str, object]", value), allow_response=allow_response)


def read_answer(body: bytes) -> Message:
    """Read one message of an upstream: a fast look at the envelope, results unread.

    A request or notification of the upstream comes back as such, its `parsed` empty. Garbage,
    null ids with a result, invalid UTF-8 and deep nesting are `Invalid`. Half a surrogate pair,
    which servers make by cutting a text short, becomes U+FFFD. Never raises.
    """
    try:
        if not body.isascii():
            body.decode()
        wire = _decode_answer(body)
        if isinstance(wire.method, str):
            return _upstream_call(wire, wire.method)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return Invalid(None, ProtocolError(PARSE_ERROR, "the upstream sent what is not JSON"))
    problem = _response_problem(wire)
    if problem or wire.jsonrpc != "2.0":
        return Invalid(None, ProtocolError(INVALID_REQUEST, problem or "`jsonrpc` must be `2.0`"))
    return _response(wire)


def _read(body: bytes, value: dict[str, object], *, allow_response: bool) -> Message:
    wire = _WIRE.decode(body)
    id_raw = _valid_id(value, wire)
    is_response = "method" not in value and ("result" in value or "error" in value)
    problem = _envelope_problem(value, id_raw) or (_response_problem(wire) if is_response else _method_problem(value))
    if is_response and not problem and not allow_response:
        problem = "answers are not taken here"
    if problem:
        return Invalid(id_raw, ProtocolError(INVALID_REQUEST, problem, hint="send a JSON-RPC 2.0 request"))
    if is_response:
        return _response(wire)
    method = cast("str", value["method"])
    parsed = cast("dict[str, object]", value.get("params", {}))
    params = _OBJECT.decode(cast("Raw", wire.params)) if parsed else {}
    meta = _OBJECT.decode(params["_meta"]) if isinstance(parsed.get("_meta"), dict) else {}
    if id_raw is None:
        return Notification(method, params, meta, parsed)
    return Request(id_raw, method, params, meta, parsed)


def _valid_id(value: Mapping[str, object], wire: _Wire) -> bytes | None:
    """Return the raw id when it may be echoed, else None."""
    number_or_text = value.get("id")
    if isinstance(number_or_text, bool) or not isinstance(number_or_text, str | int):
        return None
    raw = bytes(cast("Raw", wire.id))
    return raw if len(raw) <= MAX_ID_BYTES else None


def _envelope_problem(value: Mapping[str, object], id_raw: bytes | None) -> str:
    if value.get("jsonrpc") != "2.0":
        return "`jsonrpc` must be `2.0`"
    if "id" in value and id_raw is None:
        is_answer_to_nothing = value["id"] is None and "error" in value
        return "" if is_answer_to_nothing else f"`id` must be a string or an integer of at most {MAX_ID_BYTES} bytes"
    return ""


def _method_problem(value: Mapping[str, object]) -> str:
    method = value.get("method")
    if not isinstance(method, str):
        return "`method` must be a string"
    if not 0 < len(method) <= MAX_METHOD_CHARS:
        return f"`method` must have 1 to {MAX_METHOD_CHARS} characters"
    if "result" in value or "error" in value:
        return "a message has a `method` or an answer, not both"
    params = value.get("params", {})
    if not isinstance(params, dict):
        return "`params` must be an object"
    if not isinstance(cast("dict[str, object]", params).get("_meta", {}), dict):
        return "`params._meta` must be an object"
    return ""


def _response_problem(wire: _Wire) -> str:
    if (wire.result is UNSET) == (wire.error is UNSET):
        return "an answer has a `result` or an `error`, and only one"
    if wire.id is UNSET or (wire.error is UNSET and bytes(wire.id) == b"null"):
        return "an answer must name its request"
    return ""


def _response(wire: _Wire) -> Response:
    id_raw = bytes(cast("Raw", wire.id))
    return Response(
        id=None if id_raw == b"null" else id_raw,
        result=None if wire.result is UNSET else wire.result,
        error=None if wire.error is UNSET else wire.error,
    )


def _upstream_call(wire: _Wire, method: str) -> Request | Notification:
    params = {} if wire.params is UNSET else _OBJECT.decode(wire.params)
    meta = _OBJECT.decode(params["_meta"]) if "_meta" in params else {}
    if wire.id is UNSET:
        return Notification(method, params, meta, {})
    return Request(bytes(wire.id), method, params, meta, {})


def _decode_answer(body: bytes) -> _Wire:
    try:
        return _WIRE.decode(body)
    except msgspec.DecodeError:
        mended = _LONE_SURROGATE.sub(rb"\1\\ufffd", body)
        if mended == body:
            raise
        return _WIRE.decode(mended)


# --- out -------------------------------------------------------------------------------------


def request(id_raw: bytes, method: str, params: Mapping[str, Raw]) -> bytes:
    """Write a request; empty `params` are left out."""
    return b'{"jsonrpc":"2.0","id":%b,"method":%b%b}' % (id_raw, _ENCODER.encode(method), _params(params))


def notification(method: str, params: Mapping[str, Raw]) -> bytes:
    """Write a notification; empty `params` are left out."""
    return b'{"jsonrpc":"2.0","method":%b%b}' % (_ENCODER.encode(method), _params(params))


def response(id_raw: bytes, result: bytes | Raw) -> bytes:
    """Write an answer around a raw result."""
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (id_raw, bytes(result))


def failure(id_raw: bytes | None, error: bytes | Raw) -> bytes:
    """Write an answer around a raw error object; None: to a message whose id could not be read."""
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (id_raw or b"null", bytes(error))


def error(id_raw: bytes | None, code: int, message: str, data: object = None) -> bytes:
    """Write an error answer; `data` is any JSON value or `Raw`, None for none."""
    body: dict[str, object] = {"code": code, "message": message}
    if data is not None:
        body["data"] = data
    return failure(id_raw, _ENCODER.encode(body))


def edit(members: Mapping[str, Raw], changes: Mapping[str, bytes | Raw | None]) -> RawObject:
    """Return `members` with the named ones replaced, removed (None) or added at the end; order is kept."""
    edited = dict(members)
    for name, raw in changes.items():
        if raw is None:
            edited.pop(name, None)
        else:
            edited[name] = raw if isinstance(raw, Raw) else Raw(raw)
    return edited


def read_object(raw: bytes | Raw) -> RawObject:
    """Return the raw members of a JSON object; raises `msgspec.DecodeError` for anything else."""
    return _OBJECT.decode(raw)


def write(value: object) -> bytes:
    """Write any JSON value, `Raw` members as they are."""
    return _ENCODER.encode(value)


def _params(params: Mapping[str, Raw]) -> bytes:
    return b',"params":%b' % _ENCODER.encode(params) if params else b""


_ENCODER: Final = msgspec.json.Encoder()
_WIRE: Final = msgspec.json.Decoder(_Wire)
_OBJECT: Final = msgspec.json.Decoder(RawObject)
# An escaped high half without its low half, or a low half without its high half before it.
_LONE_SURROGATE: Final = re.compile(
    rb"((?<!\\)(?:\\\\)*)"
    rb"(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
