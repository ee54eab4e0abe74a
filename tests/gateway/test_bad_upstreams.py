"""Upstreams that lie, die, stall and flood: one error, one decision, one outcome, and nobody else notices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from support.gateways import call, gateway, rpc
from support.raw_http import JSON_OK, Peer, raw_server
from support.raw_upstream import Call, Gate, Tool, answer, definition, echo, http, raw_upstream, saying, text
from support.scenes import FILES, check_books, of_kind, world

LIMITS = "limits: {result_bytes: 100000}\n"


def event(body: bytes) -> bytes:
    data = b"data: %b\n\n" % body
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(*events: bytes, ends: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(map(event, events)) + (b"0\r\n\r\n" if ends else b"")


def envelope(call: Call, **members: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": call.id} | members)


def dies_after(reply: Callable[[Call], bytes]) -> Tool:
    async def tool(call: Call) -> None:
        await call.peer.say(reply(call))
        call.peer.writer.transport.abort()

    return tool


async def floods(call: Call) -> None:
    """Declare a gigabyte, and go on sending until nobody listens."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n"
    await call.peer.say(head + b'{"jsonrpc":"2.0","result":"')
    while True:
        await call.peer.say(b"x" * 65536)


async def floods_unbounded(call: Call) -> None:
    """Never say how much will come."""
    await call.peer.say(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await call.peer.say(b"10000\r\n" + b"x" * 65536 + b"\r\n")


BAD: dict[str, tuple[Tool, int]] = {
    "not_http": (saying(lambda _: b"\x00\x01\x02\r\n\r\n"), -32010),
    "not_json": (saying(lambda _: http(b"hello")), -32010),
    "html": (saying(lambda _: http(b"<p>", kind=b"text/html")), -32010),
    "nothing": (dies_after(lambda _: b""), -32010),
    "half_a_head": (dies_after(lambda _: b"HTTP/1.1 200 OK\r\ncontent-ty"), -32010),
    "half_a_body": (dies_after(lambda c: answer(c, text("x"))[:-5]), -32010),
    "half_a_stream": (dies_after(lambda c: stream(envelope(c, result=text("x")), ends=False)[:-30]), -32010),
    "stream_without_answer": (saying(lambda _: stream()), -32010),
    "gigabyte": (floods, -32010),
    "endless": (floods_unbounded, -32010),
    "huge_event": (saying(lambda c: stream(envelope(c, result=text("x" * 200_000)))), -32010),
    "wrong_id": (saying(lambda c: http(orjson.dumps({"jsonrpc": "2.0", "id": 10**6, "result": {}}))), -32010),
    "text_id": (saying(lambda c: http(orjson.dumps({"jsonrpc": "2.0", "id": str(c.id), "result": {}}))), -32010),
    "result_and_error": (saying(lambda c: http(envelope(c, result={}, error={"code": 1, "message": ""}))), -32010),
    "neither": (saying(lambda c: http(envelope(c))), -32010),
    "a_batch": (saying(lambda c: http(b"[" + envelope(c, result=text("x")) + b"]")), -32010),
    "deep": (saying(lambda c: answer(c, b"[" * 50_000 + b"]" * 50_000)), -32010),
    "array_result": (saying(lambda c: answer(c, [])), -32010),
    "null_result": (saying(lambda c: answer(c, None)), -32010),
    "text_result": (saying(lambda c: answer(c, "done")), -32010),
    "wants_input": (saying(lambda c: answer(c, {"resultType": "input_required", "inputRequests": {}})), -32010),
    "a_task": (saying(lambda c: answer(c, {"resultType": "task", "task": {"taskId": "t"}})), -32010),
    "redirect": (saying(lambda _: http(b"", b"307 There")), -32010),
    "no_entry": (saying(lambda _: http(b"", b"401 No")), -32010),
    "broken": (saying(lambda _: http(b"<p>", b"500 Oh", b"text/html")), -32010),
    "busy": (saying(lambda _: http(b"", b"429 Slow")), -32010),
}


@pytest.mark.requirement("bad-input.upstream")
async def test_each_bad_answer_is_one_error_one_decision_and_one_outcome(tmp_path: Path) -> None:
    got: dict[str, int] = {}
    tools: dict[str, Tool] = {name: tool for name, (tool, _) in BAD.items()} | {"good": echo}
    with anyio.fail_after(60):
        async with (
            raw_upstream(tools) as up,
            raw_upstream({"good": echo}) as other,
            gateway(tmp_path, world([up.entry(), other.entry("other")], LIMITS), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            for name in BAD:
                before = len(await gate.settled())
                error = (await call(client, f"raw__{name}")).get("error", {"code": 0})
                got[name] = error["code"]
                left = (await gate.settled())[before:]
                assert [one["kind"] for one in left] == ["decision", "outcome"], name
                assert (left[0]["effect"], left[1]["status"]) == ("permit", "upstream_error"), name
                assert left[1]["code"] == error["data"]["agent-gateway/refusal"]["code"], name
                for good in ("raw__good", "other__good"):
                    assert (await call(client, good))["result"]["content"], name
            check_books(await gate.settled())
    assert got == {name: code for name, (_, code) in BAD.items()}


@pytest.mark.requirement("bad-input.upstream")
async def test_an_error_that_the_upstream_says_is_its_own_and_is_no_failure(tmp_path: Path) -> None:
    tools = {
        "says_no": saying(lambda c: http(envelope(c, error={"code": -32602, "message": "no", "data": {"k": None}}))),
        "fails": saying(lambda c: answer(c, {"content": [], "isError": True, "resultType": "complete"})),
    }
    with anyio.fail_after(30):
        async with (
            raw_upstream(tools) as up,
            gateway(tmp_path, world([up.entry()]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            assert (await call(client, "raw__says_no"))["error"] == {
                "code": -32602,
                "message": "no",
                "data": {"k": None},
            }
            assert (await call(client, "raw__fails"))["result"]["isError"] is True
            outcomes = of_kind(await gate.settled(), "outcome")
    assert [one["status"] for one in outcomes] == ["upstream_error", "tool_error"]


@pytest.mark.requirement("bad-input.upstream", "invariant.one-dead-upstream")
async def test_a_hanging_upstream_times_out_alone(tmp_path: Path) -> None:
    hangs = Gate()
    with anyio.fail_after(30):
        async with (
            raw_upstream({"hangs": hangs}) as slow,
            raw_upstream({"good": echo}) as other,
            gateway(tmp_path, world([slow.entry("slow", ", timeout_s: 1"), other.entry("other")]), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            order: list[str] = []

            async def hang() -> None:
                answer = await call(client, "slow__hangs")
                assert answer["error"]["code"] == -32012
                order.append("slow")

            async with anyio.create_task_group() as group:
                group.start_soon(hang)
                await hangs.reached.wait()
                assert (await call(client, "other__good"))["result"]["content"]
                order.append("other")
            assert order == ["other", "slow"]
            await hangs.left.wait()  # the gateway has let go of the connection
            outcomes = {one["capability"]: one["status"] for one in of_kind(await gate.settled(), "outcome")}
            assert outcomes == {"slow__hangs": "timeout", "other__good": "ok"}


@pytest.mark.requirement("invariant.degraded-is-said", "invariant.one-dead-upstream")
async def test_a_list_without_a_dead_upstream_says_so_and_shows_the_rest(tmp_path: Path) -> None:
    async def silent(peer: Peer) -> None:
        await peer.until_closed()

    with anyio.fail_after(60):
        async with raw_upstream({"good": echo}) as up, raw_server(silent) as mute:
            dead = "  dead: {url: 'http://127.0.0.1:9/mcp', allow_private: true}\n"
            quiet = f"  mute: {{url: '{mute.url()}', allow_private: true, connect_timeout_s: 0.1}}\n"
            config = world([up.entry(), dead, quiet], "limits: {list_timeout_s: 0.5}\n")
            async with gateway(tmp_path, config, **FILES) as gate, gate.client(gate.token("planner")) as client:
                result = (await rpc(client, "tools/list")).json()["result"]
                assert [tool["name"] for tool in result["tools"]] == ["raw__good"]
                degraded = result["_meta"]["agent-gateway/degraded"]
                assert "dead: " in degraded
                assert "mute: " in degraded
                assert "127.0.0.1" not in degraded
                assert (await call(client, "raw__good"))["result"]["content"]
                path = "/servers/raw/mcp"
                async with gate.client(gate.token("planner", path)) as whole:
                    result = (await rpc(whole, "tools/list", path=path)).json()["result"]
                    assert "agent-gateway/degraded" not in result["_meta"]


@pytest.mark.requirement("bad-input.upstream")
async def test_ten_thousand_tools_twins_and_unusable_ones_cost_only_themselves(tmp_path: Path) -> None:
    shown: list[Any] = [definition(f"t{number}") for number in range(10_000)]
    shown += [definition("twin", {"type": "object", "title": "first"}), definition("twin", {"type": "object"})]
    shown += [definition("unusable", {"type": 7}), definition("remote", {"$ref": "http://127.0.0.1:9/schema"})]
    shown += [{"name": 7}, {}, None, [], {"name": "", "inputSchema": {}}, definition("x" * 5000)]
    with anyio.fail_after(60):
        async with (
            raw_upstream({}, shown) as up,
            gateway(tmp_path, world([up.entry()], "limits: {page_items: 100000}\n"), **FILES) as gate,
            gate.client(gate.token("planner")) as client,
        ):
            names = [tool["name"] for tool in (await rpc(client, "tools/list")).json()["result"]["tools"]]
            assert len(names) == len(set(names)) >= 10_000
            assert "raw__t9999" in names
            assert max(map(len, names)) <= 64
            assert (await call(client, "raw__t9999"))["result"]["content"]
            for name in ("raw__unusable", "raw__remote"):
                if name in names:
                    assert (await call(client, name))["error"]["code"] == -32602
            assert {one.name for one in up.calls} == {"t9999"}
            assert gate.worker.gateway.snapshot.findings


async def test_an_upstream_that_lists_garbage_shows_nothing_and_is_degraded(tmp_path: Path) -> None:
    lists: dict[str, bytes] = {"empty": JSON_OK, "text": http(b"hello"), "closed": b""}
    with anyio.fail_after(60):
        for name, reply in lists.items():

            async def behave(peer: Peer, reply: bytes = reply) -> None:
                while (await peer.request())[0] and reply:
                    await peer.say(reply)

            async with raw_server(behave) as bad, raw_upstream({"good": echo}) as up:
                entry = f"  bad: {{url: '{bad.url()}', allow_private: true, era: modern}}\n"
                folder = tmp_path / name
                folder.mkdir()
                async with (
                    gateway(folder, world([entry, up.entry()]), **FILES) as gate,
                    gate.client(gate.token("planner")) as client,
                ):
                    result = (await rpc(client, "tools/list")).json()["result"]
                    assert [tool["name"] for tool in result["tools"]] == ["raw__good"], name
                    assert "bad: " in result["_meta"]["agent-gateway/degraded"], name
