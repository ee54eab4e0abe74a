"""Tasks: calls that are answered later, in the words of the extension of 2026-07-28.

The extension is server-directed: a call is answered with a task when the request declared
`io.modelcontextprotocol/tasks`, and `tasks/get`, `tasks/update`, `tasks/cancel` follow it. Sealing
ids, and whose a task is, are left to others.
Source: ext-tasks, specification/draft/tasks; MCP 2025-11-25, basic/utilities/tasks.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from mcp_registry.protocol import envelope
from mcp_registry.protocol.inbound import declares

EXTENSION: Final = "io.modelcontextprotocol/tasks"
GET: Final = "tasks/get"
UPDATE: Final = "tasks/update"
CANCEL: Final = "tasks/cancel"
METHODS: Final = (GET, UPDATE, CANCEL)
CHANGED: Final = "notifications/tasks"
RESULT_TYPE: Final = "task"
TASK_ID: Final = "taskId"

MAX_ID_CHARS: Final = 1024  # of an upstream's own id
MISSING: Final[Mapping[str, object]] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
"""What the `data` of -32021 says to a caller that did not declare the extension."""

DECLARED: Final = Raw(b'{"extensions":{"%b":{}}}' % EXTENSION.encode())
"""The capabilities of who follows tasks and nothing else."""

TERMINAL: Final = frozenset({"completed", "failed", "cancelled"})
STATUSES: Final = frozenset({"working", "input_required", *TERMINAL})


class Task(msgspec.Struct, frozen=True):
    """What every task object says; what else it holds stays raw.

    ttl_ms  from its creation, None for ever
    """

    id: str = msgspec.field(name=TASK_ID)
    status: str
    ttl_ms: int | float | None = msgspec.field(name="ttlMs", default=None)


def is_declared(capabilities: Raw) -> bool:
    """Say whether capabilities, of a client or a server, hold the extension."""
    return b"/tasks" in bytes(capabilities) and declares(capabilities, "extensions", EXTENSION)


def read_created(result: Raw) -> Task | None:
    """Return the task that a call's raw result announces, None when it is another kind of result.

    Raises `ValueError` for a task that nobody could follow.
    """
    return read_task(result) if is_created(result) else None


def is_created(result: Raw) -> bool:
    """Say whether a call's raw result announces a task, one that can be read or not."""
    try:
        return _KIND.decode(result).resultType == RESULT_TYPE
    except (msgspec.DecodeError, RecursionError):
        return False


def read_task(task: Raw) -> Task:
    """Return what a raw task object says; raises `ValueError` (`msgspec.DecodeError` is one) for what is none."""
    found = _TASK.decode(task)
    if not 0 < len(found.id) <= MAX_ID_CHARS:
        raise ValueError(f"a task's id has 1 to {MAX_ID_CHARS} characters")
    if found.status not in STATUSES:
        raise ValueError("a task's status is one of five")
    return found


def with_id(task: Raw, task_id: str) -> Raw:
    """Return a raw task object under another id; its other members as they came."""
    return Raw(envelope.write(envelope.edit(envelope.read_object(task), {TASK_ID: envelope.write(task_id)})))


def renamed(raw: Raw, rename: Callable[[str], str | None]) -> Raw:
    """Return raw JSON in which every `related-task` of a `_meta` names another task; else byte for byte the same.

    rename  gives the other id, None to leave one as it is
    """
    text = bytes(raw)
    if b"related-task" not in text:
        return raw

    def changed(found: re.Match[bytes]) -> bytes:
        name = rename(msgspec.json.decode(found[2], type=str))
        return found[0] if name is None else found[1] + envelope.write(name)

    return Raw(_RELATED.sub(changed, text))


class _Kind(msgspec.Struct):
    resultType: object = None  # noqa: N815 - the wire's word


_KIND: Final = msgspec.json.Decoder(_Kind)
_TASK: Final = msgspec.json.Decoder(Task)
# Inside a text each quotation mark has a backslash before it, so this finds members only.
_RELATED: Final = re.compile(
    rb'("io\.modelcontextprotocol\\?/related-task"\s*:\s*\{(?:[^{}"]|"(?:[^"\\]|\\.)*")*?(?<!\\)"taskId"\s*:\s*)'
    rb'("(?:[^"\\]|\\.)*")'
)
