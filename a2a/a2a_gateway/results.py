"""An agent's answer in the dialect of the caller: results, events and errors.

Where agent and caller speak the same dialect, nothing here is called: bytes pass. Where
only the binding differs, a result is kept byte for byte inside the other envelope.
Source: A2A 1.0.1, 5.4, 9.4 and 11.7; A2A 0.3.0, 7 and 8.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from a2a_gateway import legacy_rest, raw, translate
from a2a_gateway.errors import A2A_DOMAIN, ERROR_INFO, FORMS, JSON, ErrorAnswer, ErrorForm
from a2a_gateway.operations import PUSH, STREAMED, Dialect, Operation, Version
from a2a_gateway.values import Object, list_of, object_of, objects_in
from gateway_policies.refusal import UpstreamFailed

A2A_JSON: Final = "application/a2a+json"  # results of HTTP+JSON in 1.0
MAX_MESSAGE_CHARS: Final = 4096


@dataclass(frozen=True, slots=True)
class PeerError:
    """An error of an agent, free of its binding; `details` is what stood beside code and message, or empty."""

    code: int
    message: str
    details: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """From which dialect answers come, and into which they go.

    id_raw  the caller's JSON-RPC id
    """

    operation: Operation
    source: Dialect
    target: Dialect
    id_raw: bytes | None = None


def whole(passage: Passage, http_status: int, body: bytes) -> ErrorAnswer:
    """Return an agent's whole answer in the caller's dialect.

    Raises `UpstreamFailed` (code `invalid_agent_response`) for what is no answer in the agent's dialect.
    """
    found = _read(passage, http_status, body)
    if isinstance(found, PeerError):
        return _error_answer(passage, found)
    result = _result(passage, found)
    if passage.target.binding == "JSONRPC":
        return ErrorAnswer(200, JSON, _enveloped(passage, b"result", result))
    if passage.operation is Operation.DELETE_PUSH:
        result = b"{}"
    return ErrorAnswer(200, A2A_JSON if passage.target.version == "1.0" else JSON, result)


def event(passage: Passage, data: bytes) -> tuple[bytes, str]:
    """Return the data of one event in the caller's dialect, and the name that the event has there.

    Raises `UpstreamFailed` (code `invalid_agent_response`) for what is no event in the agent's dialect.
    """
    is_rest = passage.source.binding == "HTTP+JSON"
    status = 500 if is_rest and _is_rest_error(data) else 200
    found = _read(passage, status, data)
    if isinstance(found, PeerError):
        return _error_body(passage, found), "error" if passage.target.version == "1.0" else "message"
    result = _result(passage, found)
    if passage.target.binding == "JSONRPC":
        return _enveloped(passage, b"result", result), "message"
    return result, "message"


# --- in --------------------------------------------------------------------------------------


def _read(passage: Passage, http_status: int, body: bytes) -> Raw | PeerError:
    try:
        if passage.source.binding == "JSONRPC":
            return _read_rpc(body)
        return _read_rest(passage.operation, http_status, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _no_answer("no JSON object") from None


def _read_rpc(body: bytes) -> Raw | PeerError:
    message = raw.members(body)
    if "error" in message and "result" not in message:
        error = object_of(raw.parse(message["error"]))
        data, code = error.get("data"), error.get("code")
        details = tuple(list_of(data)) or ((data,) if data else ())
        return PeerError(code if isinstance(code, int) else -32603, _message(error), details)
    if "result" not in message:
        raise _no_answer("neither result nor error")
    return message["result"]


def _read_rest(operation: Operation, http_status: int, body: bytes) -> Raw | PeerError:
    if http_status < 400:
        if not body.strip():
            return Raw(b"{}")
        raw.members(body)
        return Raw(body)
    try:
        value = raw.parse(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = None
    outer = object_of(value)
    error = object_of(outer.get("error")) or outer
    details = tuple(list_of(error.get("details")))
    found = _form_of(details, outer.get("type")) or _form_of_status(operation, http_status)
    return PeerError(found.jsonrpc_code, _message(error), details)


def _form_of(details: Sequence[object], legacy_type: object) -> ErrorForm | None:
    """Return the form that an error names by its reason, or by the class of 0.3."""
    for detail in details:
        found = _BY_REASON.get(str(object_of(detail).get("reason")))
        if found is not None:
            return found
    return _BY_TYPE.get(str(legacy_type))


def _form_of_status(operation: Operation, http_status: int) -> ErrorForm:
    if http_status == 404:
        is_about_a_task = operation in PUSH or operation in (
            Operation.GET_TASK, Operation.CANCEL, Operation.SUBSCRIBE
        )  # fmt: skip
        return FORMS["task_not_found" if is_about_a_task else "method_not_found"]
    return FORMS["invalid_params" if http_status < 500 else "internal"]


def _is_rest_error(data: bytes) -> bool:
    try:
        members = raw.members(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return "error" in members


# --- across ----------------------------------------------------------------------------------


def _result(passage: Passage, found: Raw) -> bytes:
    source, target = passage.source, passage.target
    if source.version == target.version == "1.0":
        return bytes(found)
    try:
        value = raw.parse(found)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _no_answer("text that is not Unicode") from None
    if source == _LEGACY_REST:
        value = legacy_rest.read_result(passage.operation, value)
    if target == _LEGACY_REST:
        value = legacy_rest.write_result(passage.operation, _in_version(passage.operation, value, "1.0"))
    elif source == _LEGACY_REST or source.version != target.version:
        value = _in_version(passage.operation, value, target.version)
    return bytes(raw.write(value))


def _in_version(operation: Operation, value: object, version: Version) -> object:
    """Return a result of either version in the words of `version`."""
    if operation is Operation.SEND or operation in STREAMED:
        return translate.result_to(value, version)
    if operation in PUSH:
        return _push_in_version(operation, value, version)
    if operation in (Operation.GET_TASK, Operation.CANCEL):
        return translate.to_version("task", object_of(value), version)
    return value


def _push_in_version(operation: Operation, value: object, version: Version) -> object:
    turn = translate.task_push_to_new if version == "1.0" else translate.task_push_to_old
    if operation is Operation.DELETE_PUSH:
        return None
    if operation is not Operation.LIST_PUSH:
        return turn(object_of(value))
    turned: list[object] = [turn(item) for item in objects_in(object_of(value).get("configs", value))]
    return {"configs": turned} if version == "1.0" else turned


# --- out -------------------------------------------------------------------------------------


def _enveloped(passage: Passage, name: bytes, value: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"%b":%b}' % (passage.id_raw or b"null", name, value)


def _error_answer(passage: Passage, error: PeerError) -> ErrorAnswer:
    is_rpc = passage.target.binding == "JSONRPC"
    return ErrorAnswer(200 if is_rpc else _form_of_code(error.code).http_status, JSON, _error_body(passage, error))


def _error_body(passage: Passage, error: PeerError) -> bytes:
    found = _form_of_code(error.code)
    details = list(error.details)
    if passage.target.version == "1.0" and not any(_is_error_info(detail) for detail in details):
        info: dict[str, object] = {"@type": ERROR_INFO, "reason": found.reason, "domain": A2A_DOMAIN, "metadata": {}}
        details = [info, *objects_in(details)]
    if passage.target.binding == "JSONRPC":
        body: dict[str, object] = {"code": error.code, "message": error.message}
        if details:
            body["data"] = details
        return _enveloped(passage, b"error", bytes(raw.write(body)))
    body = {"code": found.http_status, "status": found.grpc_status, "message": error.message, "details": details}
    if passage.target.version == "1.0":
        return bytes(raw.write({"error": body}))
    return bytes(raw.write({"type": found.legacy_type, "message": error.message, "error": body}))


def _is_error_info(detail: object) -> bool:
    return isinstance(detail, dict) and "reason" in detail


def _form_of_code(code: int) -> ErrorForm:
    return _BY_CODE.get(code, FORMS["internal"])


def _message(error: Object) -> str:
    message = error.get("message")
    return message[:MAX_MESSAGE_CHARS] if isinstance(message, str) else "the agent answered with an error"


def _no_answer(what: str) -> UpstreamFailed:
    return UpstreamFailed(f"the agent answered with {what}", code="invalid_agent_response")


_LEGACY_REST: Final = Dialect("0.3", "HTTP+JSON")
_PROTOCOL: Final = [form for form in FORMS.values() if form.is_protocol]
_BY_CODE: Final[Mapping[int, ErrorForm]] = {form.jsonrpc_code: form for form in _PROTOCOL}
_BY_REASON: Final[Mapping[str, ErrorForm]] = {form.reason: form for form in _PROTOCOL}
_BY_TYPE: Final[Mapping[str, ErrorForm]] = {
    form.legacy_type: form for form in _PROTOCOL if form.legacy_type != "InternalError"
}
