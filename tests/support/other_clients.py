"""Clients that others wrote: `other_clients.py NAME URL TOKEN`, in an environment of theirs.

Each lists the tools, calls `up__echo` and prints JSON.

Each speaks as its users have it speak; the program is checked where none of them is installed, so their names are
looked up as it runs.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

TOOL = "up__echo"
ARGUMENTS = {"text": "hello"}

Told = dict[str, Any]


def part(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


async def mcp(url: str, headers: dict[str, str]) -> Told:
    """The SDK of both eras."""
    http = part("httpx2", "AsyncClient")(headers=headers)
    transport = part("mcp.client.streamable_http", "streamable_http_client")(url, http_client=http)
    async with part("mcp", "Client")(transport) as client:
        tools = await client.list_tools()
        result = await client.call_tool(TOOL, ARGUMENTS)
        return {"tools": [tool.name for tool in tools.tools], "echoed": result.content[0].text}


async def fastmcp(url: str, headers: dict[str, str]) -> Told:
    transport = part("fastmcp.client.transports", "StreamableHttpTransport")(url, headers=headers)
    async with part("fastmcp", "Client")(transport) as client:
        tools = await client.list_tools()
        result = await client.call_tool(TOOL, ARGUMENTS)
        return {"tools": [tool.name for tool in tools], "echoed": result.content[0].text}


async def openai_agents(url: str, headers: dict[str, str]) -> Told:
    async with part("agents.mcp", "MCPServerStreamableHttp")(params={"url": url, "headers": headers}) as server:
        tools = await server.list_tools()
        result = await server.call_tool(TOOL, ARGUMENTS)
        return {"tools": [tool.name for tool in tools], "echoed": result.content[0].text}


async def pydantic_ai(url: str, headers: dict[str, str]) -> Told:
    async with part("pydantic_ai.mcp", "MCPToolset")(url, headers=headers) as toolset:
        tools = await toolset.list_tools()
        result: Any = await toolset.direct_call_tool(TOOL, ARGUMENTS)
        return {"tools": [tool.name for tool in tools], "echoed": result}


async def langchain(url: str, headers: dict[str, str]) -> Told:
    connection = {"transport": "streamable_http", "url": url, "headers": headers}
    client = part("langchain_mcp_adapters.client", "MultiServerMCPClient")({"gateway": connection})
    tools = {tool.name: tool for tool in await client.get_tools()}
    result = await tools[TOOL].ainvoke(ARGUMENTS)
    return {"tools": [*tools], "echoed": result if isinstance(result, str) else result[0]["text"]}


CLIENTS: dict[str, Callable[[str, dict[str, str]], Awaitable[Told]]] = {
    "mcp": mcp,
    "fastmcp": fastmcp,
    "openai-agents": openai_agents,
    "pydantic-ai": pydantic_ai,
    "langchain": langchain,
}


async def main(name: str, url: str, token: str) -> None:
    print(json.dumps(await CLIENTS[name](url, {"Authorization": f"Bearer {token}"})))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
