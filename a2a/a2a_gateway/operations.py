"""The eleven operations of A2A, and how each is called in both bindings and both versions.

What a request carries besides its operation is read by `inbound`; which version a
caller speaks is found by `versions`.
Source: A2A 1.0.1, 3.1 and 5.3 "Method mapping reference"; A2A 0.3.0, 3.5.6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

from gateway_policies.refusal import BadRequest, NotFound

Version = Literal["1.0", "0.3"]
Binding = Literal["JSONRPC", "HTTP+JSON"]

MAX_SEGMENT_CHARS: Final = 1024  # of one decoded part of a path: a tenant or an id
_LEGACY_ROOT: Final = "v1"
_PUSH: Final = "pushNotificationConfigs"
_PATH_SAFE: Final = ":@!$&'()*+,;=~-._"


class Operation(StrEnum):
    """What is asked of an agent; the value is the canonical name in policies, budgets and records."""

    SEND = "SendMessage"
    STREAM = "SendStreamingMessage"
    GET_TASK = "GetTask"
    LIST_TASKS = "ListTasks"
    CANCEL = "CancelTask"
    SUBSCRIBE = "SubscribeToTask"
    CREATE_PUSH = "CreateTaskPushNotificationConfig"
    GET_PUSH = "GetTaskPushNotificationConfig"
    LIST_PUSH = "ListTaskPushNotificationConfigs"
    DELETE_PUSH = "DeleteTaskPushNotificationConfig"
    EXTENDED_CARD = "GetExtendedAgentCard"


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to speak A2A."""

    version: Version
    binding: Binding


STREAMED: Final = frozenset({Operation.STREAM, Operation.SUBSCRIBE})  # answered by an event stream
MESSAGING: Final = frozenset({Operation.SEND, Operation.STREAM})  # carry a message
PUSH: Final = frozenset({Operation.CREATE_PUSH, Operation.GET_PUSH, Operation.LIST_PUSH, Operation.DELETE_PUSH})

LEGACY_METHODS: Final[Mapping[Operation, str]] = MappingProxyType(
    {
        Operation.SEND: "message/send",
        Operation.STREAM: "message/stream",
        Operation.GET_TASK: "tasks/get",
        Operation.CANCEL: "tasks/cancel",
        Operation.SUBSCRIBE: "tasks/resubscribe",
        Operation.CREATE_PUSH: "tasks/pushNotificationConfig/set",
        Operation.GET_PUSH: "tasks/pushNotificationConfig/get",
        Operation.LIST_PUSH: "tasks/pushNotificationConfig/list",
        Operation.DELETE_PUSH: "tasks/pushNotificationConfig/delete",
        Operation.EXTENDED_CARD: "agent/getAuthenticatedExtendedCard",
    }
)
"""0.3 has no `ListTasks`."""

_BY_METHOD: Final[Mapping[str, tuple[Operation, Version]]] = {
    **{operation.value: (operation, "1.0") for operation in Operation},
    **{method: (operation, "0.3") for operation, method in LEGACY_METHODS.items()},
}


@dataclass(frozen=True, slots=True)
class RestRoute:
    """What the path of an HTTP+JSON request says, decoded; empty where it says nothing.

    version  that the path belongs to: 0.3 below `/v1`, else 1.0
    """

    operation: Operation
    version: Version
    tenant: str = ""
    task_id: str = ""
    config_id: str = ""


# --- in --------------------------------------------------------------------------------------


def by_method(method: str) -> tuple[Operation, Version] | None:
    """Return the operation that a JSON-RPC method names, and the version that the name belongs to."""
    return _BY_METHOD.get(method)


def by_path(http_method: str, path: str) -> RestRoute:
    """Return what an HTTP+JSON request asks for.

    path  below the agent's mount, raw as sent, without the query; one trailing slash is the same

    An id may hold colons (`thread:run`): a verb is what follows the last one, and only `cancel` and
    `subscribe` are verbs. Raises `NotFound` for a path of no operation, `BadRequest` (code
    `method_not_allowed`) for one with another HTTP method, and `BadRequest` for a segment that
    servers may read differently: empty, dots, or holding an encoded slash or control.
    """
    segments = _segments(path)
    is_known = False
    for candidate, version, tenant in _readings(segments):
        found = _match(candidate, version)
        if found is None:
            continue
        is_known = True
        operations, task_id, config_id = found
        if http_method in operations:
            return RestRoute(operations[http_method], version, tenant, task_id, config_id)
    if is_known:
        raise BadRequest(
            f"`{http_method[:16]}` is not served at this path",
            code="method_not_allowed",
            hint="see the method mapping of the A2A specification",
        )
    raise NotFound("no operation at this path", hint="the paths of the HTTP+JSON binding are served below the agent")


def _readings(segments: Sequence[str]) -> Sequence[tuple[Sequence[str], Version, str]]:
    """Return the ways to read a path; a tenant is never called like the beginning of a path."""
    if segments and segments[0] == _LEGACY_ROOT:
        return ((segments[1:], "0.3", ""),)
    if len(segments) > 1 and segments[0] not in _RESERVED:
        return ((segments[1:], "1.0", segments[0]),)
    return ((segments, "1.0", ""),)


