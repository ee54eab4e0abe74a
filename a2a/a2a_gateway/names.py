"""Names of members: one spelling for each, so that no agent finds in a request what we did not see.

ProtoJSON takes `task_id` for `taskId`, and some decoders ignore case. The underscored
spelling is put into the specification's, and what was rewritten is what is forwarded;
any other spelling of a member that policy or ownership look at is refused.
Source: ProtoJSON, "Field names"; A2A 1.0.1, 5.5 "JSON field naming".
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

from gateway_policies.refusal import BadRequest

PUSH_MEMBERS: Final = ("taskPushNotificationConfig", "pushNotificationConfig", "pushNotification")  # of a configuration

Object = Mapping[str, object]
Shape = Mapping[str, object]  # which members hold governed objects, and their shapes; in a list for lists of them

_GOVERNED: Final = (
    *PUSH_MEMBERS, "message", "configuration", "metadata", "id", "taskId", "contextId", "referenceTaskIds", "messageId",
    "extensions", "parts", "content", "url", "token", "authentication", "tenant", "config", "parent", "configId",
    "name", "pushNotificationConfigId", "scheme", "schemes", "credentials", "file", "uri", "mediaType", "mimeType",
    "fileWithUri",
)  # fmt: skip
_KNOWN: Final = (
    *_GOVERNED, "historyLength", "pageSize", "pageToken", "includeArtifacts", "statusTimestampAfter",
    "returnImmediately", "acceptedOutputModes", "fileWithBytes", "currentGeneration",
)  # fmt: skip
_EXACT: Final = frozenset(_KNOWN)
_UNDERSCORED: Final[Mapping[str, str]] = {
    re.sub("([A-Z])", lambda match: "_" + match[1].lower(), name): name for name in _KNOWN
}
_FOLDED: Final[Mapping[str, str]] = {name.lower(): name for name in _GOVERNED}
_ALIASES: Final[Mapping[str, str]] = {"request": "message"}  # ProtoJSON of 0.3 reads it so

_PART: Final[Shape] = {"file": {}}
_PUSH: Final[Shape] = {"authentication": {}}
_CONFIGURATION: Final[Shape] = dict.fromkeys(PUSH_MEMBERS, _PUSH)
PARAMS: Final[Shape] = {
    "message": {"parts": [_PART], "content": [_PART]},
    "configuration": _CONFIGURATION,
    "config": {**_CONFIGURATION, **_PUSH},
    **_CONFIGURATION,
    **_PUSH,
}


def canonical(value: Object, shape: Shape = PARAMS) -> Object:
    """Return params with every known member spelled as the specification does; the same object when they are.

    Raises `BadRequest` (code `invalid_params`) for a member that stands there in two spellings, and for a
    governed one in a third (`TaskID`). Metadata, data and unknown members are not looked into.
    """
    members = _respelled(value)
    for name, inner in shape.items():
        found = members.get(name)
        new = _in(found, inner)
        if new is not found:
            members = {**members, name: new}
    return members


def _in(found: object, shape: object) -> object:
    """Return a member's value, canonically named; the same object when it was."""
    if isinstance(found, dict) and isinstance(shape, Mapping):
        return canonical(cast("Object", found), cast("Shape", shape))
    if isinstance(found, list) and isinstance(shape, list):
        inner = cast("Sequence[Shape]", shape)[0]
        items = cast("Sequence[object]", found)
        new = [_in(item, inner) for item in items]
        return new if any(one is not other for one, other in zip(new, items, strict=True)) else items
    return found  # pyright: ignore[reportUnknownVariableType]


def _respelled(value: Object) -> Object:
    renamed: dict[str, str] = {}
    for name in value:
        if name in _EXACT:
            continue
        known = _UNDERSCORED.get(name)
        if known is None:
            known = _ALIASES.get(name) or _FOLDED.get(name.replace("_", "").lower())
            if known is not None:
                raise misspelled(known)
        elif known in value:
            raise misspelled(known)
        else:
            renamed[name] = known
    return {renamed.get(name, name): member for name, member in value.items()} if renamed else value


def misspelled(name: str) -> BadRequest:
    return BadRequest(
        f"the member `{name}` is there twice or spelled otherwise",
        code="invalid_params",
        hint="names are spelled as the A2A specification does",
    )
