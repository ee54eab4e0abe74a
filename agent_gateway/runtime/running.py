"""Calls that run now: who may cancel them, how many one caller has, which answers need a sign of life."""

import asyncio
import contextlib
from collections.abc import Hashable
from typing import Protocol

from agent_gateway.listeners.body import ClientGone
from agent_gateway.runtime.counting import Tally
from gateway_policies.refusal import TooMuch


class Alive(Protocol):
    """An answer that can give a sign of life."""

    last_write: float

    async def sign_of_life(self, now: float) -> None: ...


class InCharge:
    """One running call, counted from `with` to its end; and the right to cancel it, once."""

    __slots__ = ("_caller", "_key", "_reply", "_running", "_task", "is_done", "was_cancelled")

    def __init__(self, running: "Running", caller: Hashable, key: Hashable | None, reply: Alive) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running, self._caller, self._key, self._reply, self._task = running, caller, key, reply, task
        self.is_done = False
        self.was_cancelled = False

    def __enter__(self) -> "InCharge":
        return self

    def __exit__(self, *_: object) -> None:
        self.is_done = True
        self._running.left(self, self._caller, self._key, self._reply)

    def cancel(self) -> None:
        """Cancel the call unless it has ended."""
        if not self.is_done:
            self.is_done = True
            self.was_cancelled = True
            self._task.cancel()

    def forgive(self) -> None:
        """The cancellation was ours and has been dealt with."""
        self._task.uncancel()


class Running:
    """Every call of this worker that has not ended."""

    def __init__(self) -> None:
        self._by_key: dict[Hashable, InCharge] = {}
        self._replies: set[Alive] = set()
        self._tally = Tally()
        self.plain_count = 0  # calls that `enter_plain` ever counted

    def enter(self, caller: Hashable, limit: int, key: Hashable | None, reply: Alive) -> InCharge:
        """Count one call of `caller` until the block ends; raises `TooMuch` when `limit` run already.

        key  under which `cancel` finds it; None when nobody can ask for that
        """
        if not self._tally.enter(caller, limit):
            raise TooMuch(
                f"{limit} calls of this caller are running already",
                code="over_concurrency",
                hint="wait for one to end",
                retry_after_s=1,
            )
        in_charge = InCharge(self, caller, key, reply)
        if key is not None:
            self._by_key[key] = in_charge
        self._replies.add(reply)
        return in_charge

    def enter_plain(self, caller: Hashable, limit: int, reply: Alive) -> bool:
        """Count one call that is no task and that nobody cancels by name; False when `limit` run already."""
        if not self._tally.enter(caller, limit):
            return False
        self._replies.add(reply)
        self.plain_count += 1
        return True

    def left_plain(self, caller: Hashable, reply: Alive) -> None:
        """Forget a call that `enter_plain` counted."""
        self._replies.discard(reply)
        self._tally.leave(caller)

    def left(self, in_charge: InCharge, caller: Hashable, key: Hashable | None, reply: Alive) -> None:
        """Forget a call that has ended; `InCharge` calls this."""
        self._replies.discard(reply)
        self._tally.leave(caller)
        if key is not None and self._by_key.get(key) is in_charge:
            del self._by_key[key]

    def cancel(self, key: Hashable) -> bool:
        """Cancel the call under `key`; say whether there was one."""
        found = self._by_key.get(key)
        if found is not None:
            found.cancel()
        return found is not None

    @property
    def count(self) -> int:
        """How many calls run now."""
        return self._tally.total

    async def keep_alive(self, every_s: float) -> None:
        """Give every answer that has been silent for `every_s` a sign of life, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(every_s / 3)
            now = loop.time()
            silent = [reply for reply in self._replies if now - reply.last_write > every_s]
            for reply in silent:
                with contextlib.suppress(OSError, ClientGone):  # the call's own task meets the same fault and tells it
                    await reply.sign_of_life(now)
