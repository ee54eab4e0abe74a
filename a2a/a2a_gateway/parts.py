"""The parts of a request that policy and ownership look at, read so that no agent can read them otherwise.

Members have one spelling by now (`names`). Some agents take the keys of both versions: where
two members could name the task or the webhook there must be only one.
Source: A2A 1.0.1, 4.1 to 4.3; A2A 0.3.0, 6 and 7.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

from a2a_gateway.names import PUSH_MEMBERS
from a2a_gateway.operations import MESSAGING, PUSH, Operation, Version
from gateway_policies.refusal import BadRequest

MAX_ID_CHARS: Final = 1024
MAX_URL_CHARS: Final = 8192  # of a webhook, a token or credentials
MAX_REFERENCES: Final = 100
MAX_EXTENSIONS: Final = 64
MAX_EXTENSION_CHARS: Final = 1024
MAX_MESSAGE_PARTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Push:
    """Where an agent is asked to post updates of a task.

    path  the members from the params down to this configuration, () when the params are one
    """

    path: tuple[str, ...]
    url: str
    id: str = ""
    token: str = ""
    scheme: str = ""
    credentials: str = ""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a request names; empty where it names nothing.

    task_id          the task it is about, or continues
    config_id        of a push configuration
    media_types      of the message's parts, declared or `text/plain` and `application/json`; no repeats
    url_hosts        hosts of the message's parts that are URLs; `?` for a URL without one
    extensions       URIs that the message declares
    is_blocking      whether the answer may wait for the task to come to rest
    """

    tenant: str = ""
    task_id: str = ""
    context_id: str = ""
    reference_task_ids: tuple[str, ...] = ()
    message_id: str = ""
    config_id: str = ""
    push: Push | None = None
    media_types: tuple[str, ...] = ()
    url_hosts: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    is_blocking: bool = True

    def arguments(self) -> dict[str, object]:
        """Return what a policy may read, the same for every dialect; what is not named is left out."""
        named: dict[str, object] = {
            "tenant": self.tenant,
            "taskId": self.task_id,
            "contextId": self.context_id,
            "referenceTaskIds": list(self.reference_task_ids),
            "messageId": self.message_id,
            "mediaTypes": list(self.media_types),
            "urlHosts": list(self.url_hosts),
            "extensions": list(self.extensions),
            "pushUrl": self.push.url if self.push else "",
        }
        return {name: value for name, value in named.items() if value}


Object = Mapping[str, object]


def read(operation: Operation, version: Version, params: Object) -> Parts:
    """Return the parts of parsed params, canonically named: of a JSON-RPC request, or of an HTTP+JSON body.

    Ids that only a path bears are added by the caller. Raises `BadRequest` (code `invalid_params`) for
    a governed member of the wrong type, or one that is named twice in different ways.
    """
    if operation in MESSAGING:
        return _message(params)
    if operation in PUSH:
        return _push_call(operation, version, params)
    if operation in (Operation.LIST_TASKS, Operation.EXTENDED_CARD):
        return Parts(tenant=text(params, "tenant"), context_id=text(params, "contextId"))
    return Parts(tenant=text(params, "tenant"), task_id=_same(params, "id", "taskId"))


def _message(params: Object) -> Parts:
    message = _object(params, "message")
    if message is None:
        raise invalid("`message` is missing")
    configuration = _object(params, "configuration") or {}
    parts = _parts(message)
    return Parts(
        tenant=text(params, "tenant"),
        task_id=text(message, "taskId"),
        context_id=text(message, "contextId"),
        reference_task_ids=_texts(message, "referenceTaskIds", MAX_REFERENCES),
        message_id=text(message, "messageId"),
        push=_inline_push(configuration),
        media_types=tuple(dict.fromkeys(media_type(part) for part in parts)),
        url_hosts=tuple(dict.fromkeys(host for part in parts for host in _url_hosts(part))),
        extensions=_texts(message, "extensions", MAX_EXTENSIONS),
        is_blocking=_is_blocking(configuration),
    )


def _is_blocking(configuration: Object) -> bool:
    """Say whether an agent of either version would wait; only what says otherwise plainly is believed."""
    return configuration.get("returnImmediately") is not True and configuration.get("blocking") is not False


# --- push ------------------------------------------------------------------------------------


def _inline_push(configuration: Object) -> Push | None:
    named = [name for name in PUSH_MEMBERS if configuration.get(name) is not None]
    if len(named) > 1:
        raise invalid("a configuration names a webhook twice")
    config = _object(configuration, named[0]) if named else None
    return _push(("configuration", named[0]), config) if config is not None else None


