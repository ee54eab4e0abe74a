"""A request that is sent by callback as soon as the pool has a connection for it: no task waits.

It stands in the same line as tasks that wait, and has one deadline for all: the connection and the answer.
"""

from asyncio import get_running_loop
from typing import Protocol

from agent_gateway.upstreams.h1 import H1Connection, Taker
from agent_gateway.upstreams.h1_request import Target
from agent_gateway.upstreams.http_places import Origin
from gateway_policies.refusal import UpstreamFailed, UpstreamTimeout, UpstreamUnreachable


class Sender(Taker, Protocol):
    """Who sends a request: `posting` while it waits for a connection, then `connection`."""

    connection: H1Connection | None
    posting: "Posting | None"


class Lender(Protocol):
    """The pool, from the posting's side."""

    def begin(self, connection: H1Connection, payload: bytes, sender: Sender, timeout_s: float) -> None: ...
    def find_place(self, posting: "Posting", /) -> None: ...
    def open_for(self, posting: "Posting", /) -> None: ...
    def released(self, connection: H1Connection) -> None: ...


class Posting:
    """One request that waits for its connection. A `Waiter`."""

    __slots__ = ("_lender", "_payload", "_sender", "deadline", "origin", "target")

    def __init__(
        self, lender: Lender, origin: Origin, target: Target, payload: bytes, sender: Sender, deadline: float
    ) -> None:
        self.origin = origin
        self.target = target
        self.deadline = deadline
        self._lender = lender
        self._payload = payload
        self._sender = sender
        sender.posting = self

    def done(self) -> bool:
        return self._sender.done()

    def take(self, connection: H1Connection | None, /) -> None:
        """Send on `connection`; None: open one first, in a place that is ours."""
        if connection is None:
            self._lender.open_for(self)
        elif self._sender.done():  # its caller has left while it was opened
            self._lender.released(connection)
        elif connection.is_usable:
            self._sender.posting = None
            self._lender.begin(connection, self._payload, self._sender, self.deadline - get_running_loop().time())
        else:  # it died between two requests, and freed its place by that
            try:
                self._lender.find_place(self)
            except UpstreamUnreachable as failure:
                self.refuse(failure)

    def refuse(self, failure: UpstreamFailed, /) -> None:
        """End without an answer; one that comes after the deadline is told as late."""
        if self._sender.done():
            return
        self._sender.posting = None
        is_late = get_running_loop().time() >= self.deadline
        self._sender.set_exception(UpstreamTimeout("no connection became free in time") if is_late else failure)

    def overdue(self) -> None:
        """Leave the line: the deadline has passed."""
        self.withdraw()
        self.refuse(UpstreamTimeout("no connection became free in time"))

    def withdraw(self) -> None:
        """Leave the line: nobody waits for the answer any more. A connection that is being opened becomes idle."""
        self.origin.forget(self)
