"""Event streams of agents: cut at their blank lines, every byte kept.

What passes unchanged is handed out as it came; the data of whole events is beside it
for those who look. Source: WHATWG HTML, 9.2.6 "Interpreting an event stream".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAX_EVENT_BYTES: Final = 1024 * 1024  # of an event that is looked at; a larger one passes in pieces

KEEP_ALIVE: Final = b": keep-alive\n\n"

_BLANK_LINE: Final = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")
_LINE: Final = re.compile(rb"\r\n|\n|\r")
_HELD_BACK: Final = 3  # bytes that may be the beginning of a blank line


@dataclass(frozen=True, slots=True)
class Frame:
    """A part of a stream that ends with an event, or a piece of an event that is too large to look at.

    data      of the event, its lines joined; None for a comment and for a piece
    kind      the event's name, `message` unless named
    is_ended  whether the next byte begins something new
    """

    raw: bytes
    data: bytes | None
    kind: str = "message"
    is_ended: bool = True


class Frames:
    """Cuts the bytes of one event stream into frames, however they are split."""

    __slots__ = ("_is_inside", "_max_event_bytes", "_rest")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._rest = b""
        self._is_inside = False  # pieces of an event have been handed out, and it has not ended

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield the frames that `chunk` completes; joined, they are what was fed but for the part held back."""
        data, at = self._rest + chunk, 0
        for match in _BLANK_LINE.finditer(data):
            if match.end() == len(data) and data.endswith(b"\r"):
                break  # a line feed may follow, and belongs to it
            raw, at = data[at : match.end()], match.end()
            yield Frame(raw, None) if self._is_inside else frame(raw)
            self._is_inside = False
        self._rest = data[at:]
        if len(self._rest) > self._max_event_bytes:
            self._is_inside = True
            piece, self._rest = self._rest[:-_HELD_BACK], self._rest[-_HELD_BACK:]
            yield Frame(piece, None, is_ended=False)

    def end(self) -> Frame | None:
        """Return what is left when the stream ends: an event without its blank line is none."""
        rest, self._rest = self._rest, b""
        return Frame(rest, None, is_ended=False) if rest else None


def frame(raw: bytes) -> Frame:
    """Return the frame of one whole event."""
    data: list[bytes] = []
    kind = ""
    for line in _LINE.split(raw):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value.decode(errors="replace")
    return Frame(raw, b"\n".join(data) if data else None, kind or "message")


def event(data: bytes, kind: str = "message") -> bytes:
    """Write one event; line ends inside `data` arrive as line feeds."""
    head = b"" if kind == "message" else b"event: %b\n" % kind.encode()
    return head + b"".join(b"data: %b\n" % line for line in _LINE.split(data)) + b"\n"
