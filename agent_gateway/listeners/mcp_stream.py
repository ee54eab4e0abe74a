"""Standing streams: what changes, told until the client leaves. GET of a legacy session, `subscriptions/listen`.

A list has changed when what this caller sees of it has. A resource is watched at its
upstream in the caller's name, and only while the caller may read it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from msgspec import Raw

from agent_gateway.listeners.body import client_left
from agent_gateway.listeners.inbound import Inbound
from agent_gateway.listeners.mcp_request import McpRequest
from agent_gateway.listeners.mcp_session import Session, required_session
from agent_gateway.listeners.mcp_task_stream import TaskFollower
from agent_gateway.listeners.mcp_tasks import require_declared
from agent_gateway.listeners.reply import Reply, send_bytes
from agent_gateway.listeners.resumable import LAST_EVENT_ID, resume
from agent_gateway.runtime.counting import Changes
from agent_gateway.runtime.sessions import key_of
from agent_gateway.snapshot import Snapshot
from gateway_policies.call import Call
from gateway_policies.refusal import BadRequest, TooMuch
from mcp_registry.protocol import discover, envelope, subscriptions, tasks
from mcp_registry.protocol.envelope import RawObject
from mcp_registry.protocol.errors import INVALID_PARAMS, RESOURCE_NOT_FOUND, ProtocolError
from mcp_registry.protocol.inbound import LegacyRoute
from mcp_registry.protocol.lists import ItemKind
from mcp_registry.protocol.subscriptions import LIST_CHANGED, UPDATED, Filter

PING_EVERY_S = 15.0
MAX_UNTOLD = 256  # updates that wait for a slow reader; what is beyond is dropped
SUBSCRIBE, UNSUBSCRIBE = "resources/subscribe", "resources/unsubscribe"
_KINDS: Mapping[str, tuple[ItemKind, ...]] = {
    "tools": ("tools",),
    "prompts": ("prompts",),
    "resources": ("resources", "resource_templates"),
}
_Shown = tuple[tuple[str, str], ...]  # name and pin of each: a new description is a change too


@dataclass(frozen=True, slots=True)
class Place:
    """Where a resource is: its upstream, and what that calls it."""

    upstream: str
    uri: str


def place_of(inbound: Inbound, snapshot: Snapshot, uri: str, operation: str) -> Place | None:
    """Return where the resource is that this caller may read under `uri`; None for a hidden and an unknown one."""
    route, gateway = snapshot.routes.get(inbound.route.path), inbound.gateway
    for found in () if route is None else route.view.router.candidates(uri):
        capability, now = found.entry.capability, gateway.services.clock()
        call = Call("", inbound.principal, "read", capability, {"uri": found.uri}, now, inbound.route.name, operation)
        if snapshot.bundle.decide(call).is_permit:
            return Place(capability.upstream, found.uri)
    return None


# --- legacy ----------------------------------------------------------------------------------


async def serve_stream(inbound: Inbound) -> None:
    """Answer GET: a legacy session's standing stream, until the client leaves or the session is over."""
    session = required_session(inbound)
    if LAST_EVENT_ID in inbound.headers and await resume(inbound, session.id):
        return
    state = session.state

    def is_over() -> bool:
        return inbound.gateway.sessions.use(inbound.principal.key, key_of(session.id), state.used_at) is None

    reply = _reply(inbound)
    bell = state.bell = state.bell or Changes()
    stream = StandingStream(inbound, reply, frozenset(LIST_CHANGED), envelope.notification, bell)
    follower = TaskFollower(_as_request(inbound, session), reply, tasks.GET, stream.say)

    def watched() -> frozenset[str]:
        follower.take([*state.tasks])
        return frozenset(state.uris)

    async def run() -> None:
        async with follower.following():
            is_ended = await stream.run(watched, is_over)
        if is_ended:
            await reply.abandon()

    await counted(inbound, run)


