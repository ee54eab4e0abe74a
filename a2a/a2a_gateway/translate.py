"""One version of A2A in the words of the other: messages, tasks, updates, configurations.

Values in, values out; what nobody here knows is kept where it stands. Requests and
answers are put together from these by `requests` and `results`. Held to the SDK's own
translation by the tests.
Source: A2A 1.0.1, appendix "Migration from 0.3"; A2A 0.3.0, 6.
"""

from collections.abc import Mapping
from typing import Final

from a2a_gateway.answers import Kind, State, state_of, unwrapped
from a2a_gateway.operations import Version
from a2a_gateway.values import Object, Turn, Value, copied, drop_empty, list_of, object_of, turn, turn_each

DATA_MARK: Final = "data_part_compat"  # the SDK's mark on a data part of 0.3 whose data was no object

_ROLES: Final = {"user": "ROLE_USER", "agent": "ROLE_AGENT"}
_OLD_ROLES: Final = {new: old for old, new in _ROLES.items()}
_NEW_WRAPPERS: Final[Mapping[Kind, str]] = {
    "task": "task", "message": "message", "status-update": "statusUpdate", "artifact-update": "artifactUpdate",
}  # fmt: skip


def to_version(kind: Kind, value: Object, version: Version) -> Value:
    """Return a task, message or update of either version in the words of `version`, without a wrapper."""
    return _TO_NEW[kind](value) if version == "1.0" else _TO_OLD[kind](value)


def result_to(result: object, version: Version) -> object:
    """Return what a send or a stream answers: wrapped in 1.0, naming its kind in 0.3; unknown things as they are."""
    found = unwrapped(object_of(result))
    if found is None:
        return result
    kind, inner = found
    turned = to_version(kind, inner, version)
    wrapped: Value = {_NEW_WRAPPERS[kind]: turned}
    return wrapped if version == "1.0" else turned


# --- messages --------------------------------------------------------------------------------


def message_to_new(message: Object) -> Value:
    new = copied(message, "kind")
    if "role" in new:
        new["role"] = _ROLES.get(str(new["role"]), new["role"])
    turn_each(new, "parts", part_to_new)
    return new


def message_to_old(message: Object) -> Value:
    old: Value = {"kind": "message"} | copied(message)
    if "role" in old:
        old["role"] = _OLD_ROLES.get(str(old["role"]), old["role"])
    drop_empty(old, "taskId", "contextId", "referenceTaskIds", "extensions")
    turn_each(old, "parts", part_to_old)
    return old


def part_to_new(part: Object) -> Value:
    """Return a part in 1.0; one that is in 1.0 already is kept."""
    new = copied(part, "kind")
    if isinstance(new.get("file"), dict):
        new = _file_to_new(new, object_of(new["file"]))
    metadata = object_of(new.get("metadata"))
    if metadata.get(DATA_MARK) is True:
        new["data"] = object_of(new.get("data")).get("value", new.get("data"))
        new["metadata"] = copied(metadata, DATA_MARK)
        drop_empty(new, "metadata")
    return new


def part_to_old(part: Object) -> Value:
    """Return a part in 0.3; one that is in 0.3 already is kept."""
    if "kind" in part:
        return copied(part)
    if part.get("text") is not None:
        return {"kind": "text"} | copied(part)
    if "raw" in part or "url" in part:
        return {"kind": "file"} | _file_to_old(part)
    if "data" in part:
        return {"kind": "data"} | _data_to_old(part)
    return copied(part)


def _file_to_new(new: Value, file: Object) -> Value:
    del new["file"]
    for old_name, name in (("uri", "url"), ("bytes", "raw"), ("mimeType", "mediaType"), ("name", "filename")):
        if file.get(old_name) is not None:
            new[name] = file[old_name]
    return new


def _file_to_old(part: Object) -> Value:
    old = copied(part, "raw", "url", "mediaType", "filename")
    file: Value = {}
    for name, old_name in (("url", "uri"), ("raw", "bytes"), ("mediaType", "mimeType"), ("filename", "name")):
        if part.get(name) is not None:
            file[old_name] = part[name]
    drop_empty(file, "mimeType", "name")
    return old | {"file": file}


def _data_to_old(part: Object) -> Value:
    old = copied(part)
    if not isinstance(part["data"], dict):
        old["data"] = {"value": part["data"]}
        old["metadata"] = {**object_of(part.get("metadata")), DATA_MARK: True}
    return old


