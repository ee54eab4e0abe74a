"""A small world for policy tests, and Cedar asked directly, as an independent referee."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import cedarpy
from msgspec import structs

from gateway_policies.bundle import PolicyBundle, compile_bundle
from gateway_policies.call import Call, Capability, CapabilityKey
from gateway_policies.entities import Entity, Uid, capability_entity, entity_json, principal_entity, standing_entities
from gateway_policies.kinds import ACTION_OF, TYPE_OF
from gateway_policies.principal import Hop, Principal
from gateway_policies.sources import PolicyErrors, PolicyMistake, PolicySource
from gateway_policies.world import AgentEntry, ArgumentKind, UpstreamEntry, World

MONDAY_NOON = 1_767_614_400.0  # 2026-01-05 12:00:00 UTC


def tool(name: str, upstream: str, risk: int = 2, **more: object) -> Capability:
    """Return the capability `{upstream}__{name}`."""
    made = Capability(f"{upstream}__{name}", name, upstream, risk=risk)
    return replace(made, **more)


LOG = tool("log", "git", risk=1, read_only=True, tags=frozenset({"code"}), toolsets=frozenset({"reading"}))
PUSH = tool("push", "git", risk=6, tags=frozenset({"code", "write"}), price_micros=500)
WIPE = tool("wipe", "git", risk=9, tags=frozenset({"write"}))
NOW = tool("now", "time", risk=0, read_only=True, toolsets=frozenset({"reading"}))

REVIEW = Capability("git__review", "review", "git", "prompt", risk=1, read_only=True, tags=frozenset({"code"}))
SAME_NAME = Capability("git__log", "log", "git", "prompt", risk=4, toolsets=frozenset({"reading"}))
NOTES = Capability("file:///notes/{name}", "file:///notes/{name}", "time", "resource", risk=1, read_only=True)
HEAD = Capability("git://head", "git://head", "git", "resource", risk=2, tags=frozenset({"code"}))
HELPER = Capability("helper", "helper", "helper", "agent", risk=3, tags=frozenset({"write"}))
TRANSLATE = Capability("helper__translate", "translate", "helper", "skill", risk=2, read_only=True)
OTHERS = (REVIEW, SAME_NAME, NOTES, HEAD, HELPER, TRANSLATE)  # whatever is no tool

ARGUMENTS: dict[CapabilityKey, dict[str, ArgumentKind]] = {
    ("tool", "git__log"): {"path": "String", "n": "Long", "flag": "Bool", "labels": "Set<String>", "opts": "Record"},
    ("tool", "git__push"): {"path": "String", "n": "Long", "flag": "Bool", "labels": "Set<String>", "opts": "Record"},
    ("tool", "git__wipe"): {"path": "String", "n": "Long", "flag": "Bool", "labels": "Set<String>", "*": "Other"},
    ("tool", "time__now"): {"path": "String", "zone": "String", "*": "Other"},
    **{item.key: {"uri": "String"} for item in (NOTES, HEAD)},
    **{item.key: {"topic": "String"} for item in (REVIEW, SAME_NAME)},
}

WORLD = World(
    tenants=frozenset({"acme", "rival"}),
    teams=frozenset({"acme/research", "acme/platform", "rival/spies"}),
    agents={
        "planner": AgentEntry("planner", "acme", ("acme/research",), 3),
        "robot": AgentEntry("robot", "acme", ("acme/platform", "acme/research"), 9),
        "mole": AgentEntry("mole", "rival", ("rival/spies",), 5),
    },
    upstreams={
        "git": UpstreamEntry("git", frozenset({"vcs"})),
        "time": UpstreamEntry("time"),
        "helper": UpstreamEntry("helper"),
    },
    capabilities={item.key: item for item in (LOG, PUSH, WIPE, NOW, *OTHERS)},
    known=frozenset({"git", "time", "helper"}),
    toolsets=frozenset({"reading", "empty"}),
    arguments=ARGUMENTS,
)

PLANNER = Principal("agent", "planner", "acme", ("acme/research",), issuer="api_key", trust=3)
ROBOT = Principal("agent", "robot", "acme", ("acme/platform", "acme/research"), trust=9, scopes=frozenset({"code"}))
MOLE = Principal("agent", "mole", "rival", ("rival/spies",), trust=5, scopes=frozenset({"write", "admin"}))
ANA = Principal(
    "user", "ana", "acme", ("acme/research",), "https://idp.example", chain=(Hop("https://idp.example", "x", True),)
)
BUILD = Principal("workload", "build", "rival", (), "https://ci.example", scopes=frozenset({"code"}), trust=1)
EVERYONE = (PLANNER, ROBOT, MOLE, ANA, BUILD)


def bundle(*texts: str, world: World = WORLD) -> PolicyBundle:
    """Compile `texts` as `a.cedar`, `b.cedar`, …."""
    return compile_bundle([PolicySource(f"{chr(97 + n)}.cedar", text) for n, text in enumerate(texts)], world)


def mistakes(*texts: str, world: World = WORLD) -> tuple[PolicyMistake, ...]:
    """Return the mistakes for which `texts` do not load; none when they do."""
    try:
        bundle(*texts, world=world)
    except PolicyErrors as errors:
        return errors.errors
    return ()


def call(
    principal: Principal,
    capability: Capability,
    arguments: Mapping[str, object] | None = None,
    at: float = MONDAY_NOON,
    route: str = "mcp",
    operation: str = "",
) -> Call:
    """Return one attempt, in the action that its kind asks for."""
    return Call("c1", principal, ACTION_OF[capability.kind], capability, arguments or {}, at, route, operation)


def listing(principal: Principal, capability: Capability) -> Call:
    """Return the question whether `principal` may see `capability`."""
    return structs.replace(call(principal, capability), action="list")


def known(entity: Entity | None) -> Entity:
    """Return `entity`, which the world must know."""
    assert entity is not None
    return entity


def cedar_allows(text: str, schema: cedarpy.Schema, attempt: Call, world: World = WORLD) -> bool:
    """Ask Cedar about `attempt` on the whole text and the whole world; an error denies."""
    result = ask_cedar(text, schema, attempt, world)
    return result.decision is cedarpy.Decision.Allow and not result.diagnostics.errors


def ask_cedar(text: str, schema: cedarpy.Schema, attempt: Call, world: World = WORLD) -> cedarpy.AuthzResult:
    """Return what Cedar says of `attempt` on the whole text and world; policies are `policy0` and so on."""
    principal = known(principal_entity(world, attempt.principal))
    resource = known(capability_entity(world, attempt.capability))
    every = standing_entities(
        world,
        [
            *(Uid(TYPE_OF[kind], name) for kind, name in world.capabilities),
            *(Uid("Agent", name) for name in world.agents),
        ],
    )
    entities: list[Entity] = list({**every, principal.uid: principal, resource.uid: resource}.values())
    unix = int(attempt.at)
    request: dict[str, object] = {
        "principal": {"type": principal.uid.type, "id": principal.uid.id},
        "action": f'Action::"{attempt.action}"',
        "resource": {"type": resource.uid.type, "id": resource.uid.id},
        "context": {
            "args": attempt.arguments,
            "now": {"unix": unix, "hour": unix // 3600 % 24, "weekday": (unix // 86400 + 3) % 7 + 1},
            "route": attempt.route,
            "operation": attempt.operation,
            "chain_depth": len(attempt.principal.chain),
        },
    }
    document = json.dumps([entity_json(entity) for entity in entities])
    handle = cedarpy.Entities.from_json_str(document, schema)  # pyright: ignore[reportUnknownMemberType]
    result = cedarpy.is_authorized(request, text, handle, schema)  # pyright: ignore[reportUnknownMemberType]
    assert not any("failed to build" in error for error in result.diagnostics.errors), result.diagnostics.errors
    return result


def names(capabilities: Sequence[Capability]) -> list[str]:
    """Return their public names, in order."""
    return [capability.name for capability in capabilities]