def _push_call(operation: Operation, version: Version, params: Object) -> Parts:
    tenant = text(params, "tenant")
    if operation is Operation.CREATE_PUSH:
        push = _created_push(params)
        config_id = _one({push.id, text(params, "configId")}, "a push configuration has two ids")
        return Parts(tenant=tenant, task_id=text(params, "taskId"), config_id=config_id, push=push)
    if version == "1.0":
        return Parts(tenant=tenant, task_id=text(params, "taskId"), config_id=text(params, "id"))
    task_id = _same(params, "id", "taskId")  # 0.3 calls the task `id` here
    return Parts(tenant=tenant, task_id=task_id, config_id=text(params, "pushNotificationConfigId"))


def _created_push(params: Object) -> Push:
    """Return the one webhook of a create request.

    1.0 is flat, 0.3 has `pushNotificationConfig`, and 0.3's HTTP+JSON of the Python SDK puts that below `config`.
    """
    found = [((), params)] if params.get("url") is not None else []
    found += [((name,), below) for name in PUSH_MEMBERS if (below := _object(params, name)) is not None]
    config = _object(params, "config")
    if config is not None:
        found += [(("config",), config)] if config.get("url") is not None else []
        found += [(("config", name), below) for name in PUSH_MEMBERS if (below := _object(config, name)) is not None]
    if len(found) != 1:
        raise invalid("a push configuration names its webhook twice" if found else "the webhook's `url` is missing")
    return _push(*found[0])


def _push(path: tuple[str, ...], config: Object) -> Push:
    url = text(config, "url", MAX_URL_CHARS)
    if not url:
        raise invalid("the webhook's `url` is missing")
    authentication = _object(config, "authentication") or {}
    schemes = _texts(authentication, "schemes", MAX_EXTENSIONS)
    return Push(
        path,
        url,
        id=text(config, "id"),
        token=text(config, "token", MAX_URL_CHARS),
        scheme=text(authentication, "scheme") or (schemes[0] if schemes else ""),
        credentials=text(authentication, "credentials", MAX_URL_CHARS),
    )


# --- parts of a message ----------------------------------------------------------------------


def _parts(message: Object) -> Sequence[Object]:
    """Return the message's parts; HTTP+JSON of 0.3 calls them `content`."""
    if message.get("parts") is not None and message.get("content") is not None:
        raise invalid("a message has `parts` or `content`, not both")
    value = message.get("parts", message.get("content"))
    if value is None:
        return ()
    if not isinstance(value, list) or len(cast("list[object]", value)) > MAX_MESSAGE_PARTS:
        raise invalid(f"`parts` must be a list of at most {MAX_MESSAGE_PARTS} objects")
    parts = cast("list[object]", value)
    for part in parts:
        if not isinstance(part, dict):
            raise invalid("every part must be an object")
    return cast("list[Object]", parts)


def media_type(part: Object) -> str:
    """Return the media type of a part in lower case, as it declares or as its kind implies."""
    file = _object(part, "file") or {}
    declared = text(part, "mediaType") or text(part, "mimeType") or text(file, "mimeType")
    if declared:
        return declared.lower()
    if part.get("data") is not None:
        return "application/json"
    return "text/plain" if part.get("text") is not None else "application/octet-stream"


def _url_hosts(part: Object) -> Iterator[str]:
    file = _object(part, "file") or {}
    for url in (part.get("url"), file.get("uri"), file.get("fileWithUri")):
        if isinstance(url, str) and url:
            try:
                yield urlsplit(url).hostname or "?"
            except ValueError:
                yield "?"


# --- members ---------------------------------------------------------------------------------


def text(members: Object, name: str, max_chars: int = MAX_ID_CHARS) -> str:
    """Return a string member, empty when it is absent or null; raises `BadRequest` for anything else."""
    value = members.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > max_chars:
        raise invalid(f"`{name}` must be a string of at most {max_chars} characters")
    return value


def _same(members: Object, *names: str) -> str:
    """Return the one value that equivalent members have."""
    named = " and ".join(f"`{name}`" for name in names)
    return _one({text(members, name) for name in names}, f"{named} name different tasks")


def _one(values: Set[str], problem: str) -> str:
    """Return the value that is not empty, empty for none; raises `BadRequest` when there are two."""
    found = values - {""}
    if len(found) > 1:
        raise invalid(problem)
    return "".join(found)


def _texts(members: Object, name: str, max_items: int) -> tuple[str, ...]:
    value = members.get(name)
    if value is None:
        return ()
    items = cast("list[object]", value) if isinstance(value, list) else None
    if items is None or len(items) > max_items:
        raise invalid(f"`{name}` must be a list of at most {max_items} strings")
    if not all(isinstance(item, str) and len(item) <= MAX_ID_CHARS for item in items):
        raise invalid(f"`{name}` must hold strings of at most {MAX_ID_CHARS} characters")
    return tuple(cast("list[str]", items))


def _object(members: Object, name: str) -> Object | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid(f"`{name}` must be an object")
    return cast("Object", value)


def invalid(message: str, hint: str = "see the shapes of the A2A specification") -> BadRequest:
    return BadRequest(message, code="invalid_params", hint=hint)
