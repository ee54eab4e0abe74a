"""An MCP upstream that is a command: supervised children, one per owner. Implements `ports.McpUpstream`.

A child starts with the first request that needs it and ends when nobody did for a
while. After it died the next request starts another: at once the first time, then
after a pause that doubles; too many deaths in a row make the upstream count as down.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from math import ceil
from random import random
from typing import ClassVar

from msgspec import Raw

from agent_gateway.ports import Clock, Health, Heard, Listed, Listen, ServerInfo, Sink, UpstreamAnswer, UpstreamRequest
from agent_gateway.upstreams import speak
from agent_gateway.upstreams.asking import NOBODY, Patient, Running
from agent_gateway.upstreams.chores import Chores
from agent_gateway.upstreams.listing import list_items
from agent_gateway.upstreams.per_owner import NO_CAPABILITIES, Headers, Owner, PerOwner
from agent_gateway.upstreams.settings import UpstreamSettings
from agent_gateway.upstreams.stdio_child import Child, start
from gateway_policies.principal import Principal
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable
from mcp_registry.protocol import envelope, outbound
from mcp_registry.protocol.envelope import Response
from mcp_registry.protocol.lists import ItemKind
from mcp_registry.protocol.subscriptions import LIST_CHANGED, Filter
from mcp_registry.protocol.versions import LATEST_MODERN, Era

FIRST_PAUSE_S = 0.5
MAX_PAUSE_S = 30.0
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(slots=True)
class _Deaths:
    """When the children of one owner died, and from when another may start."""

    at: deque[float] = field(default_factory=deque[float])
    retry_at: float = 0.0


@dataclass(slots=True, eq=False)
class _Seat:
    """A child that has said which era it speaks."""

    owner: Owner
    child: Child
    info: ServerInfo
    used_at: float = 0.0
    log_level: str | None = None
    watchers: int = 0

    @property
    def inflight(self) -> int:
        return self.child.inflight + self.watchers


class StdioUpstream:
    """One command and its children.

    environ  our own environment, from which only `PATH` and the inherited names are taken
    jitter   numbers in 0..1
    """

    _what: ClassVar[str] = "process"  # what a seat stands on

    def __init__(
        self,
        settings: UpstreamSettings,
        clock: Clock,
        *,
        environ: Mapping[str, str],
        jitter: Callable[[], float] = random,
    ) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._jitter = jitter
        self._env = child_environment(settings, environ)
        self._ids = count(1)
        self._era: Era | None = settings.pinned_era
        self._known: ServerInfo | None = None
        self._deaths: dict[Owner, _Deaths] = {}
        self._health = Health("unknown")
        self._restarts = 0
        self._listeners: set[Heard] = set()
        self._log: deque[str] = deque(maxlen=settings.limits.max_log_lines)
        self._chores = Chores(settings.timeouts.farewell_s * 4)
        self._seats = PerOwner(
            self._begin,
            lambda seat: self._chores.start(seat.child.stop(settings.timeouts.farewell_s)),
            limit=settings.limits.max_children,
            per_owner=settings.limits.max_sessions_per_owner,
            idle_s=settings.timeouts.session_idle_s,
            clock=clock,
        )

    @property
    def era(self) -> Era | None:
        """Return the era it speaks, None while that is not known."""
        return self._era

    async def request(self, request: UpstreamRequest, sink: Sink) -> UpstreamAnswer:
        """Send one request and return its answer; see `ports.McpUpstream`."""
        with speak.deadline(request.timeout_s) as limit:
            seat = await self._seat(request)
            message = speak.outgoing(request, self._next_id(), mirrors_arguments=False)
            if seat.info.era == "modern":
                body = outbound.modern_body(message, speak.speaker(request, LATEST_MODERN))
            else:
                body = outbound.legacy_body(message)
                if request.log_level is not None:
                    await self._set_level(seat, request.log_level)
            running = Running(message.id, sink, request.principal.key)
            if speak.can_be_asked(request):
                running = Running(message.id, Patient(sink, limit), request.principal.key, may_be_asked=True)
            try:
                response, size_bytes = await seat.child.ask(body, running)
            finally:
                seat.used_at = self._clock()
        return speak.answer(seat.info.era, response, size_bytes)

    async def list_items(self, kind: ItemKind, principal: Principal) -> Listed:
        """Return every definition of a kind, all pages, as raw JSON; raises like `request`."""
        return await list_items(self, kind, principal, self._settings)

    async def listen(self, wanted: Listen, heard: Heard) -> None:
        """Hear changes until cancelled; see `ports.McpUpstream`.

        Lists alone start no child: what the running ones say is heard. For a resource the caller's own is kept running.
        """
        self._listeners.add(heard)
        try:
            if not wanted.uris:
                await asyncio.Event().wait()
            while True:
                with suppress(UpstreamFailed):
                    seat = await self._seats.get(
                        self._settings.owner(wanted.principal), await self._proof(wanted.principal)
                    )
                    await self._watch(seat, wanted)
                await asyncio.sleep(MAX_PAUSE_S)
        finally:
            self._listeners.discard(heard)

    async def _watch(self, seat: _Seat, wanted: Listen) -> None:
        """Have one child tell when these resources change; returns when it has ended."""
        seat.watchers += 1
        try:
            if seat.info.era == "modern":
                await self._ask_to_listen(seat, Filter(uris=wanted.uris))
            else:
                for uri in wanted.uris:
                    id_raw = self._next_id()
                    body = envelope.request(id_raw, "resources/subscribe", {"uri": Raw(envelope.write(uri))})
                    await seat.child.ask(body, Running(id_raw, NOBODY, is_listening=True))
            await seat.child.exited.wait()
        finally:
            seat.watchers -= 1

    async def _ask_to_listen(self, seat: _Seat, wanted: Filter) -> None:
        message = speak.listening(self._next_id(), wanted)
        running = Running(message.id, speak.Hearing(self._tell), is_listening=True)
        await seat.child.ask(outbound.modern_body(message, speak.GATEWAY), running)

    def _tell(self, method: str, params: Raw | None) -> None:
        for heard in list(self._listeners):
            heard(method, params)

    async def server_info(self, principal: Principal) -> ServerInfo:
        """Return what the upstream says of itself, from cache when it is known."""
        if self._known is None:
            with speak.deadline(self._settings.timeouts.open_s):
                return (await self._seat_of(principal)).info
        return self._known

    def health(self) -> Health:
        """Return what is known now, without asking."""
        return replace(self._health, restarts=self._restarts)

    def log_tail(self) -> list[str]:
        """Return the last lines that children wrote to stderr, oldest first: for operators, never for callers."""
        return list(self._log)

    def expire_idle(self) -> None:
        """End the children that nobody used for a while; a timer does this too."""
        self._seats.expire()

    @property
    def child_count(self) -> int:
        return len(self._seats)

    async def aclose(self) -> None:
        """End every child and what it started; all are reaped when this returns."""
        await self._seats.aclose()
        await self._chores.finish()

    # --- children --------------------------------------------------------------------------

    async def _seat(self, request: UpstreamRequest) -> _Seat:
        """Return the caller's child. Only one of the handshake era is told for good what its client can do."""
        declared = NO_CAPABILITIES
        if self._era != "modern" and speak.can_be_asked(request) and request.client_capabilities is not None:
            declared = speak.declared(bytes(request.client_capabilities))
        return await self._seat_of(request.principal, declared)

    async def _seat_of(self, principal: Principal, declared: bytes = NO_CAPABILITIES) -> _Seat:
        return await self._seats.get(self._settings.owner(principal), await self._proof(principal), declared)

    async def _proof(self, principal: Principal) -> Headers:
        """Return what proves the caller's standing at the upstream: nothing, of a child of ours."""
        del principal
        return ()

    async def _set_level(self, seat: _Seat, level: str) -> None:
        """Have the child send log messages from `level` on; what one caller does not want, its sink drops."""
        if not speak.wants_level(seat.log_level, level, seat.info):
            return
        seat.log_level = level
        id_raw = self._next_id()
        await seat.child.ask(speak.set_level(id_raw, level), Running(id_raw, NOBODY))

    def _ended(self, seat: _Seat) -> None:
        """A child died: forget it, reap it, count it."""
        self._seats.drop(seat)
        self._chores.start(seat.child.stop(self._settings.timeouts.farewell_s))
        self._mourn(seat.owner, f"the upstream's {self._what} ended")

    async def _begin(self, owner: Owner, proof: Headers, capabilities: bytes) -> _Seat:
        deaths = self._deaths.get(owner)
        now = self._clock()
        if deaths is not None and now < deaths.retry_at:
            raise UpstreamUnreachable(
                "this upstream's process died and is left alone for a moment",
                code="upstream_down",
                retry_after_s=ceil((deaths.retry_at - now) * 1000) / 1000,
            )
        if deaths is not None:
            self._restarts += 1
        try:
            with speak.deadline(self._settings.timeouts.open_s):
                child, info = await self._greeted(proof, capabilities)
        except UpstreamFailed as failure:
            self._mourn(owner, failure.message)
            raise UpstreamUnreachable(f"the upstream's {self._what} does not start") from failure
        self._era, self._known = info.era, info
        if self._health.state != "up":
            self._health = Health("up", self._clock())
        seat = _Seat(owner, child, info)
        child.on_end = lambda: self._ended(seat)
        child.heard = self._tell
        if info.era == "modern" and self._listeners:
            task = asyncio.get_running_loop().create_task(self._ask_to_listen(seat, Filter(frozenset(LIST_CHANGED))))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())  # it ends with the child
        return seat

    async def _greeted(self, proof: Headers, capabilities: bytes) -> tuple[Child, ServerInfo]:
        """Start a child and find out its era; one that dies of the probe gets a second start without it."""
        child = await self._start(proof)
        try:
            return child, await self._greet(child, capabilities)
        except UpstreamFailed:
            was_probe = self._era is None and not child.is_alive
            await child.stop(self._settings.timeouts.farewell_s)
            if not was_probe:
                self._era = self._settings.pinned_era
                raise
        except BaseException:
            self._chores.start(child.stop(self._settings.timeouts.farewell_s))
            raise
        child = await self._start(proof)
        try:
            return child, await self._initialize(child, capabilities)
        except BaseException:
            self._chores.start(child.stop(self._settings.timeouts.farewell_s))
            raise

    async def _start(self, proof: Headers) -> Child:
        del proof
        settings = self._settings
        child = await start((settings.command, *settings.args), self._env, settings.cwd, settings.limits)
        child.log = self._log
        return child

    async def _greet(self, child: Child, capabilities: bytes) -> ServerInfo:
        if self._era == "legacy":
            return await self._initialize(child, capabilities)
        id_raw = self._next_id()
        _, body = outbound.discover(id_raw, speak.GATEWAY)
        try:
            with speak.deadline(self._settings.timeouts.probe_s):
                answer, _ = await child.ask(body, Running(id_raw, NOBODY))
        except UpstreamTimeout:
            if self._settings.era == "modern":
                raise
            return await self._initialize(child, capabilities)
        probe = outbound.read_probe("server/discover", 200, _message(answer))
        if probe.verdict == "modern":
            return speak.server_info("modern", probe.version or LATEST_MODERN, probe.result)
        if self._settings.era == "modern":
            raise UpstreamFailed("the upstream does not speak the era it is configured for", code="upstream_garbage")
        return await self._initialize(child, capabilities)

    async def _initialize(self, child: Child, capabilities: bytes) -> ServerInfo:
        id_raw = self._next_id()
        child.answers_requests = True
        speaker = replace(speak.GATEWAY, capabilities=Raw(capabilities))
        answer, _ = await child.ask(outbound.initialize(id_raw, speaker), Running(id_raw, NOBODY))
        probe = outbound.read_probe("initialize", 200, _message(answer))
        if probe.verdict != "legacy" or probe.result is None:
            raise UpstreamFailed("the upstream refuses the handshake", code="upstream_garbage")
        child.tell(outbound.INITIALIZED)
        return speak.server_info("legacy", probe.version, probe.result)

    def _mourn(self, owner: Owner, detail: str) -> None:
        """Count a death, and set the time before which no other child of this owner starts."""
        limits = self._settings.limits
        now = self._clock()
        deaths = self._deaths.setdefault(owner, _Deaths(deque(maxlen=limits.max_restarts)))
        while deaths.at and now - deaths.at[0] > limits.restart_window_s:
            deaths.at.popleft()
        deaths.at.append(now)
        died_before = len(deaths.at) - 1
        if len(deaths.at) >= limits.max_restarts:
            pause = limits.restart_window_s
        elif died_before:
            pause = min(MAX_PAUSE_S, FIRST_PAUSE_S * 2 ** (died_before - 1))
        else:
            pause = 0.0
        deaths.retry_at = now + pause * (1 - self._jitter() / 4)
        if len(self._deaths) > limits.max_children * 4:
            self._deaths.pop(next(iter(self._deaths)))
        if not len(self._seats):
            self._health = Health("down", now, detail)

    def _next_id(self) -> bytes:
        return b"%d" % next(self._ids)


def child_environment(settings: UpstreamSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the whole environment of a child: `PATH`, what it inherits by name, what it was given."""
    inherited = {name: environ[name] for name in settings.inherit if name in environ}
    return {"PATH": environ.get("PATH", DEFAULT_PATH), **inherited, **settings.env}


def _message(answer: Response) -> bytes:
    member = b"error" if answer.result is None else b"result"
    value = answer.error if answer.result is None else answer.result
    return b'{"jsonrpc":"2.0","id":1,"%b":%b}' % (member, bytes(value or b"null"))