def _as_request(inbound: Inbound, session: Session) -> McpRequest:
    """Return the request that the caller of this session would send to ask about a task."""
    message = envelope.Request(b"0", tasks.GET, {}, {}, {})
    route = LegacyRoute(session.version, session.id)
    return McpRequest(inbound, message, "legacy", session.version, session.id, route, session.client)


async def subscribe(request: McpRequest, session: Session) -> None:
    """Answer `resources/subscribe` and `resources/unsubscribe` of a legacy session."""
    inbound, gateway = request.inbound, request.inbound.gateway
    uri, method = request.message.parsed.get("uri"), request.message.method
    if not subscriptions.is_uri(uri):
        raise ProtocolError(INVALID_PARAMS, "`uri` must be a string", http_status=200)
    uri, is_wanted = str(uri), method == SUBSCRIBE
    uris = session.state.uris
    if is_wanted and place_of(inbound, inbound.snapshot, uri, method) is None:
        raise ProtocolError(RESOURCE_NOT_FOUND, f"no resource `{uri[:128]}` here", http_status=200, data={"uri": uri})
    if is_wanted and uri not in uris and len(uris) >= subscriptions.MAX_URIS:
        raise TooMuch(f"a session watches at most {subscriptions.MAX_URIS} resources")
    gateway.sessions.watch(key_of(session.id), session.state, uri, is_wanted)
    body = envelope.response(request.message.id, discover.EMPTY_RESULT)
    gateway.record_list(method, inbound.principal, inbound.route.name, request.trace_context(), len(body))
    await send_bytes(inbound.send, 200, body)


# --- modern ----------------------------------------------------------------------------------


async def listen(request: McpRequest) -> None:
    """Answer `subscriptions/listen`: what is honoured first, then what changes, each message tagged with our id."""
    inbound, id_raw = request.inbound, request.message.id
    wanted = subscriptions.read_filter(request.message.parsed)
    reply = inbound.gateway.reply(inbound.send, inbound.headers)
    if not reply.can_stream:
        raise BadRequest("this is answered with an event stream", code="not_acceptable")

    def framed(method: str, params: Mapping[str, Raw]) -> bytes:
        return envelope.notification(method, subscriptions.tagged(params, id_raw))

    permitted = [uri for uri in wanted.uris if place_of(inbound, inbound.snapshot, uri, subscriptions.LISTEN)]
    stream = StandingStream(inbound, reply, wanted.lists, framed, Changes())
    follower = TaskFollower(request, reply, subscriptions.LISTEN, stream.say)
    followed = None
    if wanted.tasks is not None:
        require_declared(request)
        followed = follower.take(wanted.tasks)
    honoured = Filter(wanted.lists, frozenset(permitted), followed)
    acknowledgement = subscriptions.acknowledged(id_raw, honoured)
    gateway, principal = inbound.gateway, inbound.principal
    gateway.record_list(
        subscriptions.LISTEN, principal, inbound.route.name, request.trace_context(), len(acknowledgement)
    )

    async def run() -> None:
        await reply.event(acknowledgement)
        async with follower.following():
            is_ended = await stream.run(lambda: honoured.uris, lambda: False)
        if is_ended:
            ending = subscriptions.ended(id_raw, gateway.server_info)
            await reply.finish(envelope.response(id_raw, ending))

    await counted(inbound, run)


# --- both ------------------------------------------------------------------------------------


