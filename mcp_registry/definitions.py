"""Definitions as upstreams give them (tools, prompts, resources, templates): read strictly, judged one by one.

A definition that breaks a rule is a finding and is left out; it never costs the
others anything. Names and views are made by `catalog`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from msgspec import Raw

from gateway_policies import pins, strict_json
from gateway_policies.refusal import BadRequest
from gateway_policies.world import ArgumentKind, argument_kinds
from mcp_registry import names, uris
from mcp_registry.protocol import envelope
from mcp_registry.protocol.headers import HeaderParam, header_params
from mcp_registry.protocol.legacy_tasks import Support, support_of
from mcp_registry.protocol.lists import LISTS, ItemKind

MAX_DEFINITION_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64
MAX_ITEMS: Final = 10_000  # of one kind, of one upstream
MAX_ARGUMENTS: Final = 256  # of one prompt
NO_SCHEMA: Final = Raw(b"{}")

_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "title": (str, "a string"),
    "description": (str, "a string"),
    "mimeType": (str, "a string"),
    "outputSchema": (dict, "an object"),
    "annotations": (dict, "an object"),
    "icons": (list, "an array"),
    "execution": (dict, "an object"),
    "_meta": (dict, "an object"),
}
"""What optional members must be: one that is not would cost a typed client its whole list."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A definition that is not offered, or something an operator should know.

    name  the upstream's word for it, or its position (`#3`) when it has no usable name
    """

    upstream: str
    name: str
    problem: str
    kind: ItemKind = "tools"

    def __str__(self) -> str:
        return f"upstream `{self.upstream}`: {self.noun} `{self.name}`: {self.problem}"

    @property
    def noun(self) -> str:
        return _NOUNS[self.kind]


_NOUNS: Final[Mapping[ItemKind, str]] = {
    "tools": "tool",
    "prompts": "prompt",
    "resources": "resource",
    "resource_templates": "resource template",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """One usable definition, as its upstream gave it.

    native         its name, URI or URI template
    raw            the whole definition, byte for byte
    input_schema   of a tool, raw; `{}` for what has none
    arguments      the kinds that policies may read
    header_params  the arguments that headers mirror
    pin            digest of the whole definition
    template       of a resource template, ready to be matched
    task_support   of a tool: whether it runs as a task
    """

    native: str
    raw: Raw
    input_schema: Raw
    arguments: Mapping[str, ArgumentKind]
    header_params: tuple[HeaderParam, ...]
    pin: str
    kind: ItemKind = "tools"
    template: uris.Template | None = None
    task_support: Support = "forbidden"


def read_definitions(
    upstream: str, raws: Sequence[Raw], kind: ItemKind = "tools"
) -> tuple[tuple[Definition, ...], tuple[Finding, ...]]:
    """Return an upstream's usable definitions in its order, and what is wrong with the others.

    raws  each item of a list, all pages; beyond 10 000 they are left out

    Never raises for what an upstream says.
    """
    found: dict[str, Definition] = {}
    findings: list[Finding] = []
    for index, raw in enumerate(raws[:MAX_ITEMS]):
        read = _read(upstream, kind, f"#{index}", raw)
        if isinstance(read, Finding):
            findings.append(read)
        elif read.native in found:
            findings.append(Finding(upstream, read.native, "the name is used twice; the first one stands", kind))
        else:
            found[read.native] = read
    if len(raws) > MAX_ITEMS:
        what = f"more than {MAX_ITEMS} {_NOUNS[kind]}s; the rest is left out"
        findings.append(Finding(upstream, f"#{MAX_ITEMS}", what, kind))
    return tuple(found.values()), tuple(findings)


def _read(upstream: str, kind: ItemKind, position: str, raw: Raw) -> Definition | Finding:
    body = bytes(raw)
    if len(body) > MAX_DEFINITION_BYTES:
        return Finding(upstream, position, f"the definition has more than {MAX_DEFINITION_BYTES} bytes", kind)
    try:
        parsed = strict_json.parse(body, max_depth=MAX_DEPTH)
    except BadRequest as error:
        return Finding(upstream, position, error.message.replace("the body", "the definition"), kind)
    if not isinstance(parsed, dict):
        return Finding(upstream, position, "the definition is no object", kind)
    members = cast("dict[str, object]", parsed)
    identity = LISTS[kind].identity
    native = members.get(identity)
    if not isinstance(native, str):
        return Finding(upstream, position, f"the definition has no {identity}", kind)
    problem = names.problem_with(native) if identity == "name" else uris.problem_with(native)
    if problem:
        return Finding(upstream, position, problem, kind)
    try:
        return _judged(upstream, kind, native, body, members)
    except ValueError as error:
        return Finding(upstream, native, str(error), kind)


class _UnusableError(ValueError):
    """A definition that breaks a rule."""


def _judged(upstream: str, kind: ItemKind, native: str, body: bytes, members: Mapping[str, object]) -> Definition:
    """Return the definition; raises `ValueError` for one that breaks a rule."""
    for name, (wanted, words) in _TYPES.items():
        if name in members and not isinstance(members[name], wanted):
            raise _UnusableError(f"`{name}` must be {words}")
    pin = pins.digest(upstream, members)
    if kind == "tools":
        _check_tool(members)
        schema = cast("dict[str, object]", members["inputSchema"])
        raw_schema = envelope.read_object(body)["inputSchema"]
        kinds, mirrored, support = argument_kinds(schema), header_params(schema), support_of(members)
        return Definition(native, Raw(body), raw_schema, kinds, mirrored, pin, task_support=support)
    if kind == "prompts":
        return Definition(native, Raw(body), NO_SCHEMA, _prompt_arguments(members), (), pin, kind)
    if not isinstance(members.get("name"), str):
        raise _UnusableError("the definition has no name")
    template = uris.compile_template(native) if kind == "resource_templates" else None
    return Definition(native, Raw(body), NO_SCHEMA, {"uri": "String"}, (), pin, kind, template)


def _check_tool(members: Mapping[str, object]) -> None:
    schema = members.get("inputSchema")
    if not isinstance(schema, dict):
        raise _UnusableError("the definition has no `inputSchema` object")
    if cast("dict[str, object]", schema).get("type", "object") != "object":
        raise _UnusableError("the `inputSchema` is not an object's")


def _prompt_arguments(members: Mapping[str, object]) -> Mapping[str, ArgumentKind]:
    listed = members.get("arguments", [])
    if not isinstance(listed, list):
        raise _UnusableError("`arguments` must be an array")
    arguments = cast("list[object]", listed)
    if len(arguments) > MAX_ARGUMENTS:
        raise _UnusableError(f"a prompt has at most {MAX_ARGUMENTS} arguments")
    kinds: dict[str, ArgumentKind] = {}
    for argument in arguments:
        name = cast("dict[str, object]", argument).get("name") if isinstance(argument, dict) else None
        if not isinstance(name, str):
            raise _UnusableError("an argument of the prompt has no name")
        kinds[name] = "String"
    return kinds
