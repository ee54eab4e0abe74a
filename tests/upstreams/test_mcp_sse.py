"""Upstreams over the HTTP+SSE transport of 2024: the SDK's server behind a whole gateway, and ones that misbehave."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import mcp_types as types
import orjson
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client

from agent_gateway.upstreams.sse_link import endpoint_of
from gateway_policies.refusal import UpstreamFailed
from support.gateways import PUBLIC_URL, TestGateway, call, gateway
from support.mcp_servers import start_sse_server
from support.raw_http import Behaviour, Peer, raw_server
from support.scenes import FILES, check_books, world

OLD: dict[str, Any] = {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": {"name": "old"}}
TOOLS = {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}


def entry(url: str, more: str = "") -> str:
    rules = 'tools: {"*": {risk: 1}}'
    return f"  old: {{url: '{url}', transport: sse, allow_private: true, {rules}{more}}}\n"


async def agree(context: ClientRequestContext, params: types.ElicitRequestParams) -> types.ElicitResult:
    del context, params
    return types.ElicitResult(action="accept", content={"date": "2026-12-24"})


@asynccontextmanager
async def client_of(gate: TestGateway, mode: Literal["legacy", "auto"]) -> AsyncGenerator[Client]:
    async with (
        gate.client(gate.token("planner")) as http,
        Client(
            streamable_http_client(f"{PUBLIC_URL}/mcp", http_client=http), mode=mode, elicitation_callback=agree
        ) as one,
    ):
        yield one


@pytest.mark.requirement("mcp.old-sse-upstream")
async def test_a_server_of_the_old_transport_is_listed_called_asked_and_cancelled_in_both_eras(tmp_path: Path) -> None:
    heard: list[float] = []
    began = anyio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        del total, message
        heard.append(progress)

    async def begin(progress: float, total: float | None, message: str | None) -> None:
        del progress, total, message
        began.set()

    with anyio.fail_after(60), start_sse_server() as url:
        async with gateway(tmp_path, world([entry(url)]), **FILES) as gate:
            for mode in ("legacy", "auto"):
                async with client_of(gate, mode) as client:
                    assert "old__echo" in {tool.name for tool in (await client.list_tools()).tools}
                    await client.call_tool("old__steps", {"count": 3}, progress_callback=hear)
                    booked = await client.call_tool("old__book", {})
                    assert "booked 2026-12-24" in str(booked)
            async with client_of(gate, "auto") as client:
                async with anyio.create_task_group() as group:
                    group.start_soon(lambda: client.call_tool("old__hang", {"name": "x"}, progress_callback=begin))
                    await began.wait()
                    group.cancel_scope.cancel()
                while '"cancelled":["x"]' not in str(await client.call_tool("old__seen", {})).replace(" ", "").replace(
                    "\\n", ""
                ):
                    await anyio.lowlevel.checkpoint()
            check_books(await gate.settled())
    assert heard == [1, 2, 3] * 2


def old_server(
    endpoint: Callable[[int], bytes], seen: list[bytes], answer: Callable[[dict[str, Any], int], object]
) -> Behaviour:
    """A server of 2024 whose answers go out on its first stream; `answer` returns None to end that stream."""
    streams: list[Peer] = []

    async def behave(peer: Peer) -> None:
        while True:
            line, headers, body = await peer.request()
            if not line:
                return
            seen.append(line + b" " + headers.get(b"authorization", b""))
            if line.startswith(b"GET"):
                streams.append(peer)
                head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
                await peer.say(head + b"event: endpoint\ndata: %b\n\n" % endpoint(len(streams)))
                await peer.until_closed()
                return
            asked = orjson.loads(body)
            status = b"413 Too Large" if b"too large" in body else b"202 Accepted"
            await peer.say(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)
            if status.startswith(b"413"):
                continue
            if "id" not in asked:
                continue
            told = answer(asked, len(streams))
            if told is None:
                streams[-1].writer.close()
            else:
                data = orjson.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": told})
                await streams[-1].say(b"event: message\ndata: %b\n\n" % data)

    return behave


def plain(asked: dict[str, Any], _: int) -> object:
    return {"initialize": OLD, "tools/list": TOOLS}.get(asked["method"], {"content": [{"type": "text", "text": "ok"}]})


async def test_every_request_bears_the_credential_and_messages_go_where_the_stream_says(tmp_path: Path) -> None:
    seen: list[bytes] = []
    auth = ', auth: {kind: header, prefix: "Bearer ", value: "file:twin"}'
    with anyio.fail_after(30):
        async with raw_server(old_server(lambda _: b"/mail?session=1", seen, plain)) as server:
            url = f"http://127.0.0.1:{server.port}/sse"
            async with (
                gateway(tmp_path, world([entry(url, auth)]), **FILES) as gate,
                gate.client(gate.token("planner")) as one,
            ):
                assert (await call(one, "old__echo"))["result"]["content"][0]["text"] == "ok"
    paths = {line.split()[1] for line in seen}
    assert paths == {b"/sse", b"/mail?session=1"}
    assert all(line.endswith(FILES["twin"].encode()) for line in seen)


async def test_a_stream_that_ends_fails_its_calls_and_the_next_call_opens_another(tmp_path: Path) -> None:
    ended: list[int] = []

    def answer(asked: dict[str, Any], stream: int) -> object:
        if asked["method"] == "tools/call" and not ended:
            ended.append(stream)
            return None
        return plain(asked, stream)

    with anyio.fail_after(30):
        async with raw_server(old_server(lambda _: b"/mail", [], answer)) as server:
            url = f"http://127.0.0.1:{server.port}/sse"
            async with (
                gateway(tmp_path, world([entry(url)]), **FILES) as gate,
                gate.client(gate.token("planner")) as one,
            ):
                first = await call(one, "old__echo")
                second = await call(one, "old__echo")
            check_books(await gate.settled())
    assert "ended" in first["error"]["message"]
    assert second["result"]["content"][0]["text"] == "ok"


async def test_a_message_that_is_refused_fails_its_own_call_alone(tmp_path: Path) -> None:
    seen: list[bytes] = []
    with anyio.fail_after(30):
        async with raw_server(old_server(lambda _: b"/mail", seen, plain)) as server:
            url = f"http://127.0.0.1:{server.port}/sse"
            async with (
                gateway(tmp_path, world([entry(url)]), **FILES) as gate,
                gate.client(gate.token("planner")) as one,
            ):
                refused = await call(one, "old__echo", {"text": "too large"})
                streams = sum(line.startswith(b"GET") for line in seen)
                good = await call(one, "old__echo")
    assert "413" in refused["error"]["message"]
    assert good["result"]["content"][0]["text"] == "ok"
    assert sum(line.startswith(b"GET") for line in seen) == streams


@pytest.mark.parametrize(
    "told",
    [
        "http://169.254.169.254/latest",
        "//other.example/mail",
        "https://127.0.0.1:1/mail",
        "",
        "x" * 3000,
        "/mail\r\nx: y",
    ],
)
def test_messages_go_nowhere_but_to_the_origin_of_the_stream(told: str) -> None:
    with pytest.raises(UpstreamFailed):
        endpoint_of("http://127.0.0.1:1/sse", told)


def test_a_place_for_messages_is_a_path_or_a_whole_url() -> None:
    assert endpoint_of("http://h:1/a/sse", "/mail?s=1#part") == "http://h:1/mail?s=1"
    assert endpoint_of("http://h:1/a/sse", "mail") == "http://h:1/a/mail"
    assert endpoint_of("http://h:1/a/sse", "http://h:1/mail") == "http://h:1/mail"
