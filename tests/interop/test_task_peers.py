"""Tasks between peers that others wrote: a tool of the reference server that must be one, and the SDK's 1.x line."""

import json
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import msgspec
import pytest

from demos.environments import command, is_made
from support.gateways import TestGateway, gateway
from support.processes import process
from support.scenes import FILES, check_books, world
from support.task_clients import ask, until
from support.task_jobs import Json
from support.task_server import EXTENSION

TOOL = "peer__simulate-research-query"
FOLLOWS: Json = {"extensions": {EXTENSION: {}}, "elicitation": {}}
CLIENT = Path(__file__).parents[1] / "support" / "sdk1_tasks_main.py"


def entry() -> str:
    """Return the reference server as an upstream; skips where it is not installed."""
    if not is_made("npm"):
        pytest.skip("environment `npm` is not made: python demos/environments.py npm")
    words = msgspec.json.encode([*command("npm", "mcp-server-everything"), "stdio"]).decode()
    return f'  peer: {{command: {words}, tools: {{"*": {{risk: 1}}}}}}\n'


@asynccontextmanager
async def stage(folder: Path) -> AsyncGenerator[TestGateway]:
    """A gateway in front of the reference server."""
    with anyio.fail_after(90):
        async with gateway(folder, world([entry()]), **FILES) as gate:
            yield gate
            check_books(await gate.settled())


@pytest.mark.requirement("mcp.tasks.peers")
async def test_a_real_servers_task_is_driven_for_a_caller_that_follows_none(tmp_path: Path) -> None:
    async with stage(tmp_path) as gate, gate.client(gate.token("planner")) as client:
        call = {"name": TOOL, "arguments": {"topic": "bees"}}
        answer = await ask(client, "tools/call", call, declared={})
        assert "Research Report: bees" in answer["result"]["content"][0]["text"]


@pytest.mark.requirement("mcp.tasks.peers")
async def test_a_modern_caller_follows_and_answers_a_real_servers_task(tmp_path: Path) -> None:
    async with stage(tmp_path) as gate, gate.client(gate.token("planner")) as client:
        call = {"name": TOOL, "arguments": {"topic": "python", "ambiguous": True}}
        made = (await ask(client, "tools/call", call, declared=FOLLOWS))["result"]
        assert made["resultType"] == "task"
        asked = await until(client, made["taskId"], "input_required", "completed")
        (key,) = asked["inputRequests"]
        answers = {key: {"action": "accept", "content": {"interpretation": "snakes"}}}
        await ask(client, "tasks/update", {"taskId": made["taskId"], "inputResponses": answers}, declared=FOLLOWS)
        done = await until(client, made["taskId"], "completed")
        assert "snakes" in done["result"]["content"][0]["text"]


@pytest.mark.requirement("mcp.tasks.peers")
async def test_the_first_sdk_follows_a_real_servers_task(tmp_path: Path) -> None:
    if not is_made("mcp1"):
        pytest.skip("environment `mcp1` is not made: python demos/environments.py mcp1")
    with anyio.fail_after(120):
        async with process(tmp_path, world([entry()])) as gate:
            await gate.start()
            words = [*command("mcp1", "python"), str(CLIENT), f"http://127.0.0.1:{gate.port}/mcp", gate.token, TOOL]
            done = await anyio.run_process(words, stderr=subprocess.STDOUT, check=False)
            assert done.returncode == 0, done.stdout.decode()
            told = json.loads(done.stdout.splitlines()[-1])
            assert await gate.stop() == 0
            check_books(gate.records())
    assert told["offered"]
    assert told["statuses"][-1] == "input_required"
    assert len(told["asked"]) == 1
    assert "technical" in told["result"]
    assert told["listed"]
    assert told["cancelled"] == "cancelled"
    assert "Research Report: plain" in told["plain"]
