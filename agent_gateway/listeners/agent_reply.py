"""The answer to one request to an agent: whole, or a stream of the agent's own bytes.

A sign of life goes out between two events only, so no event is ever cut. Awaiting a
write is the back-pressure that reaches the agent.
"""

import asyncio
from collections.abc import Sequence

from a2a_gateway.streams import KEEP_ALIVE
from agent_gateway.listeners.body import ClientGone, Send
from agent_gateway.listeners.reply import send_bytes

Headers = Sequence[tuple[bytes, bytes]]

STREAM_HEADERS: Headers = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


class AgentReply:
    """The answer-to-be of one request."""

    __slots__ = (
        "_is_done",
        "_lock",
        "_send",
        "_write_timeout_s",
        "bytes_out",
        "is_between",
        "is_streaming",
        "last_write",
    )

    def __init__(self, send: Send, *, now: float, write_timeout_s: float) -> None:
        self._send = send
        self._write_timeout_s = write_timeout_s
        self._lock = asyncio.Lock()
        self._is_done = False
        self.is_streaming = False
        self.is_between = True  # no event is half written
        self.bytes_out = 0
        self.last_write = now

    async def start(self, headers: Headers) -> None:
        """Begin a stream."""
        self.is_streaming = True
        await self._write(None, [*headers])

    async def write(self, data: bytes, *, is_between: bool = True) -> None:
        """Send the next bytes of the stream."""
        if not self._is_done:
            self.bytes_out += len(data)
            self.is_between = False
            await self._write(data)
            self.is_between = is_between

    async def end(self) -> None:
        """End the stream."""
        if not self._is_done:
            self._is_done = True
            await self._write(b"", more=False)

    async def whole(self, status: int, body: bytes, headers: Headers) -> None:
        """Answer at once; only while no stream has begun."""
        if not self._is_done:
            self._is_done = True
            self.bytes_out += len(body)
            await send_bytes(self._send, status, body, headers)

    async def sign_of_life(self, now: float) -> None:
        """Say something, so that nobody between us and the client gives up."""
        self.last_write = now
        if self.is_streaming and not self._is_done:
            await self._write(KEEP_ALIVE, is_sign=True)

    async def _write(
        self,
        data: bytes | None,
        headers: list[tuple[bytes, bytes]] | None = None,
        *,
        more: bool = True,
        is_sign: bool = False,
    ) -> None:
        async with self._lock:
            if is_sign and not self.is_between:
                return
            try:
                async with asyncio.timeout(self._write_timeout_s):
                    if headers is not None:
                        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
                    if data is not None:
                        await self._send({"type": "http.response.body", "body": data, "more_body": more})
            except TimeoutError:
                self._is_done = True
                raise ClientGone from None
        self.last_write = asyncio.get_running_loop().time()
