"""An MCP upstream over streamable HTTP, in the era it speaks. Implements `ports.McpUpstream`.

Modern: one stateless POST per request; closing it is the cancel. Legacy: a session
per owner and credential, ids unique in the upstream, `notifications/cancelled` to
cancel. The era is found out once, kept, and looked at again when an answer does not fit it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TypeVar

from msgspec import Raw

from agent_gateway.ports import (
    Clock,
    Health,
    HttpClient,
    HttpRequest,
    HttpResponse,
    ServerInfo,
    Sink,
    UpstreamAnswer,
    UpstreamRequest,
)
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.breaker import Breaker
from agent_gateway.upstreams.chores import Chores
from agent_gateway.upstreams.direct import Direct
from agent_gateway.upstreams.http_exchange import NOBODY, Inbox, Reply, answer_of, garbage, receive
from agent_gateway.upstreams.per_owner import Headers, Owner, PerOwner, credential_digest
from agent_gateway.upstreams.settings import UpstreamSettings
from gateway_policies.principal import Principal
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout
from mcp_registry.protocol import outbound
from mcp_registry.protocol.errors import INVALID_REQUEST, MODERN_CODES, UNSUPPORTED_PROTOCOL_VERSION
from mcp_registry.protocol.versions import LATEST_MODERN, Era

Credentials = Callable[[Principal], Awaitable[Sequence[tuple[bytes, bytes]]]]

_T = TypeVar("_T")
_SERVER_ERROR = -32000  # what legacy servers say of an unknown session, some with status 400
_PLAIN = (b"accept-encoding", b"identity")
_MAX_SESSION_ID = 1024
_MAX_INFOS = 256
_REFUSED = frozenset({400, 404, 405})


class _EraChangedError(Exception):
    """The upstream turned out to speak the other era; nothing was run."""


@dataclass(slots=True, eq=False)
class Session:
    """One handshake; `id` is empty when the upstream keeps no sessions."""

    id: str
    info: ServerInfo
    credentials: Headers
    inflight: int = 0
    used_at: float = 0.0


class HttpUpstream:
    """One upstream behind one URL.

    http         its own client, closed with it
    credentials  the headers that a principal's requests carry at this upstream
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        http: HttpClient,
        credentials: Credentials,
        clock: Clock,
        *,
        breaker: Breaker | None = None,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._http = http
        self._credentials = credentials
        self._clock = clock
        self._breaker = breaker or Breaker(clock)
        self._ids = count(1)
        self.direct = Direct(settings.url, http, self._breaker, self._next_id)
        self._known: ServerInfo | None = None
        self._infos: dict[bytes, ServerInfo] = {}  # by credential: what one is told is not for another
        self._finding: dict[bytes, asyncio.Task[ServerInfo]] = {}
        self._chores = Chores(settings.timeouts.farewell_s)
        self._sessions = PerOwner(
            self._begin_session,
            lambda session: self._chores.start(self._end_session(session)),
            limit=settings.limits.max_sessions,
            idle_s=settings.timeouts.session_idle_s,
            clock=clock,
        )
        self._pin_era()

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send one request and return its answer; see `ports.McpUpstream`."""
        self._breaker.check()
        return await self._guarded(request.timeout_s, lambda: self._request(request, sink))

    async def go_on(self, response: HttpResponse, id_raw: bytes, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Return the answer to a request that `direct` sent, whose `response` has begun; raises like `request`."""
        return await self._guarded(request.timeout_s, lambda: self._request(request, sink, (response, id_raw)))

    @property
    def modern_version(self) -> str:
        """The modern version that it is known to speak; empty for none."""
        return self._known.version if self._known is not None and self._known.era == "modern" else ""

    async def list_tools(self, principal: Principal) -> Sequence[Raw]:
        """Return every tool definition, all pages, as raw JSON; raises like `request`."""
        first = UpstreamRequest(
            "tools/list", {}, principal, timeout_s=self._settings.timeouts.page_s, is_idempotent=True
        )
        return await speak.list_all(
            lambda params: self.request(replace(first, params=params), NOBODY), self._settings.limits
        )

    async def server_info(self, principal: Principal) -> ServerInfo:
        """Return what the upstream says of itself to this principal, from cache when it is known."""
        headers = await self._credentials(principal)
        info = self._infos.get(credential_digest(headers)) if self._known and self._known.era == "modern" else None
        if info is not None:
            return info
        self._breaker.check()
        return await self._guarded(self._settings.timeouts.open_s, lambda: self._ask_info(principal, headers))

    def health(self) -> Health:
        """Return what is known now, without asking."""
        return self._breaker.health()

    def expire_idle(self) -> None:
        """End the sessions that nobody used for a while; a timer does this too."""
        self._sessions.expire()

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    async def aclose(self) -> None:
        """End every session and connection."""
        for task in self._finding.values():
            task.cancel()
        await self._sessions.aclose()
        await self._chores.finish()
        await self._http.aclose()

    # --- one request -----------------------------------------------------------------------

    async def _guarded(self, timeout_s: float, work: Callable[[], Awaitable[_T]]) -> _T:
        try:
            with speak.deadline(timeout_s):
                result = await work()
        except UpstreamFailed as failure:
            self._breaker.failed(failure)
            raise
        self._breaker.succeeded()
        return result

    async def _request(
        self, request: UpstreamRequest, sink: Sink, begun: tuple[HttpResponse, bytes] | None = None
    ) -> UpstreamAnswer:
        headers = await self._credentials(request.principal)
        known = await self._era(headers)
        try:
            reply = await (self._send(known, request, sink, headers) if begun is None else self._hear(*begun, sink))
            if not self._is_surprise(known.era, reply):
                return _answer(known.era, reply)
        except _EraChangedError:
            reply = None
        # INVARIANT: refused in the words of the other era, so not run: it may be sent again.
        again = await self._look_again(known, headers)
        is_same = again.era == known.era and (again.era == "legacy" or again.version == known.version)
        if reply is not None and is_same:
            return _answer(known.era, reply)
        try:
            return _answer(again.era, await self._send(again, request, sink, headers))
        except _EraChangedError as error:
            raise garbage("it speaks neither era") from error

    async def _send(self, known: ServerInfo, request: UpstreamRequest, sink: Sink, headers: Headers) -> Reply:
        if known.era == "modern":
            return await self._send_modern(known.version, request, sink, headers)
        return await self._send_legacy(request, sink, headers)

    async def _send_modern(self, version: str, request: UpstreamRequest, sink: Sink, headers: Headers) -> Reply:
        id_raw = self._next_id()
        speaker = replace(speak.GATEWAY, version=version) if version != LATEST_MODERN else speak.GATEWAY
        message = speak.outgoing(request, id_raw, mirrors_arguments=True)
        sent = HttpRequest(
            "POST",
            self._settings.url,
            [*outbound.modern_headers(message, speaker), _PLAIN, *headers],
            outbound.modern_body(message, speaker),
        )
        response = await self._http.send(sent, timeout_s=request.timeout_s, idempotent=request.is_idempotent)
        return await self._hear(response, id_raw, sink)

    async def _hear(self, response: HttpResponse, id_raw: bytes, sink: Sink) -> Reply:
        limits = self._settings.limits
        return await receive(response, id_raw, Inbox(id_raw, sink, limits.max_server_requests), limits)

    async def _send_legacy(self, request: UpstreamRequest, sink: Sink, headers: Headers) -> Reply:
        owner = self._settings.owner(request.principal)
        session = await self._sessions.get(owner, headers)
        reply = await self._send_in(session, request, sink)
        if not _is_lost(session, reply):
            return reply
        self._sessions.drop(session)  # it surely did not run: the upstream does not know who asked
        return await self._send_in(await self._sessions.get(owner, headers), request, sink)

    async def _send_in(self, session: Session, request: UpstreamRequest, sink: Sink) -> Reply:
        id_raw = self._next_id()
        limits = self._settings.limits
        message = speak.outgoing(request, id_raw, mirrors_arguments=False)
        inbox = Inbox(
            id_raw, sink, limits.max_server_requests, lambda body: self._chores.start(self._tell(session, body))
        )
        session.inflight += 1
        try:
            response = await self._http.send(
                self._session_post(session, outbound.legacy_body(message), request),
                timeout_s=request.timeout_s,
                idempotent=request.is_idempotent,
            )
            return await receive(response, id_raw, inbox, limits)
        except (asyncio.CancelledError, UpstreamTimeout):
            self._chores.start(self._tell(session, speak.cancelled(id_raw)))
            raise
        finally:
            session.inflight -= 1
            session.used_at = self._clock()

    # --- sessions --------------------------------------------------------------------------

    async def _begin_session(self, _: Owner, headers: Headers) -> Session:
        timeout_s = self._settings.timeouts.open_s
        id_raw = self._next_id()
        sent = HttpRequest(
            "POST",
            self._settings.url,
            [*outbound.legacy_headers("", ""), _PLAIN, *headers],
            outbound.initialize(id_raw, speak.GATEWAY),
        )
        with speak.deadline(timeout_s):
            response = await self._http.send(sent, timeout_s=timeout_s)
            reply = await receive(response, id_raw, Inbox(id_raw, NOBODY, 0), self._settings.limits)
            probe = outbound.read_probe("initialize", reply.status, reply.body)
            if probe.verdict == "modern" and self._settings.era == "auto":
                raise _EraChangedError
            if probe.verdict == "old_sse":
                raise UpstreamFailed("the upstream speaks only the HTTP+SSE transport of 2024", code="upstream_old")
            if probe.verdict != "legacy" or probe.result is None:
                answer_of(reply)
                raise UpstreamFailed("the upstream refuses the handshake", code="upstream_garbage")
            info = speak.server_info("legacy", probe.version, probe.result)
            session = Session(_session_id(reply), info, headers)
            await self._tell(session, outbound.INITIALIZED)
        self._known = info
        return session

    async def _end_session(self, session: Session) -> None:
        if session.id:
            headers = [*outbound.legacy_headers(session.info.version, session.id), *session.credentials]
            response = await self._http.send(
                HttpRequest("DELETE", self._settings.url, headers), timeout_s=self._settings.timeouts.farewell_s
            )
            response.linger()

    async def _tell(self, session: Session, body: bytes) -> None:
        """Post a message that has no answer."""
        response = await self._http.send(
            self._session_post(session, body), timeout_s=self._settings.timeouts.farewell_s
        )
        response.linger()

    def _session_post(self, session: Session, body: bytes, request: UpstreamRequest | None = None) -> HttpRequest:
        trace = request.trace if request is not None else None
        headers = outbound.legacy_headers(session.info.version, session.id, trace)
        return HttpRequest("POST", self._settings.url, [*headers, _PLAIN, *session.credentials], body)

    # --- eras ------------------------------------------------------------------------------

    async def _era(self, headers: Headers) -> ServerInfo:
        """Return the upstream's era, asking it first when it is not known: once, however many wait."""
        if self._known is not None:
            return self._known
        key = credential_digest(headers)
        task = self._finding.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._discover(headers))
            self._finding[key] = task
            task.add_done_callback(lambda done: self._found(key, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise UpstreamFailed("this upstream was removed") from None
            raise

    def _found(self, key: bytes, task: asyncio.Task[ServerInfo]) -> None:
        del self._finding[key]
        if not task.cancelled() and task.exception() is None:
            self._known = task.result()
            self._keep_info(key, self._known)

    async def _discover(self, headers: Headers) -> ServerInfo:
        timeout_s = self._settings.timeouts.open_s
        id_raw = self._next_id()
        probe_headers, body = outbound.discover(id_raw, speak.GATEWAY)
        sent = HttpRequest("POST", self._settings.url, [*probe_headers, _PLAIN, *headers], body)
        with speak.deadline(timeout_s):
            response = await self._http.send(sent, timeout_s=timeout_s, idempotent=True)
            reply = await receive(response, id_raw, Inbox(id_raw, NOBODY, 0), self._settings.limits)
        if 300 <= reply.status < 400:
            answer_of(reply)
        probe = outbound.read_probe("server/discover", reply.status, reply.body)
        if probe.verdict == "modern":
            return speak.server_info("modern", probe.version, probe.result)
        if probe.verdict == "legacy":
            return ServerInfo("legacy", "", None, None, None)
        answer_of(reply)
        raise garbage("it does not say which era it speaks")

    async def _look_again(self, known: ServerInfo, headers: Headers) -> ServerInfo:
        if self._settings.era != "auto":
            return known
        self._infos.clear()
        if self._known is known or (self._known is not None and self._known.era == known.era):
            self._known = None
        return await self._era(headers)

    def _is_surprise(self, era: Era, reply: Reply) -> bool:
        if reply.status not in _REFUSED or self._settings.era != "auto":
            return False
        code = speak.error_code(reply.answer.error) if reply.answer is not None else None
        if era == "legacy":
            return code in MODERN_CODES
        return code in (None, _SERVER_ERROR, INVALID_REQUEST, UNSUPPORTED_PROTOCOL_VERSION)

    def _pin_era(self) -> None:
        pinned = self._settings.era
        if pinned == "modern":
            self._known = ServerInfo("modern", LATEST_MODERN, None, None, None)
        elif pinned == "legacy":
            self._known = ServerInfo("legacy", "", None, None, None)

    async def _ask_info(self, principal: Principal, headers: Headers) -> ServerInfo:
        known = await self._era(headers)
        if known.era == "legacy":
            try:
                return (await self._sessions.get(self._settings.owner(principal), headers)).info
            except _EraChangedError:
                await self._look_again(known, headers)
        digest = credential_digest(headers)
        info = self._infos.get(digest)
        if info is None:
            info = await self._discover(headers)
            self._keep_info(digest, info)
        return info

    def _keep_info(self, digest: bytes, info: ServerInfo) -> None:
        self._infos[digest] = info
        if len(self._infos) > _MAX_INFOS:
            del self._infos[next(iter(self._infos))]

    def _next_id(self) -> bytes:
        return b"%d" % next(self._ids)


def _answer(era: Era, reply: Reply) -> UpstreamAnswer:
    return speak.answer(era, answer_of(reply), len(reply.body))


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
