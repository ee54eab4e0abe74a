"""One HTTP/1.1 connection to an upstream: one request out, one response in, strictly read.

Callbacks only: no task and no timer per request. Finding a connection, opening
it, timing it and trying again is the work of `http_pool`.

Whatever the bytes are, a request ends in a response or in one `UpstreamFailed`.
What could desynchronise the connection (a length twice, bytes nobody asked for,
an upgrade) ends it.
"""

import asyncio
from typing import Final, Protocol, cast

import httptools

from agent_gateway.upstreams.h1_response import H1Limits, H1Response, died, garbled
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout

NEVER: Final = float("inf")
MAX_KNOWN_HEADS = 8  # of one connection
MAX_INTERIM = 8  # 1xx answers before the real one
MAX_FRAMING_BYTES = 32 * 1024  # chunk extensions and trailers, beyond what the chunks themselves need
MAX_LINGER_BYTES = 64 * 1024  # of an answer whose reader has what it wants
LINGER_S = 1.0
_FRAMING_PER_BODY_BYTE = 16  # a chunk of one byte costs six bytes of framing


class Taker(Protocol):
    """Who waits for the head of a response: a future, or whoever is called on the spot and must not raise."""

    def done(self) -> bool: ...
    def set_result(self, response: H1Response, /) -> None: ...
    def set_exception(self, failure: UpstreamFailed, /) -> None: ...


class Owner(Protocol):
    """Whoever lends the connection out: told when it is free again, and when it is gone."""

    def released(self, connection: "H1Connection") -> None: ...
    def lost(self, connection: "H1Connection") -> None: ...


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
        "_is_clean",
        "_is_done",
        "_is_head_request",
        "_is_interim",
        "_is_kept",
        "_is_lingering",
        "_is_paused",
        "_known",
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
        self._waiting: Taker | None = None
        self._is_paused = False
        self._known: dict[bytes, tuple[int, dict[bytes, bytes], int]] = {}  # status, headers, length by head
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
        future: asyncio.Future[H1Response] = self._loop.create_future()
        self.begin(payload, future, timeout_s=timeout_s, is_head_request=is_head_request)
        return future

    def begin(self, payload: bytes, taker: Taker, *, timeout_s: float, is_head_request: bool = False) -> None:
        """Write one request; `taker` gets the head of its response, or the failure, once."""
        transport = self._transport
        if transport is None or self._waiting is not None or self._response is not None:
            raise RuntimeError("the connection is not free")
        if not self._is_clean or is_head_request:
            self._reset(is_head_request=is_head_request)
        self._is_clean = self.has_answered = self._is_kept = False
        now = self._loop.time()
        self.deadline = now + timeout_s
        self.ends_at = now + timeout_s + self.limits.max_response_s
        self._waiting = taker
        transport.write(payload)

    def abort(self) -> None:
        """Close at once; whoever waits for the answer is told that the upstream is gone."""
        self._fail(died())

    def overdue(self) -> None:
        """End the request: the deadline of its phase has passed."""
        if self._response is None:
            self._fail(UpstreamTimeout("the upstream did not begin its answer in time"))
        else:
            self._fail(UpstreamTimeout("the upstream did not finish its answer in time"))

    def unhurried(self) -> None:
        """Let the rest of the response take its time, as that of any other."""
        self.ends_at = self._loop.time() + self.limits.max_response_s

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
        self.idle_since = self._loop.time()

    def data_received(self, data: bytes) -> None:
        if self._waiting is None and self._response is None:
            self.abort()  # INVARIANT: bytes that no request asked for never reach the next one
            return
        is_first = not self.has_answered
        self.has_answered = True
        if is_first and self._hear_known(data):
            return
        headers = self._headers
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # llhttp speaks of its own tokens: nothing for a caller. A fault of ours says more.
            self._fault = self._fault or "it does not parse"
        if self._fault:
            self._fail(garbled(self._fault))
        elif self._is_done:
            if is_first and self._is_kept and self._headers is headers and not self._is_head_request:
                self._learn(data)
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

    # --- heads that come again -------------------------------------------------------------

    def _learn(self, data: bytes) -> None:
        """Keep the head of a response that came whole in one piece, with its length."""
        length = self._headers.get(b"content-length", b"")
        size = data.find(b"\r\n\r\n") + 4
        if length.isdigit() and len(data) == size + int(length):
            if len(self._known) >= MAX_KNOWN_HEADS:
                self._known.clear()
            self._known[data[:size]] = (self._parser.get_status_code(), self._headers, int(length))

    def _hear_known(self, data: bytes) -> bool:
        """Take a whole response whose head is, byte for byte, one read before; say whether it is that."""
        size = data.find(b"\r\n\r\n") + 4
        known = self._known.get(data[:size])
        if known is None or len(data) != size + known[2] or self._is_head_request:
            return False
        self._is_kept = self._is_clean = True
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(H1Response.whole_of(known[0], known[1], data[size:]))
        self._finish()
        return True

    # --- inside ----------------------------------------------------------------------------

    def _reset(self, *, is_head_request: bool) -> None:
        self.has_answered = False
        self._is_clean = False  # nothing below was touched since the last reset
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
        transport = self._transport
        assert transport is not None
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
