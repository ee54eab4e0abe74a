"""How the HTTP upstream opens: eras, handshakes, sessions, and what happens when they go wrong."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import orjson
import pytest
from anyio.lowlevel import checkpoint

from agent_gateway.upstreams.settings import UpstreamLimits, UpstreamTimeouts
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from support.mcp_peers import DISCOVERED, RESULT, always, http, legacy, message, modern, ok, saying, stream
from support.principals import ALICE, BOB
from support.raw_http import Peer, raw_server
from support.upstreams import FakeClock, KeepingSink, call, http_settings, open_http, text_of


async def test_a_lost_session_is_opened_again_once_and_only_that_request_repeated() -> None:
    sessions: list[str] = []
    seen: list[dict[str, Any]] = []
    behave = legacy(saying(ok), sessions=sessions, seen=seen)
    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        await upstream.request(call("echo"), KeepingSink())
        sessions.clear()  # the upstream restarted
        seen.clear()
        assert text_of(await upstream.request(call("echo"), KeepingSink())) == "ok"
        assert [asked.get("method") for asked in seen] == [
            "tools/call", "initialize", "notifications/initialized", "tools/call",
        ]  # fmt: skip
        seen.clear()
    assert [asked.get("method") for asked in seen] == ["DELETE"]


async def test_an_upstream_that_loses_every_session_is_not_asked_for_ever() -> None:
    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        await peer.say(http(b"", b"404 Not Found", b"text/plain"))

    seen: list[dict[str, Any]] = []
    behave = legacy(answer, sessions=[], seen=seen)
    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        with pytest.raises(UpstreamFailed) as refusal:
            await upstream.request(call("echo"), KeepingSink())
        assert refusal.value.code == "upstream_http_error"
        assert [asked.get("method") for asked in seen].count("tools/call") == 2


async def test_a_legacy_upstreams_own_requests_are_answered_politely() -> None:
    seen: list[dict[str, Any]] = []

    def answers() -> dict[str, dict[str, Any]]:
        return {asked["id"]: asked for asked in seen if asked.get("id") in ("p", "s")}

    async def ask(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        questions = message(id="p", method="ping"), message(id="s", method="sampling/createMessage", params={})
        await peer.say(stream(*questions, ends=False))
        while len(answers()) < 2:
            await checkpoint()
        event = b"data: %b\n\n" % message(id=asked["id"], result=RESULT)
        await peer.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))

    behave = legacy(ask, sessions=[], seen=seen)
    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        assert text_of(await upstream.request(call("echo"), KeepingSink())) == "ok"
    assert answers()["p"]["result"] == {}
    assert answers()["s"]["error"]["code"] == -32601


async def test_a_ping_is_answered_though_the_result_comes_with_it() -> None:
    seen: list[dict[str, Any]] = []
    behave = legacy(
        saying(lambda number: stream(message(id="p", method="ping"), message(id=number, result=RESULT))),
        sessions=[],
        seen=seen,
    )
    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        assert text_of(await upstream.request(call("echo"), KeepingSink())) == "ok"
        while not (answers := [asked for asked in seen if asked.get("id") == "p"]):
            await checkpoint()
    assert answers[0]["result"] == {}


async def test_one_handshake_serves_all_who_wait_for_it() -> None:
    seen: list[dict[str, Any]] = []
    behave = legacy(saying(ok), sessions=[], seen=seen)
    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        await asyncio.gather(*[upstream.request(call("echo"), KeepingSink()) for _ in range(20)])
    methods = [asked.get("method") for asked in seen]
    assert [methods.count(each) for each in ("server/discover", "initialize", "tools/call")] == [1, 1, 20]
    ids = [asked["id"] for asked in seen if "id" in asked]
    assert len(set(ids)) == len(ids)


async def test_who_began_a_handshake_may_leave_without_spoiling_it_for_others() -> None:
    asked_to_open, gate = anyio.Event(), anyio.Event()
    inner = legacy(saying(ok), sessions=[])

    async def behave(peer: Peer) -> None:
        asked_to_open.set()
        await gate.wait()
        await inner(peer)

    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        first = asyncio.create_task(upstream.request(call("echo"), KeepingSink()))
        await asked_to_open.wait()
        second = asyncio.create_task(upstream.request(call("echo"), KeepingSink()))
        await checkpoint()
        first.cancel()
        gate.set()
        assert text_of(await second) == "ok"


async def test_a_server_that_changes_its_era_is_found_out() -> None:
    old = legacy(saying(ok), sessions=[])
    new = modern(saying(ok))
    behaviours = {"now": new}

    async def behave(peer: Peer) -> None:
        await behaviours["now"](peer)

    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        for kind, behaviour in (("modern", new), ("legacy", old)):
            behaviours["now"] = behaviour
            for peer in server.peers:
                peer.writer.close()
            while upstream_connections(upstream):
                await checkpoint()
            answer = await upstream.request(call("echo"), KeepingSink())
            assert (text_of(answer), answer.era) == ("ok", kind)


def upstream_connections(upstream: Any) -> int:
    return upstream._http.connection_count


async def test_a_down_upstream_is_left_alone_then_tried_by_one_request() -> None:
    async with raw_server(modern(saying(ok))) as server:
        url = server.url()
    clock = FakeClock()
    async with open_http(http_settings(url), clock) as upstream:
        codes: list[str] = []
        for _ in range(8):
            with pytest.raises(UpstreamUnreachable) as refusal:
                await upstream.request(call("echo"), KeepingSink())
            codes.append(refusal.value.code)
        assert codes == ["upstream_unreachable"] * 5 + ["upstream_down"] * 3
        assert upstream.health().state == "down"
        clock.now += 1
        with pytest.raises(UpstreamUnreachable) as refusal:
            await upstream.request(call("echo"), KeepingSink())
        assert refusal.value.code == "upstream_unreachable"


async def test_what_one_credential_is_told_of_the_server_is_not_told_to_another() -> None:
    asked: list[bytes] = []

    async def behave(peer: Peer) -> None:
        while True:
            line, headers, body = await peer.request()
            if not line:
                return
            asked.append(headers[b"authorization"])
            told = DISCOVERED | {"instructions": headers[b"authorization"].decode()}
            await peer.say(http(message(id=orjson.loads(body)["id"], result=told)))

    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        for principal in (ALICE, BOB, ALICE, BOB):
            info = await upstream.server_info(principal)
            assert info.instructions == f"Bearer upstream-token-of-{principal.id}"
        assert len(asked) == 2


async def test_at_the_limit_of_sessions_the_idle_one_goes_and_busy_ones_stay() -> None:
    gate, asked = anyio.Event(), anyio.Event()

    async def answer(peer: Peer, asked_for: dict[str, Any], _: dict[bytes, bytes]) -> None:
        if asked_for["params"]["name"] == "wait":
            asked.set()
            await gate.wait()
        await peer.say(ok(asked_for["id"]))

    async with raw_server(legacy(answer, sessions=[])) as server:
        settings = http_settings(server.url(), limits=UpstreamLimits(max_sessions=1))
        async with open_http(settings) as upstream:
            await upstream.request(call("x"), KeepingSink())
            waiting = asyncio.create_task(upstream.request(call("wait", principal=BOB), KeepingSink()))
            await asked.wait()
            assert upstream.session_count == 1
            with pytest.raises(UpstreamUnreachable) as refusal:
                await upstream.request(call("x"), KeepingSink())
            assert refusal.value.code == "upstream_busy"
            gate.set()
            assert text_of(await waiting) == "ok"
            assert text_of(await upstream.request(call("x"), KeepingSink())) == "ok"


def greeted_with(version: str, more: bytes = b"") -> Callable[[int], bytes]:
    return lambda number: http(message(id=number, result={"protocolVersion": version}), more=more)


OPENINGS: dict[str, tuple[Callable[[int], bytes], str]] = {
    "html": (lambda _: http(b"<p>", b"404 Not Found", b"text/html"), "upstream_old"),
    "no credential": (lambda _: http(b"", b"401 No"), "upstream_unauthorized"),
    "a fault": (lambda _: http(b"", b"500 Oh"), "upstream_http_error"),
    "a redirect": (lambda _: http(b"", b"301 Moved", more=b"location: /else\r\n"), "upstream_redirect"),
    "only errors": (lambda i: http(message(id=i, error={"code": -1, "message": "no"})), "upstream_garbage"),
    "an unknown version": (greeted_with("1999-01-01"), "upstream_garbage"),
    "a session id with a space": (greeted_with("2025-06-18", b"mcp-session-id: a b\r\n"), "upstream_garbage"),
}


@pytest.mark.parametrize("name", list(OPENINGS))
async def test_an_upstream_that_opens_in_no_era_is_refused(name: str) -> None:
    reply, code = OPENINGS[name]
    async with raw_server(always(reply)) as server, open_http(http_settings(server.url())) as upstream:
        for ask in (upstream.server_info(ALICE), upstream.list_items("tools", ALICE)):
            with pytest.raises(UpstreamFailed) as refusal:
                await ask
            assert refusal.value.code == code


async def test_a_handshake_that_hangs_is_a_timeout_for_all_who_wait() -> None:
    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.until_closed()

    settings = UpstreamTimeouts(open_s=0.2)
    async with raw_server(behave) as server:
        for era in ("auto", "legacy"):
            async with open_http(http_settings(server.url(), timeouts=settings, era=era)) as upstream:
                asks = [upstream.request(call("x"), KeepingSink()) for _ in range(3)]
                outcomes = await asyncio.gather(*asks, return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {UpstreamTimeout}


async def test_closing_fails_those_who_wait_for_a_handshake() -> None:
    asked = anyio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.until_closed()

    async with raw_server(behave) as server:
        for era in ("auto", "legacy"):
            asked = anyio.Event()
            async with open_http(http_settings(server.url(), era=era)) as upstream:
                task = asyncio.create_task(upstream.request(call("x"), KeepingSink()))
                await asked.wait()
                await upstream.aclose()
                with pytest.raises(UpstreamFailed):
                    await task
