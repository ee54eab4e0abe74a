"""The open streams of the HTTP+SSE transport at this worker, and what is served for each."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

from agent_gateway.runtime.counting import Changes
from gateway_policies.refusal import TooMuch

MAX_HELD_BYTES: Final = 16 * 1024 * 1024  # of one caller's messages that are being served, on all its streams


@dataclass(slots=True, eq=False)
class PostedStream:
    """One stream. Messages come by POST, what they are answered with goes out with `say`.

    owner       whose it is, and at which endpoint
    used_at     clock time of the last message
    session_id  the legacy session behind it, empty before `initialize`
    begun       rings once there is one
    tasks       the messages that are being served
    """

    owner: Hashable
    say: Callable[[bytes], Awaitable[None]]
    used_at: float
    name: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    session_id: str = ""
    begun: Changes = field(default_factory=Changes)
    tasks: set[asyncio.Future[None]] = field(default_factory=set[asyncio.Future[None]])


class PostedStreams:
    """Every open stream of this worker, by name."""

    def __init__(self) -> None:
        self._open: dict[str, PostedStream] = {}
        self._held: dict[Hashable, int] = {}  # bytes, by caller

    def __len__(self) -> int:
        return len(self._open)

    def add(self, stream: PostedStream) -> None:
        """Know one more."""
        self._open[stream.name] = stream

    def find(self, name: str) -> PostedStream | None:
        """Return an open stream, None when there is none by that name."""
        return self._open.get(name)

    def begin(
        self, stream: PostedStream, caller: Hashable, size_bytes: int, work: Callable[[], Awaitable[None]]
    ) -> None:
        """Serve one message beside the others; raises `TooMuch` while the caller's hold too many bytes."""
        held = self._held.get(caller, 0)
        if held and held + size_bytes > MAX_HELD_BYTES:
            # Whoever posts does not wait for an answer here, so nothing else would slow it down.
            raise TooMuch("the messages that are served already are too large together", code="over_concurrency")
        self._held[caller] = held + size_bytes
        task: asyncio.Future[None] = asyncio.ensure_future(work())
        stream.tasks.add(task)

        def over(done: asyncio.Future[None]) -> None:
            stream.tasks.discard(done)
            self._held[caller] -= size_bytes
            if not self._held[caller]:
                del self._held[caller]

        task.add_done_callback(over)

    async def end(self, stream: PostedStream) -> None:
        """Forget a stream and cancel what is served for it: nobody is left to hear of it."""
        del self._open[stream.name]
        tasks = [*stream.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
