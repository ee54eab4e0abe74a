"""The arguments of a step's call: its parameters, and its payload with everything put in place."""

import json
from collections.abc import Mapping
from typing import Final, cast
from urllib.parse import unquote_plus

from context_mesh.arazzo.binding import BoundStep
from context_mesh.arazzo.expressions import MAX_NODES, Scene, as_text, embedded, resolved
from context_mesh.arazzo.model import Payload, Step
from context_mesh.openapi.jsonpath import BadPath, Key, select
from context_mesh.openapi.model import ABSENT

MAX_PAIRS: Final = 500  # of a form that is written as a text


class BadPayload(Exception):
    """The payload cannot be made; says why."""


def arguments_of(step: Step, bound: BoundStep, scene: Scene) -> tuple[dict[str, object], dict[str, object]]:
    """Return the arguments of the tool, and the request as expressions see it.

    What leads nowhere is left out: the tool's schema says whether that will do. Raises `BadPayload`.
    """
    arguments: dict[str, object] = {}
    request: dict[str, dict[str, object]] = {}
    for given in step.parameters:
        name = given.name.lower() if given.location == "header" else given.name
        argument = bound.parameters.get((given.location, name))
        value = resolved(given.value, scene)
        if argument is None or value is ABSENT:
            continue
        arguments[argument] = value
        request.setdefault(given.location, {})[name] = value
    body = ABSENT if step.payload is None else _body(step.payload, bound, scene)
    if body is ABSENT:
        return arguments, dict(request)
    if bound.body:
        return arguments | {bound.body: body}, {**request, "body": body}
    if not isinstance(body, dict):
        raise BadPayload("the payload is no object, and the operation takes one")
    members = cast("dict[str, object]", body)
    for name, value in members.items():
        if name not in bound.fields:
            raise BadPayload(f"the operation takes no `{name[:100]}` in its body")
        arguments[bound.fields[name]] = value
    return arguments, {**request, "body": body}


def _body(payload: Payload, bound: BoundStep, scene: Scene) -> object:
    body = _value(payload, bound, scene)
    for one in payload.replacements:
        value = resolved(one.value, scene)
        if value is not ABSENT:
            body = _replaced(body, _targets(one.target, body, is_path=one.is_path), value)
    return body


def _value(payload: Payload, bound: BoundStep, scene: Scene) -> object:
    written = payload.value
    if not isinstance(written, str) or "{$" not in written:
        return _read(resolved(written, scene), payload, bound) if isinstance(written, str) else resolved(written, scene)
    media = _media(payload, bound)
    if media.endswith("json"):
        return _json(written, scene)
    if media == "application/x-www-form-urlencoded":
        return {name: resolved(value, scene) for name, value in _pairs(written).items()}
    return resolved(written, scene)


def _media(payload: Payload, bound: BoundStep) -> str:
    body = bound.tool.operation.body
    return payload.content_type.partition(";")[0].strip().lower() or (body.media.name if body is not None else "")


def _read(value: object, payload: Payload, bound: BoundStep) -> object:
    """Return a payload that is one text, or one expression, as the value that it spells."""
    if not isinstance(value, str):
        return value
    media = _media(payload, bound)
    if media == "application/x-www-form-urlencoded":
        return _pairs(value)
    try:
        return cast("object", json.loads(value)) if media.endswith("json") else value
    except (ValueError, RecursionError):
        return value


def _json(written: str, scene: Scene) -> object:
    """Return a JSON text with expressions in it as a value.

    INVARIANT: what is put in changes no structure: it stands within a text of the template, or is one whole value.
    """
    try:
        return resolved(json.loads(written), scene)
    except (ValueError, RecursionError):
        pass
    try:
        return cast("object", json.loads(embedded(written, scene, _spelled)))
    except (ValueError, RecursionError):
        raise BadPayload("the payload is no JSON") from None


def _spelled(value: object) -> str:
    """Return a value as it may stand in a JSON text, in quotes or without them: a text without its own."""
    if isinstance(value, str):
        return json.dumps(value)[1:-1]
    return as_text(value) or "null"


def _pairs(written: str) -> dict[str, object]:
    """Return the fields of a form; a name that comes again makes a list."""
    found: dict[str, object] = {}
    for pair in written.split("&")[:MAX_PAIRS]:
        name, _, value = pair.partition("=")
        plain = value if "{$" in value else unquote_plus(value)
        before = found.get(unquote_plus(name), ABSENT)
        more = [*cast("list[object]", before), plain] if isinstance(before, list) else [before, plain]
        found[unquote_plus(name)] = plain if before is ABSENT else more
    return found


# --- replacements ----------------------------------------------------------------------------


def _targets(target: str, body: object, *, is_path: bool) -> list[tuple[Key, ...]]:
    if not is_path:
        return [tuple(token.replace("~1", "/").replace("~0", "~") for token in target.split("/")[1:])]
    try:
        return [path for path, _ in select(target, body, max_nodes=MAX_NODES, has_patterns=False)]
    except BadPath as bad:
        raise BadPayload(f"a replacement cannot be made: {bad}") from None


def _replaced(body: object, targets: list[tuple[Key, ...]], value: object) -> object:
    for path in targets:
        body = _set(body, path, value)
    return body


def _set(body: object, path: tuple[Key, ...], value: object) -> object:
    """Return a value in which the one at `path` is another; members on the way are made, items are not."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(body, list):
        items = [*cast("list[object]", body)]
        index = int(key) if isinstance(key, int) or (key.isascii() and key.isdigit() and len(key) < 10) else -1
        if not 0 <= index < len(items):
            raise BadPayload(f"a replacement leads to the item `{str(key)[:50]}`, which is not there")
        items[index] = _set(items[index], rest, value)
        return items
    if body is not ABSENT and not isinstance(body, dict):
        raise BadPayload(f"a replacement leads to `{str(key)[:50]}` of something that is no object")
    members: Mapping[str, object] = cast("dict[str, object]", body) if body is not ABSENT else {}
    return {**members, str(key): _set(members.get(str(key), ABSENT), rest, value)}
