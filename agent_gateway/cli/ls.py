"""`agent-gateway ls`: upstreams and what they offer, how they are, and who may use it."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console

from agent_gateway.admin.models import AgentAccess, CapabilityShown, UpstreamShown
from agent_gateway.cli.asking import source_of
from agent_gateway.cli.local import agent_named
from agent_gateway.cli.session import JsonOption, emit, session_of, stderr
from gateway_policies.call import CapabilityKey
from gateway_policies.kinds import Kind


def ls(
    context: typer.Context,
    agent: Annotated[str, typer.Option("--agent", "-a", help="Show what this agent sees, and whether always.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List upstreams, tools, prompts and resources: health, the operator's grading, and who may use them.

    Example: `agent-gateway ls --agent first-agent`
    """
    loaded = session_of(context).load(needs_secrets=True)
    if agent:
        agent_named(loaded, agent)
    source = source_of(loaded)
    upstreams, shown = source.upstreams(), source.capabilities(agent or None)
    callers: dict[CapabilityKey, dict[str, str]] = (
        {} if agent else {(one.kind, one.name): _callers(source.who_can(one.name, one.kind)) for one in shown}
    )
    if not source.is_running and not as_json:
        stderr().print("no gateway is running: the upstreams were asked from here", style="dim")
    data: dict[str, object] = {
        "running": source.is_running,
        "agent": agent or None,
        "upstreams": [one.model_dump() for one in upstreams],
    }
    for kind, member in _MEMBERS.items():
        data[member] = [
            {**one.model_dump(), "callers": callers.get((kind, one.name))} for one in shown if one.kind == kind
        ]
    emit(data, as_json=as_json, text=lambda console: _write(console, upstreams, shown, callers))


_MEMBERS: Mapping[Kind, str] = {
    "tool": "tools",
    "prompt": "prompts",
    "resource": "resources",
    "agent": "agents",
    "skill": "skills",
}


def _callers(access: Sequence[AgentAccess]) -> dict[str, str]:
    return {one.agent: one.access for one in access if one.access != "forbid"}


def _write(
    console: Console,
    upstreams: Sequence[UpstreamShown],
    shown: Sequence[CapabilityShown],
    callers: Mapping[CapabilityKey, Mapping[str, str]],
) -> None:
    for upstream in upstreams:
        console.print(_headline(upstream), style="bold" if not upstream.missing else "bold yellow")
        for one in shown:
            if one.upstream == upstream.name:
                console.print(_line(one, callers.get((one.kind, one.name))))
    if not upstreams:
        console.print("no upstreams; `agent-gateway add NAME URL` adds one")


def _headline(upstream: UpstreamShown) -> str:
    parts = [upstream.transport, upstream.state, upstream.era, upstream.server, f"{upstream.tools} tools"]
    parts += [f"{upstream.prompts} prompts"] if upstream.prompts else []
    parts += [f"{upstream.resources} resources"] if upstream.resources else []
    why = upstream.missing or upstream.detail
    return f"{upstream.name}  ({', '.join(part for part in parts if part)})" + (f"  degraded: {why}" if why else "")


def _line(one: CapabilityShown, callers: Mapping[str, str] | None) -> str:
    grade = f"risk {one.risk}" + (", reads" if one.read_only else "")
    grade += f", {one.price_micros} micros" if one.price_micros else ""
    who = ""
    if one.access is not None:
        who = "always" if one.access == "permit" else "for some arguments"
    elif callers is not None:
        who = ", ".join(name if how == "permit" else f"{name} (depends)" for name, how in callers.items()) or "nobody"
    name = one.name if one.kind == "tool" else f"{one.kind} {one.name}"
    return f"  {name:<40} {grade:<28} {who}"
