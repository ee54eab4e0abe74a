"""Tool definitions as upstreams give them: read strictly, judged one by one.

A definition that breaks a rule is a finding and is left out; it never costs the
other tools anything. Names and views are made by `catalog`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from msgspec import Raw

from gateway_policies import pins, strict_json
from gateway_policies.refusal import BadRequest
from gateway_policies.world import ArgumentKind, argument_kinds
from mcp_registry import names
from mcp_registry.protocol import envelope
from mcp_registry.protocol.headers import HeaderParam, header_params

MAX_DEFINITION_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 64
MAX_TOOLS: Final = 10_000  # of one upstream

_TYPES: Final[Mapping[str, tuple[type, str]]] = {
    "title": (str, "a string"),
    "description": (str, "a string"),
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

    tool  the upstream's word for it, or its position (`#3`) when it has no usable name
    """

    upstream: str
    tool: str
    problem: str


@dataclass(frozen=True, slots=True)
class Definition:
    """One usable tool definition, as its upstream gave it.

    raw            the whole definition, byte for byte
    input_schema   raw
    arguments      the kinds that policies may read
    header_params  the arguments that headers mirror
    pin            digest of the whole definition
    """

    native: str
    raw: Raw
    input_schema: Raw
    arguments: Mapping[str, ArgumentKind]
    header_params: tuple[HeaderParam, ...]
    pin: str


def read_definitions(upstream: str, raws: Sequence[Raw]) -> tuple[tuple[Definition, ...], tuple[Finding, ...]]:
    """Return an upstream's usable definitions in its order, and what is wrong with the others.

    raws  each tool of `tools/list`, all pages; beyond 10 000 they are left out

    Never raises for what an upstream says.
    """
    found: dict[str, Definition] = {}
    findings: list[Finding] = []
    for index, raw in enumerate(raws[:MAX_TOOLS]):
        read = _read(upstream, f"#{index}", raw)
        if isinstance(read, Finding):
            findings.append(read)
        elif read.native in found:
            findings.append(Finding(upstream, read.native, "the name is used twice; the first one stands"))
        else:
            found[read.native] = read
    if len(raws) > MAX_TOOLS:
        findings.append(Finding(upstream, f"#{MAX_TOOLS}", f"more than {MAX_TOOLS} tools; the rest is left out"))
    return tuple(found.values()), tuple(findings)


def _read(upstream: str, position: str, raw: Raw) -> Definition | Finding:
    body = bytes(raw)
    if len(body) > MAX_DEFINITION_BYTES:
        return Finding(upstream, position, f"the definition has more than {MAX_DEFINITION_BYTES} bytes")
    try:
        parsed = strict_json.parse(body, max_depth=MAX_DEPTH)
    except BadRequest as error:
        return Finding(upstream, position, error.message.replace("the body", "the definition"))
    if not isinstance(parsed, dict):
        return Finding(upstream, position, "the definition is no object")
    members = cast("dict[str, object]", parsed)
    native = members.get("name")
    if not isinstance(native, str):
        return Finding(upstream, position, "the definition has no name")
    problem = names.problem_with(native)
    if problem:
        return Finding(upstream, position, problem)
    return _judge(upstream, native, body, members)


def _judge(upstream: str, native: str, body: bytes, members: Mapping[str, object]) -> Definition | Finding:
    problem = _shape_problem(members)
    if problem:
        return Finding(upstream, native, problem)
    try:
        mirrored = header_params(members["inputSchema"])
    except ValueError as error:
        return Finding(upstream, native, str(error))
    return Definition(
        native=native,
        raw=Raw(body),
        input_schema=envelope.read_object(body)["inputSchema"],
        arguments=argument_kinds(cast("dict[str, object]", members["inputSchema"])),
        header_params=mirrored,
        pin=pins.digest(upstream, members),
    )


def _shape_problem(members: Mapping[str, object]) -> str:
    schema = members.get("inputSchema")
    if not isinstance(schema, dict):
        return "the definition has no `inputSchema` object"
    if cast("dict[str, object]", schema).get("type", "object") != "object":
        return "the `inputSchema` is not an object's"
    for name, (kind, words) in _TYPES.items():
        if name in members and not isinstance(members[name], kind):
            return f"`{name}` must be {words}"
    execution = cast("dict[str, object]", members.get("execution", {}))
    if execution.get("taskSupport") == "required":
        return "the tool runs only as a task, which this gateway does not drive"
    return ""
