"""A request on its way to an agent, in the dialect that the agent speaks.

In the caller's own dialect the caller's bytes go on, but for what the gateway changes.
Which interface is dialled, credentials and headers of the transport are left to others.
Source: A2A 1.0.1, 5.3, 9 and 11; A2A 0.3.0, 7.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

from msgspec import Raw

from a2a_gateway import legacy_rest, raw, translate
from a2a_gateway.inbound import Inbound
from a2a_gateway.operations import (
    MESSAGING,
    PUSH,
    STREAMED,
    Dialect,
    Operation,
    RestRoute,
    Version,
    method_of,
    request_line,
)
from a2a_gateway.parts import Push
from a2a_gateway.values import Object, Value, copied, object_of, renamed, turn

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
DEFAULT_ID: Final = b'"1"'  # of a JSON-RPC request that had none

_NUMBERS: Final = frozenset({"historyLength", "pageSize", "currentGeneration"})
_FLAGS: Final = frozenset({"includeArtifacts"})


@dataclass(frozen=True, slots=True)
class HttpOut:
    """One HTTP request to an agent.

    path     below the interface's URL, encoded; empty for JSON-RPC
    headers  those that the protocol wants: content, accept, version, extensions
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


def write(inbound: Inbound, target: Dialect, *, tenant: str = "", params: raw.Object | None = None) -> HttpOut:
    """Return the request as it goes to an agent.

    tenant  that the agent's interface names; it is added where the caller names none
    params  the caller's members after the gateway's changes; None when it changed nothing

    Raises `BadRequest`: `unsupported_operation` where the agent's version has no such operation, and
    for ids that the target cannot carry.
    """
    is_same = target == inbound.dialect
    adds_tenant = bool(tenant) and not inbound.parts.tenant and target.version == "1.0"
    changed = inbound.params if params is None else params
    if is_same and target.binding == "JSONRPC":
        if params is None and not adds_tenant:
            return _out(inbound, target, ("POST", "", ""), inbound.body)
        if adds_tenant:
            changed = raw.edit(changed, {"tenant": raw.write(tenant)})
        return _out(inbound, target, ("POST", "", ""), _rpc(inbound, target.version, raw.write(changed)))
    route = RestRoute(
        inbound.operation,
        target.version,
        (inbound.parts.tenant or tenant) if target.version == "1.0" else "",
        inbound.parts.task_id if inbound.operation in _IN_PATH else "",
        inbound.parts.config_id if inbound.operation in _CONFIG_IN_PATH else "",
    )
    if is_same:
        _, path = request_line(route)
        body = inbound.body if params is None else bytes(raw.write(changed)) if changed else b""
        return _out(inbound, target, (inbound.http_method, path, inbound.query), body)
    return _across(inbound, target, route, changed)


def _across(inbound: Inbound, target: Dialect, route: RestRoute, changed: raw.Object) -> HttpOut:
    """Return the request in another dialect."""
    value = _params_of(inbound, changed)
    have, want = inbound.dialect.version, "1.0" if target == _LEGACY_REST else target.version
    if inbound.dialect == _LEGACY_REST:
        value, have = params_to(inbound.operation, value, "1.0"), "1.0"
    if have != want:
        value = params_to(inbound.operation, value, want)
    if target.binding == "JSONRPC":
        if route.tenant:
            value = {"tenant": route.tenant} | value
        return _out(inbound, target, ("POST", "", ""), _rpc(inbound, target.version, raw.write(value)))
    method, path = request_line(route)
    rest = copied(value, *_named_by_path(inbound.operation))
    if target == _LEGACY_REST and inbound.operation in MESSAGING:
        rest = legacy_rest.write_message_params(value)
    elif target == _LEGACY_REST and inbound.operation is Operation.CREATE_PUSH:
        rest = legacy_rest.write_push_params(value, route.task_id)
    if method != "POST":
        return _out(inbound, target, (method, path, _query(rest)), b"")
    return _out(inbound, target, (method, path, ""), bytes(raw.write(rest)) if rest else b"")


def _rpc(inbound: Inbound, version: Version, params: Raw) -> bytes:
    method = raw.write(method_of(inbound.operation, version))
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (
        inbound.id_raw or DEFAULT_ID, bytes(method), bytes(params)
    )  # fmt: skip


def _out(inbound: Inbound, target: Dialect, line: tuple[str, str, str], body: bytes) -> HttpOut:
    headers = [("accept", EVENTS if inbound.operation in STREAMED else JSON)]
    if inbound.operation in STREAMED:
        headers = [("accept", f"{EVENTS}, {JSON}")]
    if body:
        headers.append(("content-type", JSON))
    headers.append(("a2a-version", target.version))
    if inbound.extensions:
        name = "a2a-extensions" if target.version == "1.0" else "x-a2a-extensions"
        headers.append((name, ", ".join(inbound.extensions)))
    return HttpOut(*line, tuple(headers), body)


# --- params ----------------------------------------------------------------------------------


