"""Events that a legacy client may ask for again: the streams of its calls, bounded, for a limited time.

A stream is kept from its first event on, until a while after its end. Who asks must
name the session it belongs to, as its owner.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from agent_gateway.ports import Clock
from agent_gateway.runtime.counting import Changes

MAX_EVENTS: Final = 1024  # of one stream; the oldest go first
MAX_STREAM_BYTES: Final = 4 * 1024 * 1024  # of one stream, its last event apart
MAX_STREAMS: Final = 64  # of one session
MAX_BYTES: Final = 64 * 1024 * 1024  # of all streams of a worker
KEEP_S: Final = 300.0  # after a stream has ended


@dataclass(slots=True, eq=False)
class StreamLog:
    """The events of one stream that are still there.

    events  (number, message), ascending
    bell    rings with each event and at the end
    """

    name: str
    session: Hashable
    events: deque[tuple[int, bytes]] = field(default_factory=deque[tuple[int, bytes]])
    size_bytes: int = 0
    last: int = 0
    is_done: bool = False
    ended_at: float = 0.0
    bell: Changes = field(default_factory=Changes)

    def after(self, number: int) -> list[tuple[int, bytes]]:
        """Return the events that came after `number`."""
        return [event for event in self.events if event[0] > number]


class EventLog:
    """Every kept stream of this worker.

    node  this worker's slot, part of each event id
    """

    def __init__(self, node: str, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._numbers = count(1)
        self._streams: OrderedDict[str, StreamLog] = OrderedDict()
        self._of_session: dict[Hashable, int] = {}
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._streams)

    def open(self, session: Hashable) -> StreamLog:
        """Begin to keep a stream; a session with too many loses its oldest."""
        self.expire()
        if self._of_session.get(session, 0) >= MAX_STREAMS:
            self._forget(next(one for one in self._streams.values() if one.session == session))
        stream = StreamLog(f"{self._node}.{next(self._numbers)}", session)
        self._streams[stream.name] = stream
        self._of_session[session] = self._of_session.get(session, 0) + 1
        return stream

    def add(self, stream: StreamLog, message: bytes) -> str:
        """Keep one more event of a stream; return its id."""
        stream.last += 1
        stream.events.append((stream.last, message))
        self._grow(stream, len(message))
        while len(stream.events) > 1 and (len(stream.events) > MAX_EVENTS or stream.size_bytes > MAX_STREAM_BYTES):
            self._grow(stream, -len(stream.events.popleft()[1]))
        while self._size_bytes > MAX_BYTES and len(self._streams) > 1:
            self._forget(next(one for one in self._streams.values() if one is not stream))
        stream.bell.ring()
        return event_id(stream, stream.last)

    def end(self, stream: StreamLog) -> None:
        """Nothing more comes on this stream."""
        stream.is_done, stream.ended_at = True, self._clock()
        stream.bell.ring()

    def find(self, session: Hashable, name: str) -> StreamLog | None:
        """Return a kept stream of this session, None when there is none by that name."""
        stream = self._streams.get(name)
        return stream if stream is not None and stream.session == session else None

    def expire(self) -> None:
        """Forget the streams that ended a while ago."""
        oldest = self._clock() - KEEP_S
        for stream in [one for one in self._streams.values() if one.is_done and one.ended_at < oldest]:
            self._forget(stream)

    def forget_session(self, session: Hashable) -> None:
        """Forget every stream of a session that is over."""
        for stream in [one for one in self._streams.values() if one.session == session]:
            self._forget(stream)

    def _grow(self, stream: StreamLog, by: int) -> None:
        if stream.name in self._streams:
            stream.size_bytes += by
            self._size_bytes += by

    def _forget(self, stream: StreamLog) -> None:
        del self._streams[stream.name]
        self._size_bytes -= stream.size_bytes
        left = self._of_session[stream.session] - 1
        if left:
            self._of_session[stream.session] = left
        else:
            del self._of_session[stream.session]


def event_id(stream: StreamLog, number: int) -> str:
    """Return the id of an event: `{node}.{stream}.{number}`; number 0 is the stream's beginning."""
    return f"{stream.name}.{number}"


def parse_event_id(text: str) -> tuple[str, str, int] | None:
    """Return (node, stream, number) of an event id, None for what is none of ours."""
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        return None
    return parts[0], f"{parts[0]}.{parts[1]}", int(parts[2])
