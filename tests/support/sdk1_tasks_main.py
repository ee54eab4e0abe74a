"""The SDK of the handshake era follows tasks: `sdk1_tasks_main.py URL TOKEN TOOL`. Prints JSON.

It runs in an environment of its own.
"""

import asyncio
import importlib
import json
import sys
from typing import Any

# This program is checked where the other SDK is installed: the names of the first one are looked up as it runs.
sdk: Any = importlib.import_module("mcp")
types: Any = importlib.import_module("mcp.types")
transport: Any = importlib.import_module("mcp.client.streamable_http")


async def main(url: str, token: str, tool: str) -> dict[str, Any]:
    asked: list[str] = []

    async def elicit(_: Any, params: Any) -> Any:
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"interpretation": "technical"})

    headers = {"Authorization": f"Bearer {token}"}
    async with (
        transport.streamablehttp_client(url, headers=headers) as (read, write, _),
        sdk.ClientSession(read, write, elicitation_callback=elicit) as session,
    ):
        opened = await session.initialize()
        tasks = session.experimental
        made = await tasks.call_tool_as_task(tool, {"topic": "tasks", "ambiguous": True})
        statuses: list[str] = []
        async for status in tasks.poll_task(made.task.taskId):
            statuses.append(status.status)
            if status.status == "input_required":
                break
        result = await tasks.get_task_result(made.task.taskId, types.CallToolResult)
        listed = await tasks.list_tasks()
        other = await tasks.call_tool_as_task(tool, {"topic": "more"})
        cancelled = await tasks.cancel_task(other.task.taskId)
        plain = await session.call_tool(tool, {"topic": "plain"})
    return {
        "offered": opened.capabilities.tasks is not None,
        "statuses": statuses,
        "asked": asked,
        "result": result.content[0].text,
        "listed": [task.taskId for task in listed.tasks] == [made.task.taskId],
        "cancelled": cancelled.status,
        "plain": plain.content[0].text,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
