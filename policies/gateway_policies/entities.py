"""Entities: the world, a principal and a capability as Cedar sees them.

The same entity serves both evaluators: as a value here (`partial` reads it),
and as Cedar's JSON (`entity_json`). A name of an entity:

    Tenant::"acme"   Team::"acme/research"   Upstream::"git"   Toolset::"reading"
    Tool::"git__git_log"      a capability's public name; Prompt, Skill likewise
    Resource::"file:///x"     its URI or URI template; RemoteAgent::"helper" is its upstream's name
    Agent::"planner"          a configured agent
    User::"{issuer}#{subject}", Workload::"{issuer}#{subject}"   anyone else: two issuers
                              may know the same subject, so the issuer is part of the name
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gateway_policies.call import Capability
from gateway_policies.kinds import ACTIONS, GROUP, KIND_OF, TYPE_OF
from gateway_policies.principal import Principal
from gateway_policies.world import World


class Uid(NamedTuple):
    """The name of an entity."""

    type: str
    id: str

    def __str__(self) -> str:
        return f'{self.type}::"{self.id}"'


Scalar = str | int | bool | Uid | frozenset[str]


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity with everything above it; `parents` are direct, `ancestors` are all."""

    uid: Uid
    attrs: Mapping[str, Scalar] = field(default_factory=dict[str, Scalar])
    parents: tuple[Uid, ...] = ()
    ancestors: frozenset[Uid] = frozenset()


_GROUP_UID = Uid("Action", GROUP)
ACTION_ENTITIES: Mapping[Uid, Entity] = {
    uid: Entity(uid, {}, (_GROUP_UID,), frozenset((_GROUP_UID,))) for uid in (Uid("Action", name) for name in ACTIONS)
}
"""Cedar knows its actions from the schema; the evaluator of `partial` looks here."""


def principal_uid(principal: Principal) -> Uid:
    """Return the name under which policies know `principal`."""
    if principal.kind == "agent":
        return Uid("Agent", principal.id)
    return Uid(principal.kind.capitalize(), f"{principal.issuer}#{principal.id}")


def principal_entity(world: World, principal: Principal) -> Entity | None:
    """Return `principal` as an entity, or None when the world does not know it: doubt denies.

    A configured agent's teams are what the configuration says now, whatever
    its token said; its trust is the lower of the two. Another principal needs
    a known tenant, and its teams must be of that tenant (unknown ones of that
    tenant are dropped: no policy can name them).
    """
    if principal.kind == "agent":
        agent = world.agents.get(principal.id)
        if agent is None or agent.tenant != principal.tenant:
            return None
        teams, trust = agent.teams, min(agent.trust, principal.trust)
    else:
        teams, trust = principal.teams, principal.trust
    if principal.tenant not in world.tenants or any(not team.startswith(f"{principal.tenant}/") for team in teams):
        return None
    tenant = Uid("Tenant", principal.tenant)
    parents = (tenant, *(Uid("Team", team) for team in sorted(teams) if team in world.teams))
    attrs: dict[str, Scalar] = {
        "tenant": tenant,
        "trust": trust,
        "scopes": principal.scopes,
        "issuer": principal.issuer,
    }
    return Entity(principal_uid(principal), attrs, parents, frozenset(parents))


def capability_entity(world: World, capability: Capability) -> Entity | None:
    """Return `capability` as an entity, or None unless the world holds exactly this one."""
    known = world.capabilities.get(capability.key)
    if (known is not capability and known != capability) or capability.upstream not in world.upstreams:
        return None
    upstream = Uid("Upstream", capability.upstream)
    parents = (upstream, *(Uid("Toolset", name) for name in sorted(capability.toolsets)))
    attrs: dict[str, Scalar] = {
        "name": capability.name,
        "native": capability.native,
        "upstream": upstream,
        "tags": capability.tags,
        "risk": capability.risk,
        "read_only": capability.read_only,
        "price_micros": capability.price_micros,
    }
    if capability.kind == "resource":
        attrs["uri"] = capability.native
    return Entity(Uid(TYPE_OF[capability.kind], capability.name), attrs, parents, frozenset(parents))


def standing_entities(world: World, named: Iterable[Uid]) -> dict[Uid, Entity]:
    """Return what every decision may need: tenants, teams, upstreams, toolsets, and the capabilities
    and agents that a policy names. Principals and other capabilities are added per decision, so a
    decision costs the same whatever the size of the catalogue.

    named  every entity that stands in a policy; unknown ones are left out
    """
    entities: dict[Uid, Entity] = {}
    for name in world.tenants:
        entities[Uid("Tenant", name)] = Entity(Uid("Tenant", name))
    for name in world.teams:
        tenant = (Uid("Tenant", name.partition("/")[0]),)
        entities[Uid("Team", name)] = Entity(Uid("Team", name), {}, tenant, frozenset(tenant))
    for upstream in world.upstreams.values():
        uid = Uid("Upstream", upstream.name)
        entities[uid] = Entity(uid, {"tags": upstream.tags})
    for name in world.toolsets:
        entities[Uid("Toolset", name)] = Entity(Uid("Toolset", name))
    for uid in named:
        entity = _named_entity(world, uid)
        if entity is not None:
            entities[uid] = entity
    return entities


def _named_entity(world: World, uid: Uid) -> Entity | None:
    kind = KIND_OF.get(uid.type)
    if kind is not None:
        capability = world.capabilities.get((kind, uid.id))
        return None if capability is None else capability_entity(world, capability)
    if uid.type == "Agent":
        agent = world.agents.get(uid.id)
        if agent is not None:
            return principal_entity(
                world, Principal(kind="agent", id=agent.id, tenant=agent.tenant, teams=agent.teams, trust=agent.trust)
            )
    return None


def entity_json(entity: Entity) -> dict[str, object]:
    """Return `entity` as a JSON value in Cedar's entity format."""
    return {
        "uid": {"type": entity.uid.type, "id": entity.uid.id},
        "attrs": {name: _value_json(value) for name, value in entity.attrs.items()},
        "parents": [{"type": parent.type, "id": parent.id} for parent in entity.parents],
    }


def _value_json(value: Scalar) -> object:
    if isinstance(value, Uid):
        return {"__entity": {"type": value.type, "id": value.id}}
    if isinstance(value, frozenset):
        return sorted(value)
    return value
