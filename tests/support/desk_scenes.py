"""A toolset that is served as an agent, `desk`, and words for what is sent to it and what comes of it."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2

from support.agent_scenes import agents_behind, rpc
from support.gateways import TestGateway
from support.raw_upstream import RawUpstream, Tool, answer, definition, raw_upstream, saying, text
from support.scenes import POLICY

DESK = "/a2a/desk"
TOOLSET = "toolsets:\n  desk: {agent: {%s}}\n"
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
Params = dict[str, Any]
repeat: Tool = saying(lambda call: answer(call, text(call.arguments["text"])))


def calling(
    tool: str, arguments: Mapping[str, object] | None = None, message_id: str = "m-1", **more: object
) -> Params:
    """Return the params of a 1.0 message that calls a tool."""
    data = {"tool": tool, "arguments": arguments or {}}
    return {"message": {"messageId": message_id, "role": "ROLE_USER", "parts": [{"data": data}], **more}}


@asynccontextmanager
async def desk(
    folder: Path,
    tools: Mapping[str, Tool],
    agent: str = "",
    *,
    more: str = "",
    policy: str = POLICY,
    shown: list[dict[str, Any]] | None = None,
) -> AsyncGenerator[tuple[TestGateway, RawUpstream]]:
    """A toolset of a raw upstream's tools, served as an agent."""
    async with (
        raw_upstream(tools, shown or [definition(name, TEXT) for name in tools]) as upstream,
        agents_behind(folder, [upstream.entry()], TOOLSET % agent + more, policy) as running,
    ):
        with anyio.fail_after(60):
            yield running, upstream


async def ask(client: httpx2.AsyncClient, method: str, params: Params, **more: Any) -> dict[str, Any]:
    """Send one request and return its answer."""
    answered: dict[str, Any] = (await rpc(client, method, params, path=DESK, **more)).json()
    return answered


async def done(client: httpx2.AsyncClient, params: Params) -> dict[str, Any]:
    """Send one message and return the task it leads to."""
    answered = await ask(client, "SendMessage", params)
    assert "result" in answered, answered
    task: dict[str, Any] = answered["result"]["task"]
    return task


def state(task: dict[str, Any]) -> str:
    return str(task["status"]["state"]).removeprefix("TASK_STATE_")


def parts(task: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for artifact in task.get("artifacts", []) for part in artifact["parts"]]


def said(task: dict[str, Any]) -> str:
    return str(task["status"]["message"]["parts"][0]["text"])


def code(answered: dict[str, Any]) -> str:
    return str(answered["error"]["data"][0]["metadata"]["code"])
