"""What changes at an upstream is told to whoever wants to hear it: both eras on both sides, real servers."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import msgspec
import pytest

from agent_gateway.runtime.keeper import LOOK_AGAIN_EVERY_S
from support.gateways import META, VERSION, TestGateway, call, gateway
from support.legacy_client import initialize, legacy, legacy_headers
from support.mcp_servers import HttpServer, server_command, start_http_server
from support.scenes import FILES, POLICY, check_books, world

RULES = 'tools: {"*": {risk: 1, read_only: true}}'
READS = POLICY + '@id("acme-reads")\npermit (principal in Tenant::"acme", action == Action::"read", resource);\n'
UPDATED, TOOLS = "notifications/resources/updated", "notifications/tools/list_changed"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


@pytest.fixture(scope="module")
def servers() -> Generator[dict[str, HttpServer]]:
    with ExitStack() as stack:
        yield {
            "modern": stack.enter_context(start_http_server(era="modern")),
            "legacy": stack.enter_context(start_http_server(era="legacy")),
        }


@asynccontextmanager
async def behind(
    folder: Path, servers: dict[str, HttpServer], name: str, limit_s: float = 60
) -> AsyncGenerator[TestGateway]:
    """A gateway in front of one upstream, for so many seconds."""
    entry = (
        f"  up: {{command: {msgspec.json.encode(server_command(era='legacy')).decode()}, isolation: shared, {RULES}}}\n"
    )
    if name != "stdio":
        entry = f"  up: {{url: '{servers[name].url}', allow_private: true, {RULES}}}\n"
    with anyio.fail_after(limit_s):
        async with gateway(folder, world([entry]), **{**FILES, "main__cedar": READS}) as gate:
            yield gate


class Ear:
    """The messages of one event stream, as they come."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._came = asyncio.Condition()

    async def read(self, response: httpx2.Response) -> None:
        async for line in response.aiter_lines():
            if line.startswith("data:") and line[5:].strip():
                async with self._came:
                    self.messages.append(msgspec.json.decode(line[5:]))
                    self._came.notify_all()

    async def until(self, method: str, count: int = 1) -> list[dict[str, Any]]:
        """Return the messages of this method once so many came."""
        async with self._came:
            await self._came.wait_for(lambda: len(self.of(method)) >= count)
        return self.of(method)

    def of(self, method: str) -> list[dict[str, Any]]:
        return [one for one in self.messages if one.get("method") == method]


@asynccontextmanager
async def listening(client: httpx2.AsyncClient, session: str, notifications: object = None) -> AsyncGenerator[Ear]:
    """Listen in the way of the session's era; an empty session is modern."""
    ear = Ear()
    if session:
        stream = client.stream(
            "GET", "/servers/up/mcp", headers={**legacy_headers(session), "accept": "text/event-stream"}
        )
    else:
        params = {"notifications": notifications, "_meta": META}
        body = {"jsonrpc": "2.0", "id": "sub-1", "method": "subscriptions/listen", "params": params}
        headers = {
            "content-type": "application/json", "accept": "application/json, text/event-stream",
            "mcp-protocol-version": VERSION, "mcp-method": "subscriptions/listen",
        }  # fmt: skip
        stream = client.stream("POST", "/servers/up/mcp", content=msgspec.json.encode(body), headers=headers)
    async with stream as response:
        assert response.status_code == 200, await response.aread()
        reading = asyncio.ensure_future(ear.read(response))
        try:
            yield ear
        finally:
            reading.cancel()
            await asyncio.wait({reading})


async def until_heard(gate: TestGateway, ear: Ear, arguments: dict[str, str]) -> list[dict[str, Any]]:
    """Touch the resource until the stream tells of it: a subscription at the upstream takes a moment."""
    async with gate.client(gate.token("planner", "/servers/up/mcp")) as client:
        while not ear.of(UPDATED):
            await call(client, "touch", arguments, path="/servers/up/mcp")
            with anyio.move_on_after(0.2):
                await ear.until(UPDATED)
    return ear.of(UPDATED)


