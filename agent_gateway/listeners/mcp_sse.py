"""The HTTP+SSE transport of 2024-11-05 towards clients, as an adapter in front of the MCP endpoint.

    GET  …/sse                  one event stream; its first event says where messages go
    POST …/sse?session_id=…     one message, taken with 202; what it is answered with comes on the stream

A posted message is served as a request of the same caller at the endpoint itself, by `mcp`, and its HTTP
answer is read out onto the stream: no rule has a second form here. The place for messages is sealed to
the caller and names the worker that holds the stream; another worker hands the message over. The end of the
stream is the end of the session: nobody is left to answer, so what runs is cancelled.
Source: MCP 2024-11-05, basic/transports, "HTTP with SSE".
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from agent_gateway.listeners.body import Message, Receive, Scope, Send, client_left, read_body
from agent_gateway.listeners.guard import accepts, check_json_post
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp import Arrival, admit, serve_guarded, serve_mcp
from agent_gateway.listeners.mcp_session import LIFE_S
from agent_gateway.listeners.mcp_stream import PING_EVERY_S, StandingStream, counted
from agent_gateway.listeners.reply import Reply, send_bytes
from agent_gateway.listeners.resumable import ONE_STREAM
from agent_gateway.runtime.counting import Changes
from agent_gateway.runtime.posted_streams import PostedStream
from agent_gateway.runtime.sessions import SessionState, key_of
from agent_gateway.runtime.siblings import not_to_be_relayed
from gateway_policies.principal import Principal
from gateway_policies.refusal import BadRequest, NotFound, TooMuch
from mcp_registry.protocol import envelope, sse
from mcp_registry.protocol.envelope import Invalid, Request
from mcp_registry.protocol.errors import INVALID_REQUEST
from mcp_registry.protocol.subscriptions import LIST_CHANGED
from mcp_registry.protocol.versions import META_VERSION

SUFFIX: Final = "/sse"
PURPOSE: Final = "mcp-sse"
HANDSHAKE_S: Final = 60.0  # a stream on which nobody initializes ends
MAX_POSTED: Final = 256  # messages of one stream that are served at once
_ROOM_BYTES: Final = 1024 * 1024  # around the largest result: its envelope
_STREAM: Final = b"text/event-stream"
_SESSION: Final = b"mcp-session-id"


class _Place(msgspec.Struct, array_like=True):
    """What the place for messages says: the worker that holds the stream, and its name there."""

    node: str
    stream: str


async def serve_sse(arrival: Arrival) -> None:
    """Answer one HTTP request below `…/sse` of the endpoint `arrival.route`."""
    await serve_guarded(arrival, _serve)


async def _serve(arrival: Arrival, principal: Principal, headers: Mapping[bytes, bytes]) -> None:
    inbound = admit(arrival, principal, headers)
    method: str = inbound.scope["method"]
    if method == "GET":
        if not accepts(headers, _STREAM):
            raise BadRequest("this is answered with an event stream", code="not_acceptable")
        await counted(inbound, lambda: _hold_open(inbound))
    elif method == "POST":
        check_json_post(headers)
        inbound.body = await read_body(inbound.receive, headers, inbound.snapshot.config.limits.body_bytes)
        await _take(inbound)
    else:
        raise BadRequest(f"the method {method[:16]} is not served here", code="method_not_allowed")


# --- the stream ------------------------------------------------------------------------------


async def _hold_open(inbound: Inbound) -> None:
    """Keep one stream until its client leaves, nobody initializes or uses it, or its session is over."""
    gateway, now = inbound.gateway, asyncio.get_running_loop().time()
    reply = _StreamReply(inbound.send, can_stream=True, now=now, write_timeout_s=gateway.write_timeout_s)
    stream = PostedStream((inbound.principal.key, inbound.route.name), reply.event, gateway.services.clock())
    gateway.posted.add(stream)
    try:
        await reply.endpoint(_place(inbound, stream))
        if await _is_begun(inbound, stream, reply):
            await _tell(inbound, stream, reply)
        await reply.abandon()
    finally:
        await gateway.posted.end(stream)
        if stream.session_id:
            gateway.sessions.end(key_of(stream.session_id))


class _StreamReply(Reply):
    """A stream that begins with where messages go."""

    __slots__ = ()

    async def endpoint(self, place: str) -> None:
        """Send the event that clients wait for first."""
        await self._write(sse.event(place.encode(), kind="endpoint"), more=True)


def _place(inbound: Inbound, stream: PostedStream) -> str:
    payload = msgspec.json.encode(_Place(inbound.gateway.node, stream.name))
    until = stream.used_at + LIFE_S
    sealed = inbound.gateway.sealer.seal(_purpose(inbound), inbound.principal, payload, until)
    return f"{urlsplit(inbound.route.resource).path}{SUFFIX}?session_id={sealed}"


async def _is_begun(inbound: Inbound, stream: PostedStream, reply: Reply) -> bool:
    """Wait for the session; return whether there is one, with its client still there."""
    loop, gateway = asyncio.get_running_loop(), inbound.gateway
    gone = asyncio.ensure_future(client_left(inbound.receive))
    until = loop.time() + HANDSHAKE_S
    try:
        while not gone.done() and not gateway.is_ending and loop.time() < until:
            if stream.session_id:
                return True
            waits = {gone, gateway.changes.next_change(), stream.begun.next_change()}
            done, _ = await asyncio.wait(waits, timeout=PING_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await reply.keep_alive(loop.time())
        return False
    finally:
        gone.cancel()


async def _tell(inbound: Inbound, stream: PostedStream, reply: Reply) -> None:
    """Tell what changes, until the client leaves or its session is over."""
    gateway, began_at = inbound.gateway, stream.used_at
    bell = Changes()
    seen: SessionState | None = None

    def state() -> SessionState | None:
        nonlocal seen
        found = gateway.sessions.use(inbound.principal.key, key_of(stream.session_id), began_at)
        if found is not None and found is not seen:
            found.bell, seen = bell, found
        return found

    def is_over() -> bool:
        now = gateway.services.clock()
        is_idle = now - stream.used_at > gateway.snapshot.config.limits.session_idle_s and not stream.tasks
        return is_idle or now - began_at > LIFE_S or state() is None

    def uris() -> frozenset[str]:
        return frozenset() if seen is None else frozenset(seen.uris)

    standing = StandingStream(inbound, reply, frozenset(LIST_CHANGED), envelope.notification, bell)
    await standing.run(uris, is_over)


# --- messages --------------------------------------------------------------------------------


async def _take(inbound: Inbound) -> None:
    """Take one posted message; what it is answered with comes on its stream."""
    stream = await _stream_of(inbound)
    if stream is None:
        return  # another worker answered
    depth = inbound.snapshot.config.limits.json_depth
    message = envelope.read_message(inbound.body, allow_response=True, max_depth=depth)
    if isinstance(message, Invalid):
        raise message.error
    if len(stream.tasks) >= MAX_POSTED:
        raise TooMuch(f"{MAX_POSTED} messages of this stream are served already", code="over_concurrency")
    stream.used_at = inbound.gateway.services.clock()
    if not isinstance(message, Request):
        await _pass_on(inbound, stream, inbound.send)  # nothing is said of it on the stream
        return
    if META_VERSION in message.meta or not _is_in_order(message, stream):
        text = "this transport is of the handshake era: begin with `initialize`, once"
        error = envelope.error(message.id, INVALID_REQUEST, text)
        _begin(inbound, stream, lambda: stream.say(error))
    else:
        room = inbound.snapshot.config.limits.result_bytes + _ROOM_BYTES
        outward = _Outward(stream, message.id, room)
        _begin(inbound, stream, lambda: _pass_on(inbound, stream, outward))
    await send_bytes(inbound.send, 202, b"Accepted", ((b"content-type", b"text/plain"),))


def _begin(inbound: Inbound, stream: PostedStream, work: Callable[[], Awaitable[None]]) -> None:
    inbound.gateway.posted.begin(stream, inbound.principal.key, len(inbound.body), work)


async def _stream_of(inbound: Inbound) -> PostedStream | None:
    """Return the caller's stream that a POST names, None when the worker that holds it has answered.

    Raises `NotFound` for one that is forged, foreign, or over.
    """
    named = parse_qs(inbound.scope["query_string"].decode("latin-1")).get("session_id", [""])
    gateway = inbound.gateway
    sealed = named[0] if len(named) == 1 else ""
    opened = gateway.sealer.open(_purpose(inbound), inbound.principal, sealed, gateway.services.clock())
    place = _PLACE.decode(opened)
    if await inbound.hand_over(place.node):
        return None
    stream = gateway.posted.find(place.stream) if place.node == gateway.node else None
    if stream is None or stream.owner != (inbound.principal.key, inbound.route.name):
        raise NotFound("this stream is over or was never here", code="no_session", hint="open the stream again")
    return stream


def _is_in_order(message: Request, stream: PostedStream) -> bool:
    return bool(stream.session_id) != (message.method == "initialize")


async def _pass_on(inbound: Inbound, stream: PostedStream, send: Send) -> None:
    """Have the endpoint serve a message in the stream's session."""
    scope = _within(inbound.scope, inbound.route.path, stream.session_id)
    await serve_mcp(inbound.gateway, inbound.snapshot, inbound.route, scope, _receiving(inbound.body), send)


