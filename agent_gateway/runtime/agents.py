"""Agents as they are served: from configuration and card to capabilities, target and endpoints.

The card that was seen first is the approved one, for every worker and after every restart. One that
differs later is told as a finding, and served once an operator has approved it.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit, urlunsplit

from a2a_gateway import cards
from a2a_gateway.cards import Card, Interface
from a2a_gateway.operations import Binding, Dialect, Version
from a2a_gateway.scrub import Scrubber
from agent_gateway.config.root import Config
from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.identity.card_keys import check_card, keys_of
from agent_gateway.identity.delegation import check_chain
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.ports import AgentUpstream, Listed, ServerInfo
from agent_gateway.runtime.pinning import Pinning
from agent_gateway.runtime.upstream_set import Kept
from agent_gateway.snapshot import AgentRoute, RemoteAgent, Target
from agent_gateway.upstreams.a2a_http import HttpAgent
from agent_gateway.upstreams.agent_client import GRPC_PATH
from agent_gateway.upstreams.agent_tools import CAPABILITIES, AgentTools, Way, definitions
from gateway_policies.call import Capability
from gateway_policies.principal import Principal
from gateway_policies.refusal import Refusal, UpstreamFailed
from mcp_registry import names
from mcp_registry.catalog import Rule, Toolset, ruled
from mcp_registry.protocol.lists import ItemKind

PREFIX = "/a2a/"
REGISTRY = "/registry"  # where what may be found here is searched
_BINDINGS: Mapping[str, Binding] = {"jsonrpc": "JSONRPC", "http+json": "HTTP+JSON"}
_VERSIONS: tuple[Version, ...] = ("1.0", "0.3")


@dataclass(frozen=True, slots=True)
class SeenCard:
    """What an agent showed.

    approved  what is served
    latest    what it shows now, when that is another one
    """

    approved: Card | None = None
    latest: Card | None = None
    missing: str = ""  # public reason; empty while it answers

    @property
    def drift(self) -> str:
        if self.approved is None or self.latest is None:
            return ""
        changes = cards.drift(self.approved.raw, self.latest.raw).changes
        return "; ".join(change.path for change in changes[:8])


UNSEEN = SeenCard()


async def look_at_agent(
    agent: AgentUpstream, itself: Principal, before: SeenCard | None, keys: str | None = None
) -> SeenCard:
    """Ask an agent for its card; what was approved stays so when it shows another one, or none.

    keys  the text of a JWK set: only a card that is signed with one of them counts
    """
    approved = before.approved if before is not None else None
    try:
        card = cards.parse(await agent.card(itself))
        if keys is not None:
            check_card(card, keys_of(keys))
    except ValueError as error:
        return SeenCard(approved, missing=f"its `card_keys` cannot be used: {error}")
    except Refusal as refusal:
        return SeenCard(approved, missing=refusal.message)
    if approved is None or cards.pin(agent.name, card.raw) == cards.pin(agent.name, approved.raw):
        return SeenCard(approved or card)
    return SeenCard(approved, card)


async def held_to_pin(
    pinning: Pinning, name: str, config: A2aUpstream, seen: SeenCard, before: SeenCard | None
) -> SeenCard:
    """Return what an agent showed with the card that is approved, whatever this worker saw first."""
    shown = seen.latest or seen.approved
    if seen.missing or shown is None:
        return seen
    try:
        approved = await asyncio.to_thread(pinning.card, name, urlsplit(config.url).netloc, shown)
    except Refusal as refusal:  # what was approved cannot be told: nothing new is served
        return SeenCard(before.approved if before is not None else None, missing=refusal.message)
    return SeenCard(approved) if approved is shown else SeenCard(approved, shown)


def agents_of(
    config: Config, kept: Mapping[str, Kept], seen: Mapping[str, SeenCard], toolsets: Sequence[Toolset]
) -> dict[str, RemoteAgent]:
    """Return every agent among the upstreams as it is served."""
    found: dict[str, RemoteAgent] = {}
    for name, one in kept.items():
        entry = config.upstreams[name]
        if isinstance(one.upstream, HttpAgent) and isinstance(entry, A2aUpstream):
            found[name] = make_agent(name, entry, one.upstream, seen[name], toolsets)
    return found


def make_agent(
    name: str, config: A2aUpstream, upstream: AgentUpstream, seen: SeenCard, toolsets: Sequence[Toolset]
) -> RemoteAgent:
    """Return the agent as it is served; without a usable card, one of which nothing is."""
    tags = frozenset(config.tags)
    own = Rule("*", tags, config.risk, config.read_only, config.price_micros)
    card = seen.approved
    whole = Capability(name, name, name, "agent", pin="" if card is None else cards.pin(name, card.raw))
    capability = _in_toolsets(ruled(whole, own) or whole, toolsets)
    if card is None:
        return RemoteAgent(name, config, upstream, None, (), capability, {})
    rules = [
        own,
        *(
            Rule(pattern, frozenset(rule.tags), rule.risk, rule.read_only, rule.price_micros, rule.hide)
            for pattern, rule in config.rules().items()
        ),
    ]
    skills = {skill: _in_toolsets(found, toolsets) for skill, found in _skills(name, card, rules) if found is not None}
    return RemoteAgent(name, config, upstream, card, targets_of(config, card), capability, skills, seen.drift)


def _skills(name: str, card: Card, rules: Sequence[Rule]) -> Iterator[tuple[str, Capability | None]]:
    usable = [skill.id for skill in card.skills if not names.problem_with(skill.id)]
    public = names.public_names(name, usable)
    for skill in card.skills:
        if skill.id in public:
            capability = Capability(public[skill.id], skill.id, name, "skill", pin=cards.pin(name, skill.raw))
            yield skill.id, ruled(capability, *rules)


def _in_toolsets(capability: Capability, toolsets: Sequence[Toolset]) -> Capability:
    held = frozenset(toolset.name for toolset in toolsets if toolset.names(capability.name))
    return replace(capability, toolsets=held)


def targets_of(config: A2aUpstream, card: Card) -> Sequence[Target]:
    """Return where and how the agent is spoken to, newest version first; none when its card names no known way.

    Of a card's URL only path and query count: the origin is the registered one. gRPC is spoken where it is asked
    for, and where the card offers nothing else.
    """
    if config.binding == "grpc":
        return _over_grpc(config, card) or _told_grpc(config)
    wanted_version = None if config.version == "auto" else config.version
    wanted_binding = _BINDINGS.get(config.binding)
    ways = [
        (interface, Dialect(version, binding))
        for version in _VERSIONS
        for interface in card.interfaces
        for binding in _BINDINGS.values()
        if (interface.version, interface.binding) == (version, binding)
        and wanted_version in (None, version)
        and wanted_binding in (None, binding)
        and urlsplit(interface.url).path != GRPC_PATH  # the mark of what goes over gRPC, which no card sets
    ]
    if not ways and config.endpoint is not None and wanted_version is not None and wanted_binding is not None:
        return [Target(config.endpoint, Dialect(wanted_version, wanted_binding))]
    return [
        Target(config.endpoint or _on_origin(config.url, interface), dialect, interface.tenant)
        for interface, dialect in ways
    ] or (_over_grpc(config, card) if config.binding == "auto" else [])


def _over_grpc(config: A2aUpstream, card: Card) -> Sequence[Target]:
    """Return the gRPC interface of a card; what is sent there is written as JSON-RPC, and translated last."""
    interface = card.interface("1.0", "GRPC")
    if interface is None or config.version == "0.3":
        return []
    return [Target(_on_grpc(config.url), Dialect("1.0", "JSONRPC"), interface.tenant)]


def _told_grpc(config: A2aUpstream) -> Sequence[Target]:
    if config.endpoint is None or config.version != "1.0":
        return []
    return [Target(_on_grpc(config.endpoint), Dialect("1.0", "JSONRPC"))]


def _on_grpc(url: str) -> str:
    base = urlsplit(url)
    return urlunsplit((base.scheme, base.netloc, GRPC_PATH, "", ""))


def _on_origin(url: str, interface: Interface) -> str:
    base, said = urlsplit(url), urlsplit(interface.url)
    return urlunsplit((base.scheme, base.netloc, said.path or "/", said.query, ""))


def paths_of(agents: Mapping[str, RemoteAgent]) -> dict[str, tuple[RemoteAgent, str]]:
    """Return (agent, skill) by the path of each endpoint."""
    found: dict[str, tuple[RemoteAgent, str]] = {}
    for name, agent in agents.items():
        if agent.card is None:
            continue
        found[f"{PREFIX}{name}"] = (agent, "")
        for skill in agent.skills:
            found[f"{PREFIX}{name}/skills/{quote(skill, safe='')}"] = (agent, skill)
    return found


def routes_of(paths: Mapping[str, tuple[RemoteAgent, str]], endpoints: Endpoints) -> dict[str, AgentRoute]:
    """Return the endpoints by path."""
    return {
        path: AgentRoute(path, path.removeprefix("/"), endpoints.url(path), endpoints.metadata_url(path), agent, skill)
        for path, (agent, skill) in paths.items()
    }


def tools_of(config: Config, name: str, seen: SeenCard) -> Mapping[ItemKind, Listed]:
    """Return the tools that stand for an agent, none unless its entry asks for them."""
    entry, card = config.upstreams[name], seen.approved
    if not isinstance(entry, A2aUpstream) or not entry.as_tools or card is None:
        return {}
    hidden = (*entry.urls().values(), *(one.url for one in card.interfaces))
    scrubber = Scrubber(hidden, f"{config.listeners.data.url}{PREFIX}{name}")
    return {"tools": Listed(definitions(card, scrubber.text))}


def info_of(config: Config, name: str, seen: SeenCard) -> ServerInfo | None:
    """Return what an agent offers as a server of tools, None when it is none; its own words stay in its card."""
    entry = config.upstreams[name]
    if not isinstance(entry, A2aUpstream) or not entry.as_tools or seen.approved is None:
        return None
    return ServerInfo("modern", "", None, CAPABILITIES, None)


def bridges_of(config: Config, agents: Mapping[str, RemoteAgent]) -> dict[str, AgentTools]:
    """Return the agents that are servers of tools too."""
    found: dict[str, AgentTools] = {}
    for name, agent in agents.items():
        if agent.is_bridged and agent.card is not None:
            target = agent.targets[0]
            check = _checking(name, agent.config.acts_as, config.token_service.max_chain)
            found[name] = AgentTools(agent.upstream, agent.card, Way(target.url, target.dialect, target.tenant), check)
    return found


def _checking(name: str, acts_as: str | None, max_chain: int) -> Callable[[Principal], None]:
    return lambda principal: check_chain(name, acts_as, principal, max_chain)


def drifts_of(agents: Mapping[str, RemoteAgent]) -> list[str]:
    """Return a sentence for each agent whose card is another one than was approved."""
    return [
        f"the card of agent `{agent.name}` has changed and the approved one is served: {agent.drift}; "
        "`agent-gateway pins diff` shows it"
        for agent in agents.values()
        if agent.drift
    ]


def unusable(agent: RemoteAgent) -> UpstreamFailed:
    """Return the refusal of an agent whose card names no way to speak to it that is known here."""
    return UpstreamFailed(
        f"the agent `{agent.name}` names no way to speak to it that is known here",
        code="upstream_misconfigured",
        hint="an operator can set `endpoint`, `binding` and `version`",
    )
