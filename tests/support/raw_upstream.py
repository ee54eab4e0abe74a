"""A modern MCP upstream made of plain bytes: tools that behave as a test wants, and a memory of all it was sent."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import orjson

from support.raw_http import Peer, RawServer, raw_server

DISCOVERED: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}


@dataclass
class Call:
    """One `tools/call` as it arrived."""

    peer: Peer
    head: Mapping[bytes, bytes]
    body: bytes
    message: dict[str, Any]

    @property
    def id(self) -> object:
        return self.message["id"]

    @property
    def name(self) -> str:
        return str(self.message["params"]["name"])

    @property
    def arguments(self) -> dict[str, Any]:
        return self.message["params"]["arguments"]


Tool = Callable[[Call], Awaitable[None]]


def http(body: bytes, status: bytes = b"200 OK", kind: bytes = b"application/json") -> bytes:
    """Return a whole HTTP answer."""
    return b"HTTP/1.1 %b\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (status, kind, len(body), body)


def answer(call: Call, result: object) -> bytes:
    """Return the HTTP answer that carries `result`; bytes are raw JSON."""
    raw = result if isinstance(result, bytes) else orjson.dumps(result)
    return http(b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (orjson.dumps(call.id), raw))


def text(value: str) -> dict[str, Any]:
    """Return a plain tool result."""
    return {"content": [{"type": "text", "text": value}], "resultType": "complete"}


async def echo(call: Call) -> None:
    """The tool that says it was there."""
    await call.peer.say(answer(call, text(call.name)))


def saying(reply: Callable[[Call], bytes]) -> Tool:
    """Return a tool that answers with these bytes."""

    async def tool(call: Call) -> None:
        await call.peer.say(reply(call))

    return tool


@dataclass
class Gate:
    """A tool that answers once the test opens it."""

    reached: anyio.Event = field(default_factory=anyio.Event)
    opened: anyio.Event = field(default_factory=anyio.Event)
    left: anyio.Event = field(default_factory=anyio.Event)  # the gateway gave the call up

    async def __call__(self, call: Call) -> None:
        self.reached.set()
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, call.peer, group.cancel_scope)
            await self.opened.wait()
            group.cancel_scope.cancel()
        if not self.left.is_set():
            await echo(call)

    async def _watch(self, peer: Peer, scope: anyio.CancelScope) -> None:
        if not await peer.reader.read(1):
            self.left.set()
            scope.cancel()


@dataclass
class RawUpstream:
    """What it was sent: every request's head and body, and the calls among them."""

    server: RawServer
    calls: list[Call] = field(default_factory=list[Call])
    heard: list[bytes] = field(default_factory=list[bytes])

    @property
    def url(self) -> str:
        return self.server.url()

    def count(self, name: str) -> int:
        """How often a tool was called."""
        return sum(call.name == name for call in self.calls)

    def entry(self, name: str = "raw", more: str = "") -> str:
        """Return the upstream's line of configuration."""
        rules = '"*": {risk: 1, read_only: true, price_micros: 100}'
        return f"  {name}: {{url: '{self.url}', allow_private: true, era: modern, tools: {{{rules}}}{more}}}\n"


def definition(name: str, schema: object = None) -> dict[str, Any]:
    """Return a tool definition."""
    return {"name": name, "inputSchema": {"type": "object"} if schema is None else schema}


@asynccontextmanager
async def raw_upstream(
    tools: Mapping[str, Tool],
    definitions: Sequence[dict[str, Any]] | None = None,
    replies: Mapping[str, object] | None = None,
) -> AsyncGenerator[RawUpstream]:
    """Serve `tools` on a loopback port until the block ends.

    definitions  what the list shows instead of one plain definition per tool; read anew for each list
    replies      results of other methods by name (bytes are raw JSON; `{"error": …}` alone is an error); read anew too
    """
    shown = definitions if definitions is not None else [definition(name) for name in tools]

    async def behave(peer: Peer) -> None:
        while True:
            line, head, body = await peer.request()
            if not line:
                return
            upstream.heard.append(b"\n".join([line, *(b"%b: %b" % pair for pair in head.items()), body]))
            message: dict[str, Any] = orjson.loads(body) if body else {}
            if message.get("method") == "tools/call":
                call = Call(peer, head, body, message)
                upstream.calls.append(call)
                await tools.get(call.name, echo)(call)
                continue
            method = str(message.get("method"))
            reply = (replies or {}).get(method, {"tools": shown} if method == "tools/list" else DISCOVERED)
            raw = reply if isinstance(reply, bytes) else orjson.dumps(reply)
            is_error = isinstance(reply, dict) and list(cast("dict[str, object]", reply)) == ["error"]
            member = b'"error":%b' % raw[9:-1] if is_error else b'"result":%b' % raw
            await peer.say(http(b'{"jsonrpc":"2.0","id":%b,%b}' % (orjson.dumps(message.get("id")), member)))

    async with raw_server(behave) as server:
        upstream = RawUpstream(server)
        yield upstream
