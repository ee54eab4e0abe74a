"""A plain HTTP proxy in Python callbacks: what a request costs here before anything is decided about it.

`python reference.py PORT UPSTREAM_PORT`. The yardstick where nginx is not installed. Only for
measuring: requests and answers need a Content-Length, it has no limits and no timeouts.
"""

import asyncio
import sys
from collections import deque
from typing import cast

import httptools
import uvloop

BACKLOG = 4096
ANSWERED = (b"content-type", b"content-length")
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"


class Upstream(asyncio.Protocol):
    """One kept connection to the upstream; serves one request at a time."""

    def __init__(self, idle: "deque[Upstream]") -> None:
        self._idle = idle
        self._client: Client | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._head: list[bytes] = []
        self._body: list[bytes] = []
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, client: "Client") -> None:
        self._client = client
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._head, self._body = [], []

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in ANSWERED:
            self._head.append(b"%b: %b\r\n" % (name, value))

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        client, self._client = self._client, None
        status = self._parser.get_status_code()
        answer = b"HTTP/1.1 %d Answer\r\n%b\r\n%b" % (status, b"".join(self._head), b"".join(self._body))
        self._parser = httptools.HttpResponseParser(self)
        self._idle.append(self)
        if client is not None:
            client.reply(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if self._client is not None:
            self._client.reply(BAD_GATEWAY)


class Client(asyncio.Protocol):
    """One connection from a client; no pipelining."""

    def __init__(self, upstream_port: int, idle: deque[Upstream]) -> None:
        self._upstream_port = upstream_port
        self._idle = idle
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._head: list[bytes] = []
        self._body: list[bytes] = []
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url, self._head, self._body = b"", [], []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() != b"connection":
            self._head.append(b"%b: %b\r\n" % (name, value))

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        request = b"%b %b HTTP/1.1\r\n%b\r\n%b" % (
            self._parser.get_method(),
            self._url,
            b"".join(self._head),
            b"".join(self._body),
        )
        while self._idle:
            upstream = self._idle.pop()
            if not upstream.is_closed:
                upstream.send(request, self)
                return
        self._connecting = asyncio.get_running_loop().create_task(self._connect(request))

    def reply(self, answer: bytes) -> None:
        self._transport.write(answer)

    async def _connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, upstream = await loop.create_connection(lambda: Upstream(self._idle), "127.0.0.1", self._upstream_port)
        except OSError:
            self.reply(BAD_GATEWAY)
            return
        upstream.send(request, self)


async def serve(port: int, upstream_port: int) -> None:
    """Serve until the process is ended."""
    idle: deque[Upstream] = deque()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(upstream_port, idle), "127.0.0.1", port, backlog=BACKLOG)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
