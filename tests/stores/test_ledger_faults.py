"""What the ledger does when its store fails or hangs, when it is full, and when it closes."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from agent_gateway.ports import Charge, Hold
from agent_gateway.stores.leased_ledger import LeasedLedger, LedgerLimits
from agent_gateway.stores.ledger_store import Ask, Entry, Grant, Key
from agent_gateway.stores.sqlite_ledger import SqliteLedger
from agent_gateway.stores.take_hold import MAX_TRIES, take_hold
from gateway_policies.refusal import Unavailable
from support.fake_recorder import FakeRecorder
from support.ledgers import DAY, FailingDisk, FakeClock, charge, figures, sqlite_store, worker
from support.memory_ledger_store import FlakyLedger, MemoryLedger

BUCKET = f"daily/acme/planner {DAY}"


@pytest.mark.requirement("invariant.doubt-denies.budget-store")
async def test_a_store_that_fails_denies_and_recovers_by_itself(tmp_path: Path) -> None:
    disk = FailingDisk()
    store = SqliteLedger(tmp_path / "ledger.db", disk)
    async with worker(store) as one:
        disk.is_down = True
        with pytest.raises(Unavailable) as caught:
            await take_hold(one.ledger, "down", [charge()])
        assert "sqlite" not in f"{caught.value.message} {caught.value.hint}".lower()
        disk.is_down = False
        assert await one.call("up", [charge()])
    assert figures(store)[BUCKET] == (1, 0, 0)


async def test_a_flush_that_failed_is_repeated_before_anything_is_asked_for() -> None:
    """It may have been heard: asking first would set aside again what it reported."""
    inner = MemoryLedger()
    store = FlakyLedger(inner)
    async with worker(store) as one:
        one.book(await take_hold(one.ledger, "running", [charge(10)]))
        store.fault = "after"
        with pytest.raises(Unavailable):
            await one.ledger.flush()
        await one.ledger.lease([charge(8)])
        (usage,) = inner.usage()
        assert usage.spent + usage.held + usage.leased <= 20


async def test_while_the_store_is_down_each_call_is_refused_once_and_nothing_spins() -> None:
    store = DownLedger()
    async with worker(store) as one:
        one.book(await take_hold(one.ledger, "running", [charge(10)]))
        store.is_down = True
        with pytest.raises(Unavailable):
            await one.ledger.flush()
        before = store.flushes
        for number in range(3):
            with pytest.raises(Unavailable):
                await take_hold(one.ledger, str(number), [charge(8)])
        assert store.flushes == before + 3
        store.is_down = False
        assert await one.call("up again", [charge(8)])


async def test_leases_in_hand_outlive_the_store_and_not_one_call_more() -> None:
    inner = MemoryLedger()
    store = FlakyLedger(inner)
    async with worker(store) as one:
        await one.ledger.lease([charge(5)])
        for number in range(5):
            assert one.ledger.hold(str(number), [charge()]) is not None
        store.fault = "before"
        with pytest.raises(Unavailable):
            await take_hold(one.ledger, "sixth", [charge()])


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    "statement", ["BEGIN IMMEDIATE", "INSERT OR REPLACE INTO lease", "INSERT INTO bucket", "COMMIT"]
)
async def test_no_failing_write_ever_lets_more_be_spent(tmp_path: Path, statement: str, when: str) -> None:
    disk = FailingDisk()
    store = SqliteLedger(tmp_path / "ledger.db", disk)
    taken = 0
    async with worker(store) as one:
        for number in range(40):
            if number % 3 == 0:
                disk.fail_next, disk.after = statement, when == "after"
            try:
                taken += await one.call(str(number), [charge(limit=20)])
                await one.ledger.flush()
            except Unavailable:
                continue
        disk.fail_next = ""
        await one.ledger.flush()
        taken += [await one.call(f"last-{number}", [charge(limit=20)]) for number in range(20)].count(True)
        assert disk.failures > 0
    assert taken == 20
    assert figures(store)[BUCKET] == (20, 0, 0)


async def test_a_flush_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    store = FlakyLedger(MemoryLedger())
    waited = 0
    ticked = anyio.Event()

    async def wait(seconds: float) -> None:
        nonlocal waited
        assert seconds == 1.0
        waited += 1
        if waited == 3:
            ticked.set()
            await anyio.sleep_forever()

    async with worker(store) as one:
        assert await one.call("call", [charge()])
        store.fault = "before"
        async with anyio.create_task_group() as group:
            group.start_soon(one.ledger.run, wait)
            with anyio.fail_after(5):
                await ticked.wait()
            group.cancel_scope.cancel()
        assert figures(store)[BUCKET][0] == 1
    assert [record.getMessage() for record in caplog.records] == [
        "budgets could not be flushed: the store does not answer"
    ]


async def test_ended_windows_are_kept_for_reports_and_then_forgotten() -> None:
    store, clock = MemoryLedger(), FakeClock()
    ticks = 0

    async def wait(seconds: float) -> None:
        nonlocal ticks
        ticks += 1
        clock.now += 500 * 86_400 if ticks == 3 else 0
        if ticks == 4:
            raise StopTickingError

    async with worker(store, clock=clock) as one:
        assert await one.call("day", [charge()])
        assert await one.call("total", [charge(window="total")])
        with pytest.raises(StopTickingError):
            await one.ledger.run(wait)
        assert [usage.window for usage in await one.ledger.usage()] == ["total"]


async def test_before_start_and_after_close_everything_is_refused(tmp_path: Path) -> None:
    recorder = FakeRecorder()
    ledger = LeasedLedger(sqlite_store(tmp_path), recorder, "0", 1, FakeClock())
    with pytest.raises(Unavailable):
        ledger.hold("early", [charge()])
    with pytest.raises(Unavailable):
        await ledger.lease([charge()])
    await ledger.start(recorder.records_after)
    with pytest.raises(ValueError, match="its own slot"):
        await ledger.recover("0", recorder.records_after)
    await ledger.aclose()
    await ledger.aclose()
    for refused in (ledger.flush, ledger.usage, lambda: ledger.lease([charge()])):
        with pytest.raises(Unavailable):
            await refused()


async def test_closing_refuses_those_that_wait_and_gives_everything_back(tmp_path: Path) -> None:
    store = BlockedLedger()
    refused: list[str] = []
    async with worker(store) as one, anyio.create_task_group() as group:

        async def call(call_id: str) -> None:
            try:
                await take_hold(one.ledger, call_id, [charge()])
            except Unavailable as refusal:
                refused.append(refusal.message)

        group.start_soon(call, "asked")
        await anyio.lowlevel.checkpoint()
        group.start_soon(call, "waiting")
        await anyio.lowlevel.checkpoint()
        group.start_soon(one.ledger.aclose)
        await anyio.lowlevel.checkpoint()
        store.gate.set()
    assert sorted(refused) == ["budgets are closing down", "budgets are not ready"]
    assert figures(store)[BUCKET] == (0, 0, 0)


async def test_a_store_that_hangs_keeps_nobody_waiting_for_ever() -> None:
    store = BlockedLedger()
    async with worker(store, limits=LedgerLimits(lease_wait_s=0.01)) as one:
        with pytest.raises(Unavailable, match="too slow"):
            await one.ledger.lease([charge()])
        store.gate.set()


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    store = BlockedLedger()
    async with worker(store) as one:
        async with anyio.create_task_group() as group:
            group.start_soon(one.ledger.lease, [charge(20)])
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        store.gate.set()
        await one.ledger.flush()
        assert await one.call("next", [charge(20)])
    assert figures(store)[BUCKET] == (20, 0, 0)


async def test_every_queue_has_a_limit() -> None:
    limits = LedgerLimits(max_open=1)
    async with worker(MemoryLedger(), limits=limits) as one:
        one.book(await take_hold(one.ledger, "a", [charge()]))
        with pytest.raises(Unavailable, match="running already"):
            one.ledger.hold("b", [charge()])
    async with worker(MemoryLedger(), limits=LedgerLimits(max_unreported=2)) as one:
        assert await one.call("a", [charge()])
        with pytest.raises(Unavailable, match="too far behind"):
            one.ledger.hold("b", [charge()])
    for limits in (LedgerLimits(max_waiting=0), LedgerLimits(max_accounts=0)):
        async with worker(MemoryLedger(), limits=limits) as one:
            with pytest.raises(Unavailable, match="too many"):
                await one.ledger.lease([charge()])


async def test_a_call_that_always_comes_second_is_refused_in_the_end() -> None:
    ledger = AlwaysTooLate()
    with pytest.raises(Unavailable, match="faster each time"):
        await take_hold(ledger, "call", [charge()])
    assert ledger.tries == MAX_TRIES


class AlwaysTooLate:
    """A ledger whose leases are granted, and stolen each time before the call can use them."""

    def __init__(self) -> None:
        self.tries = 0

    def hold(self, call_id: str, charges: Sequence[Charge]) -> Hold | None:
        self.tries += 1

    async def lease(self, charges: Sequence[Charge]) -> None:
        return

    def book(self, hold: Hold, record_index: int) -> None:
        raise AssertionError

    def settle(self, hold: Hold, actual: Sequence[int], record_index: int) -> None:
        raise AssertionError

    def release(self, hold: Hold) -> None:
        raise AssertionError


class StopTickingError(Exception):
    pass


class DownLedger(MemoryLedger):
    """A store that takes no reports while it is down."""

    def __init__(self) -> None:
        super().__init__()
        self.is_down = False
        self.flushes = 0

    def flush(self, slot: str, mark: int, entries: Sequence[Entry], leases: Mapping[Key, int]) -> None:
        self.flushes += 1
        if self.is_down:
            raise Unavailable("the store does not answer")
        super().flush(slot, mark, entries, leases)


class BlockedLedger(MemoryLedger):
    """A store whose leases wait until the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def lease(self, slot: str, asks: Sequence[Ask], workers: int) -> Sequence[Grant]:
        assert self.gate.wait(5)
        return super().lease(slot, asks, workers)
