"""The data path's HTTP client: a small pool of HTTP/1.1 connections to one upstream.

Implements `ports.HttpClient`. A pool belongs to one upstream, so no two upstreams
ever share a connection, a limit or a TLS identity. Every connection is dialled at
an address that `egress` checked; there are no proxies, redirects or cookies.

A request is tried a second time only on a fresh connection, only when the first
one was reused, not one byte of an answer came, and the caller calls it idempotent.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from functools import partial

from agent_gateway.egress.resolve import EgressRules, Getaddrinfo, resolve, system_getaddrinfo
from agent_gateway.ports import HttpRequest
from agent_gateway.upstreams.h1 import H1Connection
from agent_gateway.upstreams.h1_request import Target, payload_of, target_of
from agent_gateway.upstreams.h1_response import H1Limits, H1Response
from agent_gateway.upstreams.http_places import Origin, Waiting, busy, closed
from agent_gateway.upstreams.http_posting import Posting, Sender
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable

MAX_ORIGINS = 16  # (scheme, host, port) of one upstream; more is a mistake or an attack
MAX_DIALS = 3  # addresses of a host that are tried for one connection


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Limits of the connections to one upstream; all times in seconds."""

    rules: EgressRules = field(default_factory=EgressRules)
    max_connections: int = 256  # open at once, per origin
    max_waiting: int = 1024  # requests that may wait for one of them, per origin
    max_idle_s: float = 15.0  # below the keep-alive of common servers
    connect_timeout_s: float = 5.0  # name, address, TLS: all of it
    tick_s: float = 0.1  # how coarse deadlines are
    h1: H1Limits = field(default_factory=H1Limits)


