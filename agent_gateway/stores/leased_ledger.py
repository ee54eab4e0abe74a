"""The ledger of one worker: calls are held against leases in memory, and reported later.

A warm hold is a few dictionary look-ups. When a lease is too small, `lease` asks the store for more: all
callers that wait share one transaction. `flush` reports, once a second, what calls have cost, and gives
back what was leased and not used. The store is asked one thing at a time, on a thread of its own.

What was held survives a crash because the audit log says so (`recovery`): nothing is reported before
the record that carries it is durable, and a hold must be booked on its decision record and settled on
its outcome record before the caller awaits anything else.

Limit of the promise: leases are exact. What may be refused too early, for about a second, is the part of a
budget that another worker has leased and not yet used or given back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from agent_gateway.ports import Charge, Clock, Hold, Recorder
from agent_gateway.stores.accounts import Account, Accounts, Batch, merged
from agent_gateway.stores.ledger_store import Ask, Grant, Key, LedgerStore, Usage
from agent_gateway.stores.recovery import RecordsAfter, recover_slot
from gateway_policies.budgets import over_budget
from gateway_policies.refusal import OverBudget, Unavailable
from gateway_policies.windows import window_at

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_Outcome = Literal["fits", "again"] | OverBudget | Unavailable


@dataclass(frozen=True, slots=True)
class LedgerLimits:
    """How much of everything one worker's ledger may take."""

    flush_every_s: float = 1.0
    lease_wait_s: float = 10.0  # how long a call waits for the store
    hold_ttl_s: float = 30.0  # after which a hold that was never booked is given back
    refusal_memory_s: float = 0.25  # for which "nothing left" is believed without asking again
    elsewhere_retry_s: float = 1.0  # after which other workers have given back what they do not use
    keep_s: float = 400 * 86_400  # how long ended windows are kept for reports
    max_open: int = 100_000  # holds at a time
    max_unreported: int = 200_000  # entries waiting for a flush
    max_waiting: int = 10_000  # calls waiting for a lease
    max_accounts: int = 200_000  # buckets in use at a time
    max_rounds: int = 100  # times one call may ask again because others were faster


class _Waiter:
    """One call that waits until its charges can be held."""

    __slots__ = ("charges", "future", "rounds")

    def __init__(self, charges: Sequence[Charge], future: "asyncio.Future[None]") -> None:
        self.charges = charges
        self.future = future
        self.rounds = 0


