"""The SDK of the handshake era as a client: `sdk1_main.py URL TOKEN`, in an environment of its own. Prints JSON."""

import asyncio
import importlib
import json
import sys
from typing import Any

# This program is checked where the other SDK is installed: the names of the first one are looked up as it runs.
sdk: Any = importlib.import_module("mcp")
transport: Any = importlib.import_module("mcp.client.streamable_http")


async def main(url: str, token: str) -> dict[str, Any]:
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    headers = {"Authorization": f"Bearer {token}"}
    async with (
        transport.streamablehttp_client(url, headers=headers) as (read, write, _),
        sdk.ClientSession(read, write) as session,
    ):
        opened = await session.initialize()
        tools: list[str] = []
        cursor = None
        while True:
            page = await session.list_tools(cursor)
            tools.extend(tool.name for tool in page.tools)
            cursor = page.nextCursor
            if cursor is None:
                break
        echoed = await session.call_tool("up__echo", {"text": "hello"})
        await session.call_tool("up__steps", {"count": 3}, progress_callback=on_progress)
        await session.send_ping()
        refused = ""
        try:
            await session.call_tool("up__nowhere", {})
        except sdk.McpError as error:
            refused = str(error)
    return {
        "version": opened.protocolVersion,
        "tools": tools,
        "echoed": echoed.content[0].text,
        "progress": seen,
        "refused": refused,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
