"""Whose tasks and contexts are: the port, its values, and the async front that a worker uses.

A task belongs to whoever made it, at one agent, from its first message on. The first to
claim an id has it; nobody else ever gets it while it is kept. What a foreign id is
answered with is decided by the listener: the same as for one that never was.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

from agent_gateway.ports import Clock
from gateway_policies.principal import Principal

MAX_TASKS_PER_OWNER = 10_000  # at one agent; beyond it the one that was silent longest is forgotten
MAX_CONTEXTS_PER_OWNER = 10_000
MAX_IDS = 128  # that one question may name

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose something is: `key` is the principal with everybody that it acts for."""

    tenant: str
    key: str


def owner_of(principal: Principal) -> Owner:
    """Return the owner of what `principal` makes.

    An agent is itself whatever proves it; acting for somebody else, it is somebody else.
    """
    who = ["agent", principal.id] if principal.kind == "agent" else [principal.kind, principal.issuer, principal.id]
    chain = [[hop.issuer, hop.subject] for hop in principal.chain]
    return Owner(principal.tenant, json.dumps([who, chain], separators=(",", ":")))


@dataclass(frozen=True, slots=True)
class Seen:
    """A task as an agent tells of it; empty where it does not say.

    state  in the spelling of both versions at once: `working`, `input-required`
    """

    id: str
    context: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One owned task; times are unix seconds."""

    id: str
    context: str
    state: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Where:
    """Whose ids, at which agent; `skill` is the one they came about by, empty for the agent as a whole."""

    owner: Owner
    agent: str
    skill: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of one's tasks are wanted; empty means any.

    since  unix seconds: changed then or later
    id     the one task of that name
    """

    id: str = ""
    context: str = ""
    state: str = ""
    since: float = 0.0


class TaskStore(Protocol):
    """Durable, shared by every worker; each method is one transaction and raises `Unavailable`."""

    def claim(self, where: Where, tasks: Sequence[Seen], contexts: Sequence[str], now: float) -> bool:
        """Take every id that is free, and note what is new of one's own; False, and nothing, if one is another's."""
        ...

    def owns(self, where: Where, tasks: Sequence[str], contexts: Sequence[str]) -> bool:
        """Say whether every id is known and the owner's; with a skill, whether every task came about by it."""
        ...

    def mine(self, where: Where, tasks: Sequence[str]) -> frozenset[str]:
        """Return those of these tasks that `owns` says yes to."""
        ...

    def page(self, where: Where, choice: Choice, after: tuple[float, str] | None, limit: int) -> Sequence[Task]:
        """Return the owner's tasks, last changed first; `after` is (updated_at, id) of the last one seen."""
        ...

    def count(self, where: Where, choice: Choice) -> int:
        """Return how many `page` would give in all."""
        ...

    def prune(self, before: float) -> None:
        """Forget what has not changed since `before`, unix seconds."""
        ...

    def close(self) -> None: ...


class Tasks:
    """A worker's view of a `TaskStore`: every question is put in one thread of its own."""

    def __init__(self, store: TaskStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tasks")

    async def claim(self, where: Where, tasks: Sequence[Seen], contexts: Sequence[str]) -> bool:
        """See `TaskStore.claim`."""
        return await self._run(lambda: self._store.claim(where, tasks, contexts, self._clock()))

    async def owns(self, where: Where, tasks: Sequence[str], contexts: Sequence[str] = ()) -> bool:
        """See `TaskStore.owns`; more than `MAX_IDS` ids are never all one's own."""
        if len(tasks) + len(contexts) > MAX_IDS:
            return False
        return await self._run(lambda: self._store.owns(where, tasks, contexts))

    async def mine(self, where: Where, tasks: Sequence[str]) -> frozenset[str]:
        """See `TaskStore.mine`."""
        return await self._run(lambda: self._store.mine(where, tasks)) if tasks else frozenset()

    async def page(
        self, where: Where, choice: Choice, after: tuple[float, str] | None, limit: int
    ) -> tuple[Sequence[Task], int]:
        """Return a page of the owner's tasks, and how many there are in all."""
        return await self._run(
            lambda: (self._store.page(where, choice, after, limit), self._store.count(where, choice))
        )

    async def prune(self, older_than_s: float) -> None:
        """Forget what has been silent for so long."""
        await self._run(lambda: self._store.prune(self._clock() - older_than_s))

    async def aclose(self) -> None:
        await self._run(self._store.close)
        self._thread.shutdown(wait=False)

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
