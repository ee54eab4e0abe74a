"""`agent-gateway stdio` as a desktop client starts it: a program that speaks MCP on its standard streams."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import mcp_types as types
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.client.stdio import stdio_client

from agent_gateway.identity.api_keys import new_api_key
from support.command_line import Run
from support.prefork import GATEWAY, command
from support.running import RunningGateway, paths, running_gateway, write_world

ERAS = ["legacy", "auto"]
Mode = Literal["legacy", "auto"]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningGateway]:
    config = write_world(tmp_path_factory.mktemp("stdio"))
    config.write_text(config.read_text().replace("limit: 1,", "limit: 100,"))
    with running_gateway(config) as running:
        yield running


def program(served: RunningGateway, *arguments: str) -> list[str]:
    return [*command(GATEWAY, "--config", str(served.config), "stdio", *(arguments or ("--as", "planner")))]


async def agree(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
    del context, params
    return types.ElicitResult(action="accept", content={"date": "2026-12-24"})


@asynccontextmanager
async def connected(served: RunningGateway, mode: Mode, *arguments: str) -> AsyncGenerator[Client]:
    first, *rest = program(served, *arguments)
    parameters = StdioServerParameters(command=first, args=rest, env=paths())
    with anyio.fail_after(60):
        async with Client(stdio_client(parameters), mode=mode, elicitation_callback=agree) as client:
            yield client


@pytest.mark.requirement("mcp.stdio-face")
@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_lists_calls_hears_progress_and_is_told_why_it_is_refused(
    served: RunningGateway, mode: Mode
) -> None:
    heard: list[float] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        heard.append(progress)

    async with connected(served, mode) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        echoed = await client.call_tool("sdk__echo", {"text": "line one\nline two é"})
        await client.call_tool("sdk__steps", {"count": 3}, progress_callback=hear)
        with pytest.raises(MCPError, match="the text must be polite"):
            await client.call_tool("sdk__echo", {"text": "damn it"})
    assert "sdk__echo" in names
    assert "sdk__die" not in names
    assert isinstance(echoed, types.CallToolResult)
    assert [block.text for block in echoed.content if isinstance(block, types.TextContent)] == ["line one\nline two é"]
    assert heard == [1, 2, 3]


@pytest.mark.requirement("mcp.stdio-face")
@pytest.mark.parametrize("mode", ERAS)
async def test_a_question_of_the_upstream_reaches_the_client_and_a_cancelled_call_stops_there(
    served: RunningGateway, mode: Mode
) -> None:
    async with connected(served, mode, "--as", "boss") as client:
        booked = await client.call_tool("sdk__book", {})
        assert isinstance(booked, types.CallToolResult)
        assert [block.text for block in booked.content if isinstance(block, types.TextContent)] == ["booked 2026-12-24"]
        began, name = anyio.Event(), f"from {mode}"

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            del progress, total, message
            began.set()

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.call_tool("sdk__hang", {"name": name}, progress_callback=hear))
            await began.wait()
            group.cancel_scope.cancel()
        while name not in await cancelled(client):
            await anyio.lowlevel.checkpoint()


async def cancelled(client: Client) -> list[str]:
    seen = await client.call_tool("sdk__seen", {})
    assert isinstance(seen, types.CallToolResult)
    [block] = seen.content
    assert isinstance(block, types.TextContent)
    found: list[str] = json.loads(block.text)["cancelled"]
    return found


def test_it_ends_with_success_when_the_client_closes_its_side(served: RunningGateway) -> None:
    told = ask(served, initialize(), {"jsonrpc": "2.0", "id": 2, "method": "ping"})
    assert [one["id"] for one in told] == [1, 2]
    assert told[1]["result"] == {}


def test_what_is_no_message_is_refused_and_hurts_nothing(served: RunningGateway) -> None:
    told = ask(served, "no json", [initialize()], initialize(), "")
    assert [(one["id"], one.get("error", {}).get("code")) for one in told] == [
        (None, -32700),
        (None, -32600),
        (1, None),
    ]


def test_a_gateway_that_is_away_is_said_so_in_an_answer(served: RunningGateway, tmp_path: Path) -> None:
    away = tmp_path / "gateway.yaml"
    away.write_text(write_world(tmp_path).read_text())
    words = [sys.executable, "-m", "agent_gateway.cli.main", "--config", str(away), "stdio", "--as", "planner"]
    [told] = lines_of(words, initialize())
    assert told["id"] == 1
    assert "the gateway cannot be asked" in told["error"]["message"]
    assert "upstream" not in told["error"]["message"]


def test_it_ends_on_a_signal(served: RunningGateway) -> None:
    with subprocess.Popen(
        program(served), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=paths(), text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(initialize()) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["id"] == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_it_reaches_a_gateway_elsewhere_with_a_token_from_the_environment(served: RunningGateway) -> None:
    mint = command(GATEWAY, "--config", str(served.config), "token", "planner", "--json")
    minted = subprocess.run(mint, capture_output=True, check=True, env=paths())
    environ = paths() | {"GATEWAY_TOKEN": json.loads(minted.stdout)["access_token"]}
    words = program(served, "--url", served.ready["endpoint"], "--token-env", "GATEWAY_TOKEN")
    [told] = lines_of(words, initialize(), environ=environ)
    assert told["result"]["protocolVersion"] == "2025-11-25"


def test_a_token_that_is_refused_is_said_so(served: RunningGateway) -> None:
    key, _ = new_api_key()
    words = program(served, "--url", served.ready["endpoint"], "--token-env", "GATEWAY_TOKEN")
    [told] = lines_of(words, initialize(), environ=paths() | {"GATEWAY_TOKEN": key})
    assert "API key is not known" in told["error"]["message"]
    assert key not in json.dumps(told)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "name an agent"),
        (["--as", "planner", "--url", "https://gateway.example/mcp"], "name an agent"),
        (["--as", "planner", "--toolset", "admin"], "serves no tools"),
        (["--as", "planner", "--toolset", "redaing"], "no endpoint"),
        (["--url", "http://gateway.example/mcp", "--token-env", "PATH"], "https"),
        (["--url", "https://gateway.example/mcp"], "--token-env"),
    ],
)
def test_it_says_what_is_wrong_with_its_options(
    served: RunningGateway, capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    run = Run(capsys, "--config", served.config, "stdio", *arguments)
    assert run.code == 2
    assert why in run.err
    assert run.out == ""


def initialize() -> dict[str, Any]:
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


def ask(served: RunningGateway, *messages: object) -> list[dict[str, Any]]:
    """Give it lines, close its input, and return what it said; it must end with 0."""
    return lines_of(program(served), *messages)


def lines_of(words: list[str], *messages: object, environ: dict[str, str] | None = None) -> list[dict[str, Any]]:
    said = "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in messages)
    done = subprocess.run(
        words, input=said, capture_output=True, text=True, check=False, timeout=60, env=environ or dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
