"""One request to an agent, as a value: what is asked, in which dialect, and what policy needs of it.

The body is kept as it came; what was decided on is what is forwarded. Whose agent it
is, who asks, and whether the agent is served in this dialect are left to others; so
are the HTTP guards (size, content type, one of each header).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, cast
from urllib.parse import parse_qsl, unquote_plus, urlencode

import msgspec
from msgspec import Raw

from a2a_gateway import names, versions
from a2a_gateway import parts as reading
from a2a_gateway import raw as kept
from a2a_gateway.operations import Dialect, Operation, RestRoute, Version, by_method, by_path
from a2a_gateway.parts import Parts
from gateway_policies import strict_json
from gateway_policies.refusal import BadRequest, Refusal

RawObject = kept.Object

MAX_RPC_ID_BYTES: Final = 256
MAX_METHOD_CHARS: Final = 128
MAX_QUERY_PARAMETERS: Final = 64
EXTENSIONS: Final = "a2a-extensions"
LEGACY_EXTENSIONS: Final = "x-a2a-extensions"
JSON_TYPES: Final = frozenset({"application/json", "application/a2a+json"})  # bodies of both bindings


@dataclass(frozen=True, slots=True)
class HttpIn:
    """One HTTP request to an agent, whole.

    path     below the agent's mount, raw as sent: empty or `/` for JSON-RPC
    query    raw, without the question mark
    headers  names in lower case, one value each (the listener refuses repeats)
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Inbound:
    """A request that was read.

    body        as it came, but for members that were respelled
    id_raw      the JSON-RPC id, raw; None in HTTP+JSON and where there is none
    extensions  URIs asked for in the header, in order
    params      raw members: of the JSON-RPC params, of the HTTP+JSON body, or none
    parsed      the same members as values, or the parameters of the query
    query       raw, without the version
    """

    operation: Operation
    dialect: Dialect
    id_raw: bytes | None
    parts: Parts
    extensions: tuple[str, ...]
    params: RawObject
    parsed: Mapping[str, object]
    body: bytes
    http_method: str = "POST"
    query: str = ""


@dataclass(frozen=True, slots=True)
class Unread:
    """A request that was not understood, and how its sender is to be answered."""

    dialect: Dialect
    id_raw: bytes | None
    refusal: Refusal


def read(request: HttpIn, *, max_depth: int = strict_json.MAX_DEPTH) -> Inbound | Unread:
    """Read one request strictly; never raises.

    `Unread` for what is not strict JSON, a batch, an unknown method or path, a version that is not
    served or is not the method's own, and parts that agents could read differently (`parts`).
    """
    is_rpc = request.path in ("", "/")
    dialect = Dialect("1.0", "JSONRPC" if is_rpc else "HTTP+JSON")
    try:
        query = _query(request.query)
        version = versions.negotiate(request.headers.get(versions.HEADER), query.get(versions.QUERY))
        dialect = replace(dialect, version=version)
        extensions = _extensions(request.headers)
    except BadRequest as refusal:
        return Unread(dialect, None, refusal)
    if is_rpc:
        return _read_rpc(request, dialect, extensions, max_depth)
    return _read_rest(request, dialect, extensions, query, max_depth)


# --- JSON-RPC --------------------------------------------------------------------------------


class _Envelope(msgspec.Struct):
    id: Raw = Raw(b"null")
    params: Raw = Raw(b"{}")


def _read_rpc(request: HttpIn, dialect: Dialect, extensions: tuple[str, ...], max_depth: int) -> Inbound | Unread:
    id_raw: bytes | None = None
    try:
        if request.method != "POST":
            raise BadRequest("JSON-RPC is posted", code="method_not_allowed", hint="send a POST request")
        message = _message(strict_json.parse(request.body, max_depth=max_depth))
        envelope = _ENVELOPE.decode(request.body)
        id_raw = _rpc_id(message, bytes(envelope.id))
        operation, given = _operation(message, dialect.version)
        parsed = names.canonical(given)
        body, params = request.body, kept.members(envelope.params) if parsed else {}
        if parsed is not given:
            body = bytes(kept.write({**message, "params": parsed}))
            params = kept.members(kept.write(parsed))
        parts = _named(operation, reading.read(operation, dialect.version, parsed))
    except BadRequest as refusal:
        return Unread(dialect, id_raw, refusal)
    return Inbound(operation, dialect, id_raw, parts, extensions, params, parsed, body)


