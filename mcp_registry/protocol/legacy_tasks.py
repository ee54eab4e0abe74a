"""Tasks as 2025-11-25 has them, and the way between them and the extension of 2026-07-28.

There the caller asks for a task (`task` in the params of a call), tools say whether they run as
one (`execution.taskSupport`), and the result is fetched with `tasks/result`. What waits for what,
and whose a task is, are left to others.
Source: MCP 2025-11-25, basic/utilities/tasks; ext-tasks, specification/draft/tasks.
"""

from collections.abc import Mapping
from typing import Final, Literal, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from mcp_registry.protocol import envelope, tasks
from mcp_registry.protocol.envelope import RawObject
from mcp_registry.protocol.inbound import declares

RESULT: Final = "tasks/result"
LIST: Final = "tasks/list"
METHODS: Final = (tasks.GET, RESULT, LIST, tasks.CANCEL)
CHANGED: Final = "notifications/tasks/status"
ASKED: Final = "task"  # the member of a call's params
META_RELATED: Final = "io.modelcontextprotocol/related-task"

Support = Literal["forbidden", "optional", "required"]
OFFERED: Final[Mapping[str, object]] = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
"""The capability that says that tools may be called as tasks."""


def support_of(definition: Mapping[str, object]) -> Support:
    """Return whether a tool runs as a task, by its parsed definition; anything odd counts as `forbidden`."""
    execution = definition.get("execution")
    said = cast("Mapping[str, object]", execution).get("taskSupport") if isinstance(execution, dict) else None
    return cast("Support", said) if said in ("optional", "required") else "forbidden"


def callable_both_ways(definition: Raw) -> Raw:
    """Return a raw definition that says that its tool may run as a task, where it said that it must."""
    members = envelope.read_object(definition)
    execution = envelope.edit(envelope.read_object(members["execution"]), {"taskSupport": b'"optional"'})
    return Raw(envelope.write(envelope.edit(members, {"execution": envelope.write(execution)})))


def is_offered(capabilities: Raw | None) -> bool:
    """Say whether a server's capabilities let its tools be called as tasks."""
    return capabilities is not None and declares(capabilities, "tasks", "requests", "tools", "call")


def read_created(result: Raw) -> Raw | None:
    """Return the raw task that a call's raw result announces, None when it is another kind of result.

    Raises `ValueError` for a task that nobody could follow.
    """
    try:
        found = _CREATED.decode(result).task
    except (msgspec.DecodeError, RecursionError):
        return None
    if isinstance(found, UnsetType):
        return None
    tasks.read_task(found)
    ttl_of(found)
    return found


def ttl_of(task: Raw) -> float | None:
    """Return how long a legacy task lives from its creation, in milliseconds; None for ever."""
    return _LIFE.decode(task).ttl


def created(result: Raw, task: Raw) -> Raw:
    """Return a result that announces a task, with `task` in place of its own."""
    return Raw(envelope.write(envelope.edit(envelope.read_object(result), {"task": task})))


def to_modern(task: Raw, changes: Mapping[str, Raw | bytes | None] | None = None) -> Raw:
    """Return a raw legacy task with the member names of the extension, and with `changes` to its members."""
    return Raw(envelope.write(envelope.edit(_respelled(task, _TO_MODERN), changes or {})))


def to_legacy(task: Raw) -> Raw:
    """Return a raw task of the extension as `tasks/get` of the legacy form tells it: state alone, no outcome.

    A task whose result says `isError` has failed there.
    """
    members = _respelled(task, {name: legacy for legacy, name in _TO_MODERN.items()})
    changes: dict[str, bytes | None] = dict.fromkeys(("result", "error", "inputRequests", "resultType", "_meta"))
    if "result" in members and _says_error(members["result"]):
        changes["status"] = b'"failed"'
    if "ttl" not in members:
        changes["ttl"] = b"null"
    return Raw(envelope.write(envelope.edit(members, changes)))


def unrelated(result: Raw) -> Raw:
    """Return raw JSON without the `related-task` in its `_meta`; the same object when there is none."""
    if b"related-task" not in bytes(result):
        return result
    members = envelope.read_object(result)
    try:
        meta = envelope.read_object(members["_meta"]) if "_meta" in members else {}
    except msgspec.DecodeError:
        return result
    if META_RELATED not in meta:
        return result
    kept = envelope.edit(meta, {META_RELATED: None})
    return Raw(envelope.write(envelope.edit(members, {"_meta": envelope.write(kept) if kept else None})))


def related(result: Raw, task_id: str) -> Raw:
    """Return a raw result whose `_meta` says which task it is of."""
    members = envelope.read_object(result)
    try:
        meta = envelope.read_object(members["_meta"]) if "_meta" in members else {}
    except msgspec.DecodeError:
        meta = {}
    named = envelope.edit(meta, {META_RELATED: envelope.write({tasks.TASK_ID: task_id})})
    return Raw(envelope.write(envelope.edit(members, {"_meta": envelope.write(named)})))


def _respelled(task: Raw, names: Mapping[str, str]) -> RawObject:
    return {names.get(name, name): raw for name, raw in envelope.read_object(task).items()}


def _says_error(result: Raw) -> bool:
    try:
        return _OUTCOME.decode(result).isError is True
    except msgspec.DecodeError:
        return False


class _Created(msgspec.Struct):
    task: Raw | UnsetType = UNSET


class _Life(msgspec.Struct):
    ttl: int | float | None = None


class _Outcome(msgspec.Struct):
    isError: object = False  # noqa: N815 - the wire's word


_TO_MODERN: Final = {"ttl": "ttlMs", "pollInterval": "pollIntervalMs"}
_CREATED: Final = msgspec.json.Decoder(_Created)
_LIFE: Final = msgspec.json.Decoder(_Life)
_OUTCOME: Final = msgspec.json.Decoder(_Outcome)
