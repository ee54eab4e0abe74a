"""What one worker keeps besides calls: whose agents' tasks are, who wants to hear of them, published servers."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from agent_gateway.audit import keys
from agent_gateway.ports import Clock
from agent_gateway.runtime.books import DataDir
from agent_gateway.runtime.chores import Chores
from agent_gateway.runtime.push_relay import PushRelay
from agent_gateway.stores.ended_tasks import EndedTasks
from agent_gateway.stores.server_store import ServerStore
from agent_gateway.stores.sqlite_push import SqlitePush
from agent_gateway.stores.sqlite_tasks import SqliteTasks
from agent_gateway.stores.task_store import Tasks

KEEP_S = 30 * 86_400.0  # a task that has been silent for so long is forgotten
_PRUNE_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class TaskBooks:
    """The stores, open."""

    tasks: Tasks
    ended: EndedTasks
    push: PushRelay
    servers: ServerStore


@contextlib.asynccontextmanager
async def open_task_books(data: DataDir, clock: Clock) -> AsyncGenerator[TaskBooks]:
    """Keep the stores open while the block runs; what is due is delivered, what is old is forgotten."""
    secret = await asyncio.to_thread(keys.sealing_secret, data.keys / "push.key")
    tasks = Tasks(SqliteTasks(data.tasks), clock)
    ended = EndedTasks(data.ended_tasks, clock)
    push = PushRelay(SqlitePush(data.push), secret, clock)
    chores = Chores()
    chores.start("forgetting old tasks", lambda: _prune(tasks, ended, push))
    chores.start("push notifications", push.run)
    try:
        yield TaskBooks(tasks, ended, push, ServerStore(data.registry))
    finally:
        await chores.aclose()
        await push.aclose()
        await ended.aclose()
        await tasks.aclose()


async def _prune(tasks: Tasks, ended: EndedTasks, push: PushRelay) -> None:
    while True:
        await asyncio.sleep(_PRUNE_EVERY_S)
        await tasks.prune(KEEP_S)
        await ended.prune()
        await push.prune(KEEP_S)
