"""`agent-gateway ls`: upstreams and their tools, how they are, and who may call them."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console

from agent_gateway.admin.models import AgentAccess, CapabilityShown, UpstreamShown
from agent_gateway.cli.asking import source_of
from agent_gateway.cli.local import agent_named
from agent_gateway.cli.session import JsonOption, emit, session_of, stderr


def ls(
    context: typer.Context,
    agent: Annotated[str, typer.Option("--agent", "-a", help="Show what this agent sees, and whether always.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List upstreams and tools: their health, the operator's grading, and who may call them."""
    loaded = session_of(context).load(needs_secrets=True)
    if agent:
        agent_named(loaded, agent)
    source = source_of(loaded)
    upstreams, tools = source.upstreams(), source.capabilities(agent or None)
    callers = {} if agent else {tool.name: _callers(source.who_can(tool.name)) for tool in tools}
    if not source.is_running and not as_json:
        stderr().print("no gateway is running: the upstreams were asked from here", style="dim")
    data: dict[str, object] = {
        "running": source.is_running,
        "agent": agent or None,
        "upstreams": [one.model_dump() for one in upstreams],
        "tools": [{**tool.model_dump(), "callers": callers.get(tool.name)} for tool in tools],
    }
    emit(data, as_json=as_json, text=lambda console: _write(console, upstreams, tools, callers))


def _callers(access: Sequence[AgentAccess]) -> dict[str, str]:
    return {one.agent: one.access for one in access if one.access != "forbid"}


def _write(
    console: Console,
    upstreams: Sequence[UpstreamShown],
    tools: Sequence[CapabilityShown],
    callers: Mapping[str, Mapping[str, str]],
) -> None:
    for upstream in upstreams:
        console.print(_headline(upstream), style="bold" if not upstream.missing else "bold yellow")
        for tool in tools:
            if tool.upstream == upstream.name:
                console.print(_line(tool, callers.get(tool.name)))
    if not upstreams:
        console.print("no upstreams; `agent-gateway add NAME URL` adds one")


def _headline(upstream: UpstreamShown) -> str:
    parts = [upstream.transport, upstream.state, upstream.era, upstream.server, f"{upstream.tools} tools"]
    why = upstream.missing or upstream.detail
    return f"{upstream.name}  ({', '.join(part for part in parts if part)})" + (f"  degraded: {why}" if why else "")


def _line(tool: CapabilityShown, callers: Mapping[str, str] | None) -> str:
    grade = f"risk {tool.risk}" + (", reads" if tool.read_only else "")
    grade += f", {tool.price_micros} micros" if tool.price_micros else ""
    who = ""
    if tool.access is not None:
        who = "always" if tool.access == "permit" else "for some arguments"
    elif callers is not None:
        who = ", ".join(name if how == "permit" else f"{name} (depends)" for name, how in callers.items()) or "nobody"
    return f"  {tool.name:<40} {grade:<28} {who}"
