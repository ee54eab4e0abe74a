"""One HTTP/1.1 connection to an upstream: one request out, one response in, strictly read.

Callbacks only: no task and no timer per request. Finding a connection, opening
it, timing it and trying again is the work of `http_pool`.

Whatever the bytes are, a request ends in a response or in one `UpstreamFailed`.
What could desynchronise the connection (a length twice, bytes nobody asked for,
an upgrade) ends it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, cast

import httptools

from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout

NEVER: Final = float("inf")
MAX_INTERIM = 8  # 1xx answers before the real one
MAX_FRAMING_BYTES = 32 * 1024  # chunk extensions and trailers, beyond what the chunks themselves need
MAX_LINGER_BYTES = 64 * 1024  # of an answer whose reader has what it wants
LINGER_S = 1.0
_FRAMING_PER_BODY_BYTE = 16  # a chunk of one byte costs six bytes of framing


@dataclass(frozen=True, slots=True)
class H1Limits:
    """What one response may cost. The size of a body is its reader's limit."""

    max_head_bytes: int = 32 * 1024  # 1xx heads included
    max_headers: int = 100
    high_water_bytes: int = 64 * 1024  # body bytes waiting for the reader before the upstream is paused
    idle_timeout_s: float = 60.0  # between two pieces of a body
    max_response_s: float = 3600.0  # from the request to the end of the body, however slow the reader


class Owner(Protocol):
    """Whoever lends the connection out: told when it is free again, and when it is gone."""

    def released(self, connection: "H1Connection") -> None: ...
    def lost(self, connection: "H1Connection") -> None: ...


def died(message: str = "the upstream closed the connection before its answer was complete") -> UpstreamFailed:
    """Return the refusal for an upstream that went away."""
    return UpstreamFailed(message, code="upstream_died")


def garbled(what: str) -> UpstreamFailed:
    """Return the refusal for bytes that are no acceptable HTTP answer; `what` says which rule they break."""
    return UpstreamFailed(f"the upstream's answer is not valid HTTP: {what}", code="upstream_garbage")


def too_large(max_bytes: int) -> UpstreamFailed:
    """Return the refusal for an answer beyond `max_bytes`."""
    return UpstreamFailed(f"the upstream's answer is larger than {max_bytes} bytes", code="upstream_too_large")


