"""A real MCP server on the official SDK, as a program: `stdio|http|sse [--era E] [--json] [--stateless]`.

--era  `both`, or `legacy` / `modern` for a server that refuses the other one
http, sse  listen on a free loopback port and write `PORT n` as its first line
"""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any

import anyio
import orjson
import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp_types import CreateMessageResult, ListRootsResult, SamplingMessage, TextContent
from pydantic import BaseModel

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

server = MCPServer("sdk-fixture", version="1.2.3", instructions="be kind", log_level="ERROR")
calls: list[str] = []
cancelled: list[str] = []


@server.tool()
async def echo(text: str) -> str:
    """Return the text."""
    calls.append(text)
    return text


@server.tool()
async def nap(text: str, seconds: float) -> str:
    """Return the text after a while."""
    await anyio.sleep(seconds)
    return text


@server.tool()
async def steps(count: int, ctx: Context) -> str:
    """Report progress `count` times."""
    for step in range(count):
        await ctx.report_progress(step + 1, count, f"step {step + 1}")
    return f"{count} steps"


@server.tool()
async def hang(name: str, ctx: Context) -> str:
    """Report once, then never return; remember being cancelled."""
    await ctx.report_progress(0, 1, "hanging")
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        cancelled.append(name)
        raise
    return name


@server.tool()
def seen() -> dict[str, Any]:
    """Tell what this process has seen."""
    return {"pid": os.getpid(), "calls": calls, "cancelled": cancelled, "environ": dict(os.environ), "cwd": os.getcwd()}


@server.tool()
def credential(ctx: Context) -> str:
    """Return the Authorization header of this request."""
    headers = ctx.headers or {}
    return headers.get("authorization", "none")


@server.tool()
def die() -> str:
    """End the process without a word."""
    os._exit(3)


@server.tool()
def breed() -> int:
    """Start a process of our own that outlives us unless somebody sees to it; return its pid."""
    return subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"], stdin=subprocess.PIPE).pid


@server.resource("note://one")
def note() -> str:
    """One note."""
    return "a note"


@server.tool()
async def touch(uri: str, ctx: Context) -> str:
    """Say that a resource changed."""
    await ctx.notify_resource_updated(uri)  # to the streams of 2026-07-28
    await ctx.session.send_resource_updated(uri)  # to the session of a legacy client
    return "touched"


@server.tool()
async def grow(name: str, ctx: Context) -> str:
    """Have one more tool, and say so."""
    server.add_tool(lambda: name, name=name, description="grown")
    await ctx.notify_tools_changed()
    await ctx.session.send_tool_list_changed()
    return "grown"


class Booking(BaseModel):
    """What a person is asked for."""

    date: str


def ask_date() -> Elicit[Booking]:
    return Elicit("Which date?", Booking)


def ask_room(booking: Annotated[Booking, Resolve(ask_date)]) -> Elicit[Booking]:
    return Elicit(f"Which room on {booking.date}?", Booking)


def ask_model() -> Sample:
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text="hm?"))], max_tokens=8)


@server.tool()
async def book(booking: Annotated[Booking, Resolve(ask_date)]) -> str:
    """Ask a person once."""
    return f"booked {booking.date}"


@server.tool()
async def book_room(booking: Annotated[Booking, Resolve(ask_date)], room: Annotated[Booking, Resolve(ask_room)]) -> str:
    """Ask a person twice, the second question after the first answer."""
    return f"booked {booking.date} {room.date}"


@server.tool()
async def opinion(thought: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    """Ask a model."""
    return f"thought {thought.content.text if isinstance(thought.content, TextContent) else '?'}"


@server.tool()
async def where(found: Annotated[ListRootsResult, Resolve(lambda: ListRoots())]) -> str:
    """Ask for the roots."""
    return f"roots {[str(root.uri) for root in found.roots]}"


@server.tool()
async def everything(
    booking: Annotated[Booking, Resolve(ask_date)], thought: Annotated[CreateMessageResult, Resolve(ask_model)]
) -> str:
    """Ask a person and a model."""
    return f"{booking.date} {thought.content.text if isinstance(thought.content, TextContent) else '?'}"


@server.tool()
async def chatty(ctx: Context) -> str:
    """Log at two levels."""
    await ctx.log("debug", "small")  # pyright: ignore[reportDeprecated]
    await ctx.log("warning", "large")  # pyright: ignore[reportDeprecated]
    return "said"


def limited(app: App, era: str) -> App:
    """Refuse the other era's requests as servers in the wild do."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        method = orjson.loads(body).get("method", "")
        version = dict(scope["headers"]).get(b"mcp-protocol-version", b"")
        is_modern = version == b"2026-07-28"
        if (era == "legacy" and is_modern) or (era == "modern" and not is_modern):
            refusal = {"code": -32000, "message": "Bad Request: Server not initialized"}
            if era == "modern":
                data = {"supported": ["2026-07-28"], "requested": version.decode() or method}
                refusal = {"code": -32022, "message": "Unsupported protocol version", "data": data}
            answer = orjson.dumps({"jsonrpc": "2.0", "error": refusal, "id": None})
            headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
            await send({"type": "http.response.start", "status": 400, "headers": headers})
            await send({"type": "http.response.body", "body": answer})
            return
        is_read = False

        async def replay() -> MutableMapping[str, Any]:
            nonlocal is_read
            if is_read:
                return await receive()
            is_read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await app(scope, replay, send)

    return serve


async def run_stdio(era: str) -> None:
    if era == "both":
        await server.run_stdio_async()
        return
    low = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]
    async with stdio_server() as (read, write), low.lifespan(low) as state:
        await serve_loop(low, read, write, lifespan_state=state, init_options=low.create_initialization_options())


async def run_sse() -> None:
    await listen_on_free_port(server.sse_app())


async def run_http(era: str, *, is_json: bool, is_stateless: bool) -> None:
    app: App = server.streamable_http_app(json_response=is_json, stateless_http=is_stateless)
    lifespan_app = app
    if era != "both":
        app = limited(lifespan_app, era)
    await listen_on_free_port(app)


async def listen_on_free_port(app: App) -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    print(f"PORT {listener.getsockname()[1]}", flush=True)
    await uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False)).serve(sockets=[listener])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("transport", choices=["stdio", "http", "sse"])
    parser.add_argument("--era", choices=["both", "legacy", "modern"], default="both")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--stateless", action="store_true")
    options = parser.parse_args()
    if options.transport == "stdio":
        anyio.run(run_stdio, options.era)
    elif options.transport == "sse":
        anyio.run(run_sse)
    else:
        anyio.run(lambda: run_http(options.era, is_json=options.json, is_stateless=options.stateless))
