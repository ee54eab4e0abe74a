"""One downstream answer: JSON, until something must be said before the end; then an event stream.

So a refusal keeps its HTTP status, and progress still flows. Awaiting a write
is the back-pressure that reaches the upstream.
"""

import asyncio
from collections.abc import Sequence

from agent_gateway.listeners.body import ClientGone, Send
from mcp_registry.protocol import sse

Headers = Sequence[tuple[bytes, bytes]]

_JSON_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
)
_STREAM_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
_PING = b": keep-alive\n\n"


async def send_bytes(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """Answer whole: `status`, JSON unless `headers` name a content type, and the length."""
    given: list[tuple[bytes, bytes]] = [(b"content-length", b"%d" % len(body)), *headers]
    if not any(name == b"content-type" for name, _ in headers):
        given.extend(_JSON_HEADERS)
    await send({"type": "http.response.start", "status": status, "headers": given})
    await send({"type": "http.response.body", "body": body})


class Reply:
    """The answer to one request that may take its time.

    can_stream  the client accepts `text/event-stream`; otherwise early messages are dropped
    """

    __slots__ = (
        "_can_stream",
        "_headers",
        "_is_done",
        "_is_streaming",
        "_lock",
        "_send",
        "_write_timeout_s",
        "bytes_out",
        "last_write",
    )

    def __init__(
        self, send: Send, *, can_stream: bool, now: float, write_timeout_s: float, headers: Headers = ()
    ) -> None:
        self._send = send
        self._can_stream = can_stream
        self._write_timeout_s = write_timeout_s
        self._headers = headers
        self._is_streaming = False
        self._is_done = False
        self._lock: asyncio.Lock | None = None
        self.bytes_out = 0
        self.last_write = now

    @property
    def can_stream(self) -> bool:
        """Whether anything can be said ahead of the answer."""
        return self._can_stream and not self._is_done

    async def finish(self, body: bytes, status: int = 200, headers: Headers = ()) -> None:
        """Send the one JSON-RPC answer and end. `status` counts only while nothing was streamed."""
        if self._is_done:
            return
        self._is_done = True
        self.bytes_out += len(body)
        if not self._is_streaming:
            await send_bytes(self._send, status, body, (*self._headers, *headers))
            return
        await self._write(sse.event(body), more=False)

    async def event(self, message: bytes, id: str | None = None) -> None:  # noqa: A002 - the wire's word
        """Send one message ahead of the answer, under an event id if it has one; opens the stream."""
        if self._can_stream and not self._is_done:
            await self._write(sse.event(message, id=id), more=True)
            self.bytes_out += len(message)

    async def abandon(self) -> None:
        """End without an answer: the request was cancelled, and whoever asked expects none."""
        if self._is_done:
            return
        self._is_done = True
        await self._write(b"", more=False)

    async def let_go(self) -> None:
        """Let the client come back for the rest, where it can; here it cannot."""

    async def keep_alive(self, now: float) -> None:
        """Say something, so that nobody between us and the client gives up."""
        if self._can_stream and not self._is_done:
            self.last_write = now
            await self._write(_PING, more=True)

    async def sign_of_life(self, now: float) -> None:
        """Be found alive by whoever looks for silent answers."""
        await self.keep_alive(now)

    async def _write(self, data: bytes, *, more: bool) -> None:
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:
            try:
                async with asyncio.timeout(self._write_timeout_s):
                    if not self._is_streaming:
                        self._is_streaming = True
                        start = {
                            "type": "http.response.start",
                            "status": 200,
                            "headers": [*_STREAM_HEADERS, *self._headers],
                        }
                        await self._send(start)
                    await self._send({"type": "http.response.body", "body": data, "more_body": more})
            except TimeoutError:
                self._is_done = True
                raise ClientGone from None
