"""An MCP upstream over streamable HTTP, in the era it speaks. Implements `ports.McpUpstream`.

Modern: one stateless POST per request; closing it is the cancel. Legacy: a session
per owner and credential, ids unique in the upstream, `notifications/cancelled` to
cancel. The era is found out once, kept, and looked at again when an answer does not fit it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TypeVar, cast

from agent_gateway.ports import (
    Clock,
    Health,
    Heard,
    HttpClient,
    HttpRequest,
    HttpResponse,
    Listed,
    Listen,
    ServerInfo,
    Sink,
    UpstreamAnswer,
    UpstreamRequest,
)
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.asking import NOBODY, Patient
from agent_gateway.upstreams.breaker import Breaker
from agent_gateway.upstreams.chores import Chores
from agent_gateway.upstreams.direct import Direct
from agent_gateway.upstreams.http_exchange import Inbox, Reply, answer_of, garbage, is_event_stream, receive
from agent_gateway.upstreams.legacy_sessions import PLAIN, EraChangedError, LegacySessions
from agent_gateway.upstreams.listing import list_items
from agent_gateway.upstreams.per_owner import Headers, credential_digest
from agent_gateway.upstreams.renewal import Renewal, renewing
from agent_gateway.upstreams.settings import UpstreamSettings
from agent_gateway.upstreams.standing import MAX_PAUSE_S
from gateway_policies.principal import Principal
from gateway_policies.refusal import UpstreamFailed
from mcp_registry.protocol import outbound, tasks
from mcp_registry.protocol.errors import INVALID_REQUEST, MODERN_CODES, UNSUPPORTED_PROTOCOL_VERSION
from mcp_registry.protocol.lists import ItemKind
from mcp_registry.protocol.subscriptions import Filter
from mcp_registry.protocol.versions import LATEST_MODERN, Era

Credentials = Callable[[Principal], Awaitable[Sequence[tuple[bytes, bytes]]]]

_T = TypeVar("_T")
_HANDSHAKE = ServerInfo("legacy", "", None, None, None)
_AS_CALLED = replace(_HANDSHAKE)  # of an upstream of both eras, for one request of a caller of this one
_SERVER_ERROR = -32000  # what legacy servers say of an unknown session, some with status 400
_MAX_INFOS = 256
_FIRST_PAUSE_S = 1.0  # before a listening that ended begins anew
_REFUSED = frozenset({400, 404, 405})


class HttpUpstream:
    """One upstream behind one URL.

    http         its own client, closed with it
    credentials  the headers that a principal's requests carry at this upstream
    renewal      replaces them when the upstream refuses them; None: they are what they are
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        http: HttpClient,
        credentials: Credentials,
        clock: Clock,
        *,
        breaker: Breaker | None = None,
        renewal: Renewal | None = None,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._http = http
        self._credentials = credentials
        self._renewal = renewal
        self._clock = clock
        self._breaker = breaker or Breaker(clock)
        self._ids = count(1)
        self.direct = Direct(settings.url, http, self._breaker, self._next_id)
        self._known: ServerInfo | None = None
        self._is_of_both = settings.era == "caller"  # until it is known to be of one
        self._infos: dict[bytes, ServerInfo] = {}  # by credential: what one is told is not for another
        self._finding: dict[bytes, asyncio.Task[ServerInfo]] = {}
        self._chores = Chores(settings.timeouts.farewell_s)
        self._sessions = LegacySessions(settings, http, clock, self._chores, self._next_id)
        self._pin_era()

    @property
    def era(self) -> Era | None:
        """Return the era it speaks, None while that is not known."""
        return None if self._known is None else self._known.era

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send one request and return its answer; see `ports.McpUpstream`."""
        self._breaker.check()
        work = partial(self._guarded, request.timeout_s, lambda limit: self._request(request, sink, limit))
        return await renewing(self._renewal, work)

    async def go_on(self, begun: tuple[HttpResponse, bytes], request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Return the answer to what `direct` sent, of which response and id are given; raises like `request`."""
        return await self._guarded(request.timeout_s, lambda limit: self._request(request, sink, limit, begun))

    def credentials_now(self, principal: Principal) -> Headers | None:
        """Return the headers of a principal's requests when they never change; else None."""
        if not self._settings.has_fixed_credentials:
            return None
        asked = self._credentials(principal)
        try:
            asked.__await__().send(None)
        except StopIteration as known:
            return cast("Headers", known.value)
        return None

    @property
    def modern_version(self) -> str:
        """The modern version that it is known to speak; empty for none."""
        return self._known.version if self._known is not None and self._known.era == "modern" else ""

    async def list_items(self, kind: ItemKind, principal: Principal) -> Listed:
        """Return every definition of a kind, all pages, as raw JSON; raises like `request`."""
        return await list_items(self, kind, principal, self._settings)

    async def listen(self, wanted: Listen, heard: Heard) -> None:
        """Hear changes until cancelled; see `ports.McpUpstream`."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                if not await renewing(self._renewal, lambda: self._listen_once(wanted, heard)):
                    return
                pause_s = _FIRST_PAUSE_S
            except EraChangedError:
                self._known = None
            except UpstreamFailed:
                pause_s = min(pause_s * 2, MAX_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _listen_once(self, wanted: Listen, heard: Heard) -> bool:
        """Hear changes until the upstream ends the stream; return whether it has such streams."""
        headers = await self._credentials(wanted.principal)
        known = await self._era(headers)
        if known.era == "legacy":
            await self._sessions.listen(wanted, heard, headers)
            return False
        id_raw = self._next_id()
        speaker = replace(speak.GATEWAY, version=known.version)
        if wanted.tasks:  # who follows them has declared it
            speaker = replace(speaker, capabilities=tasks.DECLARED)
        message = speak.listening(id_raw, Filter(wanted.lists, wanted.uris, wanted.tasks or None))
        sent = HttpRequest(
            "POST",
            self._settings.url,
            [*outbound.modern_headers(message, speaker), PLAIN, *headers],
            outbound.modern_body(message, speaker),
        )
        response = await self._http.send(sent, timeout_s=self._settings.timeouts.page_s, idempotent=True)
        is_stream = is_event_stream(response)
        reply = await receive(response, id_raw, Inbox(id_raw, speak.Hearing(heard), 0), self._settings.limits)
        return answer_of(reply).error is None and is_stream

    async def server_info(self, principal: Principal) -> ServerInfo:
        """Return what the upstream says of itself to this principal, from cache when it is known."""
        return await renewing(self._renewal, lambda: self._server_info(principal))

    async def _server_info(self, principal: Principal) -> ServerInfo:
        headers = await self._credentials(principal)
        info = self._infos.get(credential_digest(headers)) if self._known and self._known.era == "modern" else None
        if info is not None:
            return info
        self._breaker.check()
        return await self._guarded(self._settings.timeouts.open_s, lambda _: self._ask_info(principal, headers))

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

    async def _guarded(self, timeout_s: float, work: Callable[[speak.deadline], Awaitable[_T]]) -> _T:
        try:
            with speak.deadline(timeout_s) as limit:
                result = await work(limit)
        except UpstreamFailed as failure:
            self._breaker.failed(failure)
            raise
        self._breaker.succeeded()
        return result

    async def _request(
        self,
        request: UpstreamRequest,
        sink: Sink,
        limit: speak.deadline,
        begun: tuple[HttpResponse, bytes] | None = None,
    ) -> UpstreamAnswer:
        if speak.can_be_asked(request):
            sink = Patient(sink, limit)
        headers = await self._credentials(request.principal)
        known = await self._era(headers)
        if self._is_of_both and request.caller_era == "legacy" and known.era == "modern":
            known = _AS_CALLED
        try:
            reply = await (self._send(known, request, sink, headers) if begun is None else self._hear(*begun, sink))
            if not self._is_surprise(known.era, reply):
                return _answer(known.era, reply)
        except EraChangedError:
            reply = None
        # INVARIANT: refused in the words of the other era, so not run: it may be sent again.
        again = await self._look_again(known, headers)
        is_same = again.era == known.era and (again.era == "legacy" or again.version == known.version)
        if reply is not None and is_same:
            return _answer(known.era, reply)
        try:
            return _answer(again.era, await self._send(again, request, sink, headers))
        except EraChangedError as error:
            raise garbage("it speaks neither era") from error

    async def _send(self, known: ServerInfo, request: UpstreamRequest, sink: Sink, headers: Headers) -> Reply:
        if known.era == "modern":
            return await self._send_modern(known.version, request, sink, headers)
        return await self._sessions.send(request, sink, headers)

    async def _send_modern(self, version: str, request: UpstreamRequest, sink: Sink, headers: Headers) -> Reply:
        id_raw = self._next_id()
        speaker = speak.speaker(request, version)
        message = speak.outgoing(request, id_raw, mirrors_arguments=True)
        sent = HttpRequest(
            "POST",
            self._settings.url,
            [*outbound.modern_headers(message, speaker), PLAIN, *headers],
            outbound.modern_body(message, speaker),
        )
        response = await self._http.send(sent, timeout_s=request.timeout_s, idempotent=request.is_idempotent)
        return await self._hear(response, id_raw, sink)

    async def _hear(self, response: HttpResponse, id_raw: bytes, sink: Sink) -> Reply:
        limits = self._settings.limits
        return await receive(response, id_raw, Inbox(id_raw, sink, limits.max_server_requests), limits)

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
        sent = HttpRequest("POST", self._settings.url, [*probe_headers, PLAIN, *headers], body)
        with speak.deadline(timeout_s):
            response = await self._http.send(sent, timeout_s=timeout_s, idempotent=True)
            reply = await receive(response, id_raw, Inbox(id_raw, NOBODY, 0), self._settings.limits)
        if 300 <= reply.status < 400:
            answer_of(reply)
        probe = outbound.read_probe("server/discover", reply.status, reply.body)
        if probe.verdict == "modern":
            return speak.server_info("modern", probe.version, probe.result)
        if probe.verdict == "legacy":
            return _HANDSHAKE
        answer_of(reply)
        raise garbage("it does not say which era it speaks")

    async def _look_again(self, known: ServerInfo, headers: Headers) -> ServerInfo:
        if self._settings.pinned_era is not None:
            return known
        if known is _AS_CALLED:
            self._is_of_both = False  # it speaks the other era alone
        self._infos.clear()
        if self._known is known or (self._known is not None and self._known.era == known.era):
            self._known = None
        return await self._era(headers)

    def _is_surprise(self, era: Era, reply: Reply) -> bool:
        if reply.status not in _REFUSED or self._settings.pinned_era is not None:
            return False
        code = speak.error_code(reply.answer.error) if reply.answer is not None else None
        if era == "legacy":
            return code in MODERN_CODES
        return code in (None, _SERVER_ERROR, INVALID_REQUEST, UNSUPPORTED_PROTOCOL_VERSION)

    def _pin_era(self) -> None:
        pinned = self._settings.pinned_era
        if pinned == "modern":
            self._known = ServerInfo("modern", LATEST_MODERN, None, None, None)
        elif pinned == "legacy":
            self._known = _HANDSHAKE

    async def _ask_info(self, principal: Principal, headers: Headers) -> ServerInfo:
        known = await self._era(headers)
        if known.era == "legacy":
            try:
                return await self._sessions.info(self._settings.owner(principal), headers)
            except EraChangedError:
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
