"""Server-sent events: bytes to events as they come, and events to bytes.

Reconnecting, pinging and what an event means are left to others.
Source: WHATWG HTML, 9.2.5 and 9.2.6 "Interpreting an event stream".
"""

import re
from dataclasses import dataclass
from typing import Final

from gateway_policies.refusal import UpstreamFailed

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
MAX_RETRY_MS: Final = 3_600_000

COMMENT: Final = b":\n\n"  # keeps an idle stream open

_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `data` is UTF-8 as sent, its lines joined by a line feed.

    id     the last id seen on the stream, empty when there was none
    kind   the event's name, `message` unless named
    """

    data: bytes
    id: str = ""
    kind: str = "message"


class Decoder:
    """Turns the bytes of one event stream into events, however they are split."""

    __slots__ = (
        "_data", "_id", "_is_after_cr", "_is_started", "_kind", "_line", "_line_bytes",
        "_max_event_bytes", "_max_line_bytes", "_size", "retry_ms",
    )  # fmt: skip

    def __init__(self, *, max_line_bytes: int = MAX_LINE_BYTES, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self.retry_ms: int | None = None  # how long the server wants a reconnecting reader to wait
        self._max_line_bytes = max_line_bytes
        self._max_event_bytes = max_event_bytes
        self._line: list[bytes] = []  # the pieces of a line that has no end yet
        self._line_bytes = 0
        self._is_started = False
        self._is_after_cr = False
        self._data: list[bytes] = []
        self._size = 0
        self._kind = ""
        self._id = ""

    @property
    def last_id(self) -> str:
        """The last id seen, also one that came without data; empty when there was none."""
        return self._id

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes; return the events they complete, often none.

        chunk  any split is fine: inside a line, inside a UTF-8 sequence, empty

        Raises `UpstreamFailed` (code `event_too_large`) beyond `max_line_bytes` or
        `max_event_bytes` (default 16 MiB both); the stream is lost then.
        """
        if self._is_after_cr and chunk:
            self._is_after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []
        lines = _LINE_END.split(chunk)
        self._is_after_cr = chunk.endswith(b"\r")
        events: list[Event] = []
        for line in lines[:-1]:
            event = self._end_line(line)
            if event:
                events.append(event)
        self._keep(lines[-1])
        return events

    def _keep(self, piece: bytes) -> None:
        if piece:
            self._line.append(piece)
            self._line_bytes += len(piece)
            if self._line_bytes > self._max_line_bytes:
                raise _too_large("line", self._max_line_bytes)

    def _end_line(self, piece: bytes) -> Event | None:
        self._keep(piece)
        line = b"".join(self._line)
        self._line.clear()
        self._line_bytes = 0
        if not self._is_started:
            self._is_started = True
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line:
            self._field(line)
            return None
        return self._dispatch()

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value) + 1
            if self._size > self._max_event_bytes:
                raise _too_large("event", self._max_event_bytes)
            self._data.append(value)
        elif name == b"event":
            self._kind = value.decode(errors="replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode(errors="replace")
        elif name == b"retry" and value.isdigit():
            self.retry_ms = int(value) if len(value) < 8 and int(value) < MAX_RETRY_MS else MAX_RETRY_MS

    def _dispatch(self) -> Event | None:
        data, kind = self._data, self._kind
        self._data, self._kind, self._size = [], "", 0
        if not data:
            return None
        return Event(b"\n".join(data), self._id, kind or "message")


def event(
    data: bytes,
    *,
    id: str | None = None,  # noqa: A002 - the wire's word
    retry_ms: int | None = None,
    kind: str = "",
) -> bytes:
    """Write one event; line ends inside `data` arrive as line feeds, other bytes as they are.

    id        one line without NUL; raises `ValueError` otherwise
    retry_ms  milliseconds a reader should wait before it reconnects
    kind      a word of ours; empty for `message`
    """
    head = b"event: %b\n" % kind.encode() if kind else b""
    if id is not None:
        if any(mark in id for mark in "\r\n\0"):
            raise ValueError("an event id is one line without NUL")
        head += b"id: %b\n" % id.encode()
    if retry_ms is not None:
        head += b"retry: %d\n" % retry_ms
    if b"\n" in data or b"\r" in data:
        return head + b"".join(b"data: %b\n" % line for line in _LINE_END.split(data)) + b"\n"
    return b"%bdata: %b\n\n" % (head, data)


def _too_large(what: str, limit: int) -> UpstreamFailed:
    return UpstreamFailed(f"the upstream sent an event {what} of more than {limit} bytes", code="event_too_large")