# --- tasks and updates -----------------------------------------------------------------------


def _task_to_new(task: Object) -> Value:
    new = copied(task, "kind")
    turn(new, "status", status_to_new)
    turn_each(new, "history", message_to_new)
    turn_each(new, "artifacts", artifact_to_new)
    return new


def _task_to_old(task: Object) -> Value:
    old: Value = {"kind": "task"} | copied(task)
    old.setdefault("status", {})
    turn(old, "status", status_to_old)
    drop_empty(old, "history", "artifacts")
    turn_each(old, "history", message_to_old)
    turn_each(old, "artifacts", artifact_to_old)
    return old


def status_to_new(status: Object) -> Value:
    new = copied(status)
    if "state" in new:
        new["state"] = new_state(new["state"])
    turn(new, "message", message_to_new)
    return new


def status_to_old(status: Object) -> Value:
    old: Value = {"state": "unknown"} | copied(status)
    old["state"] = state_of(old["state"]).value
    turn(old, "message", message_to_old)
    return old


def new_state(state: object) -> object:
    """Return a state of either version in 1.0's spelling; one that nobody knows as it is."""
    known = state_of(state)
    if known is not State.UNKNOWN:
        return "TASK_STATE_" + known.value.replace("-", "_").upper()
    return "TASK_STATE_UNSPECIFIED" if state == "unknown" else state


def artifact_to_new(artifact: Object) -> Value:
    new = copied(artifact)
    turn_each(new, "parts", part_to_new)
    return new


def artifact_to_old(artifact: Object) -> Value:
    old = copied(artifact)
    drop_empty(old, "name", "description", "extensions")
    turn_each(old, "parts", part_to_old)
    return old


def _status_update_to_new(update: Object) -> Value:
    new = copied(update, "kind", "final")
    turn(new, "status", status_to_new)
    return new


def _status_update_to_old(update: Object) -> Value:
    """Return a status update in 0.3, which says whether it is the last: it is when the task has ended."""
    old: Value = {"kind": "status-update"} | copied(update)
    old.setdefault("status", {})
    turn(old, "status", status_to_old)
    old["final"] = state_of(object_of(old["status"]).get("state")).is_terminal
    return old


def _artifact_update_to_new(update: Object) -> Value:
    new = copied(update, "kind")
    turn(new, "artifact", artifact_to_new)
    return new


def _artifact_update_to_old(update: Object) -> Value:
    old: Value = {"kind": "artifact-update"} | copied(update)
    turn(old, "artifact", artifact_to_old)
    return old


_TO_NEW: Final[Mapping[Kind, Turn]] = {
    "task": _task_to_new,
    "message": message_to_new,
    "status-update": _status_update_to_new,
    "artifact-update": _artifact_update_to_new,
}
_TO_OLD: Final[Mapping[Kind, Turn]] = {
    "task": _task_to_old,
    "message": message_to_old,
    "status-update": _status_update_to_old,
    "artifact-update": _artifact_update_to_old,
}


# --- configurations --------------------------------------------------------------------------


def push_to_new(config: Object) -> Value:
    """Return a webhook's configuration in 1.0: one scheme in place of a list."""
    new = copied(config)
    turn(new, "authentication", _authentication_to_new)
    return new


def push_to_old(config: Object) -> Value:
    """Return a webhook's configuration in 0.3: a list of schemes in place of one."""
    old = copied(config, "taskId", "tenant")
    drop_empty(old, "id", "token")
    turn(old, "authentication", _authentication_to_old)
    return old


def _authentication_to_new(old: Object) -> Value:
    new = copied(old, "schemes")
    schemes = list_of(old.get("schemes"))
    return new | {"scheme": schemes[0]} if schemes else new


def _authentication_to_old(new: Object) -> Value:
    scheme = new.get("scheme")
    schemes: Value = {"schemes": [scheme] if scheme else []}
    return schemes | copied(new, "scheme")


def task_push_to_new(config: Object) -> Value:
    """Return a task's webhook in 1.0, which is flat."""
    return copied(config, "pushNotificationConfig") | push_to_new(object_of(config.get("pushNotificationConfig")))


def task_push_to_old(config: Object) -> Value:
    """Return a task's webhook in 0.3, which is nested; one that is in 0.3 already is kept."""
    if "pushNotificationConfig" in config:
        return copied(config)
    return {"taskId": config.get("taskId", ""), "pushNotificationConfig": push_to_old(config)}
