"""What a warm `tools/list` of 10 000 tools over 100 upstreams costs: CPU of the gateway, without the writing.

The gateway is whole (configuration, policies, catalogue, audit log); only the socket to the caller is missing. Its
upstreams are one small server in the same event loop, which nobody asks any more once the lists are known.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_gateway.listeners.data import DataApp
from agent_gateway.runtime.worker import Worker, working

UPSTREAMS = 100
TOOLS_EACH = 100
REPEATS = 20
MAX_MS = 5.0  # what a warm list may take
VERSION = "2026-07-28"
AGENT = "bench"
POLICY = """@id("team-reads")
permit(principal in Team::"bench/load", action == Action::"call", resource)
when { resource.read_only && resource.risk <= principal.trust };

@id("no-large-n")
forbid(principal, action == Action::"call", resource) when { context.args has n && context.args.n > 1000 };
"""
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}, "n": {"type": "integer"}}, "required": ["text"]}


@dataclass(frozen=True, slots=True)
class Listed:
    """CPU of all pages together, in milliseconds: the first time, and the best and the median of the later ones."""

    tools: int
    pages: int
    size_bytes: int
    first_ms: float
    best_ms: float
    median_ms: float


def measure(say: Callable[[str], None], page_items: int = UPSTREAMS * TOOLS_EACH) -> Listed:
    """Run the measurement and say what came of it.

    page_items  how many tools a page holds: all of them, or the gateway's default of 1 000
    """
    with tempfile.TemporaryDirectory(prefix="agw-list-") as place:
        listed = asyncio.run(_measure(Path(place), page_items))
    say(
        f"tools/list warm: {listed.tools} tools over {UPSTREAMS} upstreams, {listed.pages} pages, "
        f"{listed.size_bytes / 1e6:.1f} MB: {listed.best_ms:.2f} ms CPU (median {listed.median_ms:.2f}), "
        f"the first time {listed.first_ms:.0f} ms"
    )
    return listed


async def _measure(home: Path, page_items: int) -> Listed:
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (home / "policies.cedar").write_text(POLICY, encoding="utf-8")
    (home / "gateway.yaml").write_text(json.dumps(_configuration(port, page_items)), encoding="utf-8")
    (home / "secret").write_text("a secret that nobody ever sends", encoding="utf-8")
    os.chmod(home / "secret", 0o600)
    async with server, working(home / "gateway.yaml") as worker:
        return await _list(worker)


async def _list(worker: Worker) -> Listed:
    identity = worker.gateway.snapshot.identity
    agent = identity.agents.get(AGENT)
    assert agent is not None
    assert identity.token_service is not None
    resource = worker.gateway.snapshot.routes["/mcp"].resource
    token = identity.token_service.mint(agent, resource, ("tools:call",))
    app, taken = DataApp(worker.gateway), list[float]()
    pages = size = tools = 0
    for _ in range(REPEATS + 1):
        pages = size = tools = 0
        spent_ns, cursor = 0, None
        while pages == 0 or cursor is not None:
            began = time.thread_time_ns()
            body = await _page(app, token, cursor)
            spent_ns += time.thread_time_ns() - began
            result = json.loads(body)["result"]
            pages, size, tools = pages + 1, size + len(body), tools + len(result["tools"])
            cursor = result.get("nextCursor")
        taken.append(spent_ns / 1e6)
    warm = sorted(taken[1:])
    return Listed(tools, pages, size, taken[0], warm[0], warm[len(warm) // 2])


async def _page(app: DataApp, token: str, cursor: str | None) -> bytes:
    """Ask for one page as uvicorn would, and return the body of the answer."""
    meta: dict[str, object] = {
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    params: dict[str, object] = {"_meta": meta}
    if cursor is not None:
        params["cursor"] = cursor
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}).encode()
    said: list[bytes] = []
    headers = {
        "host": "127.0.0.1:8080",
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json",
        "mcp-protocol-version": VERSION,
        "mcp-method": "tools/list",
    }
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "raw_path": b"/mcp",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
    }

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message.get("body", b""))

    await app(scope, receive, send)
    return b"".join(said)


def _configuration(port: int, page_items: int) -> dict[str, object]:
    rules = {"*": {"risk": 1, "read_only": True}}
    return {
        "version": 1,
        "data_dir": "./data",
        "limits": {"page_items": page_items},
        "tenants": {"bench": {"teams": {"load": {}}}},
        "agents": {
            AGENT: {
                "tenant": "bench",
                "teams": ["load"],
                "owner": "the benchmark",
                "trust": 5,
                "credentials": [{"kind": "client_secret", "secret": "file:secret"}],
            }
        },
        "upstreams": {
            f"u{number:02}": {
                "kind": "mcp",
                "url": f"http://127.0.0.1:{port}/u{number:02}/mcp",
                "allow_private": True,
                "era": "modern",
                "tools": rules,
            }
            for number in range(UPSTREAMS)
        },
        "policies": {"files": ["policies.cedar"]},
        "telemetry": {"level": "error"},
    }


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer every request of one connection of the gateway's."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            message = json.loads(await reader.readexactly(length))
            body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": _result(message["method"])}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n")
            writer.write(b"content-length: %d\r\n\r\n%b" % (len(body), body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _result(method: str) -> dict[str, object]:
    if method != "tools/list":
        return {"supportedVersions": [VERSION], "capabilities": {"tools": {}}, "resultType": "complete"}
    described = "Does what a tool of a real server does, in a sentence or two that a model reads before it chooses."
    tools = [
        {"name": f"tool_{number}", "description": described, "inputSchema": SCHEMA} for number in range(TOOLS_EACH)
    ]
    return {"tools": tools, "resultType": "complete"}
