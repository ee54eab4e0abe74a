"""What an agent's answer tells of tasks: read on its way through, never changed here.

Agents differ: some wrap an object in its name, some name its kind, some do both, and one
forgets the wrapper. Whatever looks like a task, a message or an update is looked at;
what does not is none of our business. Nothing here ever raises on an agent's bytes.
Source: A2A 1.0.1, 4.1 and 4.2; A2A 0.3.0, 6.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, cast

import msgspec

MAX_SEEN: Final = 1000  # objects that one answer may tell of
MAX_ID_CHARS: Final = 1024

Object = Mapping[str, object]
Kind = Literal["task", "message", "status-update", "artifact-update"]

WRAPPERS: Final[Mapping[str, Kind]] = {
    "task": "task", "message": "message", "statusUpdate": "status-update", "artifactUpdate": "artifact-update",
}  # fmt: skip
_KINDS: Final[Mapping[str, Kind]] = {kind: kind for kind in WRAPPERS.values()}


class State(StrEnum):
    """Where a task stands, in one spelling for both versions."""

    SUBMITTED = "submitted"
    WORKING = "working"
    INPUT_REQUIRED = "input-required"
    AUTH_REQUIRED = "auth-required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    REJECTED = "rejected"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Nothing will happen any more: what was held for the task is settled."""
        return self in _TERMINAL

    @property
    def is_interrupted(self) -> bool:
        """Nothing will happen until somebody does something."""
        return self in (State.INPUT_REQUIRED, State.AUTH_REQUIRED)


_TERMINAL: Final = frozenset({State.COMPLETED, State.FAILED, State.CANCELED, State.REJECTED})


@dataclass(frozen=True, slots=True)
class Seen:
    """One object of an answer.

    task_id     empty for a message outside any task
    state       None where the object has no status
    """

    kind: Kind
    task_id: str
    context_id: str
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What one answer or event tells.

    error_code  of the JSON-RPC error, or the HTTP status that an HTTP+JSON error names; None for no error
    """

    seen: tuple[Seen, ...] = ()
    error_code: int | None = None


def tell(body: bytes) -> Told:
    """Return what a JSON answer, or the data of one event, tells; nothing for what is no JSON object."""
    try:
        value: object = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Told()
    if not isinstance(value, dict):
        return Told()
    answer = cast("Object", value)
    error = answer.get("error")
    if isinstance(error, dict) and "result" not in answer:
        code = cast("Object", error).get("code")
        return Told(error_code=code if isinstance(code, int) else 0)
    seen: list[Seen] = []
    for one in _objects(answer.get("result") if "jsonrpc" in answer else answer):
        seen.append(one)
        if len(seen) == MAX_SEEN:
            break
    return Told(tuple(seen))


def unwrapped(result: Object) -> tuple[Kind, Object] | None:
    """Return an object of an answer with its kind, whether wrapped, named, both or neither; None for another."""
    for name, kind in WRAPPERS.items():
        inner = result.get(name)
        if isinstance(inner, dict):
            return kind, cast("Object", inner)
    kind = result.get("kind")
    named = _KINDS.get(kind) if isinstance(kind, str) else None
    if named is not None:
        return named, result
    status = result.get("status")
    if isinstance(status, dict):
        return ("status-update" if isinstance(result.get("taskId"), str) else "task"), result
    if isinstance(result.get("artifact"), dict):
        return "artifact-update", result
    if isinstance(result.get("messageId"), str):
        return "message", result
    return None


def state_of(value: object) -> State:
    """Return a state in our spelling: of `TASK_STATE_INPUT_REQUIRED` and of `input-required`."""
    if not isinstance(value, str):
        return State.UNKNOWN
    plain = value.removeprefix("TASK_STATE_").replace("_", "-").lower().replace("cancelled", "canceled")
    return State(plain) if plain in _STATES else State.UNKNOWN


def _objects(result: object) -> Iterator[Seen]:
    if not isinstance(result, dict):
        return
    holder = cast("Object", result)
    tasks = holder.get("tasks")
    if isinstance(tasks, list):
        for task in cast("Sequence[object]", tasks):
            if isinstance(task, dict):
                yield _seen("task", cast("Object", task))
        return
    found = unwrapped(holder)
    if found is not None:
        yield _seen(*found)


def _seen(kind: Kind, value: Object) -> Seen:
    status = value.get("status")
    state = state_of(cast("Object", status).get("state")) if isinstance(status, dict) else None
    return Seen(kind, _id(value, "id" if kind == "task" else "taskId"), _id(value, "contextId"), state)


def _id(value: Object, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) and len(found) <= MAX_ID_CHARS else ""


_STATES: Final = frozenset(State)
_ANY: Final = msgspec.json.Decoder[object](object)
