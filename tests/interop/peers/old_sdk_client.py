"""The A2A SDK of 0.3 as a client, in an environment of its own: `old_sdk_client.py URL TOKEN`. Prints JSON."""

import asyncio
import importlib
import json
import sys
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, cast

# This program is checked where the other SDK is installed: the names of the older one are looked up as it runs.
httpx: Any = importlib.import_module("httpx")
sdk: Any = importlib.import_module("a2a.client")
types: Any = importlib.import_module("a2a.types")

Told = dict[str, Any]


async def main(url: str, token: str) -> Told:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    told: Told = {}
    async with httpx.AsyncClient(headers=headers, timeout=60) as http:
        card = await sdk.A2ACardResolver(http, url).get_agent_card()
        told["urls"] = sorted({card.url, *(one.url for one in card.additional_interfaces or ())})
        told["skills"] = sorted(skill.id for skill in card.skills)
        schemes: list[Any] = [*(card.security_schemes or {}).values()]
        told["schemes"] = sorted(type(scheme.root).__name__ for scheme in schemes)
        clients = {
            is_streaming: sdk.ClientFactory(sdk.ClientConfig(streaming=is_streaming, httpx_client=http)).create(card)
            for is_streaming in (False, True)
        }
        await step(told, "sent", lambda: sent(clients[False], told))
        await step(told, "streamed", lambda: streamed(clients[True]))
        await step(told, "got", lambda: got(clients[False], told))
    return told


async def step(told: Told, name: str, act: Callable[[], Awaitable[Any]]) -> None:
    """Note what a step came to, or the kind of error that it ended with."""
    try:
        told[name] = await act()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test compares
        told[name] = f"error: {type(error).__name__}"


def message() -> Any:
    part = types.Part(root=types.TextPart(text="say hello"))
    return types.Message(message_id=str(uuid.uuid4()), role=types.Role.user, parts=[part])


def words(value: Any) -> list[str]:
    """Return the texts of agents in a task or message."""
    holders = [*(getattr(value, "artifacts", None) or ())]
    holders += [value] if getattr(value, "role", None) == types.Role.agent else []
    status = getattr(value, "status", None)
    holders += [status.message] if status and status.message else []
    holders += [one for one in getattr(value, "history", None) or () if one.role == types.Role.agent]
    return [part.root.text for holder in holders for part in holder.parts if part.root.kind == "text"]


def first_of(response: Any) -> Any:
    """Return the task or message of what the client yields, which may be a pair of task and update."""
    return cast("Any", response[0]) if isinstance(response, tuple) else response


async def sent(client: Any, told: Told) -> Any:
    found: set[str] = set()
    async for response in client.send_message(message()):
        value: Any = first_of(response)
        found.update(words(value))
        if value.kind == "task":
            told["task"], told["state"] = value.id, value.status.state.value
    return sorted(found)


async def streamed(client: Any) -> Any:
    found: set[str] = set()
    async for response in client.send_message(message()):
        found.update(words(first_of(response)))
    return sorted(found)


async def got(client: Any, told: Told) -> Any:
    if not told.get("task"):
        return "no task"
    task = await client.get_task(types.TaskQueryParams(id=told["task"]))
    return task.status.state.value


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