def _match(segments: Sequence[str], version: Version) -> tuple[Mapping[str, Operation], str, str] | None:
    """Return operations by HTTP method with task and configuration ids, or None for no path of A2A."""
    match list(segments):
        case [only]:
            operations = _FIXED[version].get(only)
            return None if operations is None else (operations, "", "")
        case ["tasks", last]:
            task_id, colon, verb = last.rpartition(":")
            if colon and task_id and verb in _VERBS:
                return _VERBS[verb], task_id, ""
            return {"GET": Operation.GET_TASK}, last, ""
        case ["tasks", task_id, kind] if kind == _PUSH:
            return {"POST": Operation.CREATE_PUSH, "GET": Operation.LIST_PUSH}, task_id, ""
        case ["tasks", task_id, kind, config_id] if kind == _PUSH:
            return {"GET": Operation.GET_PUSH, "DELETE": Operation.DELETE_PUSH}, task_id, config_id
        case _:
            return None


def _segments(path: str) -> list[str]:
    parts = path.removeprefix("/").split("/")
    if parts[-1] == "":
        parts.pop()
    return [_segment(part) for part in parts]


def _segment(raw: str) -> str:
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        raise BadRequest("the path is not UTF-8") from None
    check_segment(text)
    return text


def check_segment(text: str) -> None:
    """Refuse what is no single segment of a path to every server; raises `BadRequest`."""
    if text in ("", ".", "..") or len(text) > MAX_SEGMENT_CHARS or not text.isprintable() or set(text) & set("/\\"):
        raise BadRequest(
            "a part of the path is empty, too long, or holds a slash or a control character",
            hint=f"an id in a path has 1 to {MAX_SEGMENT_CHARS} printable characters without slashes",
        )


# --- out -------------------------------------------------------------------------------------


def method_of(operation: Operation, version: Version) -> str:
    """Return the JSON-RPC method; raises `BadRequest` (`unsupported_operation`) for `ListTasks` in 0.3."""
    if version == "1.0":
        return operation.value
    method = LEGACY_METHODS.get(operation)
    if method is None:
        raise _unsupported(operation)
    return method


def request_line(route: RestRoute) -> tuple[str, str]:
    """Return HTTP method and encoded path of an operation in HTTP+JSON; `by_path` reads it back the same.

    Raises `BadRequest`: `unsupported_operation` where a version has no such path, and for ids that a
    path cannot carry: with slashes or controls, or a task that is called like a verb (`x:cancel`).
    """
    if route.operation is Operation.LIST_TASKS and route.version == "0.3":
        raise _unsupported(route.operation)
    http_method, segments = _line(route)
    if route.version == "0.3":
        segments = (_LEGACY_ROOT, *segments)
    elif route.tenant:
        segments = (route.tenant, *segments)
    for segment in segments:
        check_segment(segment)
    path = "/" + "/".join(quote(segment, safe=_PATH_SAFE) for segment in segments)
    if not _reads_back(route, http_method, path):
        raise BadRequest(
            "this tenant or task cannot be named in a path", hint="it is called like a part of the binding's own paths"
        )
    return http_method, path


def _reads_back(route: RestRoute, http_method: str, path: str) -> bool:
    try:
        return by_path(http_method, path) == route
    except (BadRequest, NotFound):
        return False


def _line(route: RestRoute) -> tuple[str, tuple[str, ...]]:
    http_method, template = _LINES[route.operation]
    if route.operation is Operation.EXTENDED_CARD and route.version == "0.3":
        template = ("card",)
    ids = {"task": route.task_id, "config": route.config_id}
    return http_method, tuple(segment.format_map(ids) for segment in template)


def _unsupported(operation: Operation) -> BadRequest:
    return BadRequest(
        f"`{operation}` does not exist in A2A 0.3", code="unsupported_operation", hint="ask in version 1.0"
    )


_LINES: Final[Mapping[Operation, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        Operation.SEND: ("POST", ("message:send",)),
        Operation.STREAM: ("POST", ("message:stream",)),
        Operation.GET_TASK: ("GET", ("tasks", "{task}")),
        Operation.LIST_TASKS: ("GET", ("tasks",)),
        Operation.CANCEL: ("POST", ("tasks", "{task}:cancel")),
        Operation.SUBSCRIBE: ("POST", ("tasks", "{task}:subscribe")),
        Operation.CREATE_PUSH: ("POST", ("tasks", "{task}", _PUSH)),
        Operation.LIST_PUSH: ("GET", ("tasks", "{task}", _PUSH)),
        Operation.GET_PUSH: ("GET", ("tasks", "{task}", _PUSH, "{config}")),
        Operation.DELETE_PUSH: ("DELETE", ("tasks", "{task}", _PUSH, "{config}")),
        Operation.EXTENDED_CARD: ("GET", ("extendedAgentCard",)),
    }
)
_VERBS: Final[Mapping[str, Mapping[str, Operation]]] = MappingProxyType(
    {
        "cancel": {"POST": Operation.CANCEL},
        "subscribe": {"GET": Operation.SUBSCRIBE, "POST": Operation.SUBSCRIBE},
    }
)
_MESSAGES: Final[Mapping[str, Mapping[str, Operation]]] = {
    "message:send": {"POST": Operation.SEND},
    "message:stream": {"POST": Operation.STREAM},
}
_FIXED: Final[Mapping[Version, Mapping[str, Mapping[str, Operation]]]] = MappingProxyType(
    {
        "1.0": {
            **_MESSAGES,
            "tasks": {"GET": Operation.LIST_TASKS},
            "extendedAgentCard": {"GET": Operation.EXTENDED_CARD},
        },
        "0.3": {**_MESSAGES, "card": {"GET": Operation.EXTENDED_CARD}},
    }
)
_RESERVED: Final = frozenset({_LEGACY_ROOT, *_FIXED["1.0"]})
