"""MCP over HTTP, said byte by byte: peers of either era that answer as a test wants."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from support.raw_http import Behaviour, Peer

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


async def taken(peer: Peer, asked: dict[str, Any], headers: dict[bytes, bytes]) -> None:
    """Say that a message that wants no answer has come."""
    await peer.say(http(b"", b"202 Accepted", b"text/plain"))


def legacy(
    answer: Handler, *, sessions: list[str], seen: list[dict[str, Any]] | None = None, get: Handler | None = None
) -> Behaviour:
    """A legacy upstream that keeps sessions: 404 for one that is not in `sessions`. `get` answers GET."""

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
        elif "id" not in asked or "method" not in asked:
            await (taken if asked.get("method") != "GET" or get is None else get)(peer, asked, headers)
        else:
            await answer(peer, asked, headers)

    return behave


def saying(reply: Callable[[int], bytes]) -> Handler:
    async def answer(peer: Peer, asked: dict[str, Any], _: dict[bytes, bytes]) -> None:
        await peer.say(reply(asked["id"]))

    return answer


def ok(number: int) -> bytes:
    return http(message(id=number, result=RESULT))


def always(reply: Callable[[Any], bytes]) -> Behaviour:
    """Answer every message, whatever it asks."""

    async def behave(peer: Peer) -> None:
        while True:
            line, _, body = await peer.request()
            if not line:
                return
            await peer.say(reply(orjson.loads(body).get("id") if body else None))

    return behave
