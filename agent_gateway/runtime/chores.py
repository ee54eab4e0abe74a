"""Background work of a worker, watched over: what fails is told and begun again, never silently gone.

This is the supervisor's wall, one of the three places that catch any error.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from agent_gateway.telemetry.logs import log

BEGIN_AGAIN_AFTER_S = 1.0

Work = Callable[[], Awaitable[None]]


class Chores:
    """Runs each chore until `aclose`, whatever happens in it."""

    def __init__(self, begin_again_after_s: float = BEGIN_AGAIN_AFTER_S) -> None:
        self._begin_again_after_s = begin_again_after_s
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Work) -> None:
        """Begin `work`; it is called anew when it fails or returns."""
        self._tasks.append(asyncio.ensure_future(self._watch_over(name, work)))

    async def aclose(self) -> None:
        """End every chore and wait for its end."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _watch_over(self, name: str, work: Work) -> None:
        while True:
            try:
                await work()
            except Exception:  # noqa: BLE001 - the supervisor's wall: the other chores and every call go on
                log(logging.ERROR, "background work failed and begins again", chore=name, exc_info=True)
            await asyncio.sleep(self._begin_again_after_s)
