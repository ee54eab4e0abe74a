"""The data listener's connection: plain calls by callbacks, everything else as uvicorn serves it.

A subclass of `EdgeProtocol`, so deadlines, limits, keep-alive and the end of the server are the same for
both ways. What uvicorn's class is relied on for is held by a contract test (`tests/listeners`).
"""

import asyncio
from dataclasses import dataclass
from typing import ClassVar, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from agent_gateway.listeners.body import Receive, Send
from agent_gateway.listeners.deadlines import EdgeProtocol
from agent_gateway.listeners.fast_call import MAX_BODY_BYTES, FastCall
from agent_gateway.listeners.fast_head import VARYING, Head, read_head
from agent_gateway.listeners.fast_line import Answered
from agent_gateway.listeners.mcp_error import Headers
from agent_gateway.runtime.gateway import Gateway

_BLANKS = (b" ", b"\t")  # a value that ends in one is trimmed, and not what repeats
MAX_SEEN = 32  # heads of one connection that are kept
_JSON = b"content-type: application/json\r\ncache-control: no-store\r\n"


@dataclass(frozen=True, slots=True)
class Seen:
    """A head that was read by the parser and begun a plain call; `raw` are its bytes, `length` is that of its body."""

    raw: bytes
    head: Head
    headers: list[tuple[bytes, bytes]]
    varying: dict[bytes, bytes]
    length: int
    is_kept: bool


