"""Runtime expressions: `$inputs.id`, `$steps.find.outputs.pet#/id`, `$response.body#/name`, and texts that hold them.

An expression takes a value out of what is known; it computes nothing. What leads nowhere is ABSENT.
Source: Arazzo 1.1, "Runtime Expressions".
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast

from context_mesh.openapi.jsonpath import BadPath, select
from context_mesh.openapi.members import mapping, text
from context_mesh.openapi.model import ABSENT

MAX_EXPRESSION_CHARS: Final = 2_000
MAX_TEXT_CHARS: Final = 1_000_000  # of a text with expressions in it, filled
MAX_NODES: Final = 20_000  # that a JSONPath of a workflow may touch
MAX_DEPTH: Final = 64  # of a payload

_ROOTS: Final = ("url", "method", "statusCode", "request", "response", "inputs", "outputs", "steps", "workflows")
_SHAPE: Final = re.compile(rf"\$(?:{'|'.join(_ROOTS)}|sourceDescriptions|self)(?![A-Za-z0-9_])[^{{}}\s]*")
_EMBEDDED: Final = re.compile(r"\{(\$[^{}]{1,2000})\}")
_STEP: Final = re.compile(r"\.?([^.\[\]#]+)|\[(\d{1,9})\]")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call came to, as conditions see it.

    status   None: nothing came back
    headers  names in lower case
    body     a JSON value, or a text; ABSENT without one
    request  parameters by location (`header`, `query`, `path`), and `body`
    """

    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: object = ABSENT
    url: str = ""
    method: str = ""
    request: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that expressions may speak of.

    outputs    of a workflow that a step has just called, or of the workflow itself once it ends
    steps      by step id, the outputs of each
    workflows  by workflow id, its `inputs` and `outputs`
    sources    URLs of source descriptions by name
    """

    inputs: Mapping[str, object] = field(default_factory=dict[str, object])
    outputs: Mapping[str, object] = field(default_factory=dict[str, object])
    steps: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    workflows: Mapping[str, object] = field(default_factory=dict[str, object])
    sources: Mapping[str, object] = field(default_factory=dict[str, object])
    reply: Reply = Reply()

    def after(self, reply: Reply, outputs: Mapping[str, object] | None = None) -> "Scene":
        """Return this scene after a call."""
        return replace(self, reply=reply, outputs=outputs or {})


def is_expression(written: object) -> bool:
    """Say whether a value as a whole is one expression."""
    return isinstance(written, str) and len(written) <= MAX_EXPRESSION_CHARS and bool(_SHAPE.fullmatch(written))


def evaluate(expression: str, scene: Scene) -> object:
    """Return what an expression leads to, ABSENT for nothing and for what is no expression."""
    if not is_expression(expression):
        return ABSENT
    path, has_pointer, pointer = expression[1:].partition("#")
    root, _, rest = path.partition(".")
    found = _AT[root](rest, scene) if root in _AT else ABSENT
    return at_pointer(found, pointer) if has_pointer else found


def at_pointer(value: object, pointer: str) -> object:
    """Return what a JSON pointer leads to, ABSENT for nothing. Source: RFC 6901."""
    if pointer and not pointer.startswith("/"):
        return ABSENT
    for token in pointer.split("/")[1:]:
        value = _child(value, token.replace("~1", "/").replace("~0", "~"))
    return value


def _child(value: object, token: str) -> object:
    if isinstance(value, dict):
        return cast("dict[str, object]", value).get(token, ABSENT)
    if isinstance(value, list) and token.isascii() and token.isdigit() and len(token) < 10:
        items = cast("list[object]", value)
        return items[int(token)] if int(token) < len(items) else ABSENT
    return ABSENT


def _members(value: object, path: str) -> object:
    """Return what dots and brackets lead to (`a.b[0].c`); a name may hold dots itself, the longest one counts."""
    members = mapping(value)
    if path in members:
        return members[path]
    at = 0
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            return ABSENT
        value = _child(value, step[1] or step[2])
        at = step.end()
    return value


def _request(rest: str, scene: Scene) -> object:
    part, _, name = rest.partition(".")
    request = scene.reply.request
    if part == "body":
        return _members(request.get("body", ABSENT), name)
    return mapping(request.get(part)).get(name.lower() if part == "header" else name, ABSENT)


def _response(rest: str, scene: Scene) -> object:
    if rest.startswith("header."):
        return scene.reply.headers.get(rest[7:].lower(), ABSENT)
    if rest == "body" or rest.startswith(("body.", "body[")):
        return _members(scene.reply.body, rest[4:].removeprefix("."))
    return ABSENT


def _step(rest: str, scene: Scene) -> object:
    name, _, rest = rest.partition(".")
    field_name, _, output = rest.partition(".")
    if field_name != "outputs":
        return ABSENT
    return _members(scene.steps.get(name, {}), output) if output else dict(scene.steps.get(name, {}))


def _status(rest: str, scene: Scene) -> object:
    return ABSENT if rest or scene.reply.status is None else scene.reply.status


_AT: Final[Mapping[str, Callable[[str, Scene], object]]] = {
    "url": lambda rest, scene: scene.reply.url if not rest else ABSENT,
    "method": lambda rest, scene: scene.reply.method if not rest else ABSENT,
    "statusCode": _status,
    "request": _request,
    "response": _response,
    "inputs": lambda rest, scene: _members(dict(scene.inputs), rest),
    "outputs": lambda rest, scene: _members(dict(scene.outputs), rest),
    "steps": _step,
    "workflows": lambda rest, scene: _members(dict(scene.workflows), rest),
    "sourceDescriptions": lambda rest, scene: _members(dict(scene.sources), rest),
}


# --- values that hold expressions ------------------------------------------------------------


def resolved(written: object, scene: Scene, depth: int = 0) -> object:
    """Return a value with every expression, embedded expression and selector in it put in place.

    Types are kept where a text is one expression. A member or item that leads nowhere is left out;
    the whole is ABSENT when it does itself.
    """
    if depth > MAX_DEPTH:
        return ABSENT
    if isinstance(written, str):
        return _text(written, scene)
    if isinstance(written, dict):
        members = cast("dict[str, object]", written)
        if is_selector(members):
            return _selected(members, scene)
        pairs = ((name, resolved(value, scene, depth + 1)) for name, value in members.items())
        return {name: value for name, value in pairs if value is not ABSENT}
    if isinstance(written, list):
        items = (resolved(value, scene, depth + 1) for value in cast("list[object]", written))
        return [value for value in items if value is not ABSENT]
    return written


def is_selector(written: Mapping[str, object]) -> bool:
    """Say whether an object is a Selector Object (1.1)."""
    return {"context", "selector", "type"} == set(written) and is_expression(written["context"])


def selector_kind(written: object) -> str:
    """Return how a selector is to be read: a word, or the `type` of an Expression Type Object."""
    return text(written) or text(mapping(written).get("type"))


def _selected(selector: Mapping[str, object], scene: Scene) -> object:
    context, query = evaluate(text(selector["context"]), scene), text(selector["selector"])
    kind = selector_kind(selector["type"])
    if kind == "jsonpointer":
        return at_pointer(context, query)
    if kind != "jsonpath" or context is ABSENT:
        return ABSENT
    try:
        nodes = select(query, context, max_nodes=MAX_NODES, has_patterns=False)
    except BadPath:
        return ABSENT
    return nodes[0][1] if len(nodes) == 1 else [value for _, value in nodes] if nodes else ABSENT


def _text(written: str, scene: Scene) -> object:
    if is_expression(written):
        return evaluate(written, scene)
    only = _EMBEDDED.fullmatch(written)
    if only is not None and is_expression(only[1]):
        return evaluate(only[1], scene)
    return embedded(written, scene, as_text) if "{$" in written else written


def embedded(written: str, scene: Scene, spelled: Callable[[object], str]) -> str:
    """Return a text with each `{$…}` in it replaced by its value as `spelled` writes it; at most `MAX_TEXT_CHARS`."""
    parts: list[str] = []
    at = size = 0
    for found in _EMBEDDED.finditer(written):
        if not is_expression(found[1]):
            continue
        parts += [written[at : found.start()], spelled(evaluate(found[1], scene))]
        size += len(parts[-1])
        at = found.end()
        if size > MAX_TEXT_CHARS:
            break
    return "".join([*parts, written[at:]])[:MAX_TEXT_CHARS]


def as_text(value: object) -> str:
    """Return a value as it stands in a text: a text as it is, nothing as nothing, anything else as JSON."""
    if value is ABSENT:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
