"""HTTP+JSON of 0.3: ProtoJSON of another model than 0.3's own JSON-RPC.

Messages have `content`, files and data are nested once more, states are spelled as in
1.0 but for one, and webhooks are resources with names. Everything is turned from and
into the words of 1.0.
Source: A2A 0.3.0, `a2a.proto` (package `a2a.v1`); the SDK's 0.3 REST transport.
"""

from dataclasses import dataclass
from typing import Final

from a2a_gateway.operations import MESSAGING, PUSH, STREAMED, Operation
from a2a_gateway.translate import push_to_old
from a2a_gateway.values import Object, Turn, Value, copied, drop_empty, object_of, renamed, turn, turn_each

_CANCELED: Final = "TASK_STATE_CANCELED"
_CANCELLED: Final = "TASK_STATE_CANCELLED"
_ENDED: Final = frozenset({_CANCELED, "TASK_STATE_COMPLETED", "TASK_STATE_FAILED", "TASK_STATE_REJECTED"})
_INLINE_PUSH: Final = "pushNotification"  # of a message's configuration
_PUSH: Final = "pushNotificationConfig"


# --- read: into 1.0 --------------------------------------------------------------------------


def read_params(operation: Operation, params: Object, push_path: tuple[str, ...]) -> Value:
    """Return the body of a request in the words of 0.3's JSON-RPC or of 1.0, as `translate` takes both.

    push_path  where the webhook stands
    """
    if operation in MESSAGING:
        new = copied(params)
        turn(new, "message", read_message)
        turn(new, "configuration", lambda configuration: renamed(configuration, {_INLINE_PUSH: _PUSH}))
        return new
    if operation is not Operation.CREATE_PUSH:
        return copied(params, "name")
    config: Object = params
    for name in push_path:
        config = object_of(config.get(name))
    named = {"id": params.get("configId")} | copied(config)
    drop_empty(named, "id")
    return {_PUSH: named}


def read_result(operation: Operation, value: object) -> object:
    """Return a result in the words of 1.0."""
    return _READ.result(operation, value)


def read_message(message: Object) -> Value:
    new = renamed(message, {"content": "parts"})
    if "content" in message:
        turn_each(new, "parts", _read_part)
    return new


def _read_part(part: Object) -> Value:
    new = copied(part, "file", "data")
    if "file" in part:
        names = {"fileWithUri": "url", "fileWithBytes": "raw", "mimeType": "mediaType", "name": "filename"}
        new |= renamed(object_of(part["file"]), names)
    elif "data" in part:
        new["data"] = object_of(part["data"]).get("data", {})
    return new


def _read_update(update: Object) -> Value:
    return copied(update, "final")


def _read_push(config: Object) -> Value:
    """Return a webhook, its task taken from its name (`tasks/{id}/pushNotificationConfigs/{id}`)."""
    new = copied(config, "name")
    segments = str(config.get("name", "")).split("/")
    if len(segments) == 4:
        new["taskId"] = segments[1]
    return new


# --- write: from 1.0 -------------------------------------------------------------------------


def write_message_params(params: Object) -> Value:
    """Return the body of a send in 1.0 as 0.3's HTTP+JSON has it."""
    old = copied(params, "tenant")
    turn(old, "message", _write_message)
    turn(old, "configuration", _write_configuration)
    return old


def write_push_params(params: Object, task_id: str) -> Value:
    """Return the body of a create request in 1.0 as 0.3's HTTP+JSON has it."""
    config = {_PUSH: push_to_old(params)}
    return {"parent": f"tasks/{task_id}", "configId": params.get("id", ""), "config": config}


def _write_configuration(configuration: Object) -> Value:
    old = copied(configuration, "returnImmediately", "taskPushNotificationConfig")
    old["blocking"] = configuration.get("returnImmediately") is not True
    if "taskPushNotificationConfig" in configuration:
        old[_INLINE_PUSH] = push_to_old(object_of(configuration["taskPushNotificationConfig"]))
    return old


def write_result(operation: Operation, value: object) -> object:
    """Return a result of 1.0 as 0.3's HTTP+JSON has it."""
    return _WRITE.result(operation, value)


def _write_message(message: Object) -> Value:
    old = renamed(message, {"parts": "content"})
    old.pop("referenceTaskIds", None)
    turn_each(old, "content", _write_part)
    return old


def _write_part(part: Object) -> Value:
    file_names = {"url": "fileWithUri", "raw": "fileWithBytes", "mediaType": "mimeType", "filename": "name"}
    old = copied(part, *file_names, "data")
    if "url" in part or "raw" in part:
        old["file"] = {file_names[name]: value for name, value in part.items() if name in file_names}
    elif "data" in part:
        data = part["data"]
        old["data"] = {"data": data if isinstance(data, dict) else {"value": data}}
    return old


def _write_update(update: Object) -> Value:
    old = dict(update)
    if object_of(update.get("status")).get("state") in _ENDED:
        old["final"] = True
    return old


def _write_push(config: Object) -> Value:
    """Return a webhook under its resource name."""
    name = f"tasks/{config.get('taskId', '')}/pushNotificationConfigs/{config.get('id', '')}"
    return {"name": name, _PUSH: push_to_old(config)}


# --- what holds them, alike in both directions ------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    """One direction: how that is turned which differs.

    canceled  the one state that is spelled otherwise, before and after
    update    of a status: what is beside the status
    """

    message: Turn
    part: Turn
    canceled: tuple[str, str]
    update: Turn
    push: Turn

    def result(self, operation: Operation, value: object) -> object:
        result = object_of(value)
        if operation is Operation.SEND or operation in STREAMED:
            turned = dict(result)
            turn(turned, "task", self.task)
            turn(turned, "message", self.message)
            turn(turned, "statusUpdate", self.status_update)
            turn(turned, "artifactUpdate", self.artifact_update)
            return turned
        if operation is Operation.LIST_PUSH:
            turned = dict(result)
            turn_each(turned, "configs", self.push)
            return turned
        if operation in PUSH:
            return self.push(result)
        return self.task(result) if operation in (Operation.GET_TASK, Operation.CANCEL) else result

    def task(self, task: Object) -> Value:
        turned = dict(task)
        turn(turned, "status", self.status)
        turn_each(turned, "history", self.message)
        turn_each(turned, "artifacts", self.artifact)
        return turned

    def status(self, status: Object) -> Value:
        turned = dict(status)
        if turned.get("state") == self.canceled[0]:
            turned["state"] = self.canceled[1]
        turn(turned, "message", self.message)
        return turned

    def artifact(self, artifact: Object) -> Value:
        turned = dict(artifact)
        turn_each(turned, "parts", self.part)
        return turned

    def status_update(self, update: Object) -> Value:
        turned = self.update(update)
        turn(turned, "status", self.status)
        return turned

    def artifact_update(self, update: Object) -> Value:
        turned = dict(update)
        turn(turned, "artifact", self.artifact)
        return turned


_READ: Final = _Way(read_message, _read_part, (_CANCELLED, _CANCELED), _read_update, _read_push)
_WRITE: Final = _Way(_write_message, _write_part, (_CANCELED, _CANCELLED), _write_update, _write_push)