def _message(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        what = "batches are not served" if isinstance(value, list) else "a message is a JSON object"
        raise BadRequest(what, hint="send one JSON-RPC 2.0 request")
    return cast("dict[str, object]", value)


def _rpc_id(message: Mapping[str, object], raw: bytes) -> bytes | None:
    value = message.get("id")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or len(raw) > MAX_RPC_ID_BYTES:
        raise BadRequest(f"`id` must be a string or an integer of at most {MAX_RPC_ID_BYTES} bytes")
    return raw


def _operation(message: Mapping[str, object], version: Version) -> tuple[Operation, Mapping[str, object]]:
    """Return the operation and the parsed params of an envelope."""
    if message.get("jsonrpc") != "2.0":
        raise BadRequest("`jsonrpc` must be `2.0`")
    method = message.get("method")
    if not isinstance(method, str) or not 0 < len(method) <= MAX_METHOD_CHARS:
        raise BadRequest(f"`method` must be a string of 1 to {MAX_METHOD_CHARS} characters")
    if "result" in message or "error" in message:
        raise BadRequest("a message has a `method` or an answer, not both")
    found = by_method(method)
    if found is None:
        raise BadRequest("unknown method", code="method_not_found", hint="the methods of A2A 1.0 and 0.3 are served")
    operation, own_version = found
    if own_version != version:
        raise versions.unsupported(f"`{method}` is a method of A2A {own_version}, and this request speaks {version}")
    params = message.get("params")
    if params is None:
        params = {}
    if not isinstance(params, dict):
        raise reading.invalid("`params` must be an object")
    return operation, cast("dict[str, object]", params)


def _named(operation: Operation, parts: Parts) -> Parts:
    """Return the parts when they name the task that the operation is about; raises `BadRequest` else."""
    if not parts.task_id and operation in _ABOUT_A_TASK:
        raise reading.invalid("the task is not named")
    if not parts.config_id and operation is Operation.DELETE_PUSH:
        raise reading.invalid("the push configuration is not named")
    return parts


# --- HTTP+JSON -------------------------------------------------------------------------------


def _read_rest(
    request: HttpIn, dialect: Dialect, extensions: tuple[str, ...], query: Mapping[str, str], max_depth: int
) -> Inbound | Unread:
    try:
        route = by_path(request.method, request.path)
        if route.version != dialect.version:
            raise versions.unsupported(
                f"this path belongs to A2A {route.version}, and this request speaks {dialect.version}"
            )
        params, given = _rest_params(request, query, max_depth)
        parsed = names.canonical(given)
        _check_resource_names(parsed, route.task_id)
        parts = _named(route.operation, _with_route(reading.read(route.operation, route.version, parsed), route))
    except Refusal as refusal:
        return Unread(dialect, None, refusal)
    body, onward = request.body, _without_version(request.query)
    if parsed is not given and params:
        body, params = bytes(kept.write(parsed)), kept.members(kept.write(parsed))
    elif parsed is not given:
        onward = urlencode(cast("Mapping[str, str]", parsed))
    return Inbound(
        route.operation, dialect, None, parts, extensions, params, parsed, body, request.method, onward
    )  # fmt: skip


def _rest_params(request: HttpIn, query: Mapping[str, str], max_depth: int) -> tuple[RawObject, Mapping[str, object]]:
    """Return the body's raw members, and the parsed ones with those of the query."""
    parsed: dict[str, object] = {name: value for name, value in query.items() if name != versions.QUERY}
    if request.method != "POST" or not request.body:
        if request.body and request.body.strip() not in (b"", b"{}"):
            raise BadRequest(f"a {request.method[:16]} request has no body here")
        return {}, parsed
    value = strict_json.parse(request.body, max_depth=max_depth)
    if not isinstance(value, dict):
        raise reading.invalid("the body must be an object")
    if parsed:
        raise BadRequest("a request with a body has no parameters in its query")
    return kept.members(request.body), cast("dict[str, object]", value)


def _with_route(parts: Parts, route: RestRoute) -> Parts:
    """Return the parts with what the path names; the body may say the same, and nothing else."""
    for in_path, in_body in (
        (route.task_id, parts.task_id if route.task_id else ""),
        (route.config_id, parts.config_id if route.config_id else ""),
        (route.tenant, parts.tenant if route.tenant else ""),
    ):
        if in_body and in_body != in_path:
            raise reading.invalid("the body names what the path names, and differently")
    return replace(
        parts,
        task_id=route.task_id or parts.task_id,
        config_id=route.config_id or parts.config_id,
        tenant=route.tenant or parts.tenant,
    )


def _check_resource_names(params: Mapping[str, object], task_id: str) -> None:
    """Refuse a body of 0.3's protobuf shapes that names another task than the path (`parent`, `name`)."""
    config = params.get("config")
    inner: Mapping[str, object] = cast("dict[str, object]", config) if isinstance(config, dict) else {}
    for value in (params.get("parent"), params.get("name"), inner.get("name")):
        is_of_task = value is None or (isinstance(value, str) and f"{value}/".startswith(f"tasks/{task_id}/"))
        if not is_of_task or not (task_id or value is None):
            raise reading.invalid("the body names another task than the path")


# --- head ------------------------------------------------------------------------------------


def _query(raw: str) -> Mapping[str, str]:
    if not raw:
        return {}
    try:
        pairs = parse_qsl(
            raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_PARAMETERS, separator="&"
        )
    except ValueError:
        raise BadRequest(f"the query is not UTF-8 or has more than {MAX_QUERY_PARAMETERS} parameters") from None
    if len(dict(pairs)) != len(pairs):
        raise BadRequest("the query names a parameter twice")
    return dict(pairs)


def _without_version(raw: str) -> str:
    return "&".join(pair for pair in raw.split("&") if unquote_plus(pair.partition("=")[0]) != versions.QUERY)


def _extensions(headers: Mapping[str, str]) -> tuple[str, ...]:
    value = ",".join(headers[name] for name in (EXTENSIONS, LEGACY_EXTENSIONS) if name in headers)
    uris = tuple(dict.fromkeys(uri for part in value.split(",") if (uri := part.strip())))
    if len(uris) > reading.MAX_EXTENSIONS or any(len(uri) > reading.MAX_EXTENSION_CHARS for uri in uris):
        raise BadRequest(f"more than {reading.MAX_EXTENSIONS} extensions are asked for, or one is too long")
    return uris


_ABOUT_A_TASK: Final = frozenset(
    {
        Operation.GET_TASK, Operation.CANCEL, Operation.SUBSCRIBE,
        Operation.CREATE_PUSH, Operation.GET_PUSH, Operation.LIST_PUSH, Operation.DELETE_PUSH,
    }
)  # fmt: skip
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
