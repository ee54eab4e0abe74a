"""The open streams of the HTTP+SSE transport at this worker, and what is served for each."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from agent_gateway.runtime.counting import Changes


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

    def begin(self, work: Awaitable[None]) -> None:
        """Serve one message beside the others."""
        task: asyncio.Future[None] = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class PostedStreams:
    """Every open stream of this worker, by name."""

    def __init__(self) -> None:
        self._open: dict[str, PostedStream] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, stream: PostedStream) -> None:
        """Know one more."""
        self._open[stream.name] = stream

    def find(self, name: str) -> PostedStream | None:
        """Return an open stream, None when there is none by that name."""
        return self._open.get(name)

    async def end(self, stream: PostedStream) -> None:
        """Forget a stream and cancel what is served for it: nobody is left to hear of it."""
        del self._open[stream.name]
        tasks = [*stream.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
