"""What an upstream asks while a request runs: each question to its caller, each answer back, and no clock meanwhile."""

import asyncio
from collections.abc import Mapping
from typing import Any

import anyio
import orjson
import pytest
from msgspec import Raw

from agent_gateway.upstreams.settings import UpstreamLimits
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable
from support.mcp_peers import RESULT, http, legacy, message, stream
from support.mcp_servers import raw_command
from support.principals import ALICE, BOB
from support.raw_http import Behaviour, Peer, raw_server
from support.upstreams import KeepingSink, call, http_settings, open_http, open_stdio, stdio_settings, text_of

CAN = Raw(b'{"sampling":{},"roots":{}}')
ASKED = message(id="q-1", method="sampling/createMessage", params={"big": None, "messages": []})


async def forty_two(_: str) -> Raw:
    return Raw(b'{"x": null, "n": 42}')


def asking(seen: list[dict[str, Any]], answered: anyio.Event | None = None) -> Behaviour:
    """A legacy server that asks during each call, and answers it once it was answered itself."""
    ready = answered or anyio.Event()

    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        await peer.say(stream(ASKED, ends=False))
        await ready.wait()
        final = b"data: %b\n\n" % message(id=asked["id"], result=RESULT)
        await peer.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(final), final))

    class Seen(list[dict[str, Any]]):
        def append(self, item: dict[str, Any]) -> None:
            seen.append(item)
            if item.get("id") == "q-1":
                ready.set()

    return legacy(answer, sessions=[], seen=Seen())


async def test_a_question_reaches_the_caller_and_its_answer_the_upstream_byte_for_byte() -> None:
    seen: list[dict[str, Any]] = []
    async with raw_server(asking(seen)) as server, open_http(http_settings(server.url())) as upstream:
        sink = KeepingSink(answer=forty_two)
        assert text_of(await upstream.request(call("x", client_capabilities=CAN), sink)) == "ok"
        assert sink.asked == [("sampling/createMessage", {"big": None, "messages": []})]
        assert [one["result"] for one in seen if one.get("id") == "q-1"] == [{"x": None, "n": 42}]


@pytest.mark.parametrize("capabilities", [None, Raw(b"{}"), CAN])
async def test_a_caller_that_cannot_or_will_not_answer_is_a_refusal_for_the_upstream_only(
    capabilities: Raw | None,
) -> None:
    seen: list[dict[str, Any]] = []
    async with raw_server(asking(seen)) as server, open_http(http_settings(server.url())) as upstream:
        sink = KeepingSink()
        assert text_of(await upstream.request(call("x", client_capabilities=capabilities), sink)) == "ok"
        assert [one["error"]["code"] for one in seen if one.get("id") == "q-1"] == [-32601]
        assert len(sink.asked) == 1


async def test_the_clock_of_a_request_stands_still_while_its_caller_thinks() -> None:
    async with raw_server(asking([])) as server, open_http(http_settings(server.url())) as upstream:
        late = anyio.Event()

        async def after_the_deadline(_: str) -> Raw:
            asyncio.get_running_loop().call_later(0.6, late.set)
            await late.wait()
            return Raw(b"{}")

        request = call("x", client_capabilities=CAN, timeout_s=0.4)
        assert text_of(await upstream.request(request, KeepingSink(answer=after_the_deadline))) == "ok"


async def test_a_withdrawn_question_is_withdrawn_from_the_caller() -> None:
    gone = anyio.Event()

    async def forever(_: str) -> Raw:
        try:
            await anyio.sleep_forever()
        finally:
            gone.set()
        return Raw(b"{}")

    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        withdrawal = message(method="notifications/cancelled", params={"requestId": "q-1"})
        await peer.say(stream(ASKED, ends=False))
        await begun.wait()
        event = b"data: %b\n\n" % withdrawal
        await peer.say(b"%x\r\n%b\r\n" % (len(event), event))
        await gone.wait()
        final = b"data: %b\n\n" % message(id=asked["id"], result=RESULT)
        await peer.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(final), final))

    begun = anyio.Event()

    async def begin(method: str) -> Raw:
        begun.set()
        return await forever(method)

    async with raw_server(legacy(answer, sessions=[])) as server, open_http(http_settings(server.url())) as upstream:
        assert text_of(await upstream.request(call("x", client_capabilities=CAN), KeepingSink(answer=begin))) == "ok"