class H1Response:
    """A response whose head was read; implements `ports.HttpResponse`."""

    __slots__ = ("_buffered", "_connection", "_failure", "_is_complete", "_parts", "_waker", "headers", "status")

    def __init__(self, status: int, headers: Mapping[bytes, bytes], connection: "H1Connection") -> None:
        self.status = status
        self.headers = headers
        self._connection: H1Connection | None = connection
        self._parts: list[bytes] = []
        self._buffered = 0
        self._is_complete = False
        self._failure: UpstreamFailed | None = None
        self._waker: asyncio.Future[None] | None = None

    async def read(self, max_bytes: int) -> bytes:
        """Return the whole body; raises `UpstreamFailed` beyond `max_bytes`, and closes."""
        declared = self.headers.get(b"content-length", b"")
        parts: list[bytes] = []
        size = 0
        try:
            if not self._is_complete and declared.isdigit() and int(declared) > max_bytes:
                raise too_large(max_bytes)
            async for part in self.chunks():
                size += len(part)
                if size > max_bytes:
                    raise too_large(max_bytes)
                parts.append(part)
        except BaseException:
            self.close()
            raise
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; not reading pauses the upstream."""
        while True:
            if self._parts:
                yield self._take()
            elif self._failure is not None:
                raise self._failure
            elif self._is_complete:
                return
            else:
                self._waker = asyncio.get_running_loop().create_future()
                try:
                    await self._waker
                finally:
                    self._waker = None

    def close(self) -> None:
        """Drop the connection unless the body came to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.fail(UpstreamFailed("this response was closed"))
            connection.abort()

    def linger(self) -> None:
        """Read no more; see `ports.HttpResponse.linger`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._parts.clear()
            connection.linger()

    def push(self, data: bytes) -> bool:
        """Take body bytes; return whether more than `high_water_bytes` now wait."""
        self._parts.append(data)
        self._buffered += len(data)
        self._wake()
        return self._connection is not None and self._buffered > self._connection.limits.high_water_bytes

    def complete(self) -> None:
        self._is_complete = True
        self._connection = None
        self._wake()

    def fail(self, failure: UpstreamFailed) -> None:
        if self._failure is None and not self._is_complete:
            self._failure = failure
        self._connection = None
        self._wake()

    def _take(self) -> bytes:
        parts = self._parts
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._buffered = 0
        if self._connection is not None:
            self._connection.resume()
        return data

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)


class H1Connection(asyncio.Protocol):
    """A connection that carries one request at a time.

    deadline  loop time at which the current phase (head, or next piece of body) is overdue;
              `NEVER` while idle or while our own reader is slow
    """

    __slots__ = (
        "_fault",
        "_framing",
        "_framing_names",
        "_head_left",
        "_headers",
        "_interim",
        "_is_body_until_close",
        "_is_done",
        "_is_head_request",
        "_is_interim",
        "_is_kept",
        "_is_lingering",
        "_is_paused",
        "_lingered",
        "_loop",
        "_owner",
        "_parser",
        "_response",
        "_transport",
        "_waiting",
        "deadline",
        "ends_at",
        "has_answered",
        "idle_since",
        "is_closed",
        "limits",
    )

    def __init__(self, owner: Owner, limits: H1Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.limits = limits
        self.deadline = NEVER
        self.ends_at = NEVER  # loop time at which the whole response is overdue
        self.idle_since = 0.0
        self.has_answered = False  # a byte came since the last request
        self.is_closed = False
        self._owner = owner
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._response: H1Response | None = None
        self._waiting: asyncio.Future[H1Response] | None = None
        self._is_paused = False
        self._reset(is_head_request=False)

    # --- for the pool ----------------------------------------------------------------------

    @property
    def is_usable(self) -> bool:
        """Whether a request may be written now, as far as this side knows."""
        return not self.is_closed and self._transport is not None and not self._transport.is_closing()

    def start(self, payload: bytes, *, timeout_s: float, is_head_request: bool) -> asyncio.Future[H1Response]:
        """Write one request and return the future of its head.

        Cancelling the future does not end the request: call `abort`.
        """
        transport = self._transport
        if transport is None or self._waiting is not None or self._response is not None:
            raise RuntimeError("the connection is not free")
        self._reset(is_head_request=is_head_request)
        now = self._loop.time()
        self.deadline = now + timeout_s
        self.ends_at = now + timeout_s + self.limits.max_response_s
        self._waiting = future = self._loop.create_future()
        transport.write(payload)
        return future

    def abort(self) -> None:
        """Close at once; whoever waits for the answer is told that the upstream is gone."""
        self._fail(died())

    def overdue(self) -> None:
        """End the request: the deadline of its phase has passed."""
        if self._response is None:
            self._fail(UpstreamTimeout("the upstream did not begin its answer in time"))
        else:
            self._fail(UpstreamTimeout("the upstream did not finish its answer in time"))

    def resume(self) -> None:
        """The reader has room again."""
        if self._is_paused:
            self._is_paused = False
            self.deadline = self._loop.time() + self.limits.idle_timeout_s
            if self.is_usable:
                cast(asyncio.Transport, self._transport).resume_reading()

    def linger(self) -> None:
        """Let the rest of the answer go by: for `LINGER_S` and `MAX_LINGER_BYTES` at most."""
        self.resume()
        self._is_lingering = True
        self.deadline = self.ends_at = self._loop.time() + LINGER_S

    # --- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._waiting is None and self._response is None:
            self.abort()  # INVARIANT: bytes that no request asked for never reach the next one
            return
        self.has_answered = True
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # llhttp speaks of its own tokens: nothing for a caller. A fault of ours says more.
            self._fault = self._fault or "it does not parse"
        if self._fault:
            self._fail(garbled(self._fault))
        elif self._is_done:
            self._finish()

    def eof_received(self) -> None:
        if self._response is not None and self._is_body_until_close and not self._fault:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._fail(died())
        self._owner.lost(self)

    # --- httptools -------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._is_done:
            self._fault = "bytes after the end of it"

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if self._response is not None or self._is_done:  # a trailer: nobody reads it, it only must end
            return
        self._framing_names += name in (b"content-length", b"transfer-encoding")
        self._headers[name] = value
        if len(self._headers) > self.limits.max_headers:
            self._fault = f"more than {self.limits.max_headers} headers"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            self._begin_interim(status)
            return
        headers = self._headers
        if self._framing_names > 1 or headers.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            self._fault = "its length is given in two ways"
        elif not 200 <= status < 600:
            self._fault = "an unknown status"
        elif self._parser.get_http_version() not in ("1.1", "1.0"):
            self._fault = "an unknown version"
        if self._fault:
            return
        self._is_kept = self._parser.should_keep_alive()
        self._is_body_until_close = not self._framing_names and status not in (204, 304)
        self.deadline = self._loop.time() + self.limits.idle_timeout_s
        self._response = response = H1Response(status, headers, self)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(response)
        if self._is_head_request:
            self._is_done, self._is_kept = True, False

    def on_body(self, body: bytes) -> None:
        response = self._response
        if response is None or self._is_done:
            return
        if self._is_lingering:
            self._lingered += len(body)
            if self._lingered > MAX_LINGER_BYTES:
                self._fault = "its end is missing"
            return
        self._framing = max(0, self._framing - (_FRAMING_PER_BODY_BYTE + 1) * len(body))
        self.deadline = self._loop.time() + self.limits.idle_timeout_s
        if response.push(body) and not self._is_paused:
            self._is_paused = True
            self.deadline = NEVER  # our reader is slow, not the upstream: `ends_at` still holds
            cast(asyncio.Transport, self._transport).pause_reading()

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
            self._headers = {}
            self._framing_names = 0
        else:
            self._is_done = True

    # --- inside ----------------------------------------------------------------------------

    def _reset(self, *, is_head_request: bool) -> None:
        self.has_answered = False
        self._fault = ""
        self._head_left = self.limits.max_head_bytes
        self._headers: dict[bytes, bytes] = {}
        self._framing_names = 0  # content-length and transfer-encoding headers seen
        self._framing = 0  # bytes since the last piece of body, less what its chunks may need
        self._interim = 0
        self._is_interim = False
        self._is_body_until_close = False
        self._is_done = False
        self._is_kept = False
        self._is_lingering = False
        self._lingered = 0
        self._is_head_request = is_head_request

    def _feed(self, data: bytes) -> None:
        if self._response is None and len(data) > self._head_left:
            self._parser.feed_data(data[: self._head_left])
            data = data[self._head_left :]
            self._head_left = 0
            if self._response is None and not self._fault:
                self._fault = f"a head of more than {self.limits.max_head_bytes} bytes"
                return
        if self._response is None:
            self._head_left -= len(data)
        else:
            self._framing += len(data)
        self._parser.feed_data(data)
        if self._framing > MAX_FRAMING_BYTES and not self._is_done:
            self._fault = self._fault or "too many bytes between its chunks"

    def _begin_interim(self, status: int) -> None:
        self._interim += 1
        self._is_interim = True
        if status == 101:
            self._fault = "an upgrade that nobody asked for"
        elif self._interim > MAX_INTERIM:
            self._fault = f"more than {MAX_INTERIM} interim answers"

    def _finish(self) -> None:
        response, self._response = self._response, None
        self.deadline = self.ends_at = NEVER
        transport = cast(asyncio.Transport, self._transport)
        if self._is_paused:
            self._is_paused = False
            if not transport.is_closing():
                transport.resume_reading()
        if response is not None:
            response.complete()
        # A request that is still being written did not end: the rest of it would open the next one.
        if self._is_kept and self.is_usable and transport.get_write_buffer_size() == 0:
            self.idle_since = self._loop.time()
            self._owner.released(self)
        else:
            transport.close()

    def _fail(self, failure: UpstreamFailed) -> None:
        waiting, self._waiting = self._waiting, None
        response, self._response = self._response, None
        self.deadline = self.ends_at = NEVER
        if waiting is not None and not waiting.done():
            waiting.set_exception(failure)
        if response is not None:
            response.fail(failure)
        if self._transport is not None and not self.is_closed:
            self._transport.abort()
