"""Views: a snapshot, as the admin API and the command line show it.

Functions of values; no clock, no disk. What may take long (one answer per tool
or agent) yields as it goes, so that the caller can let calls pass in between.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import msgspec

from agent_gateway.admin.models import (
    AgentAccess,
    BudgetShown,
    CapabilityShown,
    ExplainAsked,
    ExplanationShown,
    Hints,
    PolicyShown,
    ToolsetShown,
    UpstreamShown,
)
from agent_gateway.config.governance import Budget
from agent_gateway.identity.agents import Agent
from agent_gateway.identity.delegation import link_of
from agent_gateway.ports import ServerInfo
from agent_gateway.runtime.identities import known_agent
from agent_gateway.snapshot import Snapshot
from agent_gateway.stores.ledger_store import Usage
from gateway_policies.call import Capability, CapabilityKey
from gateway_policies.explain import Explanation, PolicyView, explain
from gateway_policies.kinds import Kind
from gateway_policies.principal import Principal
from gateway_policies.refusal import NotFound
from gateway_policies.windows import resets_at, window_at
from mcp_registry.entries import Entry

MAX_TEXT = 500  # of what an upstream says of itself or its tools


def agent_principal(agent: Agent) -> Principal:
    """Return the principal that an agent is once it has proved itself."""
    return Principal(
        kind="agent",
        id=agent.id,
        tenant=agent.tenant,
        teams=agent.teams,
        trust=agent.trust,
        generation=agent.generation,
    )


def principal_named(snapshot: Snapshot, agent: str) -> Principal:
    """Return a configured agent's principal; raises `NotFound`."""
    found = snapshot.config.agents.get(agent)
    if found is None:
        raise NotFound(f"no agent is called `{agent}`", hint="agents are listed in the configuration")
    return agent_principal(known_agent(agent, found))


def capability_named(snapshot: Snapshot, name: str, kind: Kind) -> Capability:
    """Return what policies know by its public name; raises `NotFound`."""
    found = snapshot.bundle.world.capabilities.get((kind, name))
    if found is None:
        raise NotFound(
            f"no {kind} is called `{name}`", hint="names are as `ls` shows them, such as `{upstream}__{tool}`"
        )
    return found


# --- what there is -----------------------------------------------------------------------------


def upstream_shown(snapshot: Snapshot, name: str, info: ServerInfo | None) -> UpstreamShown:
    """Return one upstream; `info` is what it says of itself, None while it does not."""
    config = snapshot.config.upstreams[name]
    health = snapshot.upstreams[name].health()
    view = snapshot.catalog.servers[name]
    return UpstreamShown(
        name=name,
        transport="http" if config.urls() else "stdio",
        state=health.state,
        since=health.since,
        detail=health.detail,
        restarts=health.restarts,
        era=info.era if info is not None else "",
        server=_server_name(info),
        tools=len(view.entries),
        prompts=len(view.of("prompts")),
        resources=len(view.of("resources")) + len(view.of("resource_templates")),
        missing=snapshot.missing.get(name, ""),
        tags=sorted(config.tags),
    )


def _server_name(info: ServerInfo | None) -> str:
    if info is None or info.server_info is None:
        return ""
    said = _object(info.server_info)
    return " ".join(_text(said.get(part)) for part in ("name", "version")).strip()


def capabilities_shown(
    snapshot: Snapshot, principal: Principal | None, offset: int, limit: int
) -> tuple[int, Iterator[CapabilityShown]]:
    """Return how many there are (for `principal`: how many it sees) and, one at a time, a page of them."""
    entries: Sequence[Entry] = list(snapshot.catalog.all())
    if principal is not None:
        seen = {one.key for one in snapshot.bundle.visible(principal, [entry.capability for entry in entries])}
        entries = [entry for entry in entries if entry.capability.key in seen]
    page = islice(entries, offset, offset + limit)
    return len(entries), (_capability_shown(snapshot, principal, entry) for entry in page)


def _capability_shown(snapshot: Snapshot, principal: Principal | None, entry: Entry) -> CapabilityShown:
    capability = entry.capability
    effect = None if principal is None else _anywhere(snapshot, principal, capability)
    return CapabilityShown(
        kind=capability.kind,
        name=capability.name,
        native=capability.native,
        upstream=capability.upstream,
        tags=sorted(capability.tags),
        risk=capability.risk,
        read_only=capability.read_only,
        price_micros=capability.price_micros,
        toolsets=sorted(capability.toolsets),
        pin=capability.pin,
        hints=hints_of(bytes(entry.definition.raw)),
        access=effect if effect == "permit" else None if effect is None else "depends",
    )


def _anywhere(snapshot: Snapshot, principal: Principal, capability: Capability) -> str:
    return explain(snapshot.bundle, principal, capability, route="mcp").effect


def hints_of(definition: bytes) -> Hints:
    """Return what an upstream says of one of its definitions, cut to a size that can be shown."""
    said = _object(msgspec.Raw(definition))
    given = said.get("annotations")
    annotations: Mapping[str, object] = msgspec.convert(given, dict[str, object]) if isinstance(given, dict) else {}
    return Hints(
        title=_text(said.get("title")) or _text(annotations.get("title")),
        description=_text(said.get("description")),
        read_only=_flag(annotations.get("readOnlyHint")),
        destructive=_flag(annotations.get("destructiveHint")),
        idempotent=_flag(annotations.get("idempotentHint")),
        open_world=_flag(annotations.get("openWorldHint")),
    )