async def test_a_session_belongs_to_one_set_of_capabilities_however_it_is_spelled() -> None:
    seen: list[dict[str, Any]] = []

    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        await peer.say(http(message(id=asked["id"], result=RESULT)))

    async with (
        raw_server(legacy(answer, sessions=[], seen=seen)) as server,
        open_http(http_settings(server.url(), limits=UpstreamLimits(max_sessions_per_owner=2))) as upstream,
    ):
        for text in (b'{"sampling":{},"roots":{}}', b'{ "roots": {}, "sampling": {} }', b"{}"):
            await upstream.request(call("x", client_capabilities=Raw(text)), KeepingSink())
        assert declared(seen) == [{"sampling": {}, "roots": {}}, {}]
        for number in range(3):  # nobody takes every session by declaring ever new things
            more = Raw(b'{"sampling":{},"experimental":{"n":%d}}' % number)
            await upstream.request(call("x", client_capabilities=more), KeepingSink())
        assert upstream.session_count == 2
        await upstream.request(call("x", client_capabilities=CAN, principal=BOB), KeepingSink())
        assert upstream.session_count == 3


def declared(seen: list[dict[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the capabilities of each handshake."""
    return [one["params"]["capabilities"] for one in seen if one.get("method") == "initialize"]


async def test_a_stream_that_breaks_is_opened_again_where_it_broke() -> None:
    asked_for: list[bytes] = []

    async def answer(peer: Peer, asked: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        numbers.append(asked["id"])
        event = b"id: e-7\nretry: 1\ndata: \n\n"
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        await peer.say(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))

    async def go_on(peer: Peer, _: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        asked_for.append(headers[b"last-event-id"])
        await peer.say(stream(message(id=numbers[-1], result=RESULT)))

    numbers: list[int] = []
    async with (
        raw_server(legacy(answer, sessions=[], get=go_on)) as server,
        open_http(http_settings(server.url())) as upstream,
    ):
        assert text_of(await upstream.request(call("x"), KeepingSink())) == "ok"
        assert asked_for == [b"e-7"]


async def test_a_stream_without_event_ids_is_lost_when_it_breaks() -> None:
    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        await peer.say(stream(message(method="notifications/message", params={"level": "info"})))

    async with raw_server(legacy(answer, sessions=[])) as server, open_http(http_settings(server.url())) as upstream:
        with pytest.raises(UpstreamFailed) as refusal:
            await upstream.request(call("x"), KeepingSink())
        assert refusal.value.code == "upstream_died"


async def test_a_child_asks_the_caller_whose_request_it_serves() -> None:
    async with open_stdio(stdio_settings(raw_command())) as upstream:
        sink = KeepingSink(answer=forty_two)
        assert text_of(await upstream.request(call("ask", {"waits": True}, client_capabilities=CAN), sink)) == "ask"
        assert [method for method, _ in sink.asked] == ["sampling/createMessage"]
        seen = await upstream.request(call("seen", client_capabilities=CAN), sink)
        answers = [one for one in orjson.loads(text_of(seen))["seen"] if one.get("id") == "s"]
        assert [one["result"] for one in answers] == [{"x": None, "n": 42}]


async def test_a_child_shared_by_two_callers_asks_neither() -> None:
    async with open_stdio(stdio_settings(raw_command(), isolation="shared")) as upstream:
        bob = KeepingSink(answer=forty_two)
        hanging = call("hang", client_capabilities=CAN, principal=BOB, wants_progress=True)
        running = asyncio.create_task(upstream.request(hanging, bob))
        await bob.first.wait()
        alice = KeepingSink(answer=forty_two)
        assert text_of(await upstream.request(call("ask", client_capabilities=CAN, principal=ALICE), alice)) == "ask"
        assert (alice.asked, bob.asked) == ([], [])
        running.cancel()


async def test_the_most_sessions_an_upstream_may_have_are_not_exceeded_while_all_work() -> None:
    hold = anyio.Event()

    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        reached.set()
        await hold.wait()
        await peer.say(http(message(id=asked["id"], result=RESULT)))

    reached = anyio.Event()
    limits = UpstreamLimits(max_sessions_per_owner=1)
    async with (
        raw_server(legacy(answer, sessions=[])) as server,
        open_http(http_settings(server.url(), limits=limits)) as upstream,
    ):
        running = asyncio.create_task(upstream.request(call("x"), KeepingSink()))
        await reached.wait()
        with pytest.raises(UpstreamUnreachable) as refusal:
            await upstream.request(call("x", client_capabilities=CAN), KeepingSink())
        assert refusal.value.code == "upstream_busy"
        hold.set()
        await running
