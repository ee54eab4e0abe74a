"""Clients that others wrote, each in an environment of its own, listing and calling through the gateway."""

import json
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp_types import TextContent

from agent_gateway.identity.api_keys import new_api_key
from demos.environments import command, directory, is_made
from support.mcp_servers import start_http_server
from support.running import free_ports, running_gateway

SUPPORT: Final = Path(__file__).parents[1] / "support"
RUN_TIMEOUT_S: Final = 90
PYTHON: Final = [
    ("clients-mcp2", "mcp"),
    ("clients-mcp2", "fastmcp"),
    ("clients-mcp2", "openai-agents"),
    ("clients-mcp2", "pydantic-ai"),
    ("clients-mcp1", "langchain"),
]
CONFIG = """version: 1
data_dir: ./data
listeners: {{data: {{port: {data}}}, admin: {{port: {admin}}}}}
tenants: {{acme: {{}}}}
agents: {{planner: {{tenant: acme, owner: ana, credentials: [{{kind: api_key, id: {id}, sha256: {sha256}}}]}}}}
upstreams: {{up: {{url: "{url}", allow_private: true, tools: {{"*": {{risk: 1}}}}}}}}
policies: {{files: [main.cedar]}}
telemetry: {{logs: console, level: error}}
"""


@dataclass(frozen=True)
class Stage:
    """The gateway before the SDK's server, and a key that opens it."""

    url: str
    key: str


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    home = tmp_path_factory.mktemp("gateway")
    data, admin = free_ports(2)
    key, stored = new_api_key()
    (home / "main.cedar").write_text('@id("all") permit (principal, action, resource);\n')
    with start_http_server() as server:
        config = CONFIG.format(data=data, admin=admin, id=stored.id, sha256=stored.sha256, url=server.url)
        (home / "gateway.yaml").write_text(config)
        with running_gateway(home / "gateway.yaml") as running:
            yield Stage(running.ready["endpoint"], key)


def needs(environment: str) -> None:
    if not is_made(environment):
        pytest.skip(f"environment `{environment}` is not made: python demos/environments.py {environment}")


def run(words: list[str]) -> str:
    """Run a client to its end; return what it printed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=RUN_TIMEOUT_S)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def check(told: dict[str, Any]) -> None:
    assert {"up__echo", "up__steps"} <= set(told["tools"])
    assert told["echoed"] == "hello"


@pytest.mark.requirement("mcp.real-clients")
@pytest.mark.parametrize(("environment", "name"), PYTHON, ids=[name for _, name in PYTHON])
def test_a_python_client_lists_and_calls(stage: Stage, environment: str, name: str) -> None:
    needs(environment)
    program = [*command(environment, "python"), "-W", "ignore", str(SUPPORT / "other_clients.py")]
    check(json.loads(run([*program, name, stage.url, stage.key]).splitlines()[-1]))


@pytest.mark.requirement("mcp.real-clients")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_typescript_sdk_lists_and_calls(stage: Stage, mode: str) -> None:
    needs("clients-npm")
    program = [*command("clients-npm", "node"), str(SUPPORT / "other_client.mjs")]
    check(json.loads(run([*program, str(directory("clients-npm") / "node_modules"), stage.url, stage.key, mode])))


@pytest.mark.requirement("mcp.real-clients")
def test_the_inspector_lists_and_calls(stage: Stage) -> None:
    needs("clients-npm")
    header = ["--header", f"Authorization: Bearer {stage.key}"]
    program = [*command("clients-npm", "mcp-inspector"), "--cli", stage.url, "--transport", "http", *header]
    listed = json.loads(run([*program, "--method", "tools/list"]))
    call = ["--method", "tools/call", "--tool-name", "up__echo", "--tool-arg", "text=hello"]
    called = json.loads(run([*program, *call]))
    check({"tools": [tool["name"] for tool in listed["tools"]], "echoed": called["content"][0]["text"]})


@pytest.mark.requirement("mcp.real-clients")
async def test_a_stdio_bridge_of_others_lists_and_calls(stage: Stage) -> None:
    needs("clients-npm")
    program, *words = command("clients-npm", "mcp-remote")
    header = ["--header", f"Authorization:Bearer {stage.key}", "--transport", "http-only"]
    started = StdioServerParameters(command=program, args=[*words, stage.url, "--allow-http", *header])
    with anyio.fail_after(RUN_TIMEOUT_S):
        async with stdio_client(started) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            tools = await session.list_tools()
            result = await session.call_tool("up__echo", {"text": "hello"})
    [block] = getattr(result, "content", [])
    assert isinstance(block, TextContent)
    check({"tools": [tool.name for tool in tools.tools], "echoed": block.text})
