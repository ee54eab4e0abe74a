"""One gateway behind two listeners: one that lets plain calls go the short way, one that does not."""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from agent_gateway.listeners.bind import bind
from agent_gateway.listeners.deadlines import EdgeLimits
from agent_gateway.listeners.serve import Listener, serving
from support.gateways import META, TestGateway

EDGE = EdgeLimits(header_timeout_s=30, body_timeout_s=30, write_timeout_s=30)
HOST = "gateway.test"


@dataclass(frozen=True, slots=True)
class Ways:
    """The ports of the two listeners."""

    short: int
    long: int


@asynccontextmanager
async def two_ways(running: TestGateway, limits: EdgeLimits = EDGE) -> AsyncGenerator[Ways]:
    """Serve the gateway on two loopback ports until the block ends."""
    short, long = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
    ways = Ways(short.getsockname()[1], long.getsockname()[1])
    listeners = [
        Listener("short", running.app, short, limits, drain_timeout_s=5, fast_for=running.worker.gateway),
        Listener("long", running.app, long, limits, drain_timeout_s=5),
    ]
    async with serving(listeners):
        yield ways


async def idle(running: TestGateway) -> None:
    """Return once no call runs."""
    async with asyncio.timeout(10):
        while running.worker.gateway.active.count:  # noqa: ASYNC110 - the gateway tells nobody
            await asyncio.sleep(0.01)


class Connection:
    """A connection of a client that says what a test wants."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave without a word."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def send(self, *parts: bytes) -> None:
        """Send parts, each read by the gateway before the next is sent."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        writer = self._streams[1]
        for number, part in enumerate(parts):
            if number:
                await self._has_read()
            writer.write(part)
            await writer.drain()

    async def _has_read(self) -> None:
        """Return when the gateway, one thread that reads in order, has answered somebody who came later."""
        async with Connection(self._port) as other:
            await other.send(b"GET /nothing HTTP/1.1\r\nhost: gateway.test\r\n\r\n")
            await other.answer()

    async def answer(self) -> bytes:
        """Return the next whole answer, interim ones before it included; what there is when the gateway closes."""
        assert self._streams is not None
        reader = self._streams[0]
        async with asyncio.timeout(30):
            head = b""
            while True:
                try:
                    head += await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError as ended:
                    self.close()
                    return head + ended.partial
                if b" 100 " not in head.splitlines()[-0 if head.count(b"\r\n\r\n") == 1 else -2]:
                    break
            body = await _body(reader, head)
        if b"connection: close" in head:
            assert await reader.read() == b""
            self.close()
        return head + body


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    length = re.search(rb"content-length: (\d+)", head)
    if length:
        return await reader.readexactly(int(length[1]))
    body = b""
    while b"transfer-encoding: chunked" in head:
        line = await reader.readuntil(b"\r\n")
        body += line + await reader.readexactly(int(line, 16) + 2)
        if line == b"0\r\n":
            break
    return body


def request(
    token: str,
    name: object = "raw__echo",
    arguments: object = None,
    *,
    head: Mapping[str, str | None] = {},
    body: Mapping[str, object] = {},
    params: Mapping[str, object] = {},
    meta: Mapping[str, object] = {},
) -> bytes:
    """Return a `tools/call` as bytes; the mappings change what they name, None takes it out."""
    message = _changed({"jsonrpc": "2.0", "id": 7, "method": "tools/call"}, body)
    if "params" not in body:
        members = {"name": name, "arguments": {} if arguments is None else arguments, "_meta": _changed(META, meta)}
        message["params"] = _changed(members, params)
    raw = orjson.dumps(message)
    return with_body(token, name, raw, head)


def with_body(token: str, name: object, raw: bytes, head: Mapping[str, str | None] = {}) -> bytes:
    """Return a POST of `raw` with the headers of a plain call."""
    headers: dict[str, Any] = {
        "host": HOST,
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": name,
        "content-length": str(len(raw)),
    }
    lines = "".join(f"{key}: {value}\r\n" for key, value in _changed(headers, head).items())
    return f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + raw


def _changed(members: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in {**members, **changes}.items() if value is not None}


def same(text: bytes) -> bytes:
    """Return `text` without what differs from call to call: ids of calls, times, traces, our own ids and lengths."""
    for pattern, put in _DIFFERS:
        text = re.sub(pattern, put, text)
    return text


_DIFFERS = (
    (rb"date: [^\r]*\r\n", b"date: D\r\n"),
    (rb"[0-9a-f]{32}-[0-9a-f]{16}", b"TRACE"),
    (rb'"requestState":"[^"]+"', b'"requestState":"S"'),
    (rb'"taskId":"[\w-]{60,}"', b'"taskId":"T"'),
    (rb'"call":"[0-9a-f]{32}"', b'"call":"C"'),
    (rb'"(at_ms|duration_us)":\d+', rb'"\1":0'),
    (rb'"retry_after_s":[0-9.]+', rb'"retry_after_s":0'),
    (rb"wait [0-9.]+ s", b"wait S s"),
)
