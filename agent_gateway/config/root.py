"""The configuration as one frozen value. Reading it from a file is the work of `load`."""

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from agent_gateway.config.governance import Budget, Policies, Rate, Toolset
from agent_gateway.config.identities import AdminRule, Agent, Issuer, Tenant, TokenService
from agent_gateway.config.listeners import Limits, Listeners
from agent_gateway.config.operations import Audit, Registry, Telemetry
from agent_gateway.config.search import Search
from agent_gateway.config.section import AgentId, FilePath, Name, Section
from agent_gateway.config.upstream_kinds import AnyUpstream


class Config(Section):
    """Everything the gateway is told, in one file."""

    version: Literal[1]
    """Version of this format."""
    data_dir: FilePath = "./data"
    """Where the gateway keeps its keys, ledger and audit logs; relative to this file."""
    workers: int = Field(default=1, ge=1, le=256)
    """Worker processes."""
    listeners: Listeners = Listeners()
    """Where the gateway listens."""
    limits: Limits = Limits()
    """How much it takes."""
    tenants: Mapping[Name, Tenant] = Field(default={}, max_length=10_000)
    """Tenants by name. One tenant never sees another's names, calls or money."""
    issuers: Mapping[Name, Issuer] = Field(default={}, max_length=256)
    """External token issuers we trust, by name."""
    token_service: TokenService = TokenService()
    """The embedded OAuth token service."""
    agents: Mapping[AgentId, Agent] = Field(default={}, max_length=100_000)
    """Agents by name; the name is also the OAuth client id."""
    admins: tuple[AdminRule, ...] = Field(default=(), max_length=256)
    """Who may use the admin API. None by default."""
    upstreams: Mapping[Name, AnyUpstream] = Field(default={}, max_length=1000)
    """Servers to forward to, by name; the name begins each tool's name: `{upstream}__{tool}`."""
    toolsets: Mapping[Name, Toolset] = Field(default={}, max_length=1000)
    """Bundles of tools with their own URL. Without `default`, `/mcp` shows every upstream."""
    policies: Policies = Policies()
    """Who may call what."""
    budgets: tuple[Budget, ...] = Field(default=(), max_length=10_000)
    """How much may be spent."""
    rates: tuple[Rate, ...] = Field(default=(), max_length=10_000)
    """How fast calls may come."""
    audit: Audit = Audit()
    """The audit log."""
    registry: Registry = Registry()
    """The registry of MCP servers."""
    search: Search = Search()
    """How tools are searched for."""
    telemetry: Telemetry = Telemetry()
    """Logs, metrics and traces."""
