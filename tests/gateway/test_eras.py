"""Every client era against every upstream era, with the official SDK as the independent peer on both sides."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import msgspec
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from support.gateways import PUBLIC_URL, TestGateway, call, gateway, rpc
from support.legacy_client import initialize, legacy, legacy_body, legacy_headers
from support.mcp_servers import HttpServer, server_command, start_http_server
from support.raw_upstream import Gate, answer, definition, http, raw_upstream, saying
from support.scenes import FILES, check_books, of_kind, world

Mode = Literal["auto", "legacy", "2026-07-28"]
MODES: tuple[Mode, ...] = ("auto", "legacy", "2026-07-28")
RULES = 'tools: {"*": {risk: 1, read_only: true}}'


@pytest.fixture(scope="module")
def servers() -> Generator[dict[str, HttpServer]]:
    with ExitStack() as stack:
        yield {
            "modern": stack.enter_context(start_http_server(era="modern")),
            "legacy": stack.enter_context(start_http_server(era="legacy")),
            "json": stack.enter_context(start_http_server(is_json=True)),
        }


@asynccontextmanager
async def mixed(folder: Path, servers: dict[str, HttpServer], more: str = "") -> AsyncGenerator[TestGateway]:
    """A gateway in front of every kind of upstream at once."""
    entries = [f"  {name}: {{url: '{one.url}', allow_private: true, {RULES}}}\n" for name, one in servers.items()]
    command = msgspec.json.encode(server_command()).decode()
    entries.append(f"  stdio: {{command: {command}, {RULES}}}\n")
    with anyio.fail_after(60):
        async with gateway(folder, world(entries, more), **FILES) as gate:
            yield gate


@asynccontextmanager
async def sdk(gate: TestGateway, mode: Mode) -> AsyncGenerator[Client]:
    async with gate.client(gate.token("planner")) as http_client:
        transport = streamable_http_client(f"{PUBLIC_URL}/mcp", http_client=http_client)
        async with Client(transport, mode=mode) as client:
            yield client


@pytest.mark.requirement("mcp.both-eras", "mcp.tools.call.stream", "mcp.names", "mcp.tools.list.pagination")
async def test_every_client_reaches_every_upstream_with_progress_in_order(
    tmp_path: Path, servers: dict[str, HttpServer]
) -> None:
    async with mixed(tmp_path, servers, "limits: {page_items: 7}\n") as gate:
        for mode in MODES:
            async with sdk(gate, mode) as client:
                tools = await every_tool(client)
                assert len(tools) == len(set(tools))
                for name in ("modern", "legacy", "json", "stdio"):
                    assert f"{name}__echo" in tools
                    result = await client.call_tool(f"{name}__echo", {"text": mode})
                    assert result.content == [TextContent(type="text", text=mode)], (mode, name)
                    if name != "json":  # answers with JSON alone have no room for progress
                        assert await progress_of(client, f"{name}__steps") == [1, 2, 3], (mode, name)
        check_books(await gate.settled())


async def every_tool(client: Client) -> list[str]:
    """Return the names on every page."""
    tools: list[str] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools.extend(tool.name for tool in page.tools)
        cursor = page.next_cursor
        if cursor is None:
            return tools


async def progress_of(client: Client, name: str) -> list[float]:
    """Call a tool of three steps; return the progress that was heard."""
    seen: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    await client.call_tool(name, {"count": 3}, progress_callback=on_progress)
    return seen


@pytest.mark.requirement("mcp.both-eras")
async def test_a_legacy_client_may_ping_and_end_its_session(tmp_path: Path) -> None:
    with anyio.fail_after(30):
        async with gateway(tmp_path, world([]), **FILES) as gate, gate.client(gate.token("planner")) as client:
            session = await initialize(client)
            assert (await legacy(client, session, "ping")).json() == {"jsonrpc": "2.0", "id": 1, "result": {}}
            assert (await client.delete("/mcp", headers={"mcp-session-id": session})).status_code == 204
            assert (await legacy(client, session, "ping")).status_code == 404


@pytest.mark.requirement("mcp.cancel")
async def test_a_legacy_client_cancels_by_saying_so_and_not_by_leaving(tmp_path: Path) -> None:
    leaving, telling = Gate(), Gate()
    with anyio.fail_after(30):
        async with (
            raw_upstream({"leaving": leaving, "telling": telling}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
            gate.client(gate.token("twin")) as other,
        ):
            session, theirs = await initialize(client), await initialize(other)
            ended = asyncio.ensure_future(send(client, session, "raw__telling", 5))
            await telling.reached.wait()
            assert await cancel(other, theirs, 5) == 202  # somebody else's request 5
            assert not telling.left.is_set()
            assert await cancel(client, session, 5) == 202
            await telling.left.wait()
            await ended

            gone = asyncio.ensure_future(send(client, session, "raw__leaving", 6))
            await leaving.reached.wait()
            gone.cancel()
            leaving.opened.set()
            await asyncio.wait({gone})
            assert not leaving.left.is_set()
            outcomes = {one["capability"]: one["status"] for one in of_kind(await gate.settled(), "outcome")}
            assert outcomes == {"raw__telling": "cancelled", "raw__leaving": "ok"}


async def send(client: Any, session: str, name: str, number: int) -> None:
    """Call a tool in a session under a request id of our choice."""
    body = legacy_body("tools/call", {"name": name, "arguments": {}}, number)
    await client.post("/mcp", content=body, headers=legacy_headers(session))


async def cancel(client: Any, session: str, number: int) -> int:
    """Say that a request is not wanted any more."""
    body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": number}}
    response = await client.post("/mcp", content=msgspec.json.encode(body), headers=legacy_headers(session))
    return response.status_code


EXOTIC = (
    b'{"z":null,"a":[],"big":1' + b"0" * 30 + b',"tiny":1e-300,"exp":1E+2,"minus":-0,'
    b'"deep":{"b":null,"a":{"":""}},"text":"\\u00e9\\/\\ud83d\\ude00 \xc3\xa9","x-unknown":[1.0,1.50,{}]}'
)


@pytest.mark.requirement("mcp.raw-json")
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_what_a_caller_sends_and_gets_survives_byte_for_byte(tmp_path: Path, era: str) -> None:
    result = b'{"content":[{"type":"text","text":"x","_meta":{"n":null}}],"resultType":"complete","extra":%b}' % EXOTIC
    with anyio.fail_after(30):
        async with (
            raw_upstream({"exotic": saying(lambda one: answer(one, result))}) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            params = {"name": "raw__exotic", "arguments": msgspec.Raw(EXOTIC), "x-more": msgspec.Raw(b"[null, 1.0]")}
            if era == "modern":
                response = await rpc(client, "tools/call", params)
            else:
                response = await legacy(client, await initialize(client), "tools/call", params)
            assert b'"arguments":' + EXOTIC in up.calls[0].body
            assert b'"x-more":[null, 1.0]' in up.calls[0].body
            assert b'"extra":' + EXOTIC in response.content
            assert b'"_meta":{"n":null}' in response.content


@pytest.mark.requirement("mcp.raw-json")
async def test_a_definition_and_an_error_pass_through_as_they_came(tmp_path: Path) -> None:
    told: dict[str, Any] = {"code": -32077, "message": "mine", "data": {"n": None, "deep": [{}]}}
    shown = definition("odd") | {"x-unknown": {"k": None}, "annotations": {"title": "T", "x": 1.5}}
    failing = saying(lambda one: http(msgspec.json.encode({"jsonrpc": "2.0", "id": one.id, "error": told})))
    with anyio.fail_after(30):
        async with (
            raw_upstream({"odd": failing}, [shown]) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            [tool] = (await rpc(client, "tools/list")).json()["result"]["tools"]
            assert tool == shown | {"name": "raw__odd"}
            assert (await call(client, "raw__odd"))["error"] == told


async def test_an_upstream_s_error_has_the_http_status_of_the_caller_s_era(tmp_path: Path) -> None:
    told: dict[str, Any] = {
        "code": -32021,
        "message": "no sampling",
        "data": {"requiredCapabilities": {"sampling": {}}},
    }
    failing = saying(lambda one: http(msgspec.json.encode({"jsonrpc": "2.0", "id": one.id, "error": told})))
    with anyio.fail_after(30):
        async with (
            raw_upstream({"odd": failing}, [definition("odd")]) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            modern = await rpc(client, "tools/call", {"name": "raw__odd", "arguments": {}})
            assert (modern.status_code, modern.json()["error"]) == (400, told)
            older = await legacy(client, await initialize(client), "tools/call", {"name": "raw__odd", "arguments": {}})
            assert (older.status_code, older.json()["error"]["code"]) == (200, -32600)
