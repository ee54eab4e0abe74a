"""One agent of the hand-off: on the official SDK, in a process of its own. `python -m demos.hand_off_agent ROLE PORT`.

planner   hands every question on to the worker, at the gateway
worker    asks the tool server, at the gateway, and answers; told to `go back`, it calls the planner

Each turns the token that it was called with into one that calls on, as any agent behind the gateway would.
"""

import json
import os
import sys
from typing import Any, cast

import httpx2
import uvicorn
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, Part, Task, TaskState, TaskStatus
from starlette.applications import Starlette

GATEWAY, SECRET = os.environ["GATEWAY"], os.environ["SECRET"]
VERSION = "2026-07-28"
META: dict[str, Any] = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


async def onward(client: httpx2.AsyncClient, role: str, token: str, path: str) -> dict[str, str]:
    """Return the headers of a call in the caller's name (RFC 8693)."""
    form = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "resource": GATEWAY + path,
        "client_id": role,
        "client_secret": SECRET,
    }
    answer = (await client.post(f"{GATEWAY}/oauth/token", data=form)).json()
    return {"authorization": f"Bearer {answer.get('access_token', 'none')}"}


async def ask_agent(role: str, token: str, agent: str, text: str) -> str:
    """Send a message to another agent, through the gateway; return its words, or the gateway's."""
    path = f"/a2a/{agent}"
    params = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": text}]}}
    body = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": params}
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        headers = await onward(client, role, token, path) | {"a2a-version": "1.0"}
        answer = (await client.post(GATEWAY + path, json=body, headers=headers)).json()
    if "error" in answer:
        return f"refused: {answer['error']['data'][0]['reason']}"
    artifacts = answer["result"]["task"]["artifacts"]
    return str(artifacts[0]["parts"][0]["text"])


async def ask_tool(role: str, token: str, item: str) -> str:
    """Call the tool, through the gateway; return its answer, or why there is none."""
    body = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "prices__price", "arguments": {"item": item}, "_meta": META},
    }  # fmt: skip
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        headers = await onward(client, role, token, "/mcp")
        headers |= {"mcp-protocol-version": VERSION, "mcp-method": "tools/call", "mcp-name": "prices__price"}
        headers["accept"] = "application/json, text/event-stream"
        answer = (await client.post(f"{GATEWAY}/mcp", json=body, headers=headers)).json()
    if "error" in answer:
        return f"refused: {answer['error']['data']['agent-gateway/refusal']['code']}"
    return str(answer["result"]["content"][0]["text"])


class Agent(AgentExecutor):
    """Does one role."""

    def __init__(self, role: str) -> None:
        self._role = role

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        status = TaskStatus(state=TaskState.TASK_STATE_SUBMITTED)
        await event_queue.enqueue_event(Task(id=context.task_id, context_id=context.context_id, status=status))
        updater = TaskUpdater(event_queue, context.task_id, context.context_id)
        await updater.start_work()
        headers = cast("dict[str, str]", context.call_context.state.get("headers", {})) if context.call_context else {}
        token = headers.get("authorization", "").removeprefix("Bearer ")
        answer = await self._answer(context.get_user_input(), token)
        await updater.add_artifact([Part(text=answer)], name="answer")
        await updater.complete()

    async def _answer(self, text: str, token: str) -> str:
        if self._role == "planner":
            return await ask_agent("planner", token, "worker", text)
        if text == "go back":
            return await ask_agent("worker", token, "planner", text)
        return await ask_tool("worker", token, text)

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        assert context.task_id is not None
        assert context.context_id is not None
        await TaskUpdater(event_queue, context.task_id, context.context_id).cancel()


def main(role: str, port: int) -> None:
    url = f"http://127.0.0.1:{port}/"
    skill = AgentSkill(id="price", name="Price", description="finds out what something costs", tags=["shopping"])
    card = AgentCard(
        name=role.title(), description=f"the {role} of the hand-off", version="1",
        supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")],
        capabilities=AgentCapabilities(streaming=True), default_input_modes=["text/plain"],
        default_output_modes=["text/plain"], skills=[skill],
    )  # fmt: skip
    handler = DefaultRequestHandler(Agent(role), InMemoryTaskStore(), card)
    routes: list[Any] = [*create_agent_card_routes(card), *create_jsonrpc_routes(handler, "/")]
    print(json.dumps({"role": role, "url": url}), flush=True)
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
