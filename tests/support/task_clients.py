"""Clients that follow tasks, by hand, in either era."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence

import httpx2
import msgspec

from support.gateways import META, VERSION
from support.legacy_client import LEGACY_VERSION, legacy_headers
from support.task_jobs import Json
from support.task_server import EXTENSION

DECLARED: Json = {"extensions": {EXTENSION: {}}}


def body_of(method: str, params: Mapping[str, object], declared: object = DECLARED) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of one modern request."""
    meta = {**META, "io.modelcontextprotocol/clientCapabilities": declared}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    head = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": VERSION,
        "mcp-method": method,
    }
    name = params.get("name", params.get("taskId"))
    return msgspec.json.encode(message), head if name is None else {**head, "mcp-name": str(name)}


async def ask(
    client: httpx2.AsyncClient,
    method: str,
    params: Mapping[str, object],
    *,
    declared: object = DECLARED,
    path: str = "/mcp",
) -> Json:
    """Send one modern request and return the whole JSON-RPC answer."""
    body, head = body_of(method, params, declared)
    answer: Json = (await client.post(path, content=body, headers=head)).json()
    return answer


def code_of(answer: Json) -> str:
    """Return the code of our own refusal."""
    return str(answer["error"]["data"]["agent-gateway/refusal"]["code"])


async def begun(client: httpx2.AsyncClient, name: str, arguments: Json | None = None, *, path: str = "/mcp") -> Json:
    """Call a tool that runs as a task; return the task."""
    answer = await ask(client, "tools/call", {"name": name, "arguments": arguments or {}}, path=path)
    assert answer["result"]["resultType"] == "task", answer
    return answer["result"]


async def until(client: httpx2.AsyncClient, task_id: str, *statuses: str) -> Json:
    """Poll a task until it has one of these statuses."""
    while True:
        found = (await ask(client, "tasks/get", {"taskId": task_id}))["result"]
        if found["status"] in statuses:
            return found


async def told(lines: AsyncIterator[str]) -> Json:
    """Return the next message of an event stream."""
    async for line in lines:
        if line.startswith("data: {"):
            found: Json = msgspec.json.decode(line[6:])
            return found
    raise AssertionError("the stream ended")


class Session:
    """A legacy client by hand: asks, and answers what it is asked on the way with `answers`, in order."""

    def __init__(self, client: httpx2.AsyncClient, path: str = "/mcp") -> None:
        self._client = client
        self._path = path
        self._id = ""
        self.asked: list[Json] = []
        self.told: list[Json] = []
        self.answers: Sequence[Json] = ({"action": "accept", "content": {"confirm": True}},) * 9
        self.capabilities: Json = {}

    async def open(self, capabilities: Mapping[str, object] | None = None, version: str = LEGACY_VERSION) -> "Session":
        """Shake hands."""
        params = {
            "protocolVersion": version,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        head = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        response = await self._client.post(self._path, content=msgspec.json.encode(message), headers=head)
        self._id = response.headers["mcp-session-id"]
        self.capabilities = response.json()["result"]["capabilities"]
        return self

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a message in it."""
        return legacy_headers(self._id)

    async def ask(self, method: str, params: Mapping[str, object] | None = None) -> Json:
        """Send a request and return the whole answer."""
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        head, body = legacy_headers(self._id), msgspec.json.encode(message)
        async with self._client.stream("POST", self._path, content=body, headers=head) as response:
            if not response.headers["content-type"].startswith("text/event-stream"):
                return json.loads(await response.aread())
            async for line in response.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                said: Json = json.loads(line[6:])
                if "method" not in said:
                    return said
                if "id" in said:
                    await self._reply(said)
                else:
                    self.told.append(said)
        raise AssertionError("the stream ended without an answer")

    async def _reply(self, question: Json) -> None:
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": self.answers[len(self.asked)]}
        self.asked.append(question)
        posted = await self._client.post(
            self._path, content=msgspec.json.encode(answer), headers=legacy_headers(self._id)
        )
        assert posted.status_code == 202

    async def call(self, name: str, arguments: Json | None = None, **more: object) -> Json:
        """Call a tool."""
        return await self.ask("tools/call", {"name": name, "arguments": arguments or {}, **more})

    async def begin(self, name: str, arguments: Json | None = None) -> Json:
        """Call a tool as a task; return the task."""
        answer = await self.call(name, arguments, task={"ttl": 60_000})
        return answer["result"]["task"]

    async def until(self, task_id: str, *statuses: str) -> Json:
        """Poll a task until it has one of these statuses."""
        while True:
            found = (await self.ask("tasks/get", {"taskId": task_id}))["result"]
            if found["status"] in statuses:
                return found
