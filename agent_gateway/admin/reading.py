"""Reading files for the admin API: in threads, a few at a time, never in the way of a call; and who goes on reading."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter

from gateway_policies.refusal import TooMuch, Unavailable

MAX_READERS: Final = 4
MAX_WAITING: Final = 32

T = TypeVar("T")


class Readers:
    """A few threads for blocking reads; belongs to one event loop."""

    def __init__(self) -> None:
        self._threads: CapacityLimiter | None = None
        self._waiting = 0

    async def read(self, look: Callable[[], T]) -> T:
        """Return `look()`, run in a thread.

        Raises what it raises, `TooMuch` when `MAX_WAITING` wait already, `Unavailable` for an unreadable file.
        """
        if self._waiting >= MAX_WAITING:
            raise TooMuch("too many questions are being answered", code="over_concurrency", retry_after_s=1)
        if self._threads is None:
            self._threads = CapacityLimiter(MAX_READERS)
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(look, limiter=self._threads)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable("a file of the data directory cannot be read", hint="run `doctor`") from error
        finally:
            self._waiting -= 1


@dataclass(slots=True)
class Streams:
    """The streams that are open in this worker.

    closing  set when the worker ends: every stream then ends too
    """

    closing: anyio.Event = field(default_factory=anyio.Event)
    count: int = 0
