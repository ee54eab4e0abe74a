"""The HTTP upstream against peers that lie, stall, die, flood, or change their era."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import orjson
import pytest
from anyio.lowlevel import checkpoint
from msgspec import Raw
from support.principals import ALICE, BOB
from support.raw_http import Behaviour, Peer, raw_server
from support.upstreams import FakeClock, KeepingSink, call, http_settings, open_http, text_of

from agent_gateway.ports import UpstreamRequest
from agent_gateway.upstreams.settings import UpstreamLimits, UpstreamTimeouts
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable

RESULT = {"content": [{"type": "text", "text": "ok"}], "resultType": "complete"}
DISCOVERED: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
Handler = Callable[[Peer, dict[str, Any], dict[bytes, bytes]], Awaitable[None]]


def http(body: bytes, status: bytes = b"200 OK", kind: bytes = b"application/json", more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, kind, more, len(body), body)


def message(**members: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0"} | members)


def stream(*events: bytes, ends: bool = True) -> bytes:
    body = b"".join(b"event: message\ndata: %b\n\n" % event for event in events)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return head + chunk + (b"0\r\n\r\n" if ends else b"")


def modern(answer: Handler) -> Behaviour:
    """A modern upstream: discovers properly, then behaves."""

    async def behave(peer: Peer) -> None:
        while True:
            line, headers, body = await peer.request()
            if not line:
                return
            asked = orjson.loads(body)
            if asked.get("method") == "server/discover":
                await peer.say(http(message(id=asked["id"], result=DISCOVERED)))
            else:
                await answer(peer, asked, headers)

    return behave


def legacy(answer: Handler, *, sessions: list[str], seen: list[dict[str, Any]] | None = None) -> Behaviour:
    """A legacy upstream that keeps sessions: 404 for one that is not in `sessions`."""

    async def behave(peer: Peer) -> None:
        while True:
            line, headers, body = await peer.request()
            if not line:
                return
            asked = orjson.loads(body) if body else {"method": line.split()[0].decode()}
            if seen is not None:
                seen.append(asked)
            await respond(peer, asked, headers)

    async def respond(peer: Peer, asked: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        if asked.get("method") == "server/discover":
            error = {"code": -32000, "message": "Bad Request: Server not initialized"}
            await peer.say(http(message(id=None, error=error), b"400 Bad Request"))
        elif asked.get("method") == "initialize":
            sessions.append(f"session-{len(sessions)}-{id(sessions)}")
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "raw"}}
            more = b"mcp-session-id: %b\r\n" % sessions[-1].encode()
            await peer.say(http(message(id=asked["id"], result=result), more=more))
        elif headers.get(b"mcp-session-id", b"").decode() not in sessions:
            await peer.say(http(b"", b"404 Not Found", b"text/plain"))
        elif "id" not in asked or "method" not in asked or asked.get("method") == "DELETE":
            await peer.say(http(b"", b"202 Accepted", b"text/plain"))
        else:
            await answer(peer, asked, headers)

    return behave


def saying(reply: Callable[[int], bytes]) -> Handler:
    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        await peer.say(reply(asked["id"]))

    return answer


def ok(number: int) -> bytes:
    return http(message(id=number, result=RESULT))


GARBAGE: dict[str, tuple[Callable[[int], bytes], str]] = {
    "no json": (lambda _: http(b"hello"), "upstream_garbage"),
    "another id": (lambda i: http(message(id=i + 1, result=RESULT)), "upstream_garbage"),
    "the id as text": (lambda i: http(message(id=str(i), result=RESULT)), "upstream_garbage"),
    "result and error": (lambda i: http(message(id=i, result=RESULT, error={"code": 1})), "upstream_garbage"),
    "a batch": (lambda i: http(b"[%b]" % message(id=i, result=RESULT)), "upstream_garbage"),
    "deep nesting": (
        lambda i: http(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (i, b"[" * 90_000)),
        "upstream_garbage",
    ),
    "invalid utf-8": (lambda i: http(b'{"jsonrpc":"2.0","id":%d,"result":"\xff"}' % i), "upstream_garbage"),
    "html": (lambda _: http(b"<p>", kind=b"text/html"), "upstream_garbage"),
    "nothing": (lambda _: http(b"", b"202 Accepted"), "upstream_garbage"),
    "compressed": (
        lambda i: http(message(id=i, result=RESULT), more=b"content-encoding: gzip\r\n"),
        "upstream_garbage",
    ),
    "too large": (lambda i: http(message(id=i, result="x" * 200_000)), "upstream_too_large"),
    "redirect": (lambda _: http(b"", b"307 Go", more=b"location: http://127.0.0.1:1/\r\n"), "upstream_redirect"),
    "unauthorized": (lambda _: http(b"", b"401 No"), "upstream_unauthorized"),
    "forbidden": (lambda i: http(message(id=i, error={"code": 1}), b"403 No"), "upstream_unauthorized"),
    "busy": (lambda _: http(b"", b"429 Slow", more=b"retry-after: 7\r\n"), "upstream_busy"),
    "bad gateway": (lambda _: http(b"<p>", b"502 Bad", b"text/html"), "upstream_bad_gateway"),
    "server error": (lambda _: http(b"<p>", b"500 Oh", b"text/html"), "upstream_http_error"),
    "stream without an answer": (lambda _: stream(message(method="notifications/message")), "upstream_died"),
    "stream with garbage": (lambda _: stream(b"garbage"), "upstream_garbage"),
    "stream of strays": (lambda i: stream(*[message(id=i + 1, result=1)] * 40), "upstream_garbage"),
    "stream with a large event": (lambda i: stream(message(id=i, result="x" * 200_000)), "event_too_large"),
    "stream that asks without end": (lambda _: stream(*[message(id=1, method="ping")] * 40), "upstream_garbage"),
}


@pytest.mark.parametrize("name", list(GARBAGE))
async def test_each_kind_of_bad_answer_is_one_refusal_with_its_code(name: str) -> None:
    reply, code = GARBAGE[name]
    async with raw_server(modern(saying(reply))) as server:
        settings = http_settings(server.url(), limits=UpstreamLimits(max_result=100_000), era="modern")
        async with open_http(settings) as upstream:
            with pytest.raises(UpstreamFailed) as refusal:
                await upstream.request(call("echo"), KeepingSink())
            assert refusal.value.code == code
            assert refusal.value.retry_after_s == (7.0 if name == "busy" else None)


async def test_an_endless_stream_is_cut_at_its_limit() -> None:
    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        await peer.say(stream(ends=False))
        while True:
            await peer.say(b"4000\r\n" + b":" * 0x3FFF + b"\n\r\n")

    async with raw_server(modern(answer)) as server:
        settings = http_settings(server.url(), limits=UpstreamLimits(max_stream=1_000_000))
        async with open_http(settings) as upstream:
            with pytest.raises(UpstreamFailed) as refusal:
                await upstream.request(call("echo"), KeepingSink())
            assert refusal.value.code == "upstream_too_large"


async def test_strays_before_the_answer_are_passed_over() -> None:
    def reply(number: int) -> bytes:
        other = {"progressToken": number + 1, "progress": 1}
        return stream(
            message(id=number + 1, result="another's"),
            message(method="notifications/progress", params=other),
            message(method="notifications/tools/list_changed"),
            message(method="notifications/message", params={"level": "info", "data": None}),
            message(id=number, result=RESULT),
        )

    async with raw_server(modern(saying(reply))) as server, open_http(http_settings(server.url())) as upstream:
        sink = KeepingSink()
        assert text_of(await upstream.request(call("echo", wants_progress=True), sink)) == "ok"
        assert sink.messages == [("notifications/message", {"level": "info", "data": None})]


async def test_a_slow_sink_slows_the_upstream() -> None:
    sent = 0
    event = message(method="notifications/message", params={"data": "x" * 10_000})

    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        nonlocal sent
        await peer.say(stream(ends=False))
        for _number in range(5000):
            line = b"data: %b\n\n" % event
            await peer.say(b"%x\r\n%b\r\n" % (len(line), line))
            sent += 1
        line = b"data: %b\n\n" % message(id=asked["id"], result=RESULT)
        await peer.say(b"%x\r\n%b\r\n0\r\n\r\n" % (len(line), line))

    class SlowSink:
        def __init__(self) -> None:
            self.gate = anyio.Event()
            self.count = 0

        async def notify(self, method: str, params: Raw | None) -> None:
            await self.gate.wait()
            self.count += 1

    async with raw_server(modern(answer)) as server, open_http(http_settings(server.url())) as upstream:
        sink = SlowSink()
        task = asyncio.create_task(upstream.request(call("echo"), sink))
        before = -1
        while not sent or before != sent:  # until nothing moves any more
            before = sent
            with anyio.move_on_after(0.1):
                await anyio.Event().wait()
        assert sent < 4000
        sink.gate.set()
        assert text_of(await task) == "ok"
        assert sink.count == 5000


async def test_the_upstream_sees_our_metadata_and_the_callers_members_byte_for_byte() -> None:
    seen: list[tuple[dict[bytes, bytes], bytes]] = []

    async def behave(peer: Peer) -> None:
        while True:
            line, headers, body = await peer.request()
            if not line:
                return
            seen.append((headers, body))
            asked = orjson.loads(body)
            is_probe = asked.get("method") == "server/discover"
            await peer.say(http(message(id=asked["id"], result=DISCOVERED if is_probe else RESULT)))

    arguments = b'{"n":123456789012345678901234567890,"x":1.0,"null":null,"\\u00e9":"\\ud83d\\ude00"}'
    schema = b'{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}'
    request = UpstreamRequest(
        "tools/call",
        {
            "name": Raw(b'"t\xc3\xa9"'),
            "arguments": Raw(arguments),
            "vendor": Raw(b"[ 1 ]"),
            "_meta": Raw(b'{"a/b":null}'),
        },
        ALICE,
        timeout_s=10,
        wants_progress=True,
        trace={"traceparent": "00-1-2-01"},
        name_header="té",
        input_schema=Raw(schema),
    )
    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        await upstream.request(request, KeepingSink())
    headers, body = seen[1]
    assert arguments in body
    assert b"[ 1 ]" in body
    meta = orjson.loads(body)["params"]["_meta"]
    assert meta["a/b"] is None
    assert meta["progressToken"] == orjson.loads(body)["id"]
    assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "agent-gateway"
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
    assert headers[b"mcp-name"] == b"=?base64?dMOp?="
    assert (headers[b"mcp-method"], headers[b"mcp-protocol-version"]) == (b"tools/call", b"2026-07-28")
    assert (headers[b"traceparent"], headers[b"authorization"]) == (b"00-1-2-01", b"Bearer upstream-token-of-alice")


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

    def reply(number: int) -> bytes:
        return stream(
            message(id="p", method="ping"),
            message(id="s", method="sampling/createMessage", params={}),
            message(id=number, result=RESULT),
        )

    behave = legacy(saying(reply), sessions=[], seen=seen)
    async with raw_server(behave) as server, open_http(http_settings(server.url())) as upstream:
        assert text_of(await upstream.request(call("echo"), KeepingSink())) == "ok"
    answers = {asked["id"]: asked for asked in seen if asked.get("id") in ("p", "s")}
    assert answers["p"]["result"] == {}
    assert answers["s"]["error"]["code"] == -32601


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


async def test_an_upstream_that_hangs_before_its_head_is_a_timeout() -> None:
    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        await peer.until_closed()

    async with raw_server(modern(answer)) as server, open_http(http_settings(server.url())) as upstream:
        with pytest.raises(UpstreamTimeout):
            await upstream.request(call("echo", timeout_s=0.2), KeepingSink())


def paged(pages: list[dict[str, Any]]) -> Handler:
    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        cursor = asked["params"].get("cursor")
        index = 0 if cursor is None else ([None] + [page.get("nextCursor") for page in pages]).index(cursor)
        await peer.say(http(message(id=asked["id"], result=pages[min(index, len(pages) - 1)])))

    return answer


async def test_every_page_is_listed_and_an_empty_cursor_is_a_cursor() -> None:
    pages: list[dict[str, Any]] = [
        {"tools": [{"name": "a"}], "nextCursor": ""},
        {"tools": [], "nextCursor": "2"},
        {"tools": [{"name": "b", "unknown": None}], "nextCursor": None},
    ]
    async with raw_server(modern(paged(pages))) as server, open_http(http_settings(server.url())) as upstream:
        tools = await upstream.list_tools(ALICE)
        assert [bytes(tool) for tool in tools] == [b'{"name":"a"}', b'{"name":"b","unknown":null}']


@pytest.mark.parametrize(
    "pages",
    [
        [{"tools": [], "nextCursor": "again"}],
        [{"tools": [], "nextCursor": str(n)} for n in range(300)],
        [{"tools": [{"name": "x"}] * 30}],
        [{"tools": "none"}],
        [{}],
        [{"tools": [], "nextCursor": 5}],
    ],
    ids=["a circle", "too many pages", "too many tools", "no list", "nothing", "a cursor that is none"],
)
async def test_a_list_that_cannot_end_or_be_read_is_refused(pages: list[dict[str, Any]]) -> None:
    async with raw_server(modern(paged(pages))) as server:
        settings = http_settings(server.url(), limits=UpstreamLimits(max_tools=20, max_pages=100))
        async with open_http(settings) as upstream:
            with pytest.raises(UpstreamFailed) as refusal:
                await upstream.list_tools(ALICE)
            assert refusal.value.code == "upstream_garbage"


async def test_no_refusal_names_the_url_or_a_secret() -> None:
    async with raw_server(modern(saying(lambda _: http(b"", b"500 Oh")))) as server:
        async with open_http(http_settings(server.url("/mcp?key=s3cret"))) as upstream:
            with pytest.raises(UpstreamFailed) as refusal:
                await upstream.request(call("echo"), KeepingSink())
        said = f"{refusal.value.message} {refusal.value.hint} {refusal.value.details}"
        assert not any(word in said for word in ("s3cret", "127.0.0.1", "Bearer", "upstream-token"))


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


def always(reply: Callable[[Any], bytes]) -> Behaviour:
    """Answer every message, whatever it asks."""

    async def behave(peer: Peer) -> None:
        while True:
            line, _, body = await peer.request()
            if not line:
                return
            await peer.say(reply(orjson.loads(body).get("id") if body else None))

    return behave


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
        for ask in (upstream.server_info(ALICE), upstream.list_tools(ALICE)):
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
