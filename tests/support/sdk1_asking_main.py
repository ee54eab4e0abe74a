"""The SDK of the handshake era, asked and asking, in an environment of its own.

sdk1_asking_main.py client URL TOKEN http|sse   calls the fixture's tools that ask, watches a resource; prints JSON
sdk1_asking_main.py server                      serves tools that ask; prints `PORT n` first
"""

import asyncio
import importlib
import json
import socket
import sys
from typing import Any

# This program is checked where the other SDK is installed: the names of the first one are looked up as it runs.
sdk: Any = importlib.import_module("mcp")
types: Any = importlib.import_module("mcp.types")
NOTE = "note://one"


async def client(url: str, token: str, transport: str) -> dict[str, Any]:  # noqa: C901 - its callbacks are in it
    """Return what the tools said and what was heard."""
    heard: dict[str, Any] = {"asked": [], "logged": []}
    updated = asyncio.Event()

    async def elicit(_: Any, params: Any) -> Any:
        heard["asked"].append(params.message)
        return types.ElicitResult(action="accept", content={"date": "today"})

    async def sample(_: Any, params: Any) -> Any:
        said = types.TextContent(type="text", text="deep")
        return types.CreateMessageResult(role="assistant", content=said, model="m")

    async def roots(_: Any) -> Any:
        return types.ListRootsResult(roots=[types.Root(uri="file:///here")])

    async def log(params: Any) -> None:
        heard["logged"].append([params.level, params.data])

    async def hear(message: Any) -> None:
        root: Any = getattr(message, "root", None)
        if getattr(root, "method", "") == "notifications/resources/updated":
            heard["updated"] = str(root.params.uri)
            updated.set()

    headers = {"Authorization": f"Bearer {token}"}
    if transport == "sse":
        opened = importlib.import_module("mcp.client.sse").sse_client(f"{url}/sse", headers=headers)
    else:
        opened = importlib.import_module("mcp.client.streamable_http").streamablehttp_client(url, headers=headers)
    async with opened as streams:
        session = sdk.ClientSession(
            *streams[:2], elicitation_callback=elicit, sampling_callback=sample, list_roots_callback=roots,
            logging_callback=log, message_handler=hear,
        )  # fmt: skip
        async with session:
            heard["version"] = (await session.initialize()).protocolVersion
            await session.set_logging_level("warning")
            for tool in ("book", "opinion", "where", "chatty"):
                heard[tool] = (await session.call_tool(f"up__{tool}", {})).content[0].text
            await session.subscribe_resource(NOTE)
            while not updated.is_set():  # what is watched is watched soon, and nobody says when
                await session.call_tool("up__touch", {"uri": NOTE})
                try:
                    await asyncio.wait_for(updated.wait(), 0.5)
                except TimeoutError:
                    continue
            await session.unsubscribe_resource(NOTE)
    return heard


def server() -> None:
    """Serve tools that ask whoever calls them."""
    fastmcp: Any = importlib.import_module("mcp.server.fastmcp")
    pydantic: Any = importlib.import_module("pydantic")
    date: Any = pydantic.create_model("Date", date=(str, ...))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    one = fastmcp.FastMCP("asker", port=port, log_level="ERROR")

    async def book(ctx: Any) -> str:
        answer = await ctx.elicit("Which date?", date)
        return f"booked {answer.data.date}" if answer.action == "accept" else answer.action

    async def opinion(ctx: Any) -> str:
        said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text="hm?"))
        return str((await ctx.session.create_message([said], max_tokens=8)).content.text)

    async def where(ctx: Any) -> str:
        return str([str(root.uri) for root in (await ctx.session.list_roots()).roots])

    for tool in (book, opinion, where):
        tool.__annotations__["ctx"] = fastmcp.Context
        one.add_tool(tool)
    print(f"PORT {port}", flush=True)
    one.run("streamable-http")


if __name__ == "__main__":
    if sys.argv[1] == "server":
        server()
    else:
        print(json.dumps(asyncio.run(client(*sys.argv[2:]))))
