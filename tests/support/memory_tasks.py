"""`TaskStore` in memory, as plainly as it can be said: what the adapters are held to."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent_gateway.stores.task_store import (
    MAX_CONTEXTS_PER_OWNER,
    MAX_TASKS_PER_OWNER,
    Choice,
    Owner,
    Seen,
    Task,
    Where,
)


@dataclass
class MemoryTasks:
    max_tasks: int = MAX_TASKS_PER_OWNER
    max_contexts: int = MAX_CONTEXTS_PER_OWNER
    tasks: dict[tuple[str, str], tuple[Owner, str, Task]] = field(
        default_factory=dict[tuple[str, str], tuple[Owner, str, Task]]
    )
    contexts: dict[tuple[str, str], tuple[Owner, float]] = field(
        default_factory=dict[tuple[str, str], tuple[Owner, float]]
    )

    def claim(self, where: Where, tasks: Sequence[Seen], contexts: Sequence[str], now: float) -> bool:
        named = [*contexts, *(task.context for task in tasks if task.context)]
        owners = [self.tasks[where.agent, one.id][0] for one in tasks if (where.agent, one.id) in self.tasks]
        owners += [self.contexts[where.agent, one][0] for one in named if (where.agent, one) in self.contexts]
        if any(owner != where.owner for owner in owners):
            return False
        for one in tasks:
            _, skill, old = self.tasks.get((where.agent, one.id), (None, where.skill, Task(one.id, "", "", now, now)))
            new = replace(old, context=one.context or old.context, state=one.state or old.state, updated_at=now)
            self.tasks[where.agent, one.id] = (where.owner, skill, new)
        for one in named:
            self.contexts[where.agent, one] = (where.owner, now)
        self._bound(where)
        return True

    def _bound(self, where: Where) -> None:
        mine = sorted(
            (task.updated_at, key)
            for key, (owner, _, task) in self.tasks.items()
            if owner == where.owner and key[0] == where.agent
        )
        for _, key in mine[: max(0, len(mine) - self.max_tasks)]:
            del self.tasks[key]
        known = sorted(
            (at, key) for key, (owner, at) in self.contexts.items() if owner == where.owner and key[0] == where.agent
        )
        for _, key in known[: max(0, len(known) - self.max_contexts)]:
            del self.contexts[key]

    def owns(self, where: Where, tasks: Sequence[str], contexts: Sequence[str]) -> bool:
        found = [self.tasks.get((where.agent, one)) for one in tasks]
        return all(one is not None and one[0] == where.owner and where.skill in ("", one[1]) for one in found) and all(
            self.contexts.get((where.agent, one), (None, 0))[0] == where.owner for one in contexts
        )

    def mine(self, where: Where, tasks: Sequence[str]) -> frozenset[str]:
        return frozenset(one for one in tasks if self.owns(where, [one], []))

    def _chosen(self, where: Where, choice: Choice) -> list[Task]:
        found = [
            task
            for (agent, _), (owner, skill, task) in self.tasks.items()
            if (agent, owner) == (where.agent, where.owner)
            and where.skill in ("", skill)
            and choice.id in ("", task.id)
            and choice.context in ("", task.context)
            and choice.state in ("", task.state)
            and task.updated_at >= choice.since
        ]
        return sorted(found, key=lambda task: (task.updated_at, task.id), reverse=True)

    def page(self, where: Where, choice: Choice, after: tuple[float, str] | None, limit: int) -> Sequence[Task]:
        found = self._chosen(where, choice)
        return [task for task in found if after is None or (task.updated_at, task.id) < after][:limit]

    def count(self, where: Where, choice: Choice) -> int:
        return len(self._chosen(where, choice))

    def prune(self, before: float) -> None:
        self.tasks = {key: one for key, one in self.tasks.items() if one[2].updated_at >= before}
        self.contexts = {key: one for key, one in self.contexts.items() if one[1] >= before}

    def close(self) -> None:
        pass
