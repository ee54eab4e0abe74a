"""`agent-gateway registry`: published servers: what there is, what waits, and taking over from another registry."""

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Annotated, cast
from urllib.parse import urlencode, urlsplit

import msgspec
import typer
from rich.console import Console

from agent_gateway.cli.session import Failure, JsonOption, emit, session_of
from agent_gateway.config.section import is_loopback
from agent_gateway.egress.control_client import ControlClient
from agent_gateway.egress.resolve import EgressRules
from agent_gateway.runtime.books import DataDir
from agent_gateway.stores.server_store import ServerStore
from gateway_policies.refusal import Refusal
from mcp_registry.servers import OFFICIAL, PUBLISHER, STATUSES, ServerEntry, Status, problems_with

MAX_PAGES = 100
MAX_PAGE_BYTES = 8 * 1024 * 1024

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
def approve(context: typer.Context, name: NameArgument, version: VersionArgument, as_json: JsonOption = False) -> None:
    """Let a published version be seen by others than its owner.

    Example: `agent-gateway registry approve com.example/weather 1.2.0`
    """
    one = _store(context).approve(name, version, time.time())
    emit(_row(one), as_json=as_json, text=lambda console: console.print(f"approved: {name} {version}", markup=False))


@app.command("status")
def status(
    context: typer.Context,
    name: NameArgument,
    version: VersionArgument,
    to: Annotated[str, typer.Argument(help="active, deprecated or deleted.")],
    message: Annotated[str, typer.Option("--message", help="Why, for those who use it.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Set the status of a published version.

    Example: `agent-gateway registry status com.example/weather 1.2.0 deprecated --message 'use 2.0.0'`
    """
    if to not in STATUSES:
        raise Failure(f"`{to}` is no status", hint=f"one of {', '.join(STATUSES)}", exit_code=2)
    (one,) = _store(context).set_status(name, version, to, message[:500], None, time.time())
    emit(_row(one), as_json=as_json, text=lambda console: console.print(f"{to}: {name} {version}", markup=False))


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
    taken, left = asyncio.run(take_over(store, url.rstrip("/"), search, rules))

    def write(console: Console) -> None:
        console.print(f"{len(taken)} versions taken over, to be approved; {len(left)} left out")
        for why in left[:20]:
            console.print(f"  {why}", markup=False)

    emit({"taken": [_row(one) for one in taken], "left_out": left}, as_json=as_json, text=write)


async def take_over(
    store: ServerStore, url: str, search: str, rules: EgressRules
) -> tuple[list[ServerEntry], list[str]]:
    taken: list[ServerEntry] = []
    left: list[str] = []
    async with ControlClient(rules) as client:
        async for item in _items(client, url, search):
            entry = _entry(item)
            if isinstance(entry, str):
                left.append(entry)
                continue
            try:
                await asyncio.to_thread(store.publish, entry)
                taken.append(entry)
            except Refusal as refusal:
                left.append(refusal.message)
    return taken, left


async def _items(client: ControlClient, url: str, search: str) -> AsyncGenerator[object]:
    cursor = ""
    for _ in range(MAX_PAGES):
        query = {"limit": "100", **({"search": search} if search else {}), **({"cursor": cursor} if cursor else {})}
        response = await client.get(f"{url}/servers?{urlencode(query)}", max_bytes=MAX_PAGE_BYTES)
        if response.status != 200:
            raise Failure(f"the registry answers with status {response.status}", hint="is this its `/v0.1`?")
        try:
            page = msgspec.json.decode(response.body, type=_Page)
        except msgspec.DecodeError:
            raise Failure("this is no registry of that API", hint="give its URL up to `/v0.1`") from None
        for item in page.servers:
            yield item
        cursor = page.metadata.nextCursor or ""
        if not cursor:
            return


class _Metadata(msgspec.Struct):
    nextCursor: str | None = None  # noqa: N815 - the wire's word


class _Page(msgspec.Struct):
    servers: list[object]
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


def _entry(item: object) -> ServerEntry | str:
    """Return what another registry says of a version, as ours, or why it is left out."""
    members = cast("dict[str, object]", item) if isinstance(item, dict) else {}
    server = members.get("server")
    if not isinstance(server, dict):
        return "an item without a server"
    document = cast("dict[str, object]", server)
    meta = document.get("_meta")
    if isinstance(meta, dict):
        own = {PUBLISHER: cast("dict[str, object]", meta)[PUBLISHER]} if PUBLISHER in meta else {}
        document = {**document, "_meta": own}
    problems = problems_with(document)
    if problems:
        return f"{document.get('name')} {document.get('version')}: {problems[0]}"[:300]
    told = cast("dict[str, object]", members.get("_meta") or {}).get(OFFICIAL)
    said = cast("dict[str, object]", told).get("status") if isinstance(told, dict) else "active"
    now = time.time()
    status: Status = said if said in STATUSES else "active"
    return ServerEntry(document, "operator", "", "pending", status, "", now, now, now)


def _row(one: ServerEntry) -> dict[str, object]:
    return {
        "name": one.name,
        "version": one.version,
        "owner": one.owner,
        "approval": one.approval,
        "status": one.status,
    }


def _store(context: typer.Context) -> ServerStore:
    return ServerStore(DataDir(session_of(context).load().data_dir).registry)