def toolsets_shown(snapshot: Snapshot) -> list[ToolsetShown]:
    """Return every endpoint that shows tools of several upstreams."""
    return [
        ToolsetShown(
            name=route.name,
            path=path,
            resource=route.resource,
            tools=list(route.view.entries),
            prompts=list(route.view.of("prompts")),
            resources=[*route.view.of("resources"), *route.view.of("resource_templates")],
        )
        for path, route in snapshot.routes.items()
        if not route.view.is_native
    ]


def _object(raw: msgspec.Raw) -> Mapping[str, object]:
    try:
        return msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.DecodeError:
        return {}


def _text(value: object) -> str:
    """Return what a peer said in one line that a terminal can show."""
    if not isinstance(value, str):
        return ""
    return "".join(one if one.isprintable() else " " for one in value[:MAX_TEXT])


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


# --- who may -----------------------------------------------------------------------------------


def explained(snapshot: Snapshot, asked: ExplainAsked, at: float) -> ExplanationShown:
    """Say what the policies make of a call; raises `NotFound` for an agent or a capability that is not there.

    at  unix seconds; only counts when arguments are given
    """
    principal = principal_named(snapshot, asked.agent)
    if asked.acting_for:
        links = [link_of(principal_named(snapshot, name), "") for name in asked.acting_for]
        principal = replace(principal, chain=tuple(links))
    capability = capability_named(snapshot, asked.capability, asked.kind)
    when = at if asked.arguments is not None else None
    found = explain(snapshot.bundle, principal, capability, asked.arguments, at=when, route=asked.route)
    return explanation_shown(asked, found, snapshot.bundle.stamp)


def explanation_shown(asked: ExplainAsked, found: Explanation, bundle: str) -> ExplanationShown:
    return ExplanationShown(
        agent=asked.agent,
        capability=asked.capability,
        effect=found.effect,
        is_visible=found.is_visible,
        code=found.decision.code if found.decision is not None else "",
        policies=[shown for view in found.policies for shown in _policy_shown(view)],
        changes=list(found.changes),
        problem=found.problem,
        denied_to=list(found.denied_to),
        bundle=bundle,
    )


def _policy_shown(view: PolicyView) -> Iterator[PolicyShown]:
    if view.condition == "out of scope":
        return
    yield PolicyShown(
        id=view.id,
        effect=view.effect,
        place=view.place,
        condition=view.condition,
        depends=list(view.depends),
        unmet=list(view.unmet),
        reason=view.reason,
        hint=view.hint,
        who=view.who,
    )


def who_can(snapshot: Snapshot, key: CapabilityKey, offset: int, limit: int) -> Iterator[AgentAccess]:
    """Yield what each of a page of agents may do with a capability; raises `NotFound` at once."""
    kind, name = key
    found = capability_named(snapshot, name, kind)
    names = islice(sorted(snapshot.config.agents), offset, offset + limit)
    return (_access(snapshot, name, found) for name in names)


def _access(snapshot: Snapshot, name: str, capability: Capability) -> AgentAccess:
    principal = principal_named(snapshot, name)
    effect = explain(snapshot.bundle, principal, capability, route="mcp").effect
    return AgentAccess(agent=name, tenant=principal.tenant, access=effect)


# --- how much ----------------------------------------------------------------------------------


def budgets_shown(budgets: Iterable[Budget], usages: Iterable[Usage], now: float) -> list[BudgetShown]:
    """Return how every bucket stands, current windows first; limits are those of the configuration.

    now  unix seconds
    """
    configured = {budget.name: budget for budget in budgets}
    rows = [_budget_row(usage, configured, now) for usage in usages]
    used = {row.budget for row in rows if row.is_current}
    rows.extend(_unused(budget, now) for name, budget in configured.items() if name not in used)
    return sorted(rows, key=lambda row: (not row.is_current, row.budget, row.subject, row.window))


def _budget_row(usage: Usage, configured: Mapping[str, Budget], now: float) -> BudgetShown:
    name, _, subject = usage.bucket.partition("/")
    budget = configured.get(name)
    limit = usage.limit if budget is None else budget.limit
    return BudgetShown(
        budget=name,
        scope=budget.scope if budget is not None else "",
        subject=subject,
        window=usage.window,
        unit=budget.unit if budget is not None else "",
        limit=limit,
        spent=usage.spent,
        held=usage.held,
        left=max(0, limit - usage.spent - usage.held),
        resets_at=usage.resets_at,
        is_current=budget is not None and usage.window == window_at(budget.window, now),
    )


def _unused(budget: Budget, now: float) -> BudgetShown:
    window = window_at(budget.window, now)
    return BudgetShown(
        budget=budget.name,
        scope=budget.scope,
        subject="",
        window=window,
        unit=budget.unit,
        limit=budget.limit,
        spent=0,
        held=0,
        left=budget.limit,
        resets_at=resets_at(window),
        is_current=True,
    )
