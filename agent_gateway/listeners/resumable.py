"""Answers of legacy sessions that outlive their connection: kept as they are said, said again when asked for.

A client that left is not one that cancels: the call goes on, and what it says waits in
the session's log. A stream opens with an event that only has an id, so that a client which loses it
right then can come back (2025-11-25); a call that takes its time opens one by itself.
"""

import asyncio

from agent_gateway.listeners.body import ClientGone, client_left
from agent_gateway.listeners.guard import accepts
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.reply import Headers, Reply
from agent_gateway.runtime.event_log import StreamLog, event_id, parse_event_id
from agent_gateway.runtime.sessions import key_of
from mcp_registry.protocol import sse

PRIME_AFTER_S = 0.05
RETRY_MS = 1000
PING_EVERY_S = 15.0
_PRIMED_FROM = "2025-11-25"
_STREAM = b"text/event-stream"
LAST_EVENT_ID = b"last-event-id"
ONE_STREAM = "agent_gateway.one_stream"  # in a scope: everything comes on one stream, and nothing can be come back for


class ResumableReply(Reply):
    """The answer to one request in a session. Nothing that is said is lost with the connection."""

    __slots__ = ("_events", "_is_lost", "_is_primed", "_may_let_go", "_session", "_stream", "_timer")

    def __init__(self, request: McpRequest) -> None:
        inbound = request.inbound
        now, can_stream = asyncio.get_running_loop().time(), accepts(inbound.headers, _STREAM)
        timeout_s = inbound.gateway.write_timeout_s
        super().__init__(inbound.send, can_stream=can_stream, now=now, write_timeout_s=timeout_s)
        self._events = inbound.gateway.events
        self._session = session_of(inbound, request.session_id)
        self._is_primed = request.version >= _PRIMED_FROM
        self._may_let_go = self._is_primed and not inbound.scope.get(ONE_STREAM)
        self._is_lost = False
        self._stream: StreamLog | None = None
        self._timer: asyncio.TimerHandle | None = None
        if can_stream and self._is_primed:
            self._timer = asyncio.get_running_loop().call_later(PRIME_AFTER_S, self._prime_late)

    async def finish(self, body: bytes, status: int = 200, headers: Headers = ()) -> None:
        self._stop_timer()
        if self._stream is None or self._is_done:
            await super().finish(body, status, headers)
            return
        self._is_done = True
        self.bytes_out += len(body)
        name = self._events.add(self._stream, body)
        self._events.end(self._stream)
        await self._try(sse.event(body, id=name), more=False)

    async def event(self, message: bytes, id: str | None = None) -> None:  # noqa: A002 - the wire's word
        if not self._can_stream or self._is_done:
            return
        self._stop_timer()
        await self._open()
        assert self._stream is not None
        name = self._events.add(self._stream, message)
        self.bytes_out += len(message)
        await self._try(sse.event(message, id=name), more=True)

    async def begin(self) -> None:
        """Open the stream at once: the client would rather have one."""
        if self._can_stream:
            self._stop_timer()
            await self._open()

    async def let_go(self) -> None:
        """End the connection and not the answer: the client comes back for the rest, by the id that it saw last."""
        if not self._may_let_go or not self._can_stream or self._is_done or self._is_lost:
            return
        self._stop_timer()
        await self._open()
        await self._try(b"", more=False)
        self._is_lost = True

    async def abandon(self) -> None:
        self._stop_timer()
        if self._stream is not None:
            self._events.end(self._stream)
        await super().abandon()

    async def keep_alive(self, now: float) -> None:
        if self._can_stream and not self._is_done:
            await self._open()
            self.last_write = now
            await self._try(sse.COMMENT, more=True)

    async def _open(self) -> None:
        """Begin the stream and its log, with an event that has nothing but an id where the version knows that."""
        if self._stream is not None or self._is_done:
            return
        self._stream = self._events.open(self._session)
        if self._is_primed:
            await self._try(sse.event(b"", id=event_id(self._stream, 0), retry_ms=RETRY_MS), more=True)

    async def _try(self, data: bytes, *, more: bool) -> None:
        if self._is_lost:
            return
        was_done = self._is_done
        try:
            await self._write(data, more=more)
        except ClientGone:
            self._is_lost, self._is_done = True, was_done  # it may come back for the rest

    def _prime_late(self) -> None:
        """The call takes its time: open the stream, so that its answer can be asked for again."""
        if not self._is_done:
            task = asyncio.ensure_future(self._open())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


def session_of(inbound: Inbound, session_id: str) -> tuple[object, bytes]:
    """Return whose streams these are."""
    return (inbound.principal.key, key_of(session_id))


async def resume(inbound: Inbound, session_id: str) -> bool:
    """Answer a GET that names the last event it saw with what came after, until the stream's end.

    Returns whether it was answered; it is not when the stream is unknown: then nothing is to be resumed.
    """
    named = parse_event_id(inbound.header(LAST_EVENT_ID))
    if named is None:
        return False
    node, name, number = named
    if await inbound.hand_over(node):
        return True
    stream = inbound.gateway.events.find(session_of(inbound, session_id), name)
    if stream is None:
        return False
    now = asyncio.get_running_loop().time
    timeout_s = inbound.gateway.write_timeout_s
    reply = Reply(inbound.send, can_stream=True, now=now(), write_timeout_s=timeout_s)
    gone = asyncio.ensure_future(client_left(inbound.receive))
    try:
        await reply.keep_alive(now())
        while not gone.done() and not inbound.gateway.is_ending:
            came = stream.bell.next_change()
            for number, message in stream.after(number):  # noqa: B020 - where it left off last
                await reply.event(message, id=event_id(stream, number))
            if stream.is_done:
                break
            done, _ = await asyncio.wait({gone, came}, timeout=PING_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await reply.keep_alive(now())
        await reply.abandon()
    finally:
        gone.cancel()
    return True