def _within(scope: Scope, path: str, session_id: str) -> Scope:
    """Return the scope of the same request at the endpoint itself, in its session."""
    kept = [pair for pair in scope["headers"] if not pair[0].startswith(b"mcp-") and pair[0] not in _OF_TRANSPORT]
    kept.append((b"accept", b"application/json, text/event-stream"))
    if session_id:
        kept.append((_SESSION, session_id.encode()))
    inner = {**scope, "path": path, "raw_path": path.encode("latin-1"), "query_string": b"", "headers": kept}
    inner[ONE_STREAM] = True
    return not_to_be_relayed(inner)


def _receiving(body: bytes) -> Receive:
    """Return an ASGI `receive`: the body, and then a client that stays; the stream's end cancels instead."""
    is_read = False

    async def receive() -> Message:
        nonlocal is_read
        if is_read:
            await asyncio.get_running_loop().create_future()
        is_read = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


class _Outward:
    """An ASGI `send` that says on the stream what would be the HTTP answer to one message.

    id_raw  of the message: a refusal in HTTP alone names none, and would answer nobody here
    """

    def __init__(self, stream: PostedStream, id_raw: bytes, max_bytes: int) -> None:
        self._stream = stream
        self._id_raw = id_raw
        self._decoder = sse.Decoder(max_line_bytes=max_bytes, max_event_bytes=max_bytes)
        self._is_stream = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers: Mapping[bytes, bytes] = dict(message["headers"])
            self._is_stream = headers.get(b"content-type") == _STREAM
            if _SESSION in headers:
                self._stream.session_id = headers[_SESSION].decode("latin-1")
                self._stream.begun.ring()
            return
        body: bytes = message.get("body", b"")
        if not self._is_stream:
            if body:
                await self._stream.say(self._addressed(body))
            return
        for event in self._decoder.feed(body):
            if event.data:
                await self._stream.say(event.data)

    def _addressed(self, body: bytes) -> bytes:
        members = envelope.read_object(body)
        if bytes(members.get("id", b"null")) != b"null":
            return body
        return envelope.write(envelope.edit(members, {"id": self._id_raw}))


def _purpose(inbound: Inbound) -> str:
    return f"{PURPOSE}:{inbound.route.name}"


_OF_TRANSPORT: Final = frozenset({b"accept", b"content-length", b"transfer-encoding", b"last-event-id", b"origin"})
_PLACE: Final = msgspec.json.Decoder(_Place)
