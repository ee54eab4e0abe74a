"""The HTTP upstream against peers that lie, stall, die, flood, or change their era."""

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import orjson
import pytest
from msgspec import Raw

from agent_gateway.ports import UpstreamRequest
from agent_gateway.upstreams.settings import UpstreamLimits
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout
from support.mcp_peers import DISCOVERED, RESULT, Handler, http, message, modern, saying, stream
from support.principals import ALICE
from support.raw_http import Peer, raw_server
from support.upstreams import KeepingSink, call, http_settings, open_http, text_of

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
    "stream that asks without end": (lambda _: stream(*[message(id=1, method="ping")] * 80), "upstream_garbage"),
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
        assert sink.messages == [
            ("notifications/tools/list_changed", None),
            ("notifications/message", {"level": "info", "data": None}),
        ]


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

        async def ask(self, method: str, params: Raw | None, progressed: object = None) -> Raw:
            raise AssertionError(method)

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
        tools = (await upstream.list_items("tools", ALICE)).items
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
        settings = http_settings(server.url(), limits=UpstreamLimits(max_items=20, max_pages=100))
        async with open_http(settings) as upstream:
            with pytest.raises(UpstreamFailed) as refusal:
                await upstream.list_items("tools", ALICE)
            assert refusal.value.code == "upstream_garbage"


async def test_no_refusal_names_the_url_or_a_secret() -> None:
    async with raw_server(modern(saying(lambda _: http(b"", b"500 Oh")))) as server:
        async with open_http(http_settings(server.url("/mcp?key=s3cret"))) as upstream:
            with pytest.raises(UpstreamFailed) as refusal:
                await upstream.request(call("echo"), KeepingSink())
        said = f"{refusal.value.message} {refusal.value.hint} {refusal.value.details}"
        assert not any(word in said for word in ("s3cret", "127.0.0.1", "Bearer", "upstream-token"))
