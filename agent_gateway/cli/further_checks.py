"""Further checks of a configuration that loads: do its policies compile, and, live, do they fit what is there?"""

import asyncio
import os
import time
from collections.abc import Iterator, Sequence

from agent_gateway.config.document import Document, read_document
from agent_gateway.config.load import Loaded
from agent_gateway.config.problems import Fault, Problem
from agent_gateway.config.secret import SecretUnavailable
from agent_gateway.identity.agents import Agents, ConfigurationConflict
from agent_gateway.runtime import governance
from agent_gateway.runtime.agents import agents_of
from agent_gateway.runtime.identities import known_agent
from agent_gateway.runtime.provision import Seen, look_at, starter_policies
from agent_gateway.runtime.upstream_set import Kept, make_upstreams
from gateway_policies.bundle import compile_bundle
from gateway_policies.sources import PolicyErrors, PolicyMistake
from gateway_policies.world import World
from mcp_registry.catalog import Catalog, assemble


def check_policies(loaded: Loaded) -> list[Problem]:
    """Return what is wrong with the policies, as far as can be said without seeing any tool."""
    return list(_policy_problems(loaded, governance.world_of(loaded.config, Catalog(), ())))


def check_agents(loaded: Loaded) -> list[Problem]:
    """Return agents that one credential could prove both of."""
    try:
        Agents(known_agent(name, agent) for name, agent in loaded.config.agents.items())
    except ConfigurationConflict as error:
        return [_document(loaded).locate(Fault(("agents",), str(error)))]
    return []


def check_live(loaded: Loaded) -> list[Problem]:
    """Start or call every upstream, and hold the policies to the tools that are really there."""
    try:
        kept = make_upstreams(loaded, {}, time.time)
    except SecretUnavailable as error:
        return [_document(loaded).locate(Fault(("upstreams",), str(error)))]
    seen = asyncio.run(_look_at_all(loaded, kept))
    document = _document(loaded)
    problems = [
        document.locate(Fault(("upstreams", name), f"it shows nothing: {one.missing}"))
        for name, one in seen.items()
        if one.missing
    ]
    catalog = assemble([one.part for one in seen.values()], governance.toolsets_of(loaded.config))
    for finding in catalog.findings:
        what = f"{finding.noun} `{finding.name}`: {finding.problem}"
        fault = Fault(("upstreams", finding.upstream), what, severity="warning")
        problems.append(document.locate(fault))
    known = [name for name, one in seen.items() if not one.missing]
    cards = {name: one.card for name, one in seen.items()}
    agents = agents_of(loaded.config, kept, cards, governance.toolsets_of(loaded.config))
    return [*problems, *_policy_problems(loaded, governance.world_of(loaded.config, catalog, known, agents))]


async def _look_at_all(loaded: Loaded, kept: dict[str, Kept]) -> dict[str, Seen]:
    try:
        looks = [look_at(loaded, name, one.upstream, None) for name, one in kept.items()]
        return dict(zip(kept, await asyncio.gather(*looks), strict=True))
    finally:
        await asyncio.gather(*(one.upstream.aclose() for one in kept.values()))


def _policy_problems(loaded: Loaded, world: World) -> Iterator[Problem]:
    starter = starter_policies() if loaded.config.policies.starter else ""
    try:
        found: Sequence[PolicyMistake] = compile_bundle(governance.sources_of(loaded, starter), world).findings
    except PolicyErrors as errors:
        for mistake in errors.errors:
            yield _problem(loaded, mistake)
        return
    for mistake in found:
        yield _problem(loaded, mistake, is_error=False)


def _problem(loaded: Loaded, mistake: PolicyMistake, *, is_error: bool = True) -> Problem:
    file = loaded.base_dir / mistake.source
    shown = os.path.relpath(file) if file.exists() else mistake.source
    key = f"policy `{mistake.policy}`" if mistake.policy else ""
    severity = "error" if is_error else "warning"
    return Problem(shown, mistake.line, 1, key, mistake.message, mistake.hint, severity)


def _document(loaded: Loaded) -> Document:
    return read_document(os.path.relpath(loaded.path), loaded.path.read_bytes())
