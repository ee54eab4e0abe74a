"""The A2A SDK of 1.0 as a client: `sdk_client.py BINDING URL TOKEN`. Prints what each step came to, as JSON."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from a2a.client import A2ACardResolver, Client, ClientConfig, ClientFactory
from a2a.helpers.proto_helpers import new_text_message
from a2a.types import GetTaskRequest, ListTasksRequest, Role, SendMessageRequest, StreamResponse, TaskState

Told = dict[str, Any]


async def main(binding: str, url: str, token: str) -> Told:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    told: Told = {}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        card = await A2ACardResolver(http, url).get_agent_card()
        told["urls"] = sorted({one.url for one in card.supported_interfaces})
        told["skills"] = sorted(skill.id for skill in card.skills)
        clients: dict[bool, Client] = {}
        for is_streaming in (False, True):
            config = ClientConfig(streaming=is_streaming, httpx_client=http, supported_protocol_bindings=[binding])
            clients[is_streaming] = ClientFactory(config).create(card)
        await step(told, "sent", lambda: sent(clients[False], told))
        await step(told, "streamed", lambda: streamed(clients[True]))
        await step(told, "got", lambda: got(clients[False], told))
        await step(told, "listed", lambda: listed(clients[False], told))
        await step(told, "unknown", lambda: unknown(clients[False]))
    return told


async def step(told: Told, name: str, act: Callable[[], Awaitable[Any]]) -> None:
    """Note what a step came to, or the kind of error that it ended with."""
    try:
        told[name] = await act()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test compares
        told[name] = f"error: {type(error).__name__}"


def words(response: StreamResponse) -> list[str]:
    """Return the texts of agents in one answer or event."""
    holders: list[Any] = [*response.task.artifacts, response.message, response.artifact_update.artifact]
    holders += [response.task.status.message, response.status_update.status.message]
    holders += [one for one in response.task.history if one.role == Role.ROLE_AGENT]
    return [part.text for holder in holders for part in holder.parts if part.text]


async def sent(client: Client, told: Told) -> Any:
    found: set[str] = set()
    async for response in client.send_message(
        SendMessageRequest(message=new_text_message("say hello", role=Role.ROLE_USER))
    ):
        found.update(words(response))
        told["task"] = response.task.id or told.get("task", "")
        if response.HasField("task"):
            told["state"] = TaskState.Name(response.task.status.state)
    return sorted(found)


async def streamed(client: Client) -> Any:
    found: set[str] = set()
    kinds: list[str] = []
    async for response in client.send_message(
        SendMessageRequest(message=new_text_message("say hello", role=Role.ROLE_USER))
    ):
        found.update(words(response))
        kinds.append(response.WhichOneof("payload") or "nothing")
    return {"kinds": sorted(set(kinds)), "words": sorted(found)}


async def got(client: Client, told: Told) -> Any:
    if not told.get("task"):
        return "no task"
    task = await client.get_task(GetTaskRequest(id=told["task"]))
    return TaskState.Name(task.status.state)


async def listed(client: Client, told: Told) -> Any:
    tasks = await client.list_tasks(ListTasksRequest())
    return told.get("task", "") in {task.id for task in tasks.tasks}


async def unknown(client: Client) -> Any:
    await client.get_task(GetTaskRequest(id="00000000-0000-4000-8000-000000000000"))
    return "found"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
