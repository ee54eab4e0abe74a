"""The HTTP+SSE transport of 2024-11-05 towards clients: by hand, by the SDK, attacked, and over two workers."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import msgspec
import pytest
from mcp import Client
from mcp.client.sse import sse_client
from mcp_types import ElicitRequestParams, ElicitResult

from support.asker import asker
from support.bridge import StreamingTransport
from support.event_streams import HELLO, JSON, opened
from support.gateways import PUBLIC_URL, TestGateway, gateway
from support.legacy_client import legacy_body
from support.mcp_servers import start_http_server
from support.processes import Wire, process
from support.raw_upstream import Call, Gate, answer, echo, raw_upstream, text
from support.scenes import FILES, check_books, of_kind, world
from support.upstreams import FakeClock

ON = "http_sse: true"


@pytest.mark.requirement("listeners.routes")
@pytest.mark.requirement("mcp.http-sse")
@pytest.mark.parametrize("path", ["/mcp/sse", "/mcp/reading/sse", "/servers/raw/mcp/sse"])
async def test_a_session_lives_on_one_stream_at_every_endpoint(tmp_path: Path, path: str) -> None:
    more = 'toolsets: {reading: {include: ["raw__*"]}}\n'
    with anyio.fail_after(60):
        async with (
            raw_upstream({"read": echo}) as up,
            gateway(tmp_path, world([up.entry()], more), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner", path.removesuffix("/sse"))) as client,
            opened(client, path) as stream,
        ):
            hello = await stream.initialize()
            assert hello["protocolVersion"] == "2024-11-05"
            [tool] = (await stream.ask("tools/list"))["result"]["tools"]
            called = await stream.ask("tools/call", {"name": tool["name"], "arguments": {}}, "seven")
            assert called["result"]["content"] == [{"type": "text", "text": "read"}]
            assert "resultType" not in called["result"]
            assert (await stream.ask("ping"))["result"] == {}
            assert [one["id"] for one in stream.heard] == [0, 1, "seven", 1]
            await stream.response.aclose()
            assert len(front.worker.gateway.posted) == 0
            check_books(await front.settled())
            [decision] = of_kind(front.records(), "decision")
            assert decision["route"] == {"/mcp/sse": "mcp", "/mcp/reading/sse": "reading"}.get(path, "servers/raw")


@pytest.mark.requirement("mcp.http-sse")
async def test_the_sdk_s_client_is_served_progress_questions_and_changes(tmp_path: Path) -> None:
    async def pick(context: Any, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"date": "today"})

    rule = 'tools: {"*": {risk: 1, read_only: true}}'
    told: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    with anyio.fail_after(120), start_http_server(era="legacy") as server:
        entry = f"  sdk: {{url: '{server.url}', allow_private: true, {rule}}}\n"
        async with gateway(tmp_path, world([entry]), lambda: 1e9, ON, **FILES) as front:
            credential = {"authorization": f"Bearer {front.token('planner')}"}
            transport = sse_client(f"{PUBLIC_URL}/mcp/sse", credential, httpx_client_factory=factory(front))
            async with Client(transport, mode="auto", elicitation_callback=pick) as client:
                assert "sdk__echo" in {tool.name for tool in (await client.list_tools()).tools}
                called = await client.call_tool("sdk__steps", {"count": 3}, progress_callback=on_progress)
                assert "3 steps" in str(called)
                assert told == [1, 2, 3]
                many = [client.call_tool("sdk__echo", {"text": f"t{number}"}) for number in range(20)]
                for number, one in enumerate(await asyncio.gather(*many)):
                    assert f"t{number}" in str(one)
                assert "booked today" in str(await client.call_tool("sdk__book", {}))
            check_books(await front.settled())


def factory(front: TestGateway) -> Callable[..., httpx2.AsyncClient]:
    """Return what makes the SDK's HTTP client reach the gateway in this process."""

    def make(headers: Any = None, timeout: Any = None, auth: Any = None) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=StreamingTransport(front.app), headers=headers, timeout=timeout)

    return make