class StandingStream:
    """One standing stream.

    lists   whose changes it tells
    framed  writes a notification of it
    bell    rings when something waits to be told, or when other resources are watched
    """

    def __init__(
        self,
        inbound: Inbound,
        reply: Reply,
        lists: frozenset[str],
        framed: Callable[[str, Mapping[str, Raw]], bytes],
        bell: Changes,
    ) -> None:
        self._inbound = inbound
        self._reply = reply
        self._lists = lists
        self._framed = framed
        self._bell = bell
        self._untold: deque[bytes] = deque(maxlen=MAX_UNTOLD)
        self._watched: dict[str, Callable[[], None]] = {}
        self._snapshot: Snapshot | None = None

    def say(self, method: str, params: Mapping[str, Raw]) -> None:
        """Tell something else, when its turn comes."""
        self._untold.append(self._framed(method, params))
        self._bell.ring()

    async def run(self, uris: Callable[[], frozenset[str]], is_over: Callable[[], bool]) -> bool:
        """Tell what changes; return whether it ended from our side, with the client still there."""
        gateway, now = self._inbound.gateway, asyncio.get_running_loop().time
        await self._reply.keep_alive(now())
        gone = asyncio.ensure_future(client_left(self._inbound.receive))
        listed = self._listed()
        try:
            while not gone.done() and not gateway.is_ending and not is_over():
                waits = {gone, gateway.changes.next_change(), self._bell.next_change()}
                self._watch(uris())
                if not self._untold:
                    done, _ = await asyncio.wait(waits, timeout=PING_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                    if not done:
                        await self._reply.keep_alive(now())
                while self._untold:
                    await self._reply.event(self._untold.popleft())
                listed = await self._tell_lists(listed)
            return not gone.done()
        finally:
            gone.cancel()
            for unwatch in self._watched.values():
                unwatch()

    def _listed(self) -> dict[str, tuple[_Shown, ...]]:
        return {name: tuple(self._shown(kind) for kind in _KINDS[name]) for name in self._lists}

    def _shown(self, kind: ItemKind) -> _Shown:
        gateway, path = self._inbound.gateway, self._inbound.route.path
        if path not in gateway.snapshot.routes:
            return ()
        listing = gateway.listing(gateway.snapshot, self._inbound.principal, path, kind)
        return tuple((capability.name, capability.pin) for capability in listing.visible)

    async def _tell_lists(self, before: dict[str, tuple[_Shown, ...]]) -> dict[str, tuple[_Shown, ...]]:
        if self._snapshot is self._inbound.gateway.snapshot:
            return before
        self._snapshot = self._inbound.gateway.snapshot
        listed = self._listed()
        for name in sorted(self._lists):
            if listed[name] != before[name]:
                await self._reply.event(self._framed(LIST_CHANGED[name], {}))
        return listed

    def _watch(self, uris: frozenset[str]) -> None:
        """Watch these resources and no others, as far as the caller may read them now."""
        inbound, snapshot = self._inbound, self._inbound.gateway.snapshot
        if uris == self._watched.keys() and snapshot is self._snapshot:
            return
        places = {uri: place_of(inbound, snapshot, uri, SUBSCRIBE) for uri in uris}
        for uri in [*self._watched]:
            if places.get(uri) is None:
                self._watched.pop(uri)()
        for uri, place in places.items():
            if place is not None and uri not in self._watched:
                told = self._teller(uri)
                watch = inbound.gateway.subscriptions.watch
                self._watched[uri] = watch(inbound.principal, place.upstream, place.uri, told)

    def _teller(self, uri: str) -> Callable[[Raw], None]:
        def told(params: Raw) -> None:
            members: RawObject = subscriptions.untagged(envelope.read_object(params))
            shown = envelope.edit(members, {"uri": envelope.write(uri)})
            self.say(UPDATED, shown)

        return told


def _reply(inbound: Inbound) -> Reply:
    now = asyncio.get_running_loop().time()
    return Reply(inbound.send, can_stream=True, now=now, write_timeout_s=inbound.gateway.write_timeout_s)


async def counted(inbound: Inbound, work: Callable[[], Awaitable[object]]) -> None:
    """Run a stream as one of the caller's; raises `TooMuch` beyond its share."""
    gateway, key = inbound.gateway, inbound.principal.key
    if not gateway.streams.enter(key, inbound.snapshot.config.limits.sessions_per_principal):
        raise TooMuch("too many streams are open for this caller", code="over_concurrency", retry_after_s=5)
    try:
        await work()
    finally:
        gateway.streams.leave(key)