class FastProtocol(EdgeProtocol):
    """One connection; `cycle` is a `FastCall` while a plain call runs."""

    gateway: ClassVar[Gateway]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._steady: list[tuple[bytes, bytes]] = []
        self._varying: dict[bytes, bytes] = {}
        self._head: Head | None = None
        self._running: FastCall | None = None
        self._dated: tuple[object, bytes] = (None, b"")
        self._is_plain = False  # the message that is being read goes the short way so far
        self._is_between = True  # no message is open: the next byte begins one
        self._has_begun = False  # the last message that was read whole went the short way
        self._seen: dict[bytes, Seen] = {}
        self._last: Seen | None = None  # of the last call

    # --- reading ---------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if not self._is_between:
            super().data_received(data)
            return
        seen, size = self._last, 0
        if seen is not None and data.startswith(seen.raw):  # which ends where the first head in `data` does
            size = len(seen.raw)
        else:
            size = data.find(b"\r\n\r\n") + 4
            seen = self._seen.get(data[:size])
        if seen is not None and len(data) == size + seen.length and self._take(seen, data[size:]):
            self._last = seen
            return
        self._last = None
        self._has_begun = False
        super().data_received(data)
        if self._has_begun and self._is_between and self._head is not None:
            length = self._varying.get(b"content-length", b"")
            if length.isdigit() and len(data) == size + int(length):
                if len(self._seen) >= MAX_SEEN:
                    self._seen.clear()
                raw = data[:size]
                self._seen[raw] = Seen(raw, self._head, self.headers, self._varying, int(length), self._is_kept)

    def _take(self, seen: "Seen", body: bytes) -> bool:
        """Take a whole request whose head is, byte for byte, one that the parser has read before."""
        cycle, head = cast("RequestResponseCycle | None", self.cycle), seen.head
        if not (
            cycle is not None
            and cycle.response_complete
            and head.snapshot is self.gateway.snapshot
            and self.gateway.services.clock() < head.until
            and not self.pipeline
            and not self.transport.is_closing()
            and (self.limit_concurrency is None or len(self.connections) < self.limit_concurrency)
        ):
            return False
        call = FastCall(self, self.gateway, head, seen.headers, keep_alive=seen.is_kept)
        call.body, call.more_body = body, False
        self.idle_until = None
        self._running = call
        self.cycle = cast("RequestResponseCycle", call)
        if call.begin(seen.varying):
            return True
        self._running, self.cycle = None, cycle
        return False

    def on_message_begin(self) -> None:
        """Begin a request; the scope that an ASGI app reads is made when one is asked (`_begin_asgi`)."""
        self._is_between = False
        self.deadline = self.loop.time() + self.edge.header_timeout_s
        self.idle_until = None
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._steady = []
        self._varying = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        pair = (name, value)
        self.headers.append(pair)
        if name in VARYING and name not in self._varying and value[-1:] not in _BLANKS:
            self._varying[name] = value
            return
        self._steady.append(pair)
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True

    @property
    def _parser(self) -> httptools.HttpRequestParser:
        return cast("httptools.HttpRequestParser", self.parser)  # None only once the connection is lost

    def begin_request(self) -> None:
        head = self._fast_head()
        self._is_plain = head is not None
        if head is None:
            self._begin_asgi()
        else:
            self._is_kept = self._parser.should_keep_alive()
            call = FastCall(self, self.gateway, head, self.headers, keep_alive=self._is_kept)
            self.cycle = cast("RequestResponseCycle", call)
            self._running = call

    def _fast_head(self) -> Head | None:
        """Return what is known of this request's head when it may go the short way."""
        cycle, gateway, head = cast("RequestResponseCycle | None", self.cycle), self.gateway, self._head
        if self.pipeline or not (cycle is None or cycle.response_complete):
            return None
        if (
            head is None
            or head.snapshot is not gateway.snapshot
            or (head.until and gateway.services.clock() >= head.until)
            or head.url != self.url
            or head.steady != self._steady
        ):
            head = self._head = read_head(gateway, self.url, self.headers, self._steady)
        parser = self._parser
        is_plain = (
            head.until
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
            and (self.limit_concurrency is None or len(self.connections) < self.limit_concurrency)
            and len(self.headers) <= head.snapshot.head_rules.max_headers
        )
        return head if is_plain else None

    def on_body(self, body: bytes) -> None:
        call = self._running
        if call is None or not self._is_plain:
            super().on_body(body)
            return
        call.body = call.body + body if call.body else body
        if len(call.body) > MAX_BODY_BYTES:
            self._leave(call)

    def end_request(self) -> None:
        call = self._running
        if call is None or not self._is_plain:
            super().end_request()
            return
        call.more_body = False
        self._has_begun = call.begin(self._varying)
        if not self._has_begun:
            self._leave(call)

    def on_message_complete(self) -> None:
        self._is_between = True
        super().on_message_complete()

    def _leave(self, call: FastCall) -> None:
        """Give a request that is not plain after all to the ASGI app, with what was read of its body."""
        self._running = None
        self._is_plain = False
        self.cycle = cast("RequestResponseCycle", None)
        self._begin_asgi()
        cycle = self.cycle
        cycle.body += call.body
        cycle.more_body = call.more_body
        cycle.message_event.set()

    def _begin_asgi(self) -> None:
        url, headers, is_expecting = self.url, self.headers, self.expect_100_continue
        HttpToolsProtocol.on_message_begin(self)
        self.url, self.headers, self.expect_100_continue = url, headers, is_expecting
        self.scope["headers"] = headers
        super().begin_request()

    # --- answering -------------------------------------------------------------------------

    def answer(self, call: Answered, status: int, body: bytes, headers: Headers) -> None:
        """Write a whole answer, in the bytes that `reply.send_bytes` and uvicorn would have written."""
        self._running = None
        call.response_complete = True
        given = self.server_state.default_headers
        if self._dated[0] is not given:
            self._dated = (given, _lines(given))
        more = _lines(headers) if headers else b""
        closing = b"" if call.keep_alive else b"connection: close\r\n"
        if not self.transport.is_closing():
            self.transport.write(
                b"%b%bcontent-length: %d\r\n%b%b%b\r\n%b"
                % (STATUS_LINE[status], self._dated[1], len(body), more, _JSON, closing, body)
            )
            if not call.keep_alive:
                self.transport.close()
        self.on_response_complete()

    def open_reply(self, call: Answered) -> tuple[Receive, Send]:
        """Put uvicorn's cycle in the place of `call`, for an answer that is more than one piece."""
        cycle = RequestResponseCycle(
            scope={"type": "http", "method": "POST"},  # pyright: ignore[reportArgumentType]
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=call.keep_alive,
            on_response=self._opened_complete,
        )
        cycle.more_body = False
        cycle.disconnected = call.disconnected
        if cast("object", self.cycle) is call:
            self.cycle = cycle
        return cast("Receive", cycle.receive), cast("Send", cycle.send)

    def _opened_complete(self) -> None:
        self._running = None
        self.on_response_complete()

    # --- the end ---------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        running, self._running = self._running, None
        super().connection_lost(exc)
        if running is not None:
            running.lost()


def _lines(headers: "list[tuple[bytes, bytes]] | Headers") -> bytes:
    return b"".join([b"%b: %b\r\n" % pair for pair in headers])


def fast_protocol(gateway: Gateway) -> type[FastProtocol]:
    """Return the protocol class bound to `gateway`, a base for `protocol_with`."""
    return type("GatewayProtocol", (FastProtocol,), {"gateway": gateway})
