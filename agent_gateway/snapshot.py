"""The snapshot: everything the data plane needs, immutable, swapped whole.

A call reads one snapshot from beginning to end, so a reload in between changes
nothing for it. Making snapshots is the work of `agent_gateway.runtime`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agent_gateway.config.root import Config
from agent_gateway.identity.agents import Agents
from agent_gateway.identity.authenticate import Authenticator
from agent_gateway.identity.metadata import Endpoints
from agent_gateway.identity.operators import Operators
from agent_gateway.identity.token_service import TokenService
from agent_gateway.listeners.guard import HeadRules
from agent_gateway.ports import McpUpstream
from agent_gateway.runtime.schemas import Validator
from gateway_policies.budgets import ChargeTable
from gateway_policies.bundle import PolicyBundle
from gateway_policies.rates import RateRules
from mcp_registry.catalog import Catalog, View
from mcp_registry.protocol.lists import ItemKind


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint that clients dial.

    name      what records and policies call it: `mcp`, a toolset, `servers/{upstream}`
    resource  the exact URL, which is also the audience of its tokens
    view      what is to be found there, under the names used there
    """

    path: str
    name: str
    resource: str
    metadata_url: str
    view: View


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
    missing     upstreams whose tools were never seen, with the public reason
    ttl_ms      how long each upstream lets its lists be kept
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
    ttl_ms: Mapping[str, Mapping[ItemKind, int]] = field(default_factory=dict[str, Mapping[ItemKind, int]])
    findings: Sequence[str] = ()
