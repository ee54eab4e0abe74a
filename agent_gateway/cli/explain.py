"""`agent-gateway explain` and `who-can`: who may call what, why, and why a call was denied."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from agent_gateway.admin.models import ExplainAsked, ExplanationShown
from agent_gateway.audit.reader import CallHistory, find
from agent_gateway.cli.arguments import ArgOption, ArgsOption, read_arguments
from agent_gateway.cli.asking import Source, source_of
from agent_gateway.cli.local import agent_named, data_dir
from agent_gateway.cli.session import Failure, JsonOption, emit, session_of
from agent_gateway.config.load import Loaded
from gateway_policies.kinds import ACTION_OF, Kind

_BY_POLICY = frozenset({"forbidden", "no_permit", "argument_type", "policy_error"})
_AFTER_POLICY = {
    "over_budget": "a policy permitted it, and a budget had no room: `agent-gateway budget` shows them",
    "over_rate": "a policy permitted it, and it came too soon: see `rates` in the configuration",
    "invalid_arguments": "a policy permitted it, and its arguments did not fit the tool's schema",
    "unavailable": "a policy permitted it, and the gateway could not hold its budget or record it: doubt denies",
}


KindOption = Annotated[str, typer.Option("--kind", help="tool, prompt, resource, agent or skill.")]


def _kind(text: str) -> Kind:
    if text not in ACTION_OF:
        raise Failure(f"`{text}` is no kind", hint=f"one of {', '.join(ACTION_OF)}", exit_code=2)
    return cast("Kind", text)


def explain(
    context: typer.Context,
    agent: Annotated[str, typer.Argument(help="The agent.")] = "",
    tool: Annotated[str, typer.Argument(help="The tool, `upstream__tool`, or what else `--kind` says.")] = "",
    call: Annotated[str, typer.Option("--call", help="Explain a call that was made, by its id.")] = "",
    kind: KindOption = "tool",
    acting_for: Annotated[
        list[str] | None, typer.Option("--for", help="An agent that it acts for; the first one first.")
    ] = None,
    arg: ArgOption = None,
    args: ArgsOption = "",
    as_json: JsonOption = False,
) -> None:
    """Say why an agent may or may not call a tool, or why a call was denied, and what would change it.

    Example: `agent-gateway explain first-agent time__convert_time`
    """
    loaded = session_of(context).load(needs_secrets=True)
    arguments = read_arguments(arg, args)
    if call and not agent:
        _explain_call(loaded, call, arguments, as_json=as_json)
        return
    if call or not tool:
        raise Failure("name an agent and a tool, or --call ID", exit_code=2)
    agent_named(loaded, agent)
    for name in acting_for or []:
        agent_named(loaded, name)
    found = source_of(loaded).explain(
        ExplainAsked(
            agent=agent, capability=tool, kind=_kind(kind), arguments=arguments, acting_for=list(acting_for or [])
        )
    )
    emit(found.model_dump(), as_json=as_json, text=lambda console: write_explanation(console, found))


def who_can(
    context: typer.Context,
    tool: Annotated[str, typer.Argument(help="The tool, `upstream__tool`, or what else `--kind` says.")],
    kind: KindOption = "tool",
    as_json: JsonOption = False,
) -> None:
    """List what every agent may do with a tool: call it, call it for some arguments, or never.

    Example: `agent-gateway who-can time__convert_time`
    """
    loaded = session_of(context).load(needs_secrets=True)
    found = source_of(loaded).who_can(tool, _kind(kind))

    def write(console: Console) -> None:
        for one in found:
            console.print(f"{one.access:<8} {one.tenant}/{one.agent}", style=_COLOURS[one.access])

    data: dict[str, object] = {"capability": tool, "items": [one.model_dump() for one in found]}
    emit(data, as_json=as_json, text=write)


_COLOURS = {"permit": "green", "depends": "yellow", "forbid": "red", "holds": "", "fails": "", "error": "red"}
_WORDS = {"permit": "may call", "depends": "may call, for some arguments or times,", "forbid": "may not call"}


def write_explanation(console: Console, found: ExplanationShown) -> None:
    """Tell an explanation to people."""
    seen = "" if found.is_visible else "  (and does not see it)"
    text = f"{found.agent} {_WORDS[found.effect]} {found.capability}{seen}"
    console.print(text, style=_COLOURS[found.effect])
    if found.denied_to:
        console.print(f"  not permitted to {', '.join(found.denied_to)}")
    if found.problem:
        console.print(f"  {found.problem}")
    for policy in found.policies:
        whose = f"  (for {policy.who})" if policy.who else ""
        console.print(f"  {policy.effect:<7} {policy.id}  {policy.place}  {policy.condition}{whose}")
        for condition in policy.unmet:
            console.print(f"          {condition}")
        if policy.reason:
            console.print(f"          because {policy.reason}")
    for change in found.changes:
        console.print(f"  → {change}")


# --- a call that was made ----------------------------------------------------------------------


def _explain_call(loaded: Loaded, call: str, arguments: Mapping[str, Any] | None, *, as_json: bool) -> None:
    history = find(data_dir(loaded).audit, call)
    if history is None:
        raise Failure(f"no call `{call}` is recorded here", hint="a refusal names the call's id")
    told = _told(history)
    now = _explained_now(loaded, history, arguments)
    told["now"] = None if now is None else now.model_dump()
    recorded = history.decision.record.get("bundle")
    told["policies_changed"] = now is not None and now.bundle != recorded

    def write(console: Console) -> None:
        _write_told(console, told)
        if now is not None:
            changed = " (they have changed since, or the catalogue has)" if told["policies_changed"] else ""
            console.print(f"\nby the policies as they are now{changed}:")
            write_explanation(console, now)

    emit(told, as_json=as_json, text=write)


def _told(history: CallHistory) -> dict[str, object]:
    """Return what the log says of a call, in one layer."""
    record = history.decision.record
    outcome: Mapping[str, object] = history.outcome.record if history.outcome is not None else dict[str, object]()
    principal, capability = _member(record, "principal"), _member(record, "capability")
    code = str(record.get("code") or outcome.get("code") or "")
    if record.get("effect") == "permit":
        why = f"it was permitted, and ended `{outcome.get('status', 'open')}`" + (f" [{code}]" if code else "")
    elif code in _BY_POLICY:
        why = "a policy decided so" if record.get("policies") else "no policy permits it"
    else:
        why = _AFTER_POLICY.get(code, f"it was refused with code `{code}`")
    return {
        "call": record.get("call"),
        "at_ms": record.get("at_ms"),
        "tenant": principal.get("tenant"),
        "agent": principal.get("id"),
        "capability": capability.get("name"),
        "route": record.get("route"),
        "effect": record.get("effect"),
        "code": code,
        "policies": record.get("policies"),
        "status": outcome.get("status"),
        "why": why,
    }


def _explained_now(
    loaded: Loaded, history: CallHistory, arguments: Mapping[str, Any] | None
) -> ExplanationShown | None:
    """Return what the policies make of such a call now; None when its agent or its tool is gone."""
    record = history.decision.record
    capability = _member(record, "capability")
    agent, kind = _member(record, "principal").get("id"), str(capability.get("kind", "tool"))
    if record.get("action") not in ACTION_OF.values() or agent not in loaded.config.agents or kind not in ACTION_OF:
        return None
    asked = ExplainAsked(
        agent=str(agent),
        capability=str(capability.get("name")),
        kind=_kind(kind),
        arguments=None if arguments is None else dict(arguments),
        route=str(record.get("route")),
        acting_for=_behind(loaded, record.get("chain")),
    )
    source: Source = source_of(loaded)
    try:
        return source.explain(asked)
    except Failure:
        return None


def _behind(loaded: Loaded, chain: object) -> list[str]:
    """Return the agents of ours for whom a recorded call was made."""
    hops = cast("list[list[object]]", chain) if isinstance(chain, list) else []
    others = {issuer.issuer for issuer in loaded.config.issuers.values()}
    return [str(hop[1]) for hop in hops if hop[0] not in others and hop[1] in loaded.config.agents]


def _write_told(console: Console, told: Mapping[str, object]) -> None:
    who = f"{told['tenant']}/{told['agent']}"
    console.print(f"call {told['call']}: {who} → {told['capability']} at {told['route']}")
    policies = ", ".join(cast("list[str]", told["policies"] or []))
    console.print(f"{told['effect']}: {told['why']}" + (f" ({policies})" if policies else ""))


def _member(record: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = record.get(name)
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}
