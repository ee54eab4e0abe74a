"""What an agent's answer tells of tasks, read on its way through; the bytes themselves pass as they are.

Agents differ: some name the kind of an object, some wrap it, one forgets the wrapper. Whatever
looks like a task, a message or an update of one is looked at; the rest is none of our business.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

import msgspec

from agent_gateway.stores.task_store import Seen

MAX_READ_BYTES: Final = 1024 * 1024  # of one event; a larger one passes unread
MAX_SEEN: Final = 512  # tasks that one answer may tell of
REST_STATES: Final = frozenset(  # where a task stays until somebody does something
    {"completed", "failed", "canceled", "rejected", "input_required", "auth_required"}
)
_WRAPPERS: Final = ("task", "message", "statusUpdate", "artifactUpdate")
_BLANK_LINE: Final = re.compile(rb"(?:\r\n|\n|\r)(?:\r\n|\n|\r)")
_LINE: Final = re.compile(rb"\r\n|\n|\r")
_ANY: Final = msgspec.json.Decoder[object](object)

Object = Mapping[str, object]


class Frames:
    """Cuts an event stream at its blank lines without changing a byte.

    An event beyond `MAX_READ_BYTES` comes in pieces; `is_between` says whether the last piece ended one.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._is_open = False  # pieces of an event have been handed out, and it has not ended
        self.is_between = True

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield (bytes as they came, the data of the whole event in them, None for none or for a piece)."""
        data = self._rest + chunk
        at = 0
        for match in _BLANK_LINE.finditer(data):
            frame, at = data[at : match.end()], match.end()
            is_whole, self._is_open, self.is_between = not self._is_open, False, True
            yield frame, data_of(frame) if is_whole else None
        self._rest = data[at:]
        if len(self._rest) > MAX_READ_BYTES:
            self._is_open, self.is_between = True, False
            # What may be the beginning of a blank line stays.
            piece, self._rest = self._rest[:-3], self._rest[-3:]
            yield piece, None

    def end(self) -> bytes:
        """Return what is left when the stream ends inside an event."""
        rest, self._rest = self._rest, b""
        return rest


def data_of(frame: bytes) -> bytes | None:
    """Return the data of one event, None when it has none: a comment, a keep-alive."""
    lines = [line[5:].removeprefix(b" ") for line in _LINE.split(frame) if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def tasks_in(body: bytes) -> list[Seen]:
    """Return the tasks that a JSON answer or event tells of, at most `MAX_SEEN`; none in what is no JSON."""
    try:
        value = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if not isinstance(value, dict):
        return []
    answer = cast("Object", value)
    result = answer.get("result", answer) if "jsonrpc" in answer else answer
    found: dict[str, Seen] = {}
    for candidate in _candidates(result):
        seen = _seen(candidate)
        if seen is not None:
            found[seen.id] = seen
        if len(found) >= MAX_SEEN:
            break
    return list(found.values())


def contexts_in(body: bytes) -> list[str]:
    """Return the contexts that messages in an answer name without a task."""
    try:
        value = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []
    if not isinstance(value, dict):
        return []
    answer = cast("Object", value)
    result = answer.get("result", answer) if "jsonrpc" in answer else answer
    names = (_text(candidate, "contextId") for candidate in _candidates(result))
    return list(dict.fromkeys(name for name in names if name))


def error_in(body: bytes) -> bool:
    """Say whether a JSON answer is a JSON-RPC error."""
    try:
        value = _ANY.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(value, dict) and isinstance(cast("Object", value).get("error"), dict)


def _candidates(result: object) -> Iterator[Object]:
    if not isinstance(result, dict):
        return
    holder = cast("Object", result)
    yield holder
    for name in _WRAPPERS:
        inner = holder.get(name)
        if isinstance(inner, dict):
            yield cast("Object", inner)
    listed = holder.get("tasks")
    if isinstance(listed, list):
        for inner in cast("list[object]", listed):
            if isinstance(inner, dict):
                yield cast("Object", inner)


def _seen(value: Object) -> Seen | None:
    task_id = _text(value, "taskId")
    status = value.get("status")
    if not task_id and (value.get("kind") == "task" or isinstance(status, dict)):
        task_id = _text(value, "id")
    if not task_id:
        return None
    state = _text(cast("Object", status), "state") if isinstance(status, dict) else ""
    return Seen(task_id, _text(value, "contextId"), state_name(state))


def state_name(state: str) -> str:
    """Return a state in one spelling for both versions: `TASK_STATE_INPUT_REQUIRED`, `input-required`."""
    return state.removeprefix("TASK_STATE_").replace("-", "_").lower()


def _text(value: Object, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
