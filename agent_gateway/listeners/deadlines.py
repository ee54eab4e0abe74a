"""uvicorn's HTTP protocol with what an edge needs: deadlines and a bound on the head.

uvicorn lets a client dribble its headers for ever and takes a head of any
size, and a client that reads nothing holds its answer in memory for ever. Here
every connection carries deadlines (numbers, no timers), and one `sweep` a
second closes those that are past one, and those that have been idle for too long.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Refused = Callable[[str, int, str], None]  # our code, the HTTP status, the peer's address

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Seconds for each stretch of a request, and bytes of its head."""

    header_timeout_s: float = 10.0
    body_timeout_s: float = 30.0
    write_timeout_s: float = 30.0
    header_bytes: int = 32 * 1024


class EdgeProtocol(HttpToolsProtocol):
    """One connection; its deadline covers whatever the client owes us next."""

    edge: ClassVar[EdgeLimits] = EdgeLimits()
    refused: ClassVar[Refused | None] = None  # hears of what is refused before an app is asked

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deadline: float | None = None
        self.idle_until: float | None = None  # when a connection without a request is closed
        self._head_bytes = 0
        self._is_in_head = True
        self._is_refused = False
        self._unsent = 0  # bytes the client had not taken when last looked at
        self._stuck_until: float | None = None  # when a client that takes nothing is given up

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self.deadline = self.loop.time() + self.edge.header_timeout_s

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = self.idle_until = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
        if self._is_refused:
            return
        super().data_received(data)
        if self._is_in_head and self._head_bytes > self.edge.header_bytes:
            self._refuse_large()

    def on_message_begin(self) -> None:
        self.deadline = self.loop.time() + self.edge.header_timeout_s
        self.idle_until = None
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        trim(self.headers)
        self._is_in_head = False
        self.deadline = self.loop.time() + self.edge.body_timeout_s
        if self._head_bytes > self.edge.header_bytes < sum(len(name) + len(value) + 4 for name, value in self.headers):
            self._refuse_large()
            return
        self.begin_request()

    def begin_request(self) -> None:
        """Take up the request whose head is whole."""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_refused:
            return
        self.deadline = None
        self._head_bytes = 0
        self._is_in_head = True
        self.end_request()

    def end_request(self) -> None:
        """Take note that the body is whole."""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request; uvicorn's own, but for the timer that it sets and cancels for every request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        else:
            self.idle_until = self.loop.time() + self.timeout_keep_alive

    def close_if_late(self, now: float) -> bool:
        """Close this connection when its client is late; return whether it was."""
        if self._takes_nothing(now):
            self.deadline = None
            self.transport.abort()
            return True
        if self.idle_until is not None and now >= self.idle_until:
            self.idle_until = None
            self.transport.close()
            return True
        if self.deadline is None or now < self.deadline:
            return False
        self._refuse(_TIMEOUT)
        return True

    def _takes_nothing(self, now: float) -> bool:
        """Say whether what we wrote has lain unread for `write_timeout_s`; asked once a second."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent or self._stuck_until is None:
            self._stuck_until = now + self.edge.write_timeout_s if unsent else None
        self._unsent = unsent
        return self._stuck_until is not None and now >= self._stuck_until

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, as uvicorn does."""
        self._tell("bad_http", 400)
        super().send_400_response(msg)

    @property
    def peer(self) -> str:
        return self.client[0] if self.client else ""

    def _refuse_large(self) -> None:
        self._tell("headers_too_large", 431)
        self._refuse(_TOO_LARGE)

    def _tell(self, code: str, status: int) -> None:
        refused = type(self).refused
        if refused is not None:
            refused(code, status, self.peer)

    def _refuse(self, answer: bytes) -> None:
        self.deadline = None
        self._is_refused = True
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


def trim(headers: list[tuple[bytes, bytes]]) -> None:
    """Leave out the blanks behind header values, which the parser does not (RFC 9110, 5.5)."""
    for place, (name, value) in enumerate(headers):
        if value.endswith((b" ", b"\t")):
            headers[place] = (name, value.rstrip(b" \t"))


def protocol_with(
    limits: EdgeLimits, refused: Refused | None = None, base: type[EdgeProtocol] = EdgeProtocol
) -> type[EdgeProtocol]:
    """Return the protocol class bound to `limits`, for uvicorn's `http=`."""
    bound = None if refused is None else staticmethod(refused)
    return type("BoundProtocol", (base,), {"edge": limits, "refused": bound})


def sweep(connections: Iterable[object], now: float) -> int:
    """Close every late connection; return how many there were."""
    late = [one for one in list(connections) if isinstance(one, EdgeProtocol) and one.close_if_late(now)]
    return len(late)
