"""Places: the connections to one origin, and who waits for one of them, first come, first served."""

import asyncio
from collections import deque
from typing import Protocol

from agent_gateway.upstreams.h1 import H1Connection
from gateway_policies.refusal import UpstreamFailed, UpstreamUnreachable


class Waiter(Protocol):
    """Somebody who waits for a connection until `deadline`, in loop time; none of its methods raises."""

    deadline: float

    def done(self) -> bool: ...
    def take(self, connection: H1Connection | None, /) -> None: ...  # None: a place is yours, open a connection
    def refuse(self, failure: UpstreamFailed, /) -> None: ...
    def overdue(self) -> None: ...


class Waiting:
    """A task that waits: what it is given is in `future`."""

    __slots__ = ("deadline", "future")

    def __init__(self, deadline: float) -> None:
        self.future: asyncio.Future[H1Connection | None] = asyncio.get_running_loop().create_future()
        self.deadline = deadline

    def done(self) -> bool:
        return self.future.done()

    def take(self, connection: H1Connection | None, /) -> None:
        self.future.set_result(connection)

    def refuse(self, failure: UpstreamFailed, /) -> None:
        self.future.set_exception(failure)

    def overdue(self) -> None:
        self.refuse(busy("no connection to this upstream became free in time"))


class Origin:
    """The connections to one (scheme, host, port)."""

    __slots__ = ("idle", "open", "waiting")

    def __init__(self) -> None:
        self.idle: deque[H1Connection] = deque()  # last in, first out
        self.open = 0  # connections alive or being opened
        self.waiting: deque[Waiter] = deque()

    def wait(self, waiter: Waiter, max_waiting: int) -> None:
        """Put `waiter` in line; raises `UpstreamUnreachable` (`upstream_busy`) behind `max_waiting` others."""
        if len(self.waiting) >= max_waiting:
            raise busy("too many requests wait for this upstream")
        self.waiting.append(waiter)

    def next_waiter(self) -> Waiter | None:
        """Take who waits longest out of the line."""
        while self.waiting:
            waiter = self.waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    def forget(self, waiter: Waiter) -> None:
        """Take somebody out of the line who waits no longer."""
        if waiter in self.waiting:
            self.waiting.remove(waiter)

    def refuse_overdue(self, now: float) -> None:
        """Tell those in line whose time is over."""
        for waiter in [waiter for waiter in self.waiting if waiter.deadline < now and not waiter.done()]:
            waiter.overdue()


def busy(message: str) -> UpstreamUnreachable:
    """Return the refusal for an upstream that has no connection to spare."""
    return UpstreamUnreachable(message, code="upstream_busy", retry_after_s=1.0)


def closed() -> UpstreamUnreachable:
    """Return the refusal for an upstream that is no longer there."""
    return UpstreamUnreachable("this upstream was removed")
