"""Eight servers that others wrote, each in an environment of its own, through one gateway and in both eras."""

import http.server
import json
import subprocess
import threading
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from agent_gateway.identity.api_keys import new_api_key
from demos.environments import command, is_made
from support.running import free_ports, running_gateway

PAGE: Final = "a page of the test"


@dataclass(frozen=True)
class Server:
    """One server: how it is started, one call and what its answer holds. `{place}` and `{page}` are filled in."""

    environment: str
    program: str
    words: tuple[str, ...]
    tool: str
    arguments: Mapping[str, Any]
    says: str
    tools: int
    env: Mapping[str, str] = field(default_factory=dict[str, str])


THOUGHT = {"thought": "one", "thoughtNumber": 1, "totalThoughts": 1, "nextThoughtNeeded": False}
SERVERS: Final[Mapping[str, Server]] = {
    "everything": Server("npm", "mcp-server-everything", ("stdio",), "echo", {"message": "hello"}, "hello", 8),
    "filesystem": Server(
        "npm", "mcp-server-filesystem", ("{place}",), "read_text_file", {"path": "{place}/note.txt"}, "a note", 10
    ),
    "memory": Server(
        "npm", "mcp-server-memory", (), "read_graph", {}, "relations", 9, {"MEMORY_FILE_PATH": "{place}/memory.json"}
    ),
    "thinking": Server(
        "npm", "mcp-server-sequential-thinking", (), "sequentialthinking", THOUGHT, "thoughtHistoryLength", 1
    ),
    "git": Server(
        "mcp-git", "mcp-server-git", ("--repository", "{place}"), "git_status", {"repo_path": "{place}"}, "note.txt", 12
    ),
    "time": Server(
        "mcp-time", "mcp-server-time", ("--local-timezone", "UTC"), "get_current_time", {"timezone": "UTC"}, "UTC", 2
    ),
    "fetch": Server(
        "mcp-fetch",
        "mcp-server-fetch",
        ("--ignore-robots-txt", "--allow-private-ips"),
        "fetch",
        {"url": "{page}", "raw": True},
        PAGE,
        1,
    ),
    "sqlite": Server(
        "mcp-sqlite",
        "mcp-server-sqlite",
        ("--db-path", "{place}/test.db"),
        "read_query",
        {"query": "SELECT 6 * 7 AS answer"},
        "42",
        5,
    ),
}


@dataclass(frozen=True)
class Stage:
    """The gateway before every server whose environment is made."""

    url: str
    key: str
    filled: Mapping[str, str]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    place, home = tmp_path_factory.mktemp("place"), tmp_path_factory.mktemp("gateway")
    (place / "note.txt").write_text("a note\n")
    subprocess.run(["git", "init", "--quiet", str(place)], check=True)
    with ExitStack() as stack:
        filled = {"place": str(place.resolve()), "page": stack.enter_context(served_page())}
        key, config = configured(home, filled)
        running = stack.enter_context(running_gateway(config))
        assert running.ready["degraded"] == {}
        yield Stage(running.ready["endpoint"], key, filled)


def configured(home: Path, filled: Mapping[str, str]) -> tuple[str, Path]:
    """Write a configuration with every server that there is; return the key that opens it."""
    data, admin = free_ports(2)
    key, stored = new_api_key()
    entries: dict[str, Any] = {
        name: {
            "command": [*command(one.environment, one.program), *fill(one.words, filled)],
            "env": fill(one.env, filled),
            "tools": {"*": {"risk": 1}},
        }
        for name, one in SERVERS.items()
        if is_made(one.environment)
    }
    credential = {"kind": "api_key", "id": stored.id, "sha256": stored.sha256}
    whole: dict[str, Any] = {
        "version": 1,
        "data_dir": "./data",
        "listeners": {"data": {"port": data}, "admin": {"port": admin}},
        "tenants": {"acme": {}},
        "agents": {"planner": {"tenant": "acme", "owner": "ana", "credentials": [credential]}},
        "upstreams": entries,
        "policies": {"files": ["main.cedar"]},
        "telemetry": {"logs": "console", "level": "error"},
    }
    (home / "main.cedar").write_text('@id("all") permit (principal, action, resource);\n')
    (home / "gateway.yaml").write_text(json.dumps(whole))  # JSON is YAML
    return key, home / "gateway.yaml"


@contextmanager
def served_page() -> Generator[str]:
    """Serve one page on loopback; yield its URL."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's word
            del format, args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def fill(value: Any, filled: Mapping[str, str]) -> Any:
    """Put places into every text of a JSON value."""
    text = json.dumps(value)
    for name, place in filled.items():
        text = text.replace(f"{{{name}}}", place)
    return json.loads(text)


@pytest.mark.requirement("mcp.real-servers")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_that_others_wrote_is_listed_and_called(
    stage: Stage, name: str, mode: Literal["legacy", "auto"]
) -> None:
    server = SERVERS[name]
    if not is_made(server.environment):
        pytest.skip(
            f"environment `{server.environment}` is not made: python demos/environments.py {server.environment}"
        )
    with anyio.fail_after(60):
        async with (
            httpx2.AsyncClient(headers={"authorization": f"Bearer {stage.key}"}, timeout=60) as http_client,
            Client(streamable_http_client(stage.url, http_client=http_client), mode=mode) as client,
        ):
            listed = [tool.name for tool in (await client.list_tools()).tools if tool.name.startswith(f"{name}__")]
            result = await client.call_tool(f"{name}__{server.tool}", fill(server.arguments, stage.filled))
    assert len(listed) >= server.tools
    assert isinstance(result, CallToolResult)
    text = "".join(block.text for block in result.content if isinstance(block, TextContent))
    assert not result.is_error, text
    assert server.says in text
