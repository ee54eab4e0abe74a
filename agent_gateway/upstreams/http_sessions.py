"""Sessions at a legacy HTTP upstream: one per owner and credential, opened when needed, ended when idle.

INVARIANT: two principals share a session only when their keys are equal.
How a session is opened and ended on the wire is the work of `mcp_http`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from agent_gateway.ports import Clock, ServerInfo
from gateway_policies.refusal import UpstreamUnreachable

Headers = Sequence[tuple[bytes, bytes]]
SessionKey = tuple[tuple[str, ...], bytes]


@dataclass(slots=True, eq=False)
class Session:
    """One handshake; `id` is empty when the upstream keeps no sessions."""

    id: str
    info: ServerInfo
    credentials: Headers
    inflight: int = 0
    used_at: float = 0.0  # clock time of the last request


def session_key(owner: tuple[str, ...], credentials: Headers) -> SessionKey:
    """Return what tells sessions apart; the credential goes in as a digest."""
    digest = sha256()
    for name, value in credentials:
        digest.update(b"%d:%b%d:%b" % (len(name), name, len(value), value))
    return owner, digest.digest()


class Sessions:
    """The sessions of one upstream.

    begin  opens one at the upstream; runs once per key however many wait for it
    end    tells the upstream that one is over; must not block
    """

    def __init__(
        self,
        begin: Callable[[Headers], Awaitable[Session]],
        end: Callable[[Session], None],
        *,
        limit: int,
        idle_s: float,
        clock: Clock,
    ) -> None:
        self._begin = begin
        self._end = end
        self._limit = limit
        self._idle_s = idle_s
        self._clock = clock
        self._open: dict[SessionKey, Session] = {}
        self._opening: dict[SessionKey, asyncio.Task[Session]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    async def get(self, owner: tuple[str, ...], credentials: Headers) -> Session:
        """Return the open session of this owner and credential, opening it when there is none.

        Raises what opening raises, or `UpstreamUnreachable` (code `upstream_busy`) at the limit.
        """
        key = session_key(owner, credentials)
        session = self._open.get(key)
        if session is None:
            task = self._opening.get(key)
            if task is None:
                self._make_room()
                task = asyncio.get_running_loop().create_task(self._begin_one(key, credentials))
                self._opening[key] = task
                task.add_done_callback(lambda done: self._opened(key, done))
            session = await asyncio.shield(task)  # who waits may go; the others still want it
        session.used_at = self._clock()
        return session

    def drop(self, session: Session) -> None:
        """Forget a session that the upstream no longer knows."""
        for key, known in self._open.items():
            if known is session:
                del self._open[key]
                return

    def expire(self) -> None:
        """End the sessions that nobody used for the idle time."""
        now = self._clock()
        for key, session in list(self._open.items()):
            if not session.inflight and now - session.used_at >= self._idle_s:
                del self._open[key]
                self._end(session)

    def close(self) -> None:
        """End every session."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for task in self._opening.values():
            task.cancel()
        for session in self._open.values():
            self._end(session)
        self._open.clear()

    async def _begin_one(self, key: SessionKey, credentials: Headers) -> Session:
        session = await self._begin(credentials)
        session.used_at = self._clock()
        self._open[key] = session
        self._start_timer()
        return session

    def _opened(self, key: SessionKey, task: asyncio.Task[Session]) -> None:
        del self._opening[key]
        if not task.cancelled():
            task.exception()  # whoever waits has been told; nobody may be left to be

    def _make_room(self) -> None:
        if len(self._open) + len(self._opening) < self._limit:
            return
        idle = [(session.used_at, key) for key, session in self._open.items() if not session.inflight]
        if not idle:
            raise UpstreamUnreachable(
                "this upstream has all the sessions it may have", code="upstream_busy", retry_after_s=5.0
            )
        self._end(self._open.pop(min(idle)[1]))

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_s / 4, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.expire()
        if self._open:
            self._start_timer()
