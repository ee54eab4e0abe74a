"""Accounts: what one worker has leased of each bucket, in memory, and what became of it.

Plain synchronous bookkeeping: no clock, no store, no loop. `leased_ledger` moves it to and from the
store of record.

INVARIANT, per account:  leased = free + spare + held by unbooked holds + deltas not yet flushed.
Holding, booking and settling only move amounts between the terms on the right, so `leased` changes
in two places only: when the store grants, and when something is flushed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import msgspec

from agent_gateway.ports import Charge, Hold
from agent_gateway.stores.ledger_store import Ask, Delta, Entry, Grant, Key, summed

MAX_DRAWS = 1_000  # charges of which it is remembered what they draw on


@dataclass(slots=True)
class Account:
    """One bucket in one window, as this worker knows it."""

    limit: int
    free: int = 0  # leased, and nobody's
    spare: int = 0  # leased, not to be spent any more: goes back at the next chance
    leased: int = 0  # what the store has set aside for this worker
    used: int = 0  # held since the last flush: what is worth keeping
    answer: Grant | None = None  # what the store last said when it could not give enough
    answered_at: float = 0.0


class Unbooked(msgspec.Struct, frozen=True):
    hold: Hold
    floor: int  # the record of this hold comes after this index
    since: float  # unix seconds


class Draw(NamedTuple):
    """What the same charges, which come again and again, mean here.

    accounts  each account once, with all that they take of it; None: not all are there, with the limits they name
    """

    charges: tuple[Charge, ...]
    amounts: tuple[int, ...]
    deltas: tuple[Delta, ...]
    accounts: tuple[tuple[Account, int], ...] | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What one flush tells the store: arguments of `LedgerStore.flush`, and the sum of the entries."""

    mark: int
    entries: tuple[Entry, ...]
    leases: Mapping[Key, int]
    spent: Mapping[Key, int]


