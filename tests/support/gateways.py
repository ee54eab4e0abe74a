"""A whole gateway in the test's own process: real configuration, books, policies, upstreams; streamed in-process."""

import contextlib
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from agent_gateway.audit.reader import records
from agent_gateway.listeners.data import DataApp
from agent_gateway.ports import Clock
from agent_gateway.runtime.worker import Worker, working
from support.bridge import StreamingTransport

PUBLIC_URL = "https://gateway.test"
VERSION = "2026-07-28"
META: Mapping[str, object] = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(slots=True)
class TestGateway:
    """A running gateway and a way to talk to it."""

    __test__ = False

    worker: Worker
    app: DataApp
    folder: Path

    def client(self, token: str = "", *, lingers: bool = False) -> httpx2.AsyncClient:
        """Return an HTTP client that reaches the data listener, with a bearer token or none.

        lingers  its requests may go on after it left
        """
        headers = {"authorization": f"Bearer {token}"} if token else {}
        transport = StreamingTransport(self.app, lingers=lingers)
        return httpx2.AsyncClient(transport=transport, base_url=PUBLIC_URL, headers=headers)

    def token(self, agent: str, path: str = "/mcp") -> str:
        """Return an access token of a configured agent for one endpoint."""
        identity = self.worker.gateway.snapshot.identity
        assert identity.token_service is not None
        found = identity.agents.get(agent)
        assert found is not None
        return identity.token_service.mint(found, PUBLIC_URL + path, ("tools:call",))

    def records(self) -> list[Mapping[str, Any]]:
        """Return every durable audit record, oldest first."""
        return [dict(entry.record) for entry in records(self.worker.data.audit)]

    async def settled(self) -> list[Mapping[str, Any]]:
        """Wait until all that was appended is durable, then return the records."""
        log = self.worker.books.log
        if log.size:
            await log.durable(log.size - 1)
        return self.records()


@contextlib.asynccontextmanager
async def gateway(
    folder: Path, config: str, clock: Clock = time.time, listener: str = "", /, **files: str
) -> AsyncGenerator[TestGateway]:
    """Run the gateway that `config` (YAML, without version, listeners and data_dir) describes.

    clock     what the gateway takes for the time
    listener  further settings of the data listener, such as `http_sse: true`
    files  further files to write beside it, `name=text`; dots are written `__`
    """
    for name, text in files.items():
        path = folder / name.replace("__", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
    data = f"{{host: 127.0.0.1, port: 8080, public_url: '{PUBLIC_URL}', allowed_hosts: [gateway.test], {listener}}}"
    head = f"version: 1\ndata_dir: ./data\nlisteners:\n  data: {data}\n"
    (folder / "gateway.yaml").write_text(head + config)
    async with working(folder / "gateway.yaml", clock) as worker:
        yield TestGateway(worker, DataApp(worker.gateway), folder)


async def rpc(
    client: httpx2.AsyncClient,
    method: str,
    params: Mapping[str, object] | None = None,
    *,
    path: str = "/mcp",
    request_id: object = 1,
) -> httpx2.Response:
    """Send one modern request and return the HTTP response."""
    body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {**(params or {}), "_meta": META}}
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": method,
    }
    name = (params or {}).get("uri" if method == "resources/read" else "name")
    if isinstance(name, str):
        headers["mcp-name"] = name
    return await client.post(path, content=msgspec.json.encode(body), headers=headers)


async def call(
    client: httpx2.AsyncClient, name: str, arguments: Mapping[str, object] | None = None, *, path: str = "/mcp"
) -> dict[str, Any]:
    """Call a tool the modern way and return the JSON-RPC answer."""
    response = await rpc(client, "tools/call", {"name": name, "arguments": arguments or {}}, path=path)
    answer: dict[str, Any] = response.json()
    return answer