class LeasedLedger:
    """`Ledger` of the worker that holds `slot`, over a store it may share with others.

    workers  how many share the store, at most: the more, the smaller each lease

    Belongs to one event loop. `start` it before use, keep `run` running, `aclose` it at the end;
    the slot itself and the recorder are the caller's.
    """

    def __init__(
        self,
        store: LedgerStore,
        recorder: Recorder,
        slot: str,
        workers: int,
        clock: Clock,
        limits: LedgerLimits | None = None,
    ) -> None:
        self.slot = slot
        self._store = store
        self._recorder = recorder
        self._workers = max(1, workers)
        self._clock = clock
        self._limits = limits or LedgerLimits()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._accounts = Accounts()
        self._is_open = False
        self._is_closed = False
        self._is_busy = False
        self._is_unsure = False
        self._waiting: list[_Waiter] = []
        self._flushes: list[asyncio.Future[None]] = []
        self._pruned = ""

    # --- life ---

    async def start(self, records_after: RecordsAfter) -> None:
        """Recover this worker's own slot, then take calls; raises `Unavailable`."""
        await self._off_loop(partial(recover_slot, self._store, self.slot, records_after))
        self._is_open = True

    async def recover(self, slot: str, records_after: RecordsAfter) -> int:
        """Recover the slot of a worker that died; return how many records were read.

        The caller holds that slot (`recoverable_slots`). Raises `Unavailable`.
        """
        if slot == self.slot and self._is_open:
            raise ValueError("a worker does not recover its own slot while it runs")
        return await self._off_loop(partial(recover_slot, self._store, slot, records_after))

    async def run(self, wait: Callable[[float], Awaitable[object]] = asyncio.sleep) -> None:
        """Flush every `flush_every_s` until cancelled; a store that fails is tried again."""
        while True:
            await wait(self._limits.flush_every_s)
            try:
                await self.flush()
                await self._prune()
            except Unavailable as refusal:
                _log.warning("budgets could not be flushed: %s", refusal.message)

    async def flush(self) -> None:
        """Report what is durable and give back what is not needed; raises `Unavailable`."""
        if self._is_closed:
            raise _closed()
        done = asyncio.get_running_loop().create_future()
        self._flushes.append(done)
        self._next()
        await done

    async def aclose(self) -> None:
        """Take no more calls, report and give back everything, let go of the store.

        Close the recorder first: what is not durable by now is left to recovery. Raises
        `Unavailable` when the store fails, with everything closed nevertheless.
        """
        if self._is_closed:
            return
        self._is_open = False
        self._refuse_waiting(_closed())
        try:
            await self.flush()
        finally:
            self._is_closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._store.close)
            self._thread.shutdown(wait=False)

    async def usage(self) -> Sequence[Usage]:
        """Return every bucket as the store knows it; raises `Unavailable`."""
        return await self._off_loop(self._store.usage)

    async def slots_in_use(self) -> Sequence[str]:
        """Return the slots that have something to recover, should their process be gone."""
        return sorted(await self._off_loop(self._store.slots_in_use))

    # --- calls ---

    def hold(self, call_id: str, charges: Sequence[Charge]) -> Hold | None:
        """Set every charge aside or none; see `Ledger.hold`. Raises `ValueError` for a call id in use."""
        accounts = self._accounts
        if call_id in accounts.unbooked or call_id in accounts.booked:
            raise ValueError("a call holds once")
        if not self._is_open:
            raise Unavailable("budgets are not ready", hint="try again shortly")
        if len(accounts.unbooked) + len(accounts.booked) >= self._limits.max_open:
            raise Unavailable(f"{self._limits.max_open} calls are running already", hint="try again shortly")
        if len(accounts.entries) >= self._limits.max_unreported:
            raise Unavailable("the budget store is too far behind", hint="try again shortly")
        hold = Hold(call_id, tuple(charges))
        now = self._clock()
        lacking = accounts.hold(hold, now)
        if lacking is None:
            return hold
        account = accounts.by_key.get((lacking.bucket, lacking.window))
        if account is None or account.answer is None or account.limit != lacking.limit:
            return None
        if abs(now - account.answered_at) >= self._limits.refusal_memory_s:
            return None
        refusal = self._refusal(lacking, account, account.answer, account.free)
        if refusal is not None:
            raise refusal
        return None

    async def lease(self, charges: Sequence[Charge]) -> None:
        """Fetch what `hold` lacked; when it returns, `hold` fits unless another call was faster.

        Raises `OverBudget`, or `Unavailable` when the store fails or keeps this call waiting.
        """
        if not self._is_open:
            raise Unavailable("budgets are not ready", hint="try again shortly")
        if len(self._waiting) >= self._limits.max_waiting or len(self._accounts.by_key) >= self._limits.max_accounts:
            raise Unavailable("too many calls wait for a budget", hint="try again shortly")
        waiter = _Waiter(merged(charges), asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._next()
        try:
            async with asyncio.timeout(self._limits.lease_wait_s):
                await waiter.future
        except TimeoutError as error:
            raise Unavailable("the budget store is too slow", hint="try again shortly") from error

    def book(self, hold: Hold, record_index: int) -> None:
        """Make a hold a charge that survives a crash, once its record is durable.

        INVARIANT: called with the record's index before anything else is awaited.
        Raises `Unavailable` when the hold is no longer there: released, or older than its time to live.
        """
        if hold.id not in self._accounts.unbooked:
            raise Unavailable("this call held its budget for too long", hint="try again")
        self._accounts.book(hold.id, record_index)

    def settle(self, hold: Hold, actual: Sequence[int], record_index: int) -> None:
        """Charge `actual` and free the rest; see `Ledger.settle`. A second settling changes nothing.

        Raises `ValueError` for a hold that was never booked, and for amounts out of range (it then stays charged).
        """
        if hold.id in self._accounts.unbooked:
            raise ValueError("a hold is booked before it is settled, or else released")
        self._accounts.settle(hold.id, actual, record_index)

    def release(self, hold: Hold) -> None:
        """Give back a hold that was never booked; nothing for one that was, or is gone."""
        self._accounts.release(hold.id)

    # --- the store, one thing at a time ---

    def _next(self) -> None:
        """Start the next thing, unless one is under way: flushes first, since they free leases."""
        if self._is_busy:
            return
        if self._flushes or (self._waiting and self._is_unsure):
            self._start_flush()
        elif self._waiting:
            self._start_lease()

    def _start_flush(self) -> None:
        flushes, self._flushes = self._flushes, []
        self._release_expired()
        batch = self._accounts.batch(self._recorder.durable_count, keep_none=not self._is_open)
        if batch is None:
            self._is_unsure = False
            self._accounts.forget_idle()
            _resolve(flushes, None)
            self._next()
            return
        tell = partial(self._store.flush, self.slot, batch.mark, batch.entries, batch.leases)
        self._submit(tell, partial(self._flushed, flushes, batch))

    def _flushed(self, flushes: "list[asyncio.Future[None]]", batch: Batch, told: "asyncio.Future[None]") -> None:
        # A flush that failed may have been heard. Until one succeeds, asking for more would set
        # aside twice what it reported: correct, but more than the limit in the books.
        error = _error_of(told)
        self._is_unsure = error is not None
        if error is None:
            self._accounts.flushed(batch)
        else:
            self._refuse_waiting(error)
        _resolve(flushes, error)

    def _start_lease(self) -> None:
        waiters, self._waiting = self._waiting, []
        waiters = [waiter for waiter in waiters if not waiter.future.done()]
        asks = self._accounts.asks(waiter.charges for waiter in waiters)
        if not asks:
            self._answer(waiters, {})
            self._next()
            return
        fetch = partial(self._store.lease, self.slot, asks, self._workers)
        self._submit(fetch, partial(self._leased, waiters, asks))

    def _leased(self, waiters: "list[_Waiter]", asks: Sequence[Ask], got: "asyncio.Future[Sequence[Grant]]") -> None:
        error = _error_of(got)
        if error is not None:
            _resolve([waiter.future for waiter in waiters], error)
            return
        grants = got.result()
        self._accounts.granted(asks, grants, self._clock())
        self._answer(waiters, {(ask.bucket, ask.window): grant for ask, grant in zip(asks, grants, strict=True)})

    def _submit(self, work: Callable[[], _T], done: "Callable[[asyncio.Future[_T]], None]") -> None:
        self._is_busy = True

        def finish(future: "asyncio.Future[_T]") -> None:
            self._is_busy = False
            done(future)
            self._next()

        asyncio.get_running_loop().run_in_executor(self._thread, work).add_done_callback(finish)

    # --- answers to those that wait ---

    def _answer(self, waiters: Sequence[_Waiter], grants: dict[Key, Grant]) -> None:
        """Wake, in order of arrival, each waiter whose charges fit; refuse or ask again for the others."""
        promised: dict[Key, int] = {}
        for waiter in waiters:
            if waiter.future.done():
                continue
            outcome = self._outcome(waiter, promised, grants)
            if outcome == "fits":
                waiter.future.set_result(None)
            elif outcome == "again":
                self._waiting.append(waiter)
            else:
                waiter.future.set_exception(outcome)

    def _outcome(self, waiter: _Waiter, promised: dict[Key, int], grants: dict[Key, Grant]) -> _Outcome:
        for charge in waiter.charges:
            key = (charge.bucket, charge.window)
            account = self._accounts.by_key.get(key)
            if account is None or account.limit != charge.limit:
                return self._again(waiter)
            free = account.free - promised.get(key, 0)
            if free < charge.amount:
                grant = grants.get(key)  # none: a call that came meanwhile has taken what was free
                refusal = self._refusal(charge, account, grant, free) if grant else None
                return refusal or self._again(waiter)
        for charge in waiter.charges:
            key = (charge.bucket, charge.window)
            promised[key] = promised.get(key, 0) + charge.amount
        return "fits"

    def _again(self, waiter: _Waiter) -> _Outcome:
        waiter.rounds += 1
        if waiter.rounds < self._limits.max_rounds:
            return "again"
        return Unavailable("other calls were faster each time", hint="try again shortly")

    def _refusal(self, charge: Charge, account: Account, answer: Grant, free: int) -> OverBudget | None:
        """Return why `charge` cannot be held, given what is free; None when the store may have enough."""
        if free + answer.left >= charge.amount:
            return None
        held = max(0, charge.limit - answer.spent - answer.left - free)
        retry_s = self._limits.elsewhere_retry_s if answer.elsewhere or account.spare else None
        return over_budget(charge, spent=answer.spent, held=held, now=self._clock(), retry_s=retry_s)

    # --- housekeeping ---

    def _refuse_waiting(self, error: BaseException) -> None:
        waiters, self._waiting = self._waiting, []
        _resolve([waiter.future for waiter in waiters], error)

    def _release_expired(self) -> None:
        """Release holds that nobody booked in time; unbooked ones are kept in order of age."""
        before = self._clock() - self._limits.hold_ttl_s
        for unbooked in list(self._accounts.unbooked.values()):
            if unbooked.since > before:
                return
            self._accounts.release(unbooked.hold.id)

    async def _prune(self) -> None:
        before = window_at("month", max(0.0, self._clock() - self._limits.keep_s))
        if before != self._pruned:
            await self._off_loop(partial(self._store.prune, before))
            self._pruned = before

    async def _off_loop(self, work: Callable[[], _T]) -> _T:
        if self._is_closed:
            raise _closed()
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _closed() -> Unavailable:
    return Unavailable("budgets are closing down", hint="try again shortly")


def _error_of(future: "asyncio.Future[_T]") -> BaseException | None:
    return _closed() if future.cancelled() else future.exception()


def _resolve(futures: "Sequence[asyncio.Future[None]]", error: BaseException | None) -> None:
    """End each future that still runs; each gets its own copy of a refusal, since it is raised in its own task."""
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        elif isinstance(error, Unavailable):
            future.set_exception(Unavailable(error.message, hint=error.hint))
        else:
            future.set_exception(error)
