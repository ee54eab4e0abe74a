"""Small things an upstream does beside its requests: cancel notices, farewells to sessions.

A chore never fails anybody: what the upstream does to it is dropped.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

from gateway_policies.refusal import UpstreamFailed

MAX_CHORES = 128  # at once; beyond that new ones are not begun


class Chores:
    """The chores of one upstream.

    limit_s  seconds that one may take
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[object, object, object]) -> None:
        """Begin `work` in the background, unless too many run."""
        if len(self._tasks) >= MAX_CHORES:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(self._run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Return once every chore is done or out of time."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _run(self, work: Coroutine[object, object, object]) -> None:
        with suppress(UpstreamFailed, TimeoutError):
            async with asyncio.timeout(self._limit_s):
                await work
