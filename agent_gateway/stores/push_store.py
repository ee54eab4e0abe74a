"""Webhooks of callers, and what waits to be posted to them: the port and its values.

A hook is sealed by its relay: the store never sees where it leads. Deliveries are taken
with a lease, so a worker that dies loses none; one that never succeeds becomes a dead letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from agent_gateway.stores.task_store import Owner, Where

MAX_HOOKS_PER_OWNER = 1000  # at one agent
MAX_WAITING = 10_000  # deliveries, of all hooks
MAX_WAITING_PER_OWNER = 1000  # so that one whose webhooks are dead takes nobody else's room
MAX_DEAD = 1000  # dead letters that are kept, the newest


@dataclass(frozen=True, slots=True)
class Hook:
    """One registered webhook.

    id         that the agent posts under, unguessable
    task       whose updates it is for; empty until the agent has said which
    config_id  the name of the configuration, the same for caller and agent
    sealed     where it leads and with which credentials; only the relay can read it
    """

    id: str
    where: Where
    task: str
    config_id: str
    sealed: bytes
    created_at: float = 0.0  # unix seconds


@dataclass(frozen=True, slots=True)
class Delivery:
    """One update on its way; `tries` have failed so far."""

    id: int
    hook: str
    body: bytes
    tries: int
    owner: Owner


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An update that never arrived. `at` in unix seconds; an older gateway kept hook and reason only.

    agent  the upstream whose update it is
    why    the code of the last failure
    """

    hook: str
    why: str
    at: float
    tenant: str
    agent: str
    task: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Share:
    """How much to take at once.

    limit      updates in all
    per_owner  of one owner: the first updates of everybody come before the second of anybody
    busy       owners that have enough on their way
    """

    limit: int
    per_owner: int
    busy: frozenset[Owner] = frozenset()


class PushStore(Protocol):
    """Durable, shared by every worker; each method is one transaction and raises `Unavailable`."""

    def put(self, hook: Hook) -> bool:
        """Keep a hook; one of the same owner, task and name is replaced. False when the owner has too many."""
        ...

    def bind(self, hook_id: str, task: str) -> bool:
        """Say which task a hook is for; False when it is for another already, or gone."""
        ...

    def get(self, hook_id: str) -> Hook | None:
        """Return a hook by its id."""
        ...

    def of_task(self, where: Where, task: str) -> Sequence[Hook]:
        """Return the owner's hooks of one task, oldest first."""
        ...

    def drop(self, hook_id: str) -> None:
        """Forget a hook and what waits for it."""
        ...

    def add(self, hook_id: str, body: bytes, now: float, *, is_last: bool = False) -> bool:
        """Queue an update; False when the hook is gone, or too many wait, in all or of its owner.

        is_last  the task has ended: the hook is forgotten once nothing waits for it any more
        """
        ...

    def take(self, now: float, lease_s: float, share: Share) -> Sequence[Delivery]:
        """Take updates that are due; they are due again after `lease_s` unless they are done or put off.

        Of one hook the oldest alone is taken: updates of a task arrive in order.
        """
        ...

    def done(self, delivery: int) -> None:
        """Forget an update: it has arrived."""
        ...

    def put_off(self, delivery: int, due: float) -> None:
        """Note a failed try; the next is due at `due`, unix seconds."""
        ...

    def bury(self, delivery: int, why: str, now: float) -> None:
        """Keep an update that never arrived as a dead letter."""
        ...

    def dead(self) -> Sequence[DeadLetter]:
        """Return the dead letters, newest first."""
        ...

    def prune(self, before: float) -> None:
        """Forget hooks older than `before`, unix seconds."""
        ...

    def close(self) -> None: ...