class HttpPool:
    """Connections to one upstream.

    tls  the client's TLS identity and trust; by default the system's trust and no certificate
    getaddrinfo  the resolver below the egress rules
    """

    def __init__(
        self,
        settings: PoolSettings | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        getaddrinfo: Getaddrinfo = system_getaddrinfo,
    ) -> None:
        self._settings = settings or PoolSettings()
        self._tls = tls
        self._getaddrinfo = getaddrinfo
        self._origins: dict[tuple[bool, str, int], Origin] = {}
        self._origin_of: dict[H1Connection, Origin] = {}
        self._busy: set[H1Connection] = set()
        self._dials: set[asyncio.Future[H1Connection]] = set()  # connections that are opened for postings
        self._ticker: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: HttpRequest, *, timeout_s: float, idempotent: bool = False) -> H1Response:
        """Send and return once the head is there; see `ports.HttpClient`.

        timeout_s  from now, the wait for a connection included
        Raises `UpstreamUnreachable` when nothing was written (codes `upstream_busy`, `egress_denied`,
        `upstream_misconfigured`, `upstream_unreachable`), `UpstreamTimeout`, or `UpstreamFailed`
        (codes `upstream_died`, `upstream_garbage`).
        """
        target = target_of(request.url)
        payload = payload_of(request, target)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        origin = self._origin(target)
        connection, is_reused = await self._acquire(origin, target, deadline)
        is_head = request.method == "HEAD"
        try:
            return await self._exchange(connection, payload, deadline - loop.time(), is_head)
        except UpstreamFailed as failure:
            may_retry = is_reused and idempotent and not connection.has_answered
            if failure.code != "upstream_died" or not may_retry or self._is_closed:
                raise
        self._drop_idle(origin)  # what one keep-alive limit closed, it closed everywhere
        connection, _ = await self._acquire(origin, target, deadline)
        return await self._exchange(connection, payload, deadline - loop.time(), is_head)

    def post(self, target: Target, payload: bytes, sender: Sender, *, timeout_s: float) -> None:
        """Write a whole request, at once on an idle connection or else on the next that is there for it.

        timeout_s  for all of the answer, unlike in `send`, and the wait for a connection
        sender     gets the head, or the failure, and is told which connection it is on

        Raises `UpstreamUnreachable` when it can be had by no wait.
        """
        origin = self._origins.get((target.is_tls, target.host, target.port)) or self._origin(target)
        connection = self._idle(origin)
        if connection is not None and not self._is_closed:
            self.begin(connection, payload, sender, timeout_s)
            return
        deadline = asyncio.get_running_loop().time() + timeout_s
        self.find_place(Posting(self, origin, target, payload, sender, deadline))

    async def aclose(self) -> None:
        """Close every connection; running requests fail, later ones are refused."""
        self._is_closed = True
        for origin in self._origins.values():
            while (waiter := origin.next_waiter()) is not None:
                waiter.refuse(closed())
        for dial in self._dials:
            dial.cancel()
        for connection in list(self._origin_of):
            connection.abort()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        await asyncio.sleep(0)  # the transports tell of their end in the loop's next step

    @property
    def connection_count(self) -> int:
        """How many connections are open, idle ones included."""
        return len(self._origin_of)

    # --- for a posting ---------------------------------------------------------------------

    def begin(self, connection: H1Connection, payload: bytes, sender: Sender, timeout_s: float) -> None:
        """Write on a connection that is free."""
        self._busy.add(connection)
        self._start_ticking()
        sender.connection = connection
        connection.begin(payload, sender, timeout_s=timeout_s)
        connection.ends_at = connection.deadline

    def find_place(self, posting: Posting) -> None:
        """Give a posting an idle connection or the right to open one, or put it in line. Raises like `post`."""
        if self._is_closed:
            raise closed()
        origin = posting.origin
        idle = self._idle(origin)
        if idle is not None:
            posting.take(idle)
        elif origin.open < self._settings.max_connections:
            origin.open += 1
            posting.take(None)
        else:
            origin.wait(posting, self._settings.max_waiting)
            self._start_ticking()

    def open_for(self, posting: Posting) -> None:
        """Open a connection in the place that is the posting's, in a task."""
        dial = asyncio.ensure_future(self._connect(posting.origin, posting.target, posting.deadline))
        self._dials.add(dial)
        dial.add_done_callback(partial(self._opened, posting))

    def _opened(self, posting: Posting, dial: "asyncio.Future[H1Connection]") -> None:
        self._dials.discard(dial)
        failure = closed() if dial.cancelled() else dial.exception()
        if failure is None:
            posting.take(dial.result())
            return
        self._free_place(posting.origin)
        is_told = isinstance(failure, UpstreamFailed)
        posting.refuse(failure if is_told else UpstreamUnreachable("no connection to the upstream could be opened"))
        if not is_told:
            raise failure  # a fault of our own: the loop tells the operator

    # --- for the connections ---------------------------------------------------------------

    def released(self, connection: H1Connection) -> None:
        self._busy.discard(connection)
        origin = self._origin_of.get(connection)
        if origin is None or self._is_closed:
            connection.abort()
            return
        waiter = origin.next_waiter()
        if waiter is None:
            origin.idle.append(connection)
        else:
            waiter.take(connection)

    def lost(self, connection: H1Connection) -> None:
        self._busy.discard(connection)
        origin = self._origin_of.pop(connection, None)
        if origin is not None:
            if connection in origin.idle:
                origin.idle.remove(connection)
            self._free_place(origin)

    # --- inside ----------------------------------------------------------------------------

    async def _exchange(self, connection: H1Connection, payload: bytes, timeout_s: float, is_head: bool) -> H1Response:
        self._busy.add(connection)
        self._start_ticking()
        try:
            return await connection.start(payload, timeout_s=timeout_s, is_head_request=is_head)
        except asyncio.CancelledError:
            connection.abort()
            raise

    async def _acquire(self, origin: Origin, target: Target, deadline: float) -> tuple[H1Connection, bool]:
        """Return (connection, whether it was used before)."""
        if self._is_closed:
            raise closed()
        idle = self._idle(origin)
        if idle is not None:
            return idle, True
        if origin.open >= self._settings.max_connections:
            handed = await self._wait(origin, deadline)
            if handed is not None and handed.is_usable:
                return handed, True
            if handed is not None:  # it died between two requests, and freed its place by that
                return await self._acquire(origin, target, deadline)
        else:
            origin.open += 1
        try:
            return await self._connect(origin, target, deadline), False
        except BaseException:
            self._free_place(origin)
            raise

    def _idle(self, origin: Origin) -> H1Connection | None:
        """Take the connection that was used last, closing those that are too old."""
        now = asyncio.get_running_loop().time()
        while origin.idle:
            connection = origin.idle.pop()
            if connection.is_usable and now - connection.idle_since <= self._settings.max_idle_s:
                return connection
            connection.abort()
        return None

    async def _wait(self, origin: Origin, deadline: float) -> H1Connection | None:
        waiter = Waiting(deadline)
        origin.wait(waiter, self._settings.max_waiting)
        self._start_ticking()
        try:
            return await waiter.future
        except asyncio.CancelledError:
            if waiter.future.cancelled():
                origin.forget(waiter)
            else:  # handed over just before: pass it on
                self._pass_on(origin, waiter)
            raise
        except UpstreamFailed:
            origin.forget(waiter)
            raise

    def _pass_on(self, origin: Origin, waiter: Waiting) -> None:
        if waiter.future.exception() is not None:
            return
        connection = waiter.future.result()
        if connection is None:
            self._free_place(origin)
        else:
            self.released(connection)

    def _free_place(self, origin: Origin) -> None:
        waiter = None if self._is_closed else origin.next_waiter()
        if waiter is None:
            origin.open -= 1
        else:
            waiter.take(None)

    async def _connect(self, origin: Origin, target: Target, deadline: float) -> H1Connection:
        loop = asyncio.get_running_loop()
        limit = min(loop.time() + self._settings.connect_timeout_s, deadline)
        try:
            async with asyncio.timeout_at(limit):
                connection = await self._dial(target, loop)
        except TimeoutError as error:
            raise UpstreamUnreachable("no connection to the upstream within its time limit") from error
        if self._is_closed:
            connection.abort()
            raise closed()
        if connection.is_closed:  # between two steps of the loop: `lost` has already been here
            raise UpstreamUnreachable("the upstream closes connections at once")
        self._origin_of[connection] = origin
        return connection

    async def _dial(self, target: Target, loop: asyncio.AbstractEventLoop) -> H1Connection:
        addresses = await resolve(target.host, target.port, self._settings.rules, getaddrinfo=self._getaddrinfo)
        context = self._context() if target.is_tls else None
        failure: OSError | None = None
        for family, ip in addresses[:MAX_DIALS]:
            try:
                _, connection = await loop.create_connection(
                    lambda: H1Connection(self, self._settings.h1, loop),
                    ip,
                    target.port,
                    family=family,
                    ssl=context,
                    server_hostname=target.host if context is not None else None,
                )
            except ssl.SSLError as error:
                raise UpstreamUnreachable("the upstream's TLS handshake failed", code="upstream_tls") from error
            except OSError as error:
                failure = error
            else:
                return connection
        raise UpstreamUnreachable("the upstream refuses connections") from failure

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _origin(self, target: Target) -> Origin:
        key = (target.is_tls, target.host, target.port)
        origin = self._origins.get(key)
        if origin is None:
            if len(self._origins) >= MAX_ORIGINS:
                raise busy("this upstream has too many addresses")
            origin = self._origins[key] = Origin()
        return origin

    def _drop_idle(self, origin: Origin) -> None:
        while origin.idle:
            origin.idle.pop().abort()

    # --- time ------------------------------------------------------------------------------

    def _start_ticking(self) -> None:
        if self._ticker is None:
            self._ticker = asyncio.get_running_loop().call_later(self._settings.tick_s, self._tick)

    def _tick(self) -> None:
        """End what is overdue. One timer for the whole pool, stopped while there is nothing to time."""
        now = asyncio.get_running_loop().time()
        for connection in [c for c in self._busy if c.deadline < now or c.ends_at < now]:
            connection.overdue()
        for origin in self._origins.values():
            origin.refuse_overdue(now)
            while origin.idle and now - origin.idle[0].idle_since > self._settings.max_idle_s:
                origin.idle.popleft().abort()
        self._ticker = None
        if self._busy or any(origin.idle or origin.waiting for origin in self._origins.values()):
            self._start_ticking()
