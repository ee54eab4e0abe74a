"""The snapshot: everything the data plane needs, immutable, swapped whole.

A call reads one snapshot from beginning to end, so a reload in between changes
nothing for it. Making snapshots is the work of `agent_gateway.runtime`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from a2a_gateway.cards import Card
from a2a_gateway.operations import Dialect
from agent_gateway.config.governance import ToolsetAgent
from agent_gateway.config.root import Config
from agent_gateway.config.upstream_a2a import A2aUpstream
from agent_gateway.identity.agents import Agents
from agent_gateway.identity.authenticate import Authenticator
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.identity.operators import Operators
from agent_gateway.identity.token_service import TokenService
from agent_gateway.listeners.guard import HeadRules
from agent_gateway.ports import AgentUpstream, McpUpstream, ServerInfo
from agent_gateway.runtime.embeddings import Embedder
from agent_gateway.runtime.schemas import Validator
from gateway_policies.budgets import ChargeTable
from gateway_policies.bundle import PolicyBundle
from gateway_policies.call import Capability
from gateway_policies.rates import RateRules
from mcp_registry.catalog import Catalog, View
from mcp_registry.entries import Entry
from mcp_registry.protocol.lists import ItemKind


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint that clients dial.

    name      what records and policies call it: `mcp`, a toolset, `servers/{upstream}`
    resource  the exact URL, which is also the audience of its tokens
    view      what is to be found there, under the names used there
    compact_above  tokens of a caller's list above which it gets three tools to find and call the others with;
                   None: never
    has_code  whether its compact form runs code
    """

    path: str
    name: str
    resource: str
    metadata_url: str
    view: View
    compact_above: int | None = None
    has_code: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how an agent is spoken to, settled when its card was read.

    url     of JSON-RPC, or the base of HTTP+JSON paths; always on the registered origin
    tenant  what the agent's card asks requests to name, empty for none
    """

    url: str
    dialect: Dialect
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class RemoteAgent:
    """One A2A agent as it is served.

    card        the approved one; None while none was ever seen, and then nothing is served of it
    targets     the ways to speak to it, the preferred one first
    capability  the agent as a whole
    skills      by the agent's own id
    drift       how the card that it serves now differs from the approved one, in public words
    """

    name: str
    config: A2aUpstream
    upstream: AgentUpstream
    card: Card | None
    targets: Sequence[Target]
    capability: Capability
    skills: Mapping[str, Capability]
    drift: str = ""

    @property
    def is_bridged(self) -> bool:
        """Whether its skills are MCP tools too."""
        return self.config.as_tools and self.card is not None and bool(self.targets)

    def target_for(self, dialect: Dialect) -> Target | None:
        """Return where a caller's own words are understood, or else the preferred way; None when there is none."""
        same = (target for target in self.targets if target.dialect == dialect)
        return next(same, self.targets[0] if self.targets else None)


@dataclass(frozen=True, slots=True)
class AgentRoute:
    """One endpoint of an agent: of the whole, or a facade of one skill.

    skill  the agent's own id; empty for the whole
    """

    path: str
    name: str
    resource: str
    metadata_url: str
    agent: RemoteAgent
    skill: str = ""

    @property
    def capability(self) -> Capability:
        return self.agent.skills[self.skill] if self.skill else self.agent.capability


@dataclass(frozen=True, slots=True)
class ToolsetRoute:
    """One endpoint of a toolset that is served as an agent.

    tools  the toolset's own endpoint: what may be called, and what policies call the place
    """

    path: str
    name: str
    resource: str
    config: ToolsetAgent
    title: str
    tools: Route


@dataclass(frozen=True, slots=True)
class Identity:
    """Who may call, under this configuration.

    authenticator  of the data listener
    operators      of the admin listener
    """

    agents: Agents
    authenticator: Authenticator
    endpoints: Endpoints
    token_service: TokenService | None
    operators: Operators


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the gateway.

    id          content hash over configuration, policies and catalogue
    routes      by exact request path
    validators  argument schemas by public tool name; a tool without one takes no calls
    missing     upstreams whose tools or card were never seen, with the public reason
    agents      by name; `agent_routes` by exact path, without what an operation adds to it, and so
                `toolset_routes`, of toolsets that are agents
    unlisted    what stands for the resources that an upstream lists nowhere, by its name
    infos       what upstreams say of themselves, those that did
    ttl_ms      how long each upstream lets its lists be kept
    embedder    gives vectors to search tools by, None without a server for them
    """

    id: str
    config: Config
    identity: Identity
    head_rules: HeadRules
    catalog: Catalog
    bundle: PolicyBundle
    charges: ChargeTable
    rates: RateRules
    upstreams: Mapping[str, McpUpstream]
    routes: Mapping[str, Route]
    validators: Mapping[str, Validator]
    missing: Mapping[str, str] = field(default_factory=dict[str, str])
    unlisted: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    infos: Mapping[str, ServerInfo] = field(default_factory=dict[str, ServerInfo])
    agents: Mapping[str, RemoteAgent] = field(default_factory=dict[str, RemoteAgent])
    agent_routes: Mapping[str, AgentRoute] = field(default_factory=dict[str, AgentRoute])
    toolset_routes: Mapping[str, ToolsetRoute] = field(default_factory=dict[str, ToolsetRoute])
    ttl_ms: Mapping[str, Mapping[ItemKind, int]] = field(default_factory=dict[str, Mapping[ItemKind, int]])
    findings: Sequence[str] = ()
    embedder: Embedder | None = None