def _params_of(inbound: Inbound, changed: raw.Object) -> Value:
    """Return the params of a request as JSON-RPC would carry them, in the caller's version."""
    value = copied(object_of(raw.parse(raw.write(changed))))
    if inbound.dialect.binding == "JSONRPC":
        return value
    if inbound.dialect == _LEGACY_REST:
        value = legacy_rest.read_params(inbound.operation, value, inbound.parts.push.path if inbound.parts.push else ())
    typed = {name: _typed(name, text) for name, text in parse_qsl(inbound.query, keep_blank_values=True)}
    value = typed | value
    parts = inbound.parts
    if parts.tenant:
        value["tenant"] = parts.tenant
    if inbound.operation in PUSH:
        is_new = inbound.dialect.version == "1.0" or inbound.operation is Operation.CREATE_PUSH
        value["taskId" if is_new else "id"] = parts.task_id
        if parts.config_id and inbound.operation is not Operation.CREATE_PUSH:
            value["id" if is_new else "pushNotificationConfigId"] = parts.config_id
    elif inbound.operation in _IN_PATH:
        value["id"] = parts.task_id
    return value


def _typed(name: str, text: str) -> object:
    """Return a parameter of a query as the JSON that it stands for; text where it does not."""
    if name in _NUMBERS and text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    return text == "true" if name in _FLAGS and text in ("true", "false") else text


def _named_by_path(operation: Operation) -> frozenset[str]:
    if operation in PUSH:
        return frozenset({"tenant", "taskId"} if operation is Operation.CREATE_PUSH else {"tenant", "taskId", "id"})
    return frozenset({"tenant", "id"}) if operation in _IN_PATH else frozenset({"tenant"})


def _query(members: Object) -> str:
    """Return members as a query; flags and numbers as JSON spells them, objects left out."""
    pairs = [
        (name, value if isinstance(value, str) else bytes(raw.write(value)).decode())
        for name, value in members.items()
        if isinstance(value, str | int | float)
    ]
    return urlencode(pairs)


def params_to(operation: Operation, params: Object, version: Version) -> Value:
    """Return JSON-RPC params in the words of `version`; raises `BadRequest` where it has no such operation."""
    method_of(operation, version)
    kept = copied(params, "tenant")
    if operation in MESSAGING:
        turn(kept, "message", translate.message_to_new if version == "1.0" else translate.message_to_old)
        turn(kept, "configuration", _configuration_to_new if version == "1.0" else _configuration_to_old)
    elif operation is Operation.CREATE_PUSH:
        kept = translate.task_push_to_new(kept) if version == "1.0" else translate.task_push_to_old(kept)
    elif operation in PUSH:
        kept = renamed(kept, _OLD_PUSH_NAMES if version == "1.0" else _NEW_PUSH_NAMES)
    elif version == "1.0":
        _lift_limit(kept)
    return kept


def _lift_limit(value: Value) -> None:
    """Remove a history of 0: no limit in 0.3, no history in 1.0."""
    if value.get("historyLength") == 0:
        del value["historyLength"]


def _configuration_to_new(old: Object) -> Value:
    new = copied(old, "blocking", "pushNotificationConfig")
    if isinstance(old.get("blocking"), bool):
        new["returnImmediately"] = not old["blocking"]
    if old.get("pushNotificationConfig") is not None:
        new["taskPushNotificationConfig"] = translate.push_to_new(object_of(old["pushNotificationConfig"]))
    _lift_limit(new)
    return new


def _configuration_to_old(new: Object) -> Value:
    old = copied(new, "returnImmediately", "taskPushNotificationConfig")
    old["blocking"] = new.get("returnImmediately") is not True
    if new.get("taskPushNotificationConfig") is not None:
        old["pushNotificationConfig"] = translate.push_to_old(object_of(new["taskPushNotificationConfig"]))
    return old


_OLD_PUSH_NAMES: Final = {"id": "taskId", "pushNotificationConfigId": "id"}
_NEW_PUSH_NAMES: Final = {"taskId": "id", "id": "pushNotificationConfigId"}


# --- what the gateway changes ----------------------------------------------------------------


def with_push(params: Mapping[str, Raw], push: Push, ours: Mapping[str, object] | None) -> raw.Object:
    """Return params with the webhook replaced by ours, or without it (None, inline only).

    ours  the configuration to write at the same place, in the words of the same version
    """
    return _set(params, push.path, ours)


def _set(holder: Mapping[str, Raw], path: tuple[str, ...], ours: Mapping[str, object] | None) -> raw.Object:
    if not path:
        named = {name: raw.write(value) for name, value in (ours or {}).items()}
        return raw.edit(holder, {"url": None, "token": None, "authentication": None} | named)
    name, *rest = path
    if not rest:
        return raw.edit(holder, {name: None if ours is None else raw.write(ours)})
    return raw.edit(holder, {name: raw.write(_set(raw.members(holder[name]), tuple(rest), ours))})


_LEGACY_REST: Final = Dialect("0.3", "HTTP+JSON")
_CONFIG_IN_PATH: Final = frozenset({Operation.GET_PUSH, Operation.DELETE_PUSH})
_IN_PATH: Final = frozenset({Operation.GET_TASK, Operation.CANCEL, Operation.SUBSCRIBE}) | PUSH
