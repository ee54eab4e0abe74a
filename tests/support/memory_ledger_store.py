"""A ledger store in memory, and one that fails on request: for fast tests of what stands above the port."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from agent_gateway.stores.ledger_store import (
    Ask,
    Delta,
    Entry,
    Grant,
    Key,
    LedgerStore,
    Usage,
    fold,
    lease_size,
)
from gateway_policies.refusal import Unavailable
from gateway_policies.windows import resets_at


class MemoryLedger:
    """`LedgerStore` in dictionaries. Share one object between workers."""

    def __init__(self) -> None:
        self.limits: dict[Key, int] = {}
        self.spent: dict[Key, int] = {}
        self.leases: dict[tuple[Key, str], int] = {}
        self.open: dict[tuple[str, str], tuple[Delta, ...]] = {}
        self.marks: dict[str, int] = {}

    def lease(self, slot: str, asks: Sequence[Ask], workers: int) -> Sequence[Grant]:
        return [self._grant(slot, ask, workers) for ask in asks]

    def flush(self, slot: str, mark: int, entries: Sequence[Entry], leases: Mapping[Key, int]) -> None:
        known = self.mark(slot)
        folded = fold(entries, known, lambda call: (slot, call) in self.open)
        for key, amount in folded.spent.items():
            self.limits.setdefault(key, 0)
            self.spent[key] = self.spent.get(key, 0) + amount
        for call in folded.closed:
            del self.open[slot, call]
        for call, deltas in folded.opened.items():
            self.open[slot, call] = deltas
        for key, amount in leases.items():
            self._set_lease(key, slot, amount)
        self.marks[slot] = max(mark, known)

    def mark(self, slot: str) -> int:
        return self.marks.get(slot, -1)

    def open_calls(self, slot: str) -> Mapping[str, Sequence[Delta]]:
        return {call: deltas for (owner, call), deltas in self.open.items() if owner == slot}

    def drop(self, slot: str) -> None:
        self.leases = {key: amount for key, amount in self.leases.items() if key[1] != slot}
        self.open = {key: deltas for key, deltas in self.open.items() if key[0] != slot}

    def slots_in_use(self) -> Collection[str]:
        return {slot for _, slot in self.leases} | {slot for slot, _ in self.open}

    def usage(self) -> Sequence[Usage]:
        return [self._usage(key) for key in sorted(self.limits)]

    def prune(self, before: str) -> None:
        busy = {key for key, _ in self.leases} | {(b, w) for deltas in self.open.values() for b, w, _ in deltas}
        for key in list(self.limits):
            if key[1] < before and key not in busy:
                del self.limits[key]
                self.spent.pop(key, None)

    def close(self) -> None:
        pass

    def _grant(self, slot: str, ask: Ask, workers: int) -> Grant:
        key = (ask.bucket, ask.window)
        self.limits[key] = ask.limit
        spent = self.spent.get(key, 0)
        elsewhere = sum(amount for (at, owner), amount in self.leases.items() if at == key and owner != slot)
        left = max(0, ask.limit - spent - elsewhere - ask.have)
        granted = lease_size(left, ask.need, ask.least, workers)
        self._set_lease(key, slot, ask.have + granted)
        return Grant(granted, left - granted, spent, elsewhere)

    def _set_lease(self, key: Key, slot: str, amount: int) -> None:
        assert amount >= 0, "a lease is never negative"
        self.leases[key, slot] = amount
        if not amount:
            del self.leases[key, slot]

    def _usage(self, key: Key) -> Usage:
        held = sum(n for deltas in self.open.values() for b, w, n in deltas if (b, w) == key)
        leased = sum(amount for (at, _), amount in self.leases.items() if at == key)
        spent = self.spent.get(key, 0) - held
        return Usage(*key, self.limits[key], spent, held, leased, resets_at(key[1]))


class FlakyLedger:
    """A store whose next lease or flush fails: before it is carried out, or after, unheard."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store
        self.fault: Literal["", "before", "after"] = ""

    def lease(self, slot: str, asks: Sequence[Ask], workers: int) -> Sequence[Grant]:
        self._fail("before")
        grants = self._store.lease(slot, asks, workers)
        self._fail("after")
        return grants

    def flush(self, slot: str, mark: int, entries: Sequence[Entry], leases: Mapping[Key, int]) -> None:
        self._fail("before")
        self._store.flush(slot, mark, entries, leases)
        self._fail("after")

    def mark(self, slot: str) -> int:
        return self._store.mark(slot)

    def open_calls(self, slot: str) -> Mapping[str, Sequence[Delta]]:
        return self._store.open_calls(slot)

    def drop(self, slot: str) -> None:
        self._store.drop(slot)

    def slots_in_use(self) -> Collection[str]:
        return self._store.slots_in_use()

    def usage(self) -> Sequence[Usage]:
        return self._store.usage()

    def prune(self, before: str) -> None:
        self._store.prune(before)

    def close(self) -> None:
        self._store.close()

    def _fail(self, when: str) -> None:
        if self.fault == when:
            self.fault = ""
            raise Unavailable("the store does not answer")
