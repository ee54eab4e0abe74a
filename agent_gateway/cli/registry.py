"""`agent-gateway registry`: published servers: what there is, what waits, and taking over from another registry."""

import asyncio
import time
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer
from pydantic import TypeAdapter
from rich.console import Console

from agent_gateway.admin.registry_routes import ServerShown
from agent_gateway.cli.asking import Running, source_of
from agent_gateway.cli.session import Failure, JsonOption, emit, session_of
from agent_gateway.config.section import is_loopback
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.registry_import import take_over
from agent_gateway.stores.server_store import ServerStore
from mcp_registry.servers import STATUSES, ServerEntry

_SERVER = TypeAdapter(ServerShown)

app = typer.Typer(help="Published servers: list, approve, set their status, import.", no_args_is_help=True)
NameArgument = Annotated[str, typer.Argument(help="The server, `namespace/name`.")]
VersionArgument = Annotated[str, typer.Argument(help="Its version.")]


@app.command("ls")
def ls(context: typer.Context, as_json: JsonOption = False) -> None:
    """List every published version: owner, approval, status.

    Example: `agent-gateway registry ls`
    """
    found = _store(context).entries()

    def write(console: Console) -> None:
        for one in found:
            console.print(f"{one.name} {one.version}  {one.owner}  {one.approval}  {one.status}", markup=False)
        if not found:
            console.print("nothing is published")

    emit({"servers": [_row(one) for one in found]}, as_json=as_json, text=write)


@app.command("approve")
def approve(
    context: typer.Context,
    name: NameArgument,
    version: VersionArgument,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take an approval back.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a published version be seen by others than its owner. The running gateway records who said so.

    Example: `agent-gateway registry approve com.example/weather 1.2.0`
    """
    said: dict[str, object] = {"name": name, "version": version, "approval": "pending" if withdraw else "approved"}
    one = _said(context, "/v1/servers/approvals", said)
    text = f"{one.approval}: {name} {version}"
    emit(one.model_dump(), as_json=as_json, text=lambda console: console.print(text, markup=False))


@app.command("status")
def status(
    context: typer.Context,
    name: NameArgument,
    version: VersionArgument,
    to: Annotated[str, typer.Argument(help="active, deprecated or deleted.")],
    message: Annotated[str, typer.Option("--message", help="Why, for those who use it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Set the status of a published version. The running gateway records who said so.

    Example: `agent-gateway registry status com.example/weather 1.2.0 deprecated --message 'use 2.0.0'`
    """
    if to not in STATUSES:
        raise Failure(f"`{to}` is no status", hint=f"one of {', '.join(STATUSES)}", exit_code=2)
    said: dict[str, object] = {"name": name, "version": version, "status": to, "message": message[:500]}
    one = _said(context, "/v1/servers/statuses", said)
    text = f"{to}: {name} {version}"
    emit(one.model_dump(), as_json=as_json, text=lambda console: console.print(text, markup=False))


@app.command("import")
def import_(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="Another registry, up to `/v0.1`.")],
    search: Annotated[str, typer.Option("--search", help="Only servers that are found by this.")] = "",
    allow_private: Annotated[bool, typer.Option("--allow-private", help="It is on a private network.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Take over servers of another registry of this API. They wait for your approval; versions you have stay.

    Example: `agent-gateway registry import https://registry.example.com --search weather`
    """
    store = _store(context)
    rules = EgressRules(allow_private=allow_private or is_loopback(urlsplit(url).hostname or ""))
    taken, left = asyncio.run(take_over(store, url.rstrip("/"), search, rules, time.time))

    def write(console: Console) -> None:
        console.print(f"{len(taken)} versions taken over, to be approved; {len(left)} left out")
        for why in left[:20]:
            console.print(f"  {why}", markup=False)

    emit({"taken": [_row(one) for one in taken], "left_out": left}, as_json=as_json, text=write)


def _row(one: ServerEntry) -> dict[str, object]:
    return {
        "name": one.name,
        "version": one.version,
        "owner": one.owner,
        "approval": one.approval,
        "status": one.status,
    }


def _said(context: typer.Context, path: str, body: dict[str, object]) -> ServerShown:
    """Say something of a server to the running gateway, which records who said it; raises `Failure`."""
    source = source_of(session_of(context).load())
    if not isinstance(source, Running):
        raise Failure("no gateway runs here, and it alone can record this", hint="start it with `agent-gateway up`")
    return source.ask("POST", path, _SERVER, msgspec.json.encode(body))


def _store(context: typer.Context) -> ServerStore:
    return ServerStore(DataDir(session_of(context).load().data_dir).registry)