@pytest.mark.requirement("mcp.http-sse.sealed")
async def test_a_place_for_messages_is_its_owner_s_at_its_endpoint_while_its_stream_is_open(tmp_path: Path) -> None:
    body = legacy_body("ping")
    with anyio.fail_after(60):
        async with (
            raw_upstream({"read": echo}) as up,
            gateway(tmp_path, world([up.entry()]), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
            front.client(front.token("twin")) as other,
            front.client(front.token("planner", "/servers/raw/mcp")) as elsewhere,
            opened(client) as stream,
        ):
            await stream.initialize()
            sealed = stream.place.partition("?")[2]
            wrong = [
                await other.post(stream.place, content=body, headers=JSON),
                await elsewhere.post(f"/servers/raw/mcp/sse?{sealed}", content=body, headers=JSON),
                await stream.post(body, "/mcp/sse?session_id=AAAA"),
                await stream.post(body, "/mcp/sse"),
                await stream.post(body, f"{stream.place}&{sealed}"),
            ]
            assert {(one.status_code, one.json()["error"]["message"]) for one in wrong} == {
                (404, "this handle is not known here")
            }
            nobody = await front.client().post(stream.place, content=body, headers=JSON)
            assert nobody.status_code == 401
            assert "/.well-known/oauth-protected-resource/mcp" in nobody.headers["www-authenticate"]
            assert (await stream.ask("ping"))["result"] == {}
            await stream.response.aclose()
            over = await stream.post(body)
            assert (over.status_code, over.json()["error"]["message"]) == (404, "this stream is over or was never here")
            assert [one["id"] for one in stream.heard] == [0, 1]


@pytest.mark.requirement("mcp.http-sse")
async def test_what_is_no_message_is_refused_where_it_was_posted_and_what_is_out_of_turn_on_the_stream(
    tmp_path: Path,
) -> None:
    meta: dict[str, object] = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    with anyio.fail_after(60):
        async with (
            raw_upstream({"read": echo}) as up,
            gateway(tmp_path, world([up.entry()]), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
            opened(client) as stream,
        ):
            early = await stream.ask("tools/list")
            assert early["error"]["code"] == -32600
            probed = await stream.ask("server/discover", {"_meta": meta})
            assert probed["error"]["code"] == -32600  # not one of the codes by which a modern server is known
            await stream.initialize()
            twice = await stream.ask("initialize", HELLO, 2)
            assert twice["error"]["code"] == -32600
            unknown = await stream.ask("tools/call", {"name": "raw__none", "arguments": {}}, 3)
            assert unknown["error"]["code"] == -32602
            bodies = [b"[]", b"{", b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', b'{"jsonrpc":"2.0","id":1}']
            for body in bodies:
                assert (await stream.post(body)).status_code == 400, body
            unasked = await stream.post(b'{"jsonrpc":"2.0","id":"agent-gateway/0/1","result":{}}')
            assert unasked.status_code == 400
            large = await stream.post(b'"' + b"x" * 4_194_304 + b'"')
            assert large.status_code == 413
            plain = await client.post(stream.place, content=legacy_body("ping"), headers={"content-type": "text/plain"})
            assert plain.status_code == 415
            assert (await client.put("/mcp/sse")).status_code == 405
            assert (await client.get("/mcp/sse", headers={"accept": "application/json"})).status_code == 406
            foreign = await client.get("/mcp/sse", headers={"origin": "https://evil.test"})
            assert foreign.status_code == 403
            assert (await stream.ask("ping"))["result"] == {}
            assert len(stream.heard) == 6


@pytest.mark.requirement("mcp.http-sse")
async def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    async with gateway(tmp_path, world([]), **FILES) as front, front.client(front.token("planner")) as client:
        assert (await client.get("/mcp/sse")).status_code == 404
        assert (await client.get("/.well-known/oauth-protected-resource/mcp/sse")).status_code == 404
    async with gateway(tmp_path, world([]), lambda: 1e9, ON, **FILES) as front, front.client() as client:
        document = (await client.get("/.well-known/oauth-protected-resource/mcp/sse")).json()
        assert document["resource"] == f"{PUBLIC_URL}/mcp"
        assert (await client.get("/.well-known/oauth-protected-resource/mcp/other/sse")).status_code == 404


@pytest.mark.requirement("mcp.http-sse.end")
async def test_the_end_of_the_stream_is_the_end_of_its_session_and_of_what_runs(tmp_path: Path) -> None:
    gate = Gate()
    with anyio.fail_after(60):
        async with (
            raw_upstream({"slow": gate}) as up,
            gateway(tmp_path, world([up.entry()]), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
        ):
            async with opened(client) as stream:
                await stream.initialize()
                await stream.post(legacy_body("tools/call", {"name": "raw__slow", "arguments": {}}, 7))
                await gate.reached.wait()
            await gate.left.wait()
            [outcome] = of_kind(await front.settled(), "outcome")
            assert (outcome["status"], outcome["code"]) == ("cancelled", "cancelled")
            check_books(front.records())
            inside = front.worker.gateway
            assert (len(inside.posted), len(inside.sessions), inside.streams.total) == (0, 0, 0)


@pytest.mark.requirement("mcp.http-sse")
async def test_what_is_posted_and_not_answered_yet_is_bounded_in_bytes(tmp_path: Path) -> None:
    gate = Gate()
    with anyio.fail_after(60):
        async with (
            raw_upstream({"wait": gate}) as up,
            gateway(tmp_path, world([up.entry()]), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
            opened(client) as stream,
        ):
            await stream.initialize()
            large = {"name": "raw__wait", "arguments": {"pad": "x" * 3_900_000}}
            taken = [await stream.post(legacy_body("tools/call", large, number)) for number in range(6)]
            assert [one.status_code for one in taken] == [202] * 4 + [429] * 2
            gate.opened.set()
            assert {(await stream.next())["id"] for _ in range(4)} == set(range(4))
            small: dict[str, Any] = {"name": "raw__wait", "arguments": {}}
            assert "result" in await stream.ask("tools/call", small, 9)


@pytest.mark.requirement("mcp.http-sse.end")
async def test_a_cancelled_call_is_not_answered_and_the_stream_goes_on(tmp_path: Path) -> None:
    gate = Gate()
    with anyio.fail_after(60):
        async with (
            raw_upstream({"slow": gate, "read": echo}) as up,
            gateway(tmp_path, world([up.entry()]), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
            opened(client) as stream,
        ):
            await stream.initialize()
            await stream.post(legacy_body("tools/call", {"name": "raw__slow", "arguments": {}}, 7))
            await gate.reached.wait()
            cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
            assert (await stream.post(msgspec.json.encode(cancel))).status_code == 202
            await gate.left.wait()
            await stream.ask("tools/call", {"name": "raw__read", "arguments": {}}, 8)
            assert [one["id"] for one in stream.heard] == [0, 8]


@pytest.mark.requirement("mcp.http-sse.end")
async def test_a_stream_that_nobody_uses_ends(tmp_path: Path) -> None:
    clock = FakeClock(1e9)
    more = "limits: {session_idle_s: 60}\n"
    with anyio.fail_after(60):
        async with (
            raw_upstream({"read": echo}) as up,
            gateway(tmp_path, world([up.entry()], more), clock, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
            opened(client) as stream,
        ):
            await stream.initialize()
            clock.now += 50
            await stream.ask("ping")
            clock.now += 50
            front.worker.gateway.changes.ring()
            await stream.ask("ping")
            clock.now += 61
            front.worker.gateway.changes.ring()
            with pytest.raises(StopAsyncIteration):
                await stream.next()


@pytest.mark.requirement("mcp.http-sse.end")
async def test_a_caller_has_only_so_many_streams(tmp_path: Path) -> None:
    more = "limits: {sessions_per_principal: 2}\n"
    with anyio.fail_after(60):
        async with (
            gateway(tmp_path, world([], more), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
            front.client(front.token("twin")) as other,
            opened(client),
            opened(client) as second,
        ):
            refused = await client.get("/mcp/sse")
            assert refused.status_code == 429
            async with opened(other):
                await second.response.aclose()
            async with opened(client):
                pass


@pytest.mark.requirement("mcp.http-sse")
async def test_a_large_answer_and_a_change_of_a_list_come_on_the_stream(tmp_path: Path) -> None:
    large = "ü" * 3_000_000

    async def much(call: Call) -> None:
        await call.peer.say(answer(call, text(large)))

    with anyio.fail_after(120):
        async with (
            raw_upstream({"much": much}) as up,
            gateway(tmp_path, world([up.entry()]), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
            opened(client) as stream,
        ):
            await stream.initialize()
            called = await stream.ask("tools/call", {"name": "raw__much", "arguments": {}})
            assert called["result"]["content"][0]["text"] == large
            (front.folder / "main.cedar").write_text('@id("nothing") forbid (principal, action, resource);')
            await front.worker.keeper.reload(front.worker.gateway)
            assert (await stream.next())["method"] == "notifications/tools/list_changed"


@pytest.mark.requirement("mcp.http-sse")
async def test_what_is_come_back_for_elsewhere_comes_on_the_one_stream_here(tmp_path: Path) -> None:
    latest = {**HELLO, "protocolVersion": "2025-11-25"}
    with anyio.fail_after(60):
        async with (
            asker(rests=frozenset({"rest"})) as up,
            gateway(tmp_path, world([up.entry()]), lambda: 1e9, ON, **FILES) as front,
            front.client(front.token("planner")) as client,
            opened(client) as stream,
        ):
            assert (await stream.ask("initialize", latest, 0))["result"]["protocolVersion"] == "2025-11-25"
            called = await stream.ask("tools/call", {"name": "asker__rest", "arguments": {}}, 7)
            assert called["result"]["content"][0]["text"] == "the rest"


@pytest.mark.requirement("mcp.http-sse.workers")
async def test_a_message_finds_its_stream_whichever_worker_receives_it(tmp_path: Path) -> None:
    count = 6  # connections: the kernel spreads them over both workers
    with anyio.fail_after(120):
        async with raw_upstream({"read": echo}) as up, process(tmp_path, world([up.entry()]), workers=2) as gate:
            config = gate.folder / "gateway.yaml"
            config.write_text(config.read_text().replace("  data: {", "  data: {http_sse: true, "))
            await gate.start()
            bearer = {"authorization": f"Bearer {gate.token}"}
            wires = [await gate.connect() for _ in range(count)]
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{gate.port}", headers=bearer) as client:
                for _ in range(2):
                    async with opened(client) as stream:
                        await stream.initialize()
                        for number, wire in enumerate(wires):
                            status, _ = await post(wire, stream.place, bearer, number)
                            assert status == 202
                        got = {(await stream.next())["id"] for _ in wires}
                        assert got == set(range(count))
            assert await gate.stop() == 0
            check_books(gate.records())
            assert len(of_kind(gate.records(), "decision")) == 2 * count


async def post(wire: Wire, place: str, bearer: dict[str, str], number: int) -> tuple[int, bytes]:
    """Post one call on this connection."""
    body = legacy_body("tools/call", {"name": "raw__read", "arguments": {}}, number)
    return await wire.ask("POST", place, body, {**bearer, **JSON})
