"""The bridge against a gateway that answers as a test wants: sessions lost, tokens refused, streams that break."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import orjson

from agent_gateway.bridge.bridge import MAX_RUNNING, Bridge
from agent_gateway.bridge.standard_streams import OVERLONG
from agent_gateway.ports import HttpRequest, HttpResponse
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable
from mcp_registry.protocol.versions import META_CLIENT_CAPABILITIES, META_VERSION

MODERN: dict[str, object] = {META_VERSION: "2026-07-28", META_CLIENT_CAPABILITIES: {}}
OPENED = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "g", "version": "1"}}
SCHEMA = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}


@dataclass
class Reply:
    """One scripted response; `parts` come one after another, an exception among them breaks it."""

    status: int = 200
    headers: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    parts: Sequence[bytes | Exception] = ()
    is_closed: bool = False

    async def read(self, max_bytes: int) -> bytes:
        del max_bytes
        return b"".join([part async for part in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            if part == HANG:
                await anyio.sleep_forever()
            yield part

    def close(self) -> None:
        self.is_closed = True

    def linger(self) -> None:
        self.close()


HANG = b"hang"


@dataclass
class Gate:
    """Answers each request with what `behave` returns, and remembers it."""

    behave: Callable[["Sent"], Reply]
    seen: list["Sent"] = field(default_factory=list["Sent"])
    is_closed: bool = False

    async def send(self, request: HttpRequest, *, timeout_s: float, idempotent: bool = False) -> HttpResponse:
        del timeout_s, idempotent
        sent = Sent(request.method, dict(request.headers), orjson.loads(request.body or b"{}"))
        self.seen.append(sent)
        return self.behave(sent)

    async def aclose(self) -> None:
        self.is_closed = True

    def of(self, method: str) -> list["Sent"]:
        return [one for one in self.seen if one.body.get("method") == method]


@dataclass
class Sent:
    verb: str
    headers: dict[bytes, bytes]
    body: dict[str, Any]


def answer(body: object, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return Reply(status, {b"content-type": b"application/json", **named}, [orjson.dumps(body)])


def result(sent: Sent, value: object, **headers: str) -> Reply:
    return answer({"jsonrpc": "2.0", "id": sent.body["id"], "result": value}, 200, **headers)


def error(sent: Sent, code: int, status: int, *, is_named: bool = True) -> Reply:
    number = sent.body.get("id") if is_named else None
    return answer({"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": "no"}}, status)


def stream(*parts: bytes | Exception) -> Reply:
    return Reply(200, {b"content-type": b"text/event-stream"}, parts)


def event(message: object, at: str = "") -> bytes:
    return (f"id: {at}\nretry: 50\n".encode() if at else b"") + b"data: " + orjson.dumps(message) + b"\n\n"


def line(method: str, number: object = 1, **params: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})


def told(method: str, **params: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})


INITIALIZE = line("initialize", 0, protocolVersion="2025-11-25", capabilities={}, clientInfo={})


async def carried(gate: Gate, *lines: bytes, until: int = 0, tokens: Sequence[str] = ("token",)) -> list[Any]:
    """Give the bridge these lines; close its input once it said `until` messages; return all it said."""
    said: list[Any] = []
    enough = anyio.Event()
    made = list(tokens)
    token = [made[0]]

    async def write(message: bytes) -> None:
        said.append(orjson.loads(message))
        if len(said) >= until:
            enough.set()

    def give(is_refused: bool) -> str:
        if is_refused:
            token[0] = made[-1]
        return token[0]

    async def read() -> AsyncIterator[bytes]:
        for one in lines:
            yield one
        if until:
            await enough.wait()

    with anyio.fail_after(20):
        await Bridge("http://gateway.test/mcp", gate, give, write).run(read())
    assert gate.is_closed
    return said


def session(behave: Callable[[Sent], Reply]) -> Callable[[Sent], Reply]:
    """A gateway that opens the session `s1` and has no standing stream."""

    def respond(sent: Sent) -> Reply:
        if sent.body.get("method") == "initialize":
            return result(sent, OPENED, mcp_session_id="s1")
        if sent.verb == "DELETE" or "id" not in sent.body:
            return Reply(405 if sent.verb == "GET" and b"last-event-id" not in sent.headers else 202)
        return behave(sent)

    return respond


async def test_a_session_is_named_in_every_message_and_ended_at_the_end() -> None:
    gate = Gate(session(lambda sent: result(sent, {})))
    said = await carried(gate, INITIALIZE, told("notifications/initialized"), line("ping", "p"))
    assert [one["id"] for one in said] == [0, "p"]
    named = [
        (one.verb, one.headers.get(b"mcp-session-id"), one.headers.get(b"mcp-protocol-version")) for one in gate.seen
    ]
    assert named[0] == ("POST", None, None)
    assert set(named[1:]) >= {("POST", b"s1", b"2025-11-25"), ("DELETE", b"s1", b"2025-11-25")}
    assert all(one.headers[b"authorization"] == b"Bearer token" for one in gate.seen)


async def test_a_lost_session_is_opened_again_and_the_request_sent_once_more() -> None:
    sessions = iter(["s1", "s2"])

    def behave(sent: Sent) -> Reply:
        if sent.body.get("method") == "initialize":
            return result(sent, OPENED, mcp_session_id=next(sessions))
        if sent.body.get("method") == "ping":
            is_known = sent.headers[b"mcp-session-id"] == b"s2"
            return result(sent, {}) if is_known else error(sent, -32600, 404, is_named=False)
        return Reply(202)

    gate = Gate(behave)
    said = await carried(gate, INITIALIZE, line("ping"))
    assert said[1] == {"jsonrpc": "2.0", "id": 1, "result": {}}
    assert [one.headers[b"mcp-session-id"] for one in gate.of("ping")] == [b"s1", b"s2"]
    assert len(gate.of("notifications/initialized")) == 1


async def test_a_modern_request_has_its_headers_and_no_session() -> None:
    gate = Gate(lambda sent: result(sent, {"resultType": "complete"}))
    await carried(gate, line("tools/call", name="wetter ü", arguments={}, _meta=MODERN))
    [sent] = gate.seen
    assert sent.headers[b"mcp-method"] == b"tools/call"
    assert sent.headers[b"mcp-protocol-version"] == b"2026-07-28"
    assert sent.headers[b"mcp-name"].startswith(b"=?base64?")
    assert b"mcp-session-id" not in sent.headers


async def test_arguments_that_headers_mirror_are_learnt_when_the_gateway_wants_them() -> None:
    def behave(sent: Sent) -> Reply:
        if sent.body["method"] == "tools/list":
            assert sent.body["params"]["_meta"] == MODERN
            is_first = "cursor" not in sent.body["params"]
            tool = {"name": "other" if is_first else "here", "inputSchema": SCHEMA}
            return result(sent, {"tools": [tool], **({"nextCursor": ""} if is_first else {})})
        return result(sent, {}) if b"mcp-param-region" in sent.headers else error(sent, -32020, 400)

    gate = Gate(behave)
    said = await carried(gate, line("tools/call", name="here", arguments={"region": "eu"}, _meta=MODERN))
    assert said == [{"jsonrpc": "2.0", "id": 1, "result": {}}]
    assert gate.of("tools/call")[-1].headers[b"mcp-param-region"] == b"eu"
    assert len(gate.of("tools/list")) == 2


async def test_a_list_that_passes_by_is_remembered() -> None:
    gate = Gate(
        lambda sent: result(
            sent, {"tools": [{"name": "here", "inputSchema": SCHEMA}, {"name": "odd", "inputSchema": 7}]}
        )
    )
    lines = [
        line("tools/list", _meta=MODERN),
        line("tools/call", 2, name="here", arguments={"region": "eu"}, _meta=MODERN),
    ]
    said: list[Any] = []

    async def write(message: bytes) -> None:
        said.append(orjson.loads(message))

    bridge = Bridge("http://gateway.test/mcp", gate, lambda _: "token", write)

    async def read() -> AsyncIterator[bytes]:
        yield lines[0]
        while not said:
            await anyio.lowlevel.checkpoint()
        yield lines[1]

    await bridge.run(read())
    assert gate.of("tools/call")[0].headers[b"mcp-param-region"] == b"eu"


async def test_what_comes_before_the_answer_is_handed_on_in_order() -> None:
    asked: dict[str, object] = {"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {}}
    gate = Gate(
        session(lambda sent: stream(event(asked), event({"jsonrpc": "2.0", "id": sent.body["id"], "result": {}})))
    )
    said = await carried(
        gate, INITIALIZE, line("tools/call", name="a"), orjson.dumps({"jsonrpc": "2.0", "id": "q", "result": {}})
    )
    assert said[1:] == [asked, {"jsonrpc": "2.0", "id": 1, "result": {}}]
    assert {"jsonrpc": "2.0", "id": "q", "result": {}} in [one.body for one in gate.seen]


async def test_an_answer_whose_stream_breaks_is_fetched_from_where_it_broke() -> None:
    def behave(sent: Sent) -> Reply:
        if sent.verb == "GET":
            assert sent.headers[b"last-event-id"] == b"7"
            return stream(event({"jsonrpc": "2.0", "id": 1, "result": {"late": True}}))
        return stream(event({"jsonrpc": "2.0", "method": "notifications/message"}, "7"), UpstreamFailed("gone"))

    def respond(sent: Sent) -> Reply:
        if sent.verb == "GET" and b"last-event-id" in sent.headers:
            return behave(sent)
        return session(behave)(sent)

    said = await carried(Gate(respond), INITIALIZE, line("tools/call", name="a"))
    assert said[-1] == {"jsonrpc": "2.0", "id": 1, "result": {"late": True}}


async def test_a_modern_answer_that_breaks_off_is_an_error() -> None:
    said = await carried(Gate(lambda _: stream(b": ping\n\n")), line("tools/list", _meta=MODERN))
    assert (said[0]["id"], said[0]["error"]["code"]) == (1, -32603)


async def test_a_cancelled_modern_request_is_left_and_gets_no_answer() -> None:
    replies = [stream(event({"jsonrpc": "2.0", "method": "notifications/progress"}), HANG)]
    gate = Gate(lambda _: replies[0])
    said: list[Any] = []
    heard = anyio.Event()

    async def write(message: bytes) -> None:
        said.append(orjson.loads(message))
        heard.set()

    async def read() -> AsyncIterator[bytes]:
        yield line("tools/call", "c", name="a", _meta=MODERN)
        await heard.wait()
        yield told("notifications/cancelled", requestId="c")

    with anyio.fail_after(20):
        await Bridge("http://gateway.test/mcp", gate, lambda _: "token", write).run(read())
    assert [one.get("method") for one in said] == ["notifications/progress"]
    assert replies[0].is_closed
    assert len(gate.seen) == 1, "a notice of the cancel is nothing that 2026-07-28 sends over HTTP"


async def test_a_refused_token_is_made_anew_once() -> None:
    def behave(sent: Sent) -> Reply:
        is_good = sent.headers[b"authorization"] == b"Bearer new"
        return result(sent, {}) if is_good else error(sent, -32001, 401, is_named=False)

    gate = Gate(behave)
    said = await carried(gate, line("tools/list", _meta=MODERN), tokens=("old", "new"))
    assert said == [{"jsonrpc": "2.0", "id": 1, "result": {}}]
    said = await carried(Gate(behave), line("tools/list", 2, _meta=MODERN), tokens=("old",))
    assert said == [{"jsonrpc": "2.0", "id": 2, "error": {"code": -32001, "message": "no"}}]


async def test_what_is_not_mcp_and_what_cannot_be_reached_are_answers_too() -> None:
    html = Gate(lambda _: Reply(502, {b"content-type": b"text/html"}, [b"<html>"]))
    [told_html] = await carried(html, line("tools/list", _meta=MODERN))
    assert told_html["error"]["message"] == "the gateway answered with HTTP status 502, and not in MCP"

    def away(_: Sent) -> Reply:
        raise UpstreamUnreachable("the upstream cannot be reached")

    [told_away] = await carried(Gate(away), line("tools/list", _meta=MODERN))
    assert told_away["error"]["message"] == "the gateway cannot be asked: the gateway cannot be reached"


async def test_an_id_in_use_and_a_line_too_long_are_refused() -> None:
    gate = Gate(lambda sent: stream(HANG) if sent.body["method"] == "tools/call" else result(sent, {}))
    call = line("tools/call", name="a", _meta=MODERN)
    many = [line("tools/call", 100 + number, name="a", _meta=MODERN) for number in range(MAX_RUNNING)]
    said: list[Any] = []

    async def write(message: bytes) -> None:
        said.append(orjson.loads(message))

    async def read() -> AsyncIterator[bytes]:
        yield call
        yield call
        yield OVERLONG
        for one in many:
            yield one

    bridge = Bridge("http://gateway.test/mcp", gate, lambda _: "token", write)
    task = asyncio.ensure_future(bridge.run(read()))
    with anyio.fail_after(20):
        while len(said) < 3:
            await anyio.lowlevel.checkpoint()
        task.cancel()
        await asyncio.wait([task])
    assert [(one["id"], one["error"]["code"]) for one in said] == [
        (1, -32600),
        (None, -32600),
        (99 + MAX_RUNNING, -32600),
    ]


async def test_the_standing_stream_is_kept_and_taken_up_again() -> None:
    changed = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
    streams = iter([stream(event(changed, "1")), stream(event(changed, "2"), HANG)])

    def behave(sent: Sent) -> Reply:
        if sent.verb == "GET":
            return next(streams)
        return session(lambda one: result(one, {}))(sent)

    gate = Gate(behave)
    said = await carried(gate, INITIALIZE, told("notifications/initialized"), until=3)
    assert said[1:] == [changed, changed]
    assert [one.headers.get(b"last-event-id") for one in gate.seen if one.verb == "GET"] == [None, b"1"]
