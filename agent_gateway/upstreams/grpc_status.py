"""What an agent says over gRPC in place of an answer: as the JSON-RPC error that says the same, or a failure of ours.

Source: A2A 1.0.1, 5.4 "Error code mappings" and 10; google.rpc.Status and ErrorInfo.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from a2a_gateway.errors import A2A_DOMAIN, FORMS
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout

_INFO: Final = "google.rpc.ErrorInfo"
MAX_DETAILS: Final = 16
MAX_MESSAGE_CHARS: Final = 1024
_TOO_LARGE: Final = "CLIENT: Received message larger than max"  # how gRPC's own limit speaks
_BY_REASON: Final = {form.reason: form.jsonrpc_code for form in FORMS.values() if form.is_protocol}
_BY_STATUS: Final = {
    "INVALID_ARGUMENT": FORMS["invalid_params"].jsonrpc_code,
    "NOT_FOUND": FORMS["task_not_found"].jsonrpc_code,
    "UNIMPLEMENTED": FORMS["unsupported_operation"].jsonrpc_code,
}
_BY_HTTP: Final = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "RESOURCE_EXHAUSTED": 429}
_GONE: Final = frozenset({"UNAVAILABLE", "CANCELLED"})  # where the agent did not say so itself


@dataclass(frozen=True, slots=True)
class Said:
    """An error that the agent says.

    http_status  of the JSON-RPC answer: 401 and 403 speak of our credential
    error        `code`, `message` and `data` as JSON-RPC has them
    """

    http_status: int
    error: Mapping[str, object]


def problem(error: Any) -> Said:
    """Return what an agent said with a status.

    error  an `AioRpcError`

    Raises `UpstreamTimeout`, and `UpstreamFailed` (`upstream_died`, `upstream_too_large`) for what only gRPC says.
    """
    name = error.code().name
    status = _status(error.trailing_metadata())
    if name == "DEADLINE_EXCEEDED":
        raise UpstreamTimeout("the agent did not answer in time")
    if status is None and name in _GONE:
        raise UpstreamFailed("the agent went away before its answer was whole", code="upstream_died")
    text = str(error.details() or "")
    if status is None and name == "RESOURCE_EXHAUSTED" and _TOO_LARGE in text:
        raise UpstreamFailed("a message of the agent is larger than its limit", code="upstream_too_large")
    infos = _infos(status)
    reasons = [info.reason for info in infos if info.domain == A2A_DOMAIN]
    code = next((_BY_REASON[reason] for reason in reasons if reason in _BY_REASON), None)
    is_told = code is not None or name in _BY_STATUS  # other words may be of the machinery, and name places
    said: dict[str, object] = {
        "code": _BY_STATUS.get(name, FORMS["internal"].jsonrpc_code) if code is None else code,
        "message": text[:MAX_MESSAGE_CHARS] if is_told else f"the agent failed with the gRPC status {name}",
    }
    if infos:
        said["data"] = [{"@type": f"type.googleapis.com/{_INFO}", **json_format.MessageToDict(one)} for one in infos]
    return Said(_BY_HTTP.get(name, 200) if code is None else 200, said)


def _status(trailing: Sequence[tuple[str, str | bytes]] | None) -> status_pb2.Status | None:
    for name, value in trailing or ():
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _infos(status: status_pb2.Status | None) -> Sequence[error_details_pb2.ErrorInfo]:
    found: list[error_details_pb2.ErrorInfo] = []
    for detail in () if status is None else status.details[:MAX_DETAILS]:
        if detail.type_url.rpartition("/")[2] == _INFO:
            try:
                found.append(error_details_pb2.ErrorInfo.FromString(detail.value))
            except DecodeError:
                continue
    return found
