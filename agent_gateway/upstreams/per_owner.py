"""One live thing per owner: a legacy session or a child, opened when needed, ended when idle.

A legacy server is told once, at the handshake, what its client can do: so an owner has
one for each credential and each set of capabilities that it declares.

INVARIANT: two principals share one only when their keys are equal.
How one is opened and ended is the work of `mcp_http` and `mcp_stdio`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import sha256
from typing import Generic, Protocol, TypeVar

from agent_gateway.ports import Clock
from gateway_policies.refusal import UpstreamUnreachable

Headers = Sequence[tuple[bytes, bytes]]
Owner = tuple[str, ...]


class Kept(Protocol):
    """What can be kept: it knows how many requests run on it, and when the last one ended."""

    used_at: float  # clock time

    @property
    def inflight(self) -> int: ...


T = TypeVar("T", bound=Kept)


def credential_digest(credentials: Headers) -> bytes:
    """Return what tells credentials apart, without keeping them."""
    digest = sha256()
    for name, value in credentials:
        digest.update(b"%d:%b%d:%b" % (len(name), name, len(value), value))
    return digest.digest()


_Key = tuple[Owner, bytes, bytes]  # owner, digest of the credential, capabilities
NO_CAPABILITIES = b"{}"


class PerOwner(Generic[T]):
    """The sessions, or the children, of one upstream.

    begin      opens one for an owner, its credential and its capabilities (raw JSON, as `speak.declared`
               spells them); runs once per key however many wait for it
    end        ends one; must not block
    limit      of all; the idle one that was used least recently gives way
    per_owner  of one owner and credential, so that nobody takes all by declaring ever new capabilities
    """

    def __init__(
        self,
        begin: Callable[[Owner, Headers, bytes], Awaitable[T]],
        end: Callable[[T], None],
        *,
        limit: int,
        per_owner: int,
        idle_s: float,
        clock: Clock,
    ) -> None:
        self._begin = begin
        self._end = end
        self._limit = limit
        self._per_owner = per_owner
        self._idle_s = idle_s
        self._clock = clock
        self._open: dict[_Key, T] = {}
        self._opening: dict[_Key, asyncio.Task[T]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    async def get(self, owner: Owner, credentials: Headers, capabilities: bytes = NO_CAPABILITIES) -> T:
        """Return the open one of this owner, credential and capabilities, opening it when there is none.

        Raises what opening raises, or `UpstreamUnreachable` (code `upstream_busy`) at the limit.
        """
        key = (owner, credential_digest(credentials), capabilities)
        kept = self._open.get(key)
        if kept is None:
            if self._is_closed:
                raise UpstreamUnreachable("this upstream was removed")
            task = self._opening.get(key)
            if task is None:
                self._make_room(key)
                task = asyncio.get_running_loop().create_task(self._begin_one(key, credentials))
                self._opening[key] = task
                task.add_done_callback(lambda done: self._opened(key, done))
            try:
                kept = await asyncio.shield(task)  # who waits may go; the others still want it
            except asyncio.CancelledError:
                if task.cancelled():
                    raise UpstreamUnreachable("this upstream was removed") from None
                raise
        kept.used_at = self._clock()
        return kept

    def drop(self, kept: T) -> None:
        """Forget one that is over."""
        for key, known in self._open.items():
            if known is kept:
                del self._open[key]
                return

    def expire(self) -> None:
        """End the ones that nobody used for the idle time."""
        now = self._clock()
        for key, kept in list(self._open.items()):
            if not kept.inflight and now - kept.used_at >= self._idle_s:
                del self._open[key]
                self._end(kept)

    async def aclose(self) -> None:
        """End every one, and refuse to open more."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        opening = list(self._opening.values())
        for task in opening:
            task.cancel()
        await asyncio.gather(*opening, return_exceptions=True)
        for kept in self._open.values():
            self._end(kept)
        self._open.clear()

    async def _begin_one(self, key: _Key, credentials: Headers) -> T:
        kept = await self._begin(key[0], credentials, key[2])
        kept.used_at = self._clock()
        self._open[key] = kept
        if self._timer is None:
            self._start_timer()
        return kept

    def _opened(self, key: _Key, task: asyncio.Task[T]) -> None:
        del self._opening[key]
        if not task.cancelled():
            task.exception()  # whoever waits has been told; nobody may be left to be

    def _make_room(self, wanted: _Key) -> None:
        siblings = [key for key in (*self._open, *self._opening) if key[:2] == wanted[:2]]
        if len(siblings) >= self._per_owner:
            self._end_one([key for key in siblings if key in self._open])
        elif len(self._open) + len(self._opening) >= self._limit:
            self._end_one(self._open)

    def _end_one(self, keys: Iterable[_Key]) -> None:
        idle = [(self._open[key].used_at, key) for key in keys if not self._open[key].inflight]
        if not idle:
            raise UpstreamUnreachable(
                "this upstream has all the sessions it may have", code="upstream_busy", retry_after_s=5.0
            )
        self._end(self._open.pop(min(idle)[1]))

    def _start_timer(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._idle_s / 4, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self.expire()
        if self._open:
            self._start_timer()
