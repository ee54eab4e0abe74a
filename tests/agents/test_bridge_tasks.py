"""A bridged agent's long tasks: MCP tasks for who follows them, cancelled for who leaves."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import pytest

from support.agent_scenes import agents_behind, caller
from support.gateways import META, VERSION, TestGateway
from support.raw_agent import card, http, raw_agent
from support.scenes import check_books, of_kind

Json = dict[str, Any]
FOLLOWS: Json = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
ASKS: Json = {"elicitation": {}}


@dataclass
class Scripted:
    """An agent with one task, whose state a test sets; what it was asked is kept."""

    state: str = "WORKING"
    version: str = "1.0"
    heard: list[Json] = field(default_factory=list[Json])
    cancelled: anyio.Event = field(default_factory=anyio.Event)
    looked: anyio.Event = field(default_factory=anyio.Event)

    def task(self) -> Json:
        said = {"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": f"it is {self.state.lower()}"}]}
        status = {"state": f"TASK_STATE_{self.state}", "message": said}
        done = [{"artifactId": "a", "parts": [{"text": "the result"}]}] if self.state == "COMPLETED" else []
        return {"id": "t-1", "contextId": "c-1", "status": status, "artifacts": done}

    async def __call__(self, asked: Any) -> None:
        message: Json = orjson.loads(asked.body)
        self.heard.append(message)
        answer: Json = {"result": self.task()}
        match message["method"]:
            case "SendMessage":
                if "taskId" in message["params"]["message"]:
                    self.state = "WORKING"
                answer = {"result": {"task": self.task()}}
            case "CancelTask" if self.state in ("COMPLETED", "CANCELED"):
                answer = {"error": {"code": -32002, "message": "it has ended"}}
            case "CancelTask":
                self.state = "CANCELED"
                answer = {"result": self.task()}
                self.cancelled.set()
            case _:
                if message["params"]["id"] != "t-1" or self.state == "GONE":
                    answer = {"error": {"code": -32001, "message": "no such task at 127.0.0.1"}}
                self.looked.set()
        await asked.peer.say(http(orjson.dumps({"jsonrpc": "2.0", "id": "gateway", **answer})))

    def count(self, method: str) -> int:
        return sum(one["method"] == method for one in self.heard)


@asynccontextmanager
async def bridged(folder: Path) -> AsyncGenerator[tuple[TestGateway, Scripted]]:
    script = Scripted()
    async with (
        raw_agent(script, lambda url: card(url, capabilities={})) as agent,
        agents_behind(folder, [agent.entry("worker", ", as_tools: true, price_micros: 5")]) as running,
    ):
        with anyio.fail_after(60):
            yield running, script


async def ask(client: httpx2.AsyncClient, method: str, params: Json, declared: Json = FOLLOWS) -> Json:
    """Send one modern request and return its answer."""
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": declared}
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}})
    head = {
        "content-type": "application/json", "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION, "mcp-method": method,
    }  # fmt: skip
    name = params.get("name", params.get("taskId"))
    answer: Json = (await client.post("/mcp", content=body, headers=head | ({"mcp-name": name} if name else {}))).json()
    return answer


NOTHING: Json = {}
CALL: Json = {"name": "worker__ask", "arguments": {"message": "take your time"}}


@pytest.mark.requirement("a2a.tasks-as-mcp-tasks")
async def test_a_task_is_followed_answered_and_comes_to_a_result(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (running, script), caller(running, "planner", "/mcp") as ana:
        found = (await ask(ana, "server/discover", {}))["result"]
        assert "io.modelcontextprotocol/tasks" in found["capabilities"]["extensions"]
        begun = (await ask(ana, "tools/call", CALL))["result"]
        assert (begun["resultType"], begun["status"], "t-1" in str(begun)) == ("task", "working", False)
        assert script.heard[0]["params"]["configuration"] == {"returnImmediately": True}
        named = {"taskId": begun["taskId"]}
        working = (await ask(ana, "tasks/get", named))["result"]
        assert (working["status"], working["statusMessage"]) == ("working", "it is working")
        assert working["createdAt"] == begun["createdAt"]
        script.state = "INPUT_REQUIRED"
        asked = (await ask(ana, "tasks/get", named))["result"]
        assert asked["status"] == "input_required"
        assert asked["inputRequests"]["answer"]["params"]["message"] == "it is input_required"
        responses: Json = {"answer": {"action": "accept", "content": {"answer": "go on"}}}
        assert "error" not in await ask(ana, "tasks/update", named | {"inputResponses": responses})
        sent = script.heard[-1]["params"]["message"]
        assert (sent["taskId"], sent["contextId"], sent["parts"]) == ("t-1", "c-1", [{"text": "go on"}])
        script.state = "COMPLETED"
        done = (await ask(ana, "tasks/get", named))["result"]
        assert (done["status"], done["result"]["content"][0]["text"]) == ("completed", "the result")
        assert "error" not in await ask(ana, "tasks/cancel", named)
        records = await running.settled()
        assert [one["operation"] for one in of_kind(records, "decision")] == [
            "tools/call", *["tasks/get"] * 2, "tasks/update", "tasks/get", "tasks/cancel",
        ]  # fmt: skip
        check_books(records)


@pytest.mark.requirement("a2a.tasks-as-mcp-tasks")
async def test_a_task_is_cancelled_by_its_owner_alone(tmp_path: Path) -> None:
    async with (
        bridged(tmp_path) as (running, script),
        caller(running, "planner", "/mcp") as ana,
        caller(running, "twin", "/mcp") as ben,
    ):
        named = {"taskId": (await ask(ana, "tools/call", CALL))["result"]["taskId"]}
        foreign, unknown = await ask(ben, "tasks/cancel", named), await ask(ben, "tasks/cancel", {"taskId": "never"})
        assert foreign == unknown
        assert script.count("CancelTask") == 0
        assert "error" not in await ask(ana, "tasks/cancel", named)
        assert (await ask(ana, "tasks/get", named))["result"]["status"] == "cancelled"
        assert "error" not in await ask(ana, "tasks/cancel", named)
        script.state = "GONE"
        gone = await ask(ana, "tasks/get", named)
        assert (gone["error"]["code"], "127.0.0.1" in str(gone)) == (-32602, False)


@pytest.mark.requirement("a2a.tasks-as-mcp-tasks")
async def test_a_question_that_is_declined_ends_the_task(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (running, script), caller(running, "planner", "/mcp") as ana:
        named = {"taskId": (await ask(ana, "tools/call", CALL))["result"]["taskId"]}
        for nothing in ({"other": {"action": "decline"}}, {}):
            await ask(ana, "tasks/update", named | {"inputResponses": nothing})
        script.state = "INPUT_REQUIRED"
        await ask(ana, "tasks/update", named | {"inputResponses": {"other": {"action": "decline"}}})
        assert script.count("CancelTask") == 0
        await ask(ana, "tasks/update", named | {"inputResponses": {"answer": {"action": "decline"}}})
        assert script.count("CancelTask") == 1


@pytest.mark.requirement("a2a.tasks-as-mcp-tasks")
async def test_a_failure_is_a_result_that_says_so(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (running, script), caller(running, "planner", "/mcp") as ana:
        named = {"taskId": (await ask(ana, "tools/call", CALL))["result"]["taskId"]}
        script.state = "REJECTED"
        failed = (await ask(ana, "tasks/get", named))["result"]
        assert (failed["status"], failed["result"]["isError"]) == ("completed", True)
        script.state = "COMPLETED"
        quick = (await ask(ana, "tools/call", CALL))["result"]
        assert (quick["resultType"], quick["content"][0]["text"]) == ("complete", "the result")


@pytest.mark.requirement("a2a.tasks-as-mcp-tasks")
async def test_who_leaves_a_call_cancels_the_agents_task(tmp_path: Path) -> None:
    async with bridged(tmp_path) as (running, script), caller(running, "planner", "/mcp") as ana:
        async with anyio.create_task_group() as group:
            group.start_soon(ask, ana, "tools/call", CALL, NOTHING)
            await script.looked.wait()
            group.cancel_scope.cancel()
        await script.cancelled.wait()
        check_books(await running.settled())


@pytest.mark.requirement("a2a.skills-as-tools")
async def test_a_state_that_is_forged_or_anothers_goes_on_with_nothing(tmp_path: Path) -> None:
    async with (
        bridged(tmp_path) as (running, script),
        caller(running, "planner", "/mcp") as ana,
        caller(running, "twin", "/mcp") as ben,
    ):
        script.state = "INPUT_REQUIRED"
        asked = (await ask(ana, "tools/call", CALL, ASKS))["result"]
        assert asked["resultType"] == "input_required"
        going_on = {"inputResponses": {"answer": {"action": "accept", "content": {"answer": "x"}}}}
        sent = script.count("SendMessage")
        for client, state in ((ben, asked["requestState"]), (ana, "forged"), (ana, asked["requestState"][:-2] + "AA")):
            told = await ask(client, "tools/call", {**CALL, **going_on, "requestState": state}, ASKS)
            assert told["error"]["code"] == -32602
        assert script.count("SendMessage") == sent
        check_books(await running.settled())
