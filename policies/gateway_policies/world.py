"""The world that policies speak of: tenants, teams, agents, upstreams, capabilities, toolsets.

Values only, taken from the configuration and the catalogues. Cedar's view of
them is made in `entities`; the checks of a policy's names are in `references`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from gateway_policies.call import Capability, CapabilityKey

ArgumentKind = Literal["Long", "String", "Bool", "Set<String>", "Record", "Other"]
"""What an argument may be, as policies see it; `Other` is compatible with every kind."""

ANY_NAME = "*"  # as an argument's name: this tool also takes names that its schema does not list
MAX_SCHEMA_DEPTH = 8  # below it, an argument's members are not listed


@dataclass(frozen=True, slots=True)
class AgentEntry:
    """A configured agent."""

    id: str
    tenant: str
    teams: tuple[str, ...] = ()  # full names, `tenant/team`
    trust: int = 0


@dataclass(frozen=True, slots=True)
class UpstreamEntry:
    """A registered upstream."""

    name: str
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class World:
    """Everything that a policy may name.

    known         upstreams whose catalogue has been seen: only of these can we say that a tool does not exist
    capabilities  by kind and public name
    arguments     per capability, its arguments (`a`, and `a.b` for members) and their kinds, as
                  `argument_kinds` makes them; one that is not here may have any argument
    chains        whose rights count when somebody acts for others: who acts alone, or everyone's
    """

    tenants: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()  # `tenant/team`
    agents: Mapping[str, AgentEntry] = field(default_factory=dict[str, AgentEntry])
    upstreams: Mapping[str, UpstreamEntry] = field(default_factory=dict[str, UpstreamEntry])
    capabilities: Mapping[CapabilityKey, Capability] = field(default_factory=dict[CapabilityKey, Capability])
    known: frozenset[str] = frozenset()
    toolsets: frozenset[str] = frozenset()
    arguments: Mapping[CapabilityKey, Mapping[str, ArgumentKind]] = field(
        default_factory=dict[CapabilityKey, Mapping[str, ArgumentKind]]
    )
    chains: Literal["actor", "everyone"] = "actor"


def argument_kinds(schema: Mapping[str, object]) -> dict[str, ArgumentKind]:
    """List the arguments that a tool's JSON Schema names, members as `a.b`.

    schema  an `inputSchema`, untrusted: anything that we do not understand is `Other`

    `*` is in the answer when the schema opens itself to other names
    (`additionalProperties` other than false, `patternProperties`, or a combinator).
    """
    kinds: dict[str, ArgumentKind] = {}
    _collect(schema, "", kinds, 0)
    return kinds


def _collect(schema: Mapping[str, object], prefix: str, kinds: dict[str, ArgumentKind], depth: int) -> None:
    if _is_open(schema) or depth >= MAX_SCHEMA_DEPTH:
        kinds[prefix + ANY_NAME] = "Other"
    if depth >= MAX_SCHEMA_DEPTH:
        return
    for name, member in _mapping(schema.get("properties")).items():
        member = _mapping(member)
        kind = _kind(member)
        kinds[prefix + name] = kind
        if kind == "Record":
            _collect(member, f"{prefix}{name}.", kinds, depth + 1)


def _is_open(schema: Mapping[str, object]) -> bool:
    if any(key in schema for key in ("patternProperties", "allOf", "anyOf", "oneOf", "$ref", "if")):
        return True
    return schema.get("additionalProperties", False) is not False


def _kind(schema: Mapping[str, object]) -> ArgumentKind:
    match schema.get("type"):
        case "integer":
            return "Long"
        case "string":
            return "String"
        case "boolean":
            return "Bool"
        case "object":
            return "Record"
        case "array" if _mapping(schema.get("items")).get("type") == "string":
            return "Set<String>"
        case _:
            return "Other"


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}