@dataclass(slots=True)
class Accounts:
    """All accounts, holds and unreported entries of one worker."""

    by_key: dict[Key, Account] = field(default_factory=dict[Key, Account])
    unbooked: dict[str, Unbooked] = field(default_factory=dict[str, Unbooked])  # oldest first
    booked: dict[str, Hold] = field(default_factory=dict[str, Hold])
    entries: list[Entry] = field(default_factory=list[Entry])
    dirty: set[Key] = field(default_factory=set[Key])  # the store may think otherwise of these leases
    last_index: int = -1  # of any record seen
    draws: dict[int, Draw] = field(default_factory=dict[int, Draw])
    mark: int = -1  # decisions up to here are flushed

    def hold(self, hold: Hold, now: float) -> Charge | None:
        """Set every charge aside or none; return the first that does not fit, or None when all do."""
        accounts = self._draw_of(hold.charges).accounts
        if accounts is None:
            return self._lacking(hold.charges)
        for account, amount in accounts:
            if account.free < amount:
                return self._lacking(hold.charges)
        for account, amount in accounts:
            account.free -= amount
            account.used += amount
        self.unbooked[hold.id] = Unbooked(hold, self.last_index, now)
        return None

    def _lacking(self, charges: tuple[Charge, ...]) -> Charge:
        """Return the first of `charges`, which do not all fit, that does not fit beside those before it."""
        left: dict[Key, int] = {}
        for charge in charges[:-1]:
            key = (charge.bucket, charge.window)
            account = self.by_key.get(key)
            if account is None or account.limit != charge.limit:
                return charge
            left[key] = left.get(key, account.free) - charge.amount
            if left[key] < 0:
                return charge
        return charges[-1]

    def book(self, hold_id: str, index: int) -> None:
        """Make an unbooked hold a charge; `KeyError` when there is no such hold."""
        if index <= self.mark:
            raise ValueError("a hold must be booked on a record that was made after it")
        hold = self.unbooked.pop(hold_id).hold
        self.booked[hold.id] = hold
        self.last_index = max(self.last_index, index)
        if hold.charges:
            self.entries.append(Entry(index, hold.id, is_decision=True, deltas=self._draw_of(hold.charges).deltas))

    def settle(self, hold_id: str, actual: Sequence[int], index: int) -> None:
        """Keep `actual` of a booked hold and free the rest; nothing when it is settled already."""
        hold = self.booked.get(hold_id)
        if hold is None:
            return
        rest: list[Delta] = []
        if actual != self._draw_of(hold.charges).amounts:
            for charge, used in zip(hold.charges, actual, strict=True):
                if used != charge.amount:
                    if not 0 <= used <= charge.amount:
                        raise ValueError("a hold is settled with amounts from 0 to what was held")
                    rest.append((charge.bucket, charge.window, used - charge.amount))
        del self.booked[hold_id]
        self.last_index = max(self.last_index, index)
        if not hold.charges:
            return
        if rest:
            for charge, used in zip(hold.charges, actual, strict=True):
                self._put_back(charge, charge.amount - used)
        self.entries.append(Entry(index, hold.id, is_decision=False, deltas=tuple(rest)))

    def _draw_of(self, charges: tuple[Charge, ...]) -> Draw:
        """Return what `charges` draw on; remembered, for calls draw on the same ones again and again."""
        known = self.draws.get(id(charges))
        if known is not None and known.charges is charges:
            return known
        if len(self.draws) >= MAX_DRAWS:
            self.draws.clear()
        draw = Draw(
            charges,
            tuple([charge.amount for charge in charges]),
            tuple([(charge.bucket, charge.window, charge.amount) for charge in charges]),
            self._accounts_of(charges),
        )
        if draw.accounts is not None:
            # INVARIANT: what is remembered keeps the charges alive, so while it is here their id names nothing
            # else; and no account is dropped or gets another limit without `draws` being cleared.
            self.draws[id(charges)] = draw
        return draw

    def _accounts_of(self, charges: tuple[Charge, ...]) -> tuple[tuple[Account, int], ...] | None:
        amounts: dict[Key, int] = {}
        for charge in charges:
            key = (charge.bucket, charge.window)
            account = self.by_key.get(key)
            if account is None or account.limit != charge.limit:
                return None
            amounts[key] = amounts.get(key, 0) + charge.amount
        return tuple([(self.by_key[key], amount) for key, amount in amounts.items()])

    def release(self, hold_id: str) -> None:
        """Undo an unbooked hold; nothing when there is none."""
        unbooked = self.unbooked.pop(hold_id, None)
        for charge in unbooked.hold.charges if unbooked else ():
            self._put_back(charge, charge.amount)

    def asks(self, calls: Iterable[Sequence[Charge]]) -> list[Ask]:
        """Return what to ask the store so that each of `calls` can be held.

        A limit that has changed takes back what was free under the old one first.
        """
        wanted: dict[Key, list[Charge]] = {}
        for charges in calls:
            for charge in charges:
                wanted.setdefault((charge.bucket, charge.window), []).append(charge)
        asks: list[Ask] = []
        for key, charges in wanted.items():
            limit = charges[-1].limit
            account = self._account(key, limit)
            is_changed = account.limit != limit
            if is_changed:
                self._change_limit(account, limit)
            need = sum(charge.amount for charge in charges) - account.free
            if need > 0 or is_changed:
                least = max(0, min(charge.amount for charge in charges) - account.free)
                asks.append(Ask(*key, limit, max(0, account.leased), max(0, need), least))
        self.dirty.update((ask.bucket, ask.window) for ask in asks)
        return asks

    def granted(self, asks: Sequence[Ask], grants: Sequence[Grant], now: float) -> None:
        """Take over what the store granted."""
        for ask, grant in zip(asks, grants, strict=True):
            account = self.by_key[ask.bucket, ask.window]
            account.leased += grant.granted
            account.free += grant.granted
            account.answer = grant if grant.granted < ask.need else None
            account.answered_at = now
            self.dirty.discard((ask.bucket, ask.window))

    def batch(self, durable_count: int, *, keep_none: bool = False) -> Batch | None:
        """Return what is to be flushed now, giving up what is free and was not used; None: nothing.

        durable_count  records below this index survive a power cut; others are kept back
        keep_none      give up everything that is free

        INVARIANT: given up before the store is told, and never taken back when the telling
        fails: the store may have heard it.
        """
        oldest = next(iter(self.unbooked.values()), None)
        upto = durable_count - 1 if oldest is None else min(durable_count - 1, oldest.floor)
        entries = tuple(entry for entry in self.entries if entry.index <= upto)
        spent = summed(entries)
        for key, account in self.by_key.items():
            if self._give_up(account, spent.get(key, 0), keep_none=keep_none):
                self.dirty.add(key)
        changed = self.dirty | spent.keys()
        if not changed and not entries:
            return None
        leases = {key: max(0, self._account(key).leased - spent.get(key, 0)) for key in changed}
        mark = max((entry.index for entry in entries), default=-1)
        return Batch(max(mark, self.mark), entries, leases, spent)

    def flushed(self, batch: Batch) -> None:
        """Forget what the store has taken over, and accounts that nobody uses."""
        count = len(batch.entries)
        if count and self.entries[count - 1] is batch.entries[-1]:  # the batch is all that came first
            del self.entries[:count]
        else:
            done = {id(entry) for entry in batch.entries}
            self.entries = [entry for entry in self.entries if id(entry) not in done]
        self.mark = batch.mark
        for key, amount in batch.spent.items():
            self._account(key).leased -= amount
        self.dirty -= batch.leases.keys()
        self.forget_idle()

    def forget_idle(self) -> None:
        """Drop accounts that hold nothing; one that is met again begins at nothing, which is the same."""
        self.draws.clear()
        self.by_key = {
            key: account
            for key, account in self.by_key.items()
            if account.leased or account.free or account.spare or key in self.dirty
        }

    def _account(self, key: Key, limit: int = 0) -> Account:
        account = self.by_key.get(key)
        if account is None:
            account = self.by_key[key] = Account(limit)
        return account

    def _put_back(self, charge: Charge, amount: int) -> None:
        account = self._account((charge.bucket, charge.window), charge.limit)
        if charge.limit > account.limit:  # held before the limit was lowered
            account.spare += amount
        else:
            account.free += amount

    def _change_limit(self, account: Account, limit: int) -> None:
        self.draws.clear()
        account.limit = limit
        account.answer = None
        account.spare += account.free
        account.free = 0
        self._return_spare(account, account.leased)

    def _give_up(self, account: Account, reported: int, *, keep_none: bool) -> bool:
        """Return whether the account's lease became smaller."""
        available = max(0, account.leased - reported)
        kept = 0 if keep_none else min(account.free, account.used)
        account.used = 0
        extra = min(account.free - kept, max(0, available - account.spare))
        account.free -= extra
        account.spare += extra
        return self._return_spare(account, available)

    def _return_spare(self, account: Account, available: int) -> bool:
        """Take what is spare out of the lease, as far as the lease is not needed for what was spent."""
        returned = min(account.spare, available)
        account.spare -= returned
        account.leased -= returned
        if returned:
            account.answer = None
        return returned > 0


def merged(charges: Sequence[Charge]) -> tuple[Charge, ...]:
    """Return one charge per bucket and window: the sum of those that were given."""
    by_key: dict[Key, Charge] = {}
    for charge in charges:
        key = (charge.bucket, charge.window)
        known = by_key.get(key)
        by_key[key] = replace(known, amount=known.amount + charge.amount) if known else charge
    return tuple(by_key.values())
