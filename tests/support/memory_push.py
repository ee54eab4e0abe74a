"""`PushStore` in memory, as plainly as it can be said: what the adapters are held to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from agent_gateway.stores.push_store import (
    MAX_HOOKS_PER_OWNER,
    MAX_WAITING_PER_OWNER,
    DeadLetter,
    Delivery,
    Hook,
    Share,
)
from agent_gateway.stores.task_store import Owner, Where


@dataclass
class MemoryPush:
    max_hooks: int = MAX_HOOKS_PER_OWNER
    max_waiting: int = MAX_WAITING_PER_OWNER
    hooks: dict[str, Hook] = field(default_factory=dict[str, Hook])
    ended: set[str] = field(default_factory=set[str])
    waiting: dict[int, tuple[Delivery, float]] = field(default_factory=dict[int, tuple[Delivery, float]])
    letters: list[DeadLetter] = field(default_factory=list[DeadLetter])
    count: int = 0

    def put(self, hook: Hook) -> bool:
        if hook.task:
            for other in self.of_task(hook.where, hook.task):
                if other.config_id == hook.config_id:
                    del self.hooks[other.id]
        same = [one for one in self.hooks.values() if _place(one.where) == _place(hook.where)]
        if len(same) >= self.max_hooks:
            return False
        self.hooks[hook.id] = hook
        return True

    def bind(self, hook_id: str, task: str) -> bool:
        hook = self.hooks.get(hook_id)
        if hook is None or hook.task not in ("", task):
            return False
        self.hooks[hook_id] = replace(hook, task=task)
        return True

    def get(self, hook_id: str) -> Hook | None:
        return self.hooks.get(hook_id)

    def of_task(self, where: Where, task: str) -> Sequence[Hook]:
        found = [one for one in self.hooks.values() if (_place(one.where), one.task) == (_place(where), task)]
        return sorted(found, key=lambda one: (one.created_at, one.id))

    def drop(self, hook_id: str) -> None:
        self.hooks.pop(hook_id, None)
        self.ended.discard(hook_id)
        self.waiting = {id_: pair for id_, pair in self.waiting.items() if pair[0].hook != hook_id}

    def add(self, hook_id: str, body: bytes, now: float, *, is_last: bool = False) -> bool:
        hook = self.hooks.get(hook_id)
        if hook is None:
            return False
        owner = hook.where.owner
        if sum(one.owner == owner for one, _ in self.waiting.values()) >= self.max_waiting:
            return False
        self.count += 1
        self.waiting[self.count] = (Delivery(self.count, hook_id, body, 0, owner), now)
        if is_last:
            self.ended.add(hook_id)
        return True

    def take(self, now: float, lease_s: float, share: Share) -> Sequence[Delivery]:
        oldest: dict[str, int] = {}
        for one, _ in self.waiting.values():
            oldest.setdefault(one.hook, one.id)
        places, ranked = Counter[Owner](), list[tuple[int, int]]()
        for id_, (one, due) in self.waiting.items():
            if due <= now and oldest[one.hook] == id_ and one.owner not in share.busy:
                places[one.owner] += 1
                if places[one.owner] <= share.per_owner:
                    ranked.append((places[one.owner], id_))
        taken = [id_ for _, id_ in sorted(ranked)[: share.limit]]
        for id_ in taken:
            self.waiting[id_] = (self.waiting[id_][0], now + lease_s)
        return [self.waiting[id_][0] for id_ in taken]

    def done(self, delivery: int) -> None:
        found = self.waiting.pop(delivery, None)
        if found is None:
            return
        hook = found[0].hook
        if hook in self.ended and all(one.hook != hook for one, _ in self.waiting.values()):
            self.drop(hook)

    def put_off(self, delivery: int, due: float) -> None:
        one = self.waiting[delivery][0]
        self.waiting[delivery] = (replace(one, tries=one.tries + 1), due)

    def bury(self, delivery: int, why: str, now: float) -> None:
        one = self.waiting[delivery][0]
        hook = self.hooks[one.hook]
        whose = (hook.where.owner.tenant, hook.where.agent, hook.task)
        self.letters.insert(0, DeadLetter(hook.id, why, now, *whose, len(one.body)))
        self.done(delivery)

    def dead(self) -> Sequence[DeadLetter]:
        return self.letters

    def prune(self, before: float) -> None:
        for hook in [one for one in self.hooks.values() if one.created_at < before]:
            self.drop(hook.id)

    def close(self) -> None:
        """Nothing is open."""


def _place(where: Where) -> tuple[Owner, str]:
    return where.owner, where.agent
