"""Upstream stub without a compiler: the answers of `stub.c`, byte for byte, as callbacks on the event loop.

`python stub.py PORT` listens on 127.0.0.1 (0: any free port), prints `listening PORT`
and ends when its standard input closes.
"""

import asyncio
import sys
from typing import cast

import httptools
import msgspec
import uvloop

BACKLOG = 4096
MAX_REQUEST_BYTES = 8 << 20

TOOLS = (
    b'"tools":[{"name":"echo","description":"Answer with a short text","inputSchema":{"type":"object",'
    b'"properties":{"text":{"type":"string"},"n":{"type":"integer"}},"required":["text"]}}]'
)
CALL = (
    b'"content":[{"type":"text","text":"hello from the stub tool, this is a short answer of typical size for a '
    b'tool call result"}],"isError":false'
)
ABOUT = b'"capabilities":{"tools":{"listChanged":false}}'
SERVER = b'{"name":"stub","version":"1.0"}'
CACHE = b'"ttlMs":60000,"cacheScope":"public"'
COMPLETE = b',"resultType":"complete"'
MODERN: dict[str, bytes] = {
    "tools/call": b"{" + CALL + COMPLETE + b"}",
    "tools/list": b"{" + TOOLS + COMPLETE + b"," + CACHE + b"}",
    "server/discover": b'{"supportedVersions":["2026-07-28"],%b,"_meta":{"io.modelcontextprotocol/serverInfo":%b}%b,%b}'
    % (ABOUT, SERVER, COMPLETE, CACHE),
}
LEGACY: dict[str, bytes] = {
    "tools/call": b"{" + CALL + b"}",
    "tools/list": b"{" + TOOLS + b"}",
    "ping": b"{}",
}
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"
NOT_ALLOWED = b"HTTP/1.1 405 Method Not Allowed\r\nAllow: POST\r\nContent-Length: 0\r\n\r\n"


class Meta(msgspec.Struct):
    version: msgspec.Raw = msgspec.field(default=msgspec.Raw(b""), name="io.modelcontextprotocol/protocolVersion")


class Params(msgspec.Struct):
    version: msgspec.Raw = msgspec.field(default=msgspec.Raw(b'"2025-11-25"'), name="protocolVersion")
    meta: Meta | None = msgspec.field(default=None, name="_meta")


class Message(msgspec.Struct):
    method: str = ""
    id: msgspec.Raw = msgspec.Raw(b"")
    params: Params | None = None


DECODER = msgspec.json.Decoder(Message)


def answer(body: bytes) -> bytes | None:
    """Return the JSON-RPC answer to one message; None when it wants none."""
    message = DECODER.decode(body)
    if not (request_id := bytes(message.id)):
        return None
    params = message.params or Params()
    is_modern = params.meta is not None and bool(bytes(params.meta.version))
    if message.method == "initialize" and not is_modern:
        result = b'{"protocolVersion":%b,%b,"serverInfo":%b}' % (bytes(params.version), ABOUT, SERVER)
    else:
        found = (MODERN if is_modern else LEGACY).get(message.method)
        if found is None:
            return b'{"jsonrpc":"2.0","id":%b,"error":{"code":-32601,"message":"method not found"}}' % request_id
        result = found
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (request_id, result)


class Server(asyncio.Protocol):
    """One connection: parse, answer, keep alive."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, msgspec.DecodeError):
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url, self._body, self._size = b"", [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_body(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_REQUEST_BYTES:
            self._transport.close()
            return
        self._body.append(data)

    def on_message_complete(self) -> None:
        if self._parser.get_method() != b"POST":
            self._transport.write(NOT_ALLOWED)
            return
        message = answer(b"".join(self._body))
        if message is None:
            self._transport.write(ACCEPTED)
        elif self._url.startswith(b"/mcp-sse"):
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nServer: stub\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n%x\r\nevent: message\ndata: %b\n\n\r\n0\r\n\r\n"
                % (len(message) + 23, message)
            )
        else:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nServer: stub\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (len(message), message)
            )


class Lifeline(asyncio.Protocol):
    """Ends the server when whoever started it goes away."""

    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()


async def serve(port: int) -> None:
    """Serve until standard input closes."""
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    await loop.connect_read_pipe(lambda: Lifeline(gone), sys.stdin)
    server = await loop.create_server(Server, "127.0.0.1", port, backlog=BACKLOG)
    async with server:
        print(f"listening {server.sockets[0].getsockname()[1]}", flush=True)
        await gone.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
