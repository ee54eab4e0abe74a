"""Sessions of the handshake era at one HTTP upstream: opened, spoken in, opened again when lost, ended.

One per owner, credential and capabilities (`per_owner`). What a request on such a
session asks back, and where its stream goes on when it breaks, is dealt with
here; which era the upstream speaks is `mcp_http`'s to know.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from msgspec import Raw

from agent_gateway.ports import (
    Clock,
    Heard,
    HttpClient,
    HttpRequest,
    HttpResponse,
    Listen,
    ServerInfo,
    Sink,
    UpstreamRequest,
)
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.asking import NOBODY, Questions, Running, asked_of
from agent_gateway.upstreams.chores import Chores
from agent_gateway.upstreams.http_exchange import Inbox, Reply, answer_of, garbage, receive
from agent_gateway.upstreams.per_owner import NO_CAPABILITIES, Headers, Owner, PerOwner
from agent_gateway.upstreams.settings import UpstreamSettings
from agent_gateway.upstreams.standing import Standing
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout
from mcp_registry.protocol import envelope, outbound
from mcp_registry.protocol.errors import INVALID_REQUEST
from mcp_registry.protocol.outbound import Speaker
from mcp_registry.protocol.subscriptions import UPDATED, told_lists

PLAIN = (b"accept-encoding", b"identity")
_SERVER_ERROR = -32000  # what legacy servers say of an unknown session, some with status 400
_MAX_SESSION_ID = 1024
_STREAM = (b"accept", b"text/event-stream")


class EraChangedError(Exception):
    """The upstream turned out to speak the other era; nothing was run."""


@dataclass(slots=True, eq=False)
class Session:
    """One handshake; `id` is empty when the upstream keeps no sessions.

    log_level  the least severe level it was told to send so far; None: none
    owner      whose it is
    running    the requests that run in it, by our ids
    standing   its standing stream, once somebody needs it
    """

    id: str
    info: ServerInfo
    credentials: Headers
    owner: Owner = ()
    inflight: int = 0
    used_at: float = 0.0
    log_level: str | None = None
    running: dict[bytes, Running] = field(default_factory=dict[bytes, Running])
    standing: Standing | None = None


class LegacySessions:
    """Every session at one upstream.

    next_id  gives ids that are unique at this upstream
    """

    def __init__(
        self, settings: UpstreamSettings, http: HttpClient, clock: Clock, chores: Chores, next_id: Callable[[], bytes]
    ) -> None:
        self._settings = settings
        self._http = http
        self._clock = clock
        self._chores = chores
        self._next_id = next_id
        self._standing = 0
        self._lists: set[Heard] = set()  # who wants to hear that a list changed, whoever's session says it
        self._watching: dict[Owner, set[Heard]] = {}  # who watches a resource, whichever of its sessions says it
        self._open = PerOwner(
            self._begin,
            self._let_go,
            limit=settings.limits.max_sessions,
            per_owner=settings.limits.max_sessions_per_owner,
            idle_s=settings.timeouts.session_idle_s,
            clock=clock,
        )

    def __len__(self) -> int:
        return len(self._open)

    def expire(self) -> None:
        """End the sessions that nobody used for a while; a timer does this too."""
        self._open.expire()

    async def aclose(self) -> None:
        """End every session."""
        await self._open.aclose()

    async def info(self, owner: Owner, credentials: Headers) -> ServerInfo:
        """Return what the upstream said of itself at the handshake; raises `EraChangedError` like `send`."""
        return (await self._open.get(owner, credentials)).info

    async def send(self, request: UpstreamRequest, sink: Sink, credentials: Headers) -> Reply:
        """Send one request in the caller's session, and once more in a new one when that was lost.

        Raises `EraChangedError` when the upstream answers the handshake in the words of the other era.
        """
        owner = self._settings.owner(request.principal)
        declared = NO_CAPABILITIES
        if speak.can_be_asked(request) and request.client_capabilities is not None:
            declared = speak.declared(bytes(request.client_capabilities))
        session = await self._open.get(owner, credentials, declared)
        reply = await self._send_in(session, request, sink)
        if not _is_lost(session, reply):
            return reply
        self._drop(session)  # it surely did not run: the upstream does not know who asked
        return await self._send_in(await self._open.get(owner, credentials, declared), request, sink)

    async def listen(self, wanted: Listen, heard: Heard, credentials: Headers) -> None:
        """Hear what the upstream says outside of requests, in a session of this caller; see `ports.McpUpstream`."""
        owner = self._settings.owner(wanted.principal)
        if wanted.lists:
            self._lists.add(heard)
        if wanted.uris:
            self._watching.setdefault(owner, set()).add(heard)
        try:
            await self._listen(owner, wanted, heard, credentials)
        finally:
            self._lists.discard(heard)
            if wanted.uris:
                self._watching[owner].discard(heard)
                if not self._watching[owner]:
                    del self._watching[owner]

    async def _listen(self, owner: Owner, wanted: Listen, heard: Heard, credentials: Headers) -> None:
        while True:
            session = await self._open.get(owner, credentials)
            standing = self._stand(session)
            if standing is None:
                return
            session.inflight += 1  # it is in use
            standing.listeners.add(heard)
            try:
                for uri in wanted.uris:
                    await self._ask_in(session, "resources/subscribe", uri)
                if await asyncio.shield(standing.task) == "unserved":
                    await asyncio.Event().wait()  # what calls say is heard all the same
            except asyncio.CancelledError:
                for uri in wanted.uris:
                    self._chores.start(self._ask_in(session, "resources/unsubscribe", uri))
                raise
            finally:
                standing.listeners.discard(heard)
                session.inflight -= 1
                session.used_at = self._clock()
            self._drop(session)  # the upstream does not know it any more: begin anew

    def _changed(self, session: Session, method: str, params: Raw | None) -> None:
        """Tell who listens, be it said on the standing stream or on that of a call: some servers do that."""
        of_session: set[Heard] = set() if session.standing is None else session.standing.listeners
        of_others = self._watching.get(session.owner, set()) if method == UPDATED else self._lists
        for heard in of_session | of_others:
            heard(method, params)

    async def _ask_in(self, session: Session, method: str, uri: str) -> None:
        """Subscribe to a resource, or end that; what the upstream answers is its own matter."""
        id_raw = self._next_id()
        body = envelope.request(id_raw, method, {"uri": Raw(envelope.write(uri))})
        response = await self._http.send(self._post(session, body), timeout_s=self._settings.timeouts.farewell_s)
        await receive(response, id_raw, Inbox(id_raw, NOBODY, 0), self._settings.limits)

    def _stand(self, session: Session) -> Standing | None:
        """Return the standing stream of a session, opening it when there is none; None when there may be no more.

        Half of the connections at most stand: the others are for calls.
        """
        if session.standing is None and session.id and self._standing < self._settings.limits.max_connections // 2:
            questions = Questions(lambda body: self._tell(session, body))
            session.standing = Standing(
                lambda last_id: self._resume(session, last_id),
                lambda question: questions.put(question, asked_of([*session.running.values()])),
                partial(self._changed, session),
                self._settings.limits,
            )
            self._standing += 1
            session.standing.task.add_done_callback(lambda _: self._stood(questions))
        return session.standing

    def _stood(self, questions: Questions) -> None:
        self._standing -= 1
        questions.close()

    def _drop(self, session: Session) -> None:
        """Forget a session that is over."""
        self._open.drop(session)
        if session.standing is not None:
            session.standing.task.cancel()

    def _let_go(self, session: Session) -> None:
        """End a session that nobody uses."""
        if session.standing is not None:
            session.standing.task.cancel()
        self._chores.start(self._end(session))

    async def _send_in(self, session: Session, request: UpstreamRequest, sink: Sink) -> Reply:
        id_raw = self._next_id()
        limits = self._settings.limits
        message = speak.outgoing(request, id_raw, mirrors_arguments=False)
        may_ask = speak.can_be_asked(request)
        questions = Questions(lambda body: self._tell(session, body))
        inbox = Inbox(id_raw, sink, limits.max_server_requests, questions, partial(self._changed, session))
        session.inflight += 1
        session.running[id_raw] = Running(id_raw, sink, request.principal.key, may_be_asked=may_ask)
        try:
            if request.log_level is not None:
                await self._set_level(session, request.log_level)
            response = await self._http.send(
                self._post(session, outbound.legacy_body(message), request),
                timeout_s=request.timeout_s,
                idempotent=request.is_idempotent,
            )
            return await receive(response, id_raw, inbox, limits, partial(self._come_back, session, request))
        except (asyncio.CancelledError, UpstreamTimeout):
            self._chores.start(self._tell(session, speak.cancelled(id_raw)))
            raise
        finally:
            questions.close()
            del session.running[id_raw]
            session.inflight -= 1
            session.used_at = self._clock()

    async def _come_back(self, session: Session, request: UpstreamRequest, last_id: str) -> HttpResponse:
        """Ask for the rest of an answer whose stream has ended; the caller may be let go as well meanwhile."""
        if request.let_go is not None:
            await request.let_go()
        return await self._resume(session, last_id)

    async def _resume(self, session: Session, last_id: str) -> HttpResponse:
        """Open a stream again after the event `last_id`; the standing stream when that is empty."""
        headers = [*self._headers(session), _STREAM]
        if last_id:
            headers.append((b"last-event-id", last_id.encode()))
        sent = HttpRequest("GET", self._settings.url, headers)
        return await self._http.send(sent, timeout_s=self._settings.timeouts.page_s, idempotent=True)

    async def _set_level(self, session: Session, level: str) -> None:
        """Have the upstream send log messages from `level` on; what one caller does not want, its sink drops."""
        if not speak.wants_level(session.log_level, level, session.info):
            return
        session.log_level = level
        id_raw = self._next_id()
        timeout_s = self._settings.timeouts.farewell_s
        response = await self._http.send(self._post(session, speak.set_level(id_raw, level)), timeout_s=timeout_s)
        await receive(response, id_raw, Inbox(id_raw, NOBODY, 0), self._settings.limits)

    async def _begin(self, owner: Owner, credentials: Headers, capabilities: bytes) -> Session:
        timeout_s = self._settings.timeouts.open_s
        id_raw = self._next_id()
        speaker = Speaker(speak.GATEWAY.info, Raw(capabilities))
        sent = HttpRequest(
            "POST",
            self._settings.url,
            [*outbound.legacy_headers("", ""), PLAIN, *credentials],
            outbound.initialize(id_raw, speaker),
        )
        with speak.deadline(timeout_s):
            response = await self._http.send(sent, timeout_s=timeout_s)
            reply = await receive(response, id_raw, Inbox(id_raw, NOBODY, 0), self._settings.limits)
            probe = outbound.read_probe("initialize", reply.status, reply.body)
            if probe.verdict == "modern" and self._settings.pinned_era is None:
                raise EraChangedError
            if probe.verdict == "old_sse":
                old = "the upstream speaks only the HTTP+SSE transport of 2024"
                raise UpstreamFailed(old, code="upstream_old", hint="an operator can set `transport: sse` for it")
            if probe.verdict != "legacy" or probe.result is None:
                answer_of(reply)
                raise UpstreamFailed("the upstream refuses the handshake", code="upstream_garbage")
            info = speak.server_info("legacy", probe.version, probe.result)
            session = Session(_session_id(reply), info, credentials, owner)
            await self._tell(session, outbound.INITIALIZED)
            if capabilities != NO_CAPABILITIES:
                await self._open_for_questions(session)
            self._hear_lists(session)
        return session

    def _hear_lists(self, session: Session) -> None:
        """Open the standing stream of a caller's session too: many servers tell only the session that changed a list.

        Such streams leave half of those that may stand to who watches a resource or can be asked.
        """
        is_told = bool(self._lists and told_lists(session.info.capabilities, "legacy"))
        if is_told and self._standing < self._settings.limits.max_connections // 4:
            self._stand(session)

    async def _open_for_questions(self, session: Session) -> None:
        """Open the standing stream: some servers ask there, whatever request they serve."""
        standing = self._stand(session)
        if standing is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.timeouts.farewell_s):
                    await standing.is_open.wait()

    async def _end(self, session: Session) -> None:
        if session.id:
            response = await self._http.send(
                HttpRequest("DELETE", self._settings.url, self._headers(session)),
                timeout_s=self._settings.timeouts.farewell_s,
            )
            response.linger()

    async def _tell(self, session: Session, body: bytes) -> None:
        """Post a message that has no answer."""
        response = await self._http.send(self._post(session, body), timeout_s=self._settings.timeouts.farewell_s)
        response.linger()

    def _post(self, session: Session, body: bytes, request: UpstreamRequest | None = None) -> HttpRequest:
        trace = request.trace if request is not None else None
        headers = outbound.legacy_headers(session.info.version, session.id, trace)
        return HttpRequest("POST", self._settings.url, [*headers, PLAIN, *session.credentials], body)

    def _headers(self, session: Session) -> list[tuple[bytes, bytes]]:
        """Return the headers of what is no POST."""
        named = outbound.legacy_headers(session.info.version, session.id)
        kept = [(name, value) for name, value in named if name not in (b"accept", b"content-type")]
        return [*kept, PLAIN, *session.credentials]


def _is_lost(session: Session, reply: Reply) -> bool:
    """Whether the upstream no longer knows the session: 404, or 400 from some, to nobody's id."""
    if not session.id:
        return False
    if reply.status == 404:
        return True
    is_nobodys = reply.answer is not None and reply.answer.id is None
    return reply.status == 400 and is_nobodys and reply.answer is not None and _is_session_error(reply)


def _is_session_error(reply: Reply) -> bool:
    return reply.answer is not None and speak.error_code(reply.answer.error) in (_SERVER_ERROR, INVALID_REQUEST)


def _session_id(reply: Reply) -> str:
    raw = reply.headers.get(b"mcp-session-id", b"")
    if len(raw) > _MAX_SESSION_ID or any(not 0x21 <= byte <= 0x7E for byte in raw):
        raise garbage("its session id is not visible ASCII")
    return raw.decode("ascii")
