"""What servers ask of clients, in the four cells of the two eras, with the official SDK on both sides."""

import re
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio
import msgspec
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    LoggingMessageNotificationParams,
    Root,
    TextContent,
)
from pydantic import FileUrl

from support.gateways import PUBLIC_URL, TestGateway, gateway
from support.mcp_servers import HttpServer, server_command, start_http_server
from support.scenes import FILES, check_books, world

Mode = Literal["legacy", "2026-07-28"]
MODES: tuple[Mode, ...] = ("legacy", "2026-07-28")
UPSTREAMS = ("modern", "legacy", "paired", "stdio")
RULES = 'tools: {"*": {risk: 1, read_only: true}}'


@dataclass
class Person:
    """Answers what a client is asked, and remembers it."""

    asked: list[str] = field(default_factory=list[str])
    logged: list[str] = field(default_factory=list[str])
    action: Literal["accept", "decline"] = "accept"

    async def elicit(self, _: Any, params: ElicitRequestParams) -> ElicitResult:
        self.asked.append(params.message)
        return ElicitResult(action=self.action, content={"date": f"day {len(self.asked)}"})

    async def sample(self, _: Any, params: CreateMessageRequestParams) -> CreateMessageResult:
        self.asked.append("sample")
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="deep"), model="m")

    async def roots(self, _: Any) -> ListRootsResult:
        self.asked.append("roots")
        return ListRootsResult(roots=[Root(uri=FileUrl("file:///here"))])

    async def log(self, params: LoggingMessageNotificationParams) -> None:
        self.logged.append(str(params.data))


@pytest.fixture(scope="module")
def servers() -> Generator[dict[str, HttpServer]]:
    with ExitStack() as stack:
        yield {
            "modern": stack.enter_context(start_http_server(era="modern")),
            "legacy": stack.enter_context(start_http_server(era="legacy")),
            "paired": stack.enter_context(start_http_server(era="both")),
        }


@asynccontextmanager
async def mixed(folder: Path, servers: dict[str, HttpServer], *, stdio: bool = True) -> AsyncGenerator[TestGateway]:
    """A gateway in front of both eras, and of a legacy child."""
    eras = {"paired": "era: caller, "}
    entries = [
        f"  {name}: {{url: '{one.url}', allow_private: true, {eras.get(name, '')}{RULES}}}\n"
        for name, one in servers.items()
    ]
    command = msgspec.json.encode(server_command(era="legacy")).decode()
    if stdio:
        entries.append(f"  stdio: {{command: {command}, {RULES}}}\n")
    with anyio.fail_after(90):
        async with gateway(folder, world(entries), **FILES) as gate:
            yield gate


@asynccontextmanager
async def sdk(gate: TestGateway, mode: Mode, person: Person | None) -> AsyncGenerator[Client]:
    """An SDK client that answers as `person` does; None: one that declares nothing."""
    callbacks: dict[str, Any] = {}
    if person is not None:
        callbacks = {
            "elicitation_callback": person.elicit,
            "sampling_callback": person.sample,
            "list_roots_callback": person.roots,
            "logging_callback": person.log,
        }
    async with gate.client(gate.token("planner")) as http_client:
        transport = streamable_http_client(f"{PUBLIC_URL}/mcp", http_client=http_client)
        async with Client(transport, mode=mode, **callbacks) as client:
            yield client


async def said(client: Client, tool: str) -> str:
    result = await client.call_tool(tool, {})
    [block] = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.requirement("mcp.asking.cells")
@pytest.mark.parametrize("mode", MODES)
async def test_a_servers_questions_reach_the_person_behind_every_client(
    tmp_path: Path, servers: dict[str, HttpServer], mode: Mode
) -> None:
    async with mixed(tmp_path, servers) as gate:
        for name in UPSTREAMS:
            person = Person()
            async with sdk(gate, mode, person) as client:
                assert await said(client, f"{name}__book") == "booked day 1", name
                assert await said(client, f"{name}__opinion") == "thought deep"
                assert await said(client, f"{name}__where") == "roots ['file:///here']"
                assert await said(client, f"{name}__everything") in ("day 4 deep", "day 5 deep")
                assert await said(client, f"{name}__book_room") == "booked day 6 day 7"
            assert sorted(person.asked) == sorted(
                [*["Which date?"] * 3, "sample", "sample", "roots", "Which room on day 6?"]
            )
        assert not len(gate.worker.gateway.parked)
        assert not len(gate.worker.gateway.asks)
        check_books(await gate.settled())


async def refused(client: Client, tool: str) -> str:
    """Call a tool that cannot be served and return what the client is told, in whichever form."""
    try:
        result = await client.call_tool(tool, {})
    except MCPError as error:
        return str(error)
    assert result.is_error
    return str(result.content)


@pytest.mark.requirement("mcp.asking.declared")
@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_declared_nothing_is_asked_nothing_and_one_that_declines_is_heard(
    tmp_path: Path, servers: dict[str, HttpServer], mode: Mode
) -> None:
    async with mixed(tmp_path, servers, stdio=False) as gate:
        async with sdk(gate, mode, None) as client:
            for name in servers:
                assert re.search("(?i)elicit|capabil|declare", await refused(client, f"{name}__book")), name
        async with sdk(gate, mode, Person(action="decline")) as client:
            for name in servers:
                assert "declin" in (await refused(client, f"{name}__book")).lower(), name
        check_books(await gate.settled())
