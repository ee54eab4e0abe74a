"""The port of the ledger's store of record, and the two sums every adapter shares.

A store keeps, for every bucket and window, what was **spent**, and what each worker's
slot has **leased** to spend from memory. It is a view of the audit logs: each
slot's **mark** says up to which record of that slot's log it has been brought up to date, and an
**open** call is one whose decision has been counted and whose outcome has not.

INVARIANT: spent + all leases ≤ limit, in every committed state, unless the limit was lowered.

Who may spend a lease, and when it is given back, is `leased_ledger`'s business.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

Key = tuple[str, str]  # (bucket, window)
Delta = tuple[str, str, int]  # bucket, window, amount


@dataclass(frozen=True, slots=True)
class Ask:
    """What a slot wants of one bucket.

    have    what the slot holds already; the store forgets any other number it knew
    need    what the calls that wait lack together, ≥ 0
    least   what the cheapest of them lacks: a smaller grant would help nobody
    """

    bucket: str
    window: str
    limit: int
    have: int
    need: int
    least: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What a slot got of one bucket, and how the bucket stands after it.

    left       what may still be granted, ≥ 0
    spent      by all slots, as far as they have reported
    elsewhere  leased to other slots, and perhaps given back soon
    """

    granted: int
    left: int
    spent: int
    elsewhere: int


class Entry(msgspec.Struct, frozen=True):
    """The part of one audit record that the ledger counts.

    A decision adds its `deltas` to what is spent; an outcome adds its own, which are ≤ 0 and give
    back what the decision had set aside too much.
    """

    index: int  # of the record, in its slot's log
    call: str
    is_decision: bool
    deltas: tuple[Delta, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """How one bucket stands."""

    bucket: str
    window: str
    limit: int
    spent: int  # by calls that have ended
    held: int  # by calls that run, as far as reported
    leased: int  # set aside by workers, for calls to come
    resets_at: int | None  # unix seconds; None: never


@dataclass(slots=True)
class Folded:
    """What a run of entries changes."""

    spent: dict[Key, int] = field(default_factory=dict[Key, int])
    opened: dict[str, tuple[Delta, ...]] = field(default_factory=dict[str, tuple[Delta, ...]])
    closed: set[str] = field(default_factory=set[str])


class LedgerStore(Protocol):
    """The store of record. Synchronous; called from one thread per adapter object.

    Every method is one atomic step and raises `Unavailable` when it cannot be taken. After such a
    failure it may or may not have happened: each can be called again with the same or newer
    arguments and will count nothing twice.
    """

    def lease(self, slot: str, asks: Sequence[Ask], workers: int) -> Sequence[Grant]:
        """Set each bucket's limit and the slot's lease (`have` + what `lease_size` grants); one grant per ask."""
        ...

    def flush(self, slot: str, mark: int, entries: Sequence[Entry], leases: Mapping[Key, int]) -> None:
        """Count the entries that are new (see `fold`), raise the slot's mark to `mark`, set its leases."""
        ...

    def mark(self, slot: str) -> int:
        """Return the index of the last record that was counted for this slot; -1: none yet."""
        ...

    def open_calls(self, slot: str) -> Mapping[str, Sequence[Delta]]:
        """Return the deltas of each open call of a slot, by call id."""
        ...

    def drop(self, slot: str) -> None:
        """Forget the leases and the open calls of a slot whose process is gone; what was spent stays spent."""
        ...

    def slots_in_use(self) -> Collection[str]:
        """Return the slots that have a lease or an open call."""
        ...

    def usage(self) -> Sequence[Usage]:
        """Return every bucket, by name and window."""
        ...

    def prune(self, before: str) -> None:
        """Forget buckets of windows whose ids sort before `before` and that nobody leases or has open."""
        ...

    def close(self) -> None:
        """Let go of the connection; the next call opens it again."""
        ...


def lease_size(left: int, need: int, least: int, workers: int) -> int:
    """Return how much of what is `left` to hand out for a need.

    The whole need, or a share of what is left when that is more: a quarter of an even
    split, so leases shrink as the limit comes near. Nothing when not even `least` is there.
    """
    if left < least or left <= 0:
        return 0
    return min(left, max(need, left // (4 * workers)))


def fold(entries: Iterable[Entry], mark: int, is_open: Callable[[str], bool]) -> Folded:
    """Sum the entries that have not been counted yet.

    mark     a decision counts only above it
    is_open  whether the store knows a call as open; an outcome counts only for an open call, so it
             is counted once however late it comes and however often it is sent
    """
    folded = Folded()
    counted: list[Entry] = []
    for entry in sorted(entries, key=_index):
        if entry.is_decision:
            if entry.index <= mark:
                continue
            folded.opened[entry.call] = entry.deltas
        elif folded.opened.pop(entry.call, None) is None:
            if entry.call in folded.closed or not is_open(entry.call):
                continue
            folded.closed.add(entry.call)
        counted.append(entry)
    folded.spent.update(summed(counted))
    return folded


def summed(entries: Sequence[Entry]) -> dict[Key, int]:
    """Return the sum of all deltas by bucket and window. Many entries share theirs: each such tuple is added once."""
    times: dict[int, int] = {}
    deltas_of: dict[int, tuple[Delta, ...]] = {}  # kept alive by `entries`, so an id names one of them
    for entry in entries:
        if entry.deltas:
            known = id(entry.deltas)
            times[known] = times.get(known, 0) + 1
            deltas_of[known] = entry.deltas
    sums: dict[Key, int] = {}
    for known, deltas in deltas_of.items():
        for bucket, window, amount in deltas:
            sums[bucket, window] = sums.get((bucket, window), 0) + amount * times[known]
    return sums


def _index(entry: Entry) -> int:
    return entry.index
