"""The store of tasks of one worker: opened, kept from growing for ever, closed."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from agent_gateway.ports import Clock
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.chores import Chores
from agent_gateway.stores.sqlite_tasks import SqliteTasks
from agent_gateway.stores.task_store import Tasks

KEEP_S = 30 * 86_400.0  # a task that has been silent for so long is forgotten
_PRUNE_EVERY_S = 3600.0


@contextlib.asynccontextmanager
async def open_tasks(data: DataDir, clock: Clock) -> AsyncGenerator[Tasks]:
    """Keep the store open while the block runs; what is old is forgotten now and then."""
    tasks = Tasks(SqliteTasks(data.tasks), clock)
    chores = Chores()
    chores.start("forgetting old tasks", lambda: _prune(tasks))
    try:
        yield tasks
    finally:
        await chores.aclose()
        await tasks.aclose()


async def _prune(tasks: Tasks) -> None:
    while True:
        await asyncio.sleep(_PRUNE_EVERY_S)
        await tasks.prune(KEEP_S)
