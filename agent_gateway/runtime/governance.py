"""From configuration and catalogue to rules: the world policies speak of, budgets, rates."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from agent_gateway.config.load import Loaded
from agent_gateway.config.root import Config
from agent_gateway.snapshot import RemoteAgent
from gateway_policies.budgets import Budget
from gateway_policies.rates import Rate, share
from gateway_policies.sources import PolicySource
from gateway_policies.world import AgentEntry, UpstreamEntry, World
from mcp_registry.catalog import Catalog, Toolset
from mcp_registry.entries import Override


def world_of(
    config: Config, catalog: Catalog, known: Iterable[str], agents: Mapping[str, RemoteAgent] = MappingProxyType({})
) -> World:
    """Return everything a policy may name.

    known  upstreams whose tools or card have been seen: only there is a missing tool or skill a mistake
    """
    entries = list(catalog.all())
    remote = [one for agent in agents.values() for one in (agent.capability, *agent.skills.values())]
    return World(
        tenants=frozenset(config.tenants),
        teams=frozenset(f"{tenant}/{team}" for tenant, of in config.tenants.items() for team in of.teams),
        agents={
            name: AgentEntry(
                name, agent.tenant, tuple(sorted(f"{agent.tenant}/{team}" for team in agent.teams)), agent.trust
            )
            for name, agent in config.agents.items()
        },
        upstreams={name: UpstreamEntry(name, frozenset(one.tags)) for name, one in config.upstreams.items()},
        capabilities={one.key: one for one in (*(entry.capability for entry in entries), *remote)},
        known=frozenset(known),
        toolsets=frozenset(config.toolsets),
        arguments={entry.capability.key: entry.arguments for entry in entries},
        chains=config.policies.chains,
    )


def toolsets_of(config: Config) -> list[Toolset]:
    """Return the configured toolsets."""
    return [
        Toolset(
            name,
            one.include,
            one.exclude,
            one.prompts,
            one.resources,
            {public: Override(shown.name, shown.description) for public, shown in one.tools.items()},
        )
        for name, one in config.toolsets.items()
    ]


def sources_of(loaded: Loaded, starter: str) -> list[PolicySource]:
    """Return the policy texts in the order they apply; `starter` is what ships, used when asked for."""
    sources = [PolicySource(text.name, text.text) for text in loaded.policies]
    if loaded.config.policies.starter:
        sources.append(PolicySource("starter.cedar", starter))
    return sources


def budgets_of(config: Config) -> tuple[Budget, ...]:
    """Return the configured budgets."""
    return tuple(Budget(one.name, one.scope, one.match, one.unit, one.limit, one.window) for one in config.budgets)


def rates_of(config: Config) -> tuple[Rate, ...]:
    """Return the configured rates, each worker's share of them."""
    rates: list[Rate] = []
    for one in config.rates:
        count, period_s = one.count_per_period
        rates.append(share(Rate(one.name, one.scope, one.match, count, period_s, one.burst), config.workers))
    return tuple(rates)