@pytest.mark.requirement("mcp.changes.resources")
@pytest.mark.parametrize("name", ["modern", "legacy", "stdio"])
async def test_a_resource_that_changes_is_told_to_who_watches_it(
    tmp_path: Path, servers: dict[str, HttpServer], name: str
) -> None:
    async with behind(tmp_path, servers, name) as gate:
        async with gate.client(gate.token("planner", "/servers/up/mcp")) as client:
            session = await initialize(client, "/servers/up/mcp")
            told = await legacy(client, session, "resources/subscribe", {"uri": "note://one"}, path="/servers/up/mcp")
            assert told.json()["result"] == {}
            wrong = await legacy(client, session, "resources/subscribe", {"uri": "note://no"}, path="/servers/up/mcp")
            assert wrong.json()["error"]["code"] == -32002
            async with listening(client, session) as ear:
                [heard, *_] = await until_heard(gate, ear, {"uri": "note://one"})
                assert heard["params"] == {"uri": "note://one"}
            wanted = {"resourceSubscriptions": ["note://one", "note://hidden"], "toolsListChanged": True}
            async with listening(client, "", wanted) as ear:
                [first] = await ear.until(ACKNOWLEDGED)
                assert ear.messages[0] == first
                assert first["params"]["notifications"] == {
                    "toolsListChanged": True,
                    "resourceSubscriptions": ["note://one"],
                }
                [heard, *_] = await until_heard(gate, ear, {"uri": "note://one"})
                assert heard["params"]["uri"] == "note://one"
                assert {one["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] for one in ear.messages} == {
                    "sub-1"
                }
        while len(gate.worker.gateway.subscriptions):
            await anyio.lowlevel.checkpoint()
        check_books(await gate.settled())


@pytest.mark.requirement("mcp.changes.resources")
async def test_a_server_that_tells_only_the_session_that_changed_something_is_heard_all_the_same(
    tmp_path: Path, servers: dict[str, HttpServer]
) -> None:
    touch = {"name": "touch", "arguments": {"uri": "note://one"}}
    async with (
        behind(tmp_path, servers, "legacy") as gate,
        gate.client(gate.token("planner", "/servers/up/mcp")) as client,
    ):
        # What it declares gives it a session of its own at the upstream, beside the one in which resources are watched.
        session = await initialize(client, "/servers/up/mcp", {"elicitation": {}})
        await legacy(client, session, "resources/subscribe", {"uri": "note://one"}, path="/servers/up/mcp")
        async with listening(client, session) as ear:
            while not ear.of(UPDATED):
                await legacy(client, session, "tools/call", touch, path="/servers/up/mcp")
                with anyio.move_on_after(0.2):
                    await ear.until(UPDATED)
            assert ear.of(UPDATED)[0]["params"] == {"uri": "note://one"}


@pytest.mark.requirement("mcp.changes.lists")
@pytest.mark.parametrize("name", ["modern", "legacy", "stdio"])
async def test_a_tool_that_appears_is_told_and_listed(
    tmp_path: Path, servers: dict[str, HttpServer], name: str
) -> None:
    async with (
        behind(tmp_path, servers, name, LOOK_AGAIN_EVERY_S - 1) as gate,  # only what the upstream says leads to a look
        gate.client(gate.token("planner", "/servers/up/mcp")) as client,
    ):
        session = await initialize(client, "/servers/up/mcp")
        async with listening(client, session) as ear, listening(client, "", {"toolsListChanged": True}) as other:
            await other.until(ACKNOWLEDGED)
            number = 0
            while not (ear.of(TOOLS) and other.of(TOOLS)):  # the stream at the upstream takes a moment
                grown = {"name": f"grown_{name}_{number}"}
                assert "error" not in await call(client, "grow", grown, path="/servers/up/mcp")
                number += 1
                with anyio.move_on_after(2):
                    await ear.until(TOOLS)
                    await other.until(TOOLS)
            listed = (await legacy(client, session, "tools/list", path="/servers/up/mcp")).json()["result"]["tools"]
            assert f"grown_{name}_0" in [tool["name"] for tool in listed]
