"""What one worker's ledger promises the pipeline."""

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from agent_gateway.ports import Ledger
from agent_gateway.stores.leased_ledger import LeasedLedger
from agent_gateway.stores.ledger_store import Ask, Grant
from agent_gateway.stores.take_hold import take_hold
from gateway_policies.refusal import OverBudget, Unavailable
from support.fake_recorder import FakeRecorder
from support.ledgers import DAY, NOON, FakeClock, charge, figures, sqlite_store, worker
from support.memory_ledger_store import MemoryLedger

BUCKET = f"daily/acme/planner {DAY}"


async def test_of_fifty_parallel_calls_on_a_limit_of_twenty_exactly_twenty_succeed(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path)
    results: list[bool] = []
    async with worker(store) as one, anyio.create_task_group() as group:

        async def call(number: int) -> None:
            results.append(await one.call(f"call-{number}", [charge(limit=20)]))

        for number in range(50):
            group.start_soon(call, number)
    assert results.count(True) == 20
    assert figures(store)[BUCKET] == (20, 0, 0)


async def test_fifty_calls_that_wait_share_one_transaction() -> None:
    store = CountingLedger()
    async with worker(store) as one, anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(one.call, f"call-{number}", [charge(limit=1000), charge(bucket="t/acme", limit=1000)])
    assert store.leases_asked <= 2


async def test_those_whom_a_grant_does_not_reach_are_refused_without_asking_again() -> None:
    store = CountingLedger()
    async with worker(store) as one, anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(one.call, f"call-{number}", [charge(limit=20)])
    assert store.leases_asked == 2


async def test_nothing_is_stranded_when_calls_of_many_sizes_fill_a_budget(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path)
    async with worker(store) as one:
        sizes = [70, 29, 5, 1, 1]
        taken = [await one.call(f"call-{size}-{at}", [charge(size, limit=100)]) for at, size in enumerate(sizes)]
    assert taken == [True, True, False, True, False]
    assert figures(store)[BUCKET] == (100, 0, 0)


async def test_a_warm_hold_awaits_nothing_and_asks_nobody() -> None:
    store = CountingLedger()
    async with worker(store) as one:
        assert await one.call("cold", [charge(limit=1000)])
        for number in range(100):
            assert one.ledger.hold(str(number), [charge(limit=1000)]) is not None
    assert store.leases_asked == 1


async def test_one_level_that_is_used_up_takes_nothing_from_the_others() -> None:
    store = MemoryLedger()
    async with worker(store) as one:
        tenant, agent = charge(limit=100, bucket="t/acme"), charge(limit=2)
        taken = [await one.call(str(number), [tenant, agent]) for number in range(10)]
    assert taken.count(True) == 2
    assert figures(store) == {f"t/acme {DAY}": (2, 0, 0), BUCKET: (2, 0, 0)}


async def test_a_refusal_names_budget_scope_unit_limit_use_and_reset() -> None:
    clock = FakeClock()
    async with worker(MemoryLedger(), clock=clock) as one:
        for number in range(3):
            one.book(await take_hold(one.ledger, str(number), [charge(limit=3)]))
        with pytest.raises(OverBudget) as caught:
            await take_hold(one.ledger, "more", [charge(limit=3)])
    assert caught.value.message == (
        "budget `daily` allows agent `acme/planner` 3 calls per day; 0 spent, 3 held, and this call needs 1"
    )
    assert caught.value.retry_after_s == 12 * 3600
    assert caught.value.details["resets_at"] == NOON + 12 * 3600


async def test_a_refused_bucket_is_not_asked_for_again_at_once() -> None:
    store, clock = CountingLedger(), FakeClock()
    async with worker(store, clock=clock) as one:
        assert await one.call("first", [charge(limit=1)])
        assert not await one.call("second", [charge(limit=1)])
        asked = store.leases_asked
        for number in range(50):
            with pytest.raises(OverBudget):
                one.ledger.hold(f"again-{number}", [charge(limit=1)])
        assert store.leases_asked == asked
        clock.now += 1
        assert one.ledger.hold("later", [charge(limit=1)]) is None


async def test_a_call_that_costs_more_than_the_limit_is_not_told_to_wait() -> None:
    async with worker(MemoryLedger()) as one:
        with pytest.raises(OverBudget) as caught:
            await take_hold(one.ledger, "dear", [charge(21, limit=20)])
    assert caught.value.retry_after_s is None


async def test_what_another_worker_has_leased_may_come_back_in_a_second() -> None:
    store = MemoryLedger()
    async with worker(store, "0", workers=2) as one, worker(store, "1", workers=2) as two:
        await one.ledger.lease([charge(16, limit=20)])
        with pytest.raises(OverBudget) as caught:
            await take_hold(two.ledger, "call", [charge(5, limit=20)])
        assert caught.value.retry_after_s == 1.0
        await one.ledger.flush()
        await two.ledger.flush()
        await two.ledger.lease([charge(5, limit=20)])
        assert await two.call("call", [charge(5, limit=20)])


async def test_a_busy_worker_keeps_what_it_used_and_gives_back_the_rest() -> None:
    store = MemoryLedger()
    async with worker(store) as one:
        for number in range(10):
            assert await one.call(str(number), [charge(limit=1000)])
        await one.ledger.flush()
        assert figures(store)[BUCKET] == (10, 0, 10)
        await one.ledger.flush()
        assert figures(store)[BUCKET] == (10, 0, 0)


async def test_nothing_is_reported_before_its_record_is_durable() -> None:
    store, recorder = MemoryLedger(), FakeRecorder(is_instant=False)
    async with worker(store, recorder=recorder) as one:
        assert await one.call("call", [charge(5)], [2])
        await one.ledger.flush()
        assert figures(store)[BUCKET][:2] == (0, 0)
        recorder.make_durable(1)
        await one.ledger.flush()
        assert figures(store)[BUCKET][:2] == (0, 5)
        recorder.make_durable()
        await one.ledger.flush()
        assert figures(store)[BUCKET] == (2, 0, 0)


async def test_a_hold_that_is_booked_late_is_not_lost_in_a_crash() -> None:
    """Others book and flush between its record and its booking: the mark must not pass it."""
    store, recorder = MemoryLedger(), FakeRecorder()
    async with worker(store, recorder=recorder) as one:
        late = await take_hold(one.ledger, "late", [charge()])
        index = recorder.append({"kind": "decision", "call": "late", "charges": [["daily/acme/planner", DAY, 1]]})
        assert await one.call("other", [charge()])
        await one.ledger.flush()
        assert store.mark("0") < index
        one.ledger.book(late, index)
        await one.ledger.flush()
        assert figures(store)[BUCKET][:2] == (1, 1)


async def test_a_hold_cannot_be_booked_on_a_record_older_than_itself() -> None:
    async with worker(MemoryLedger()) as one:
        assert await one.call("call", [charge()])
        await one.ledger.flush()
        hold = await take_hold(one.ledger, "next", [charge()])
        with pytest.raises(ValueError, match="made after it"):
            one.ledger.book(hold, 0)


async def test_a_hold_that_nobody_books_expires_and_then_cannot_be_booked() -> None:
    store, clock = MemoryLedger(), FakeClock()
    async with worker(store, clock=clock) as one:
        old = await take_hold(one.ledger, "old", [charge(20)])
        clock.now += 29
        await one.ledger.flush()
        assert not await one.call("early", [charge()])
        clock.now += 1
        await one.ledger.flush()
        assert await one.call("next", [charge()])
        with pytest.raises(Unavailable, match="too long"):
            one.ledger.book(old, 99)
        one.ledger.release(old)
    assert figures(store)[BUCKET] == (1, 0, 0)


async def test_releasing_and_settling_twice_changes_nothing() -> None:
    store = MemoryLedger()
    async with worker(store) as one:
        hold = await take_hold(one.ledger, "released", [charge(20)])
        one.ledger.release(hold)
        one.ledger.release(hold)
        hold = await take_hold(one.ledger, "settled", [charge(20)])
        one.book(hold)
        one.ledger.release(hold)
        one.settle(hold, [15])
        one.settle(hold, [0])
        assert not await one.call("too much", [charge(6)])
        assert await one.call("the rest", [charge(5)])
    assert figures(store)[BUCKET] == (20, 0, 0)


async def test_amounts_outside_what_was_held_leave_the_call_charged() -> None:
    store = MemoryLedger()
    async with worker(store) as one:
        hold = await take_hold(one.ledger, "call", [charge(5)])
        with pytest.raises(ValueError, match="booked before"):
            one.ledger.settle(hold, [5], 0)
        one.book(hold)
        for wrong in ([6], [-1], [], [1, 1]):
            with pytest.raises(ValueError):
                one.ledger.settle(hold, wrong, 1)
    assert figures(store)[BUCKET] == (0, 5, 0)


async def test_a_call_id_holds_once() -> None:
    async with worker(MemoryLedger()) as one:
        hold = await take_hold(one.ledger, "call", [charge()])
        with pytest.raises(ValueError, match="holds once"):
            one.ledger.hold("call", [charge()])
        one.book(hold)
        with pytest.raises(ValueError, match="holds once"):
            one.ledger.hold("call", [charge()])


async def test_a_bucket_named_twice_is_charged_twice() -> None:
    store = MemoryLedger()
    async with worker(store) as one:
        assert await one.call("call", [charge(8), charge(8)])
        assert not await one.call("next", [charge(3), charge(3)])
        assert await one.call("last", [charge(2), charge(2)])
    assert figures(store)[BUCKET] == (20, 0, 0)


async def test_a_call_without_charges_costs_nothing() -> None:
    store = MemoryLedger()
    async with worker(store) as one:
        assert await one.call("free", [])
        await one.ledger.lease([])
        await one.ledger.flush()
    assert figures(store) == {}


async def test_a_lowered_limit_takes_back_what_was_leased_under_the_old_one() -> None:
    store = MemoryLedger()
    async with worker(store) as one:
        for number in range(12):
            assert await one.call(str(number), [charge(limit=1000)])
        assert not await one.call("after", [charge(limit=10)])
        assert not await one.call("again", [charge(limit=12)])
        assert await one.call("raised", [charge(limit=13)])
        assert not await one.call("full", [charge(limit=13)])
    assert figures(store)[BUCKET] == (13, 0, 0)


async def test_what_ran_under_a_higher_limit_frees_nothing_under_a_lower_one() -> None:
    async with worker(MemoryLedger()) as one:
        hold = await take_hold(one.ledger, "long", [charge(50, limit=100)])
        one.book(hold)
        assert not await one.call("new", [charge(limit=10)])
        one.settle(hold, [9])
        with pytest.raises(OverBudget) as caught:
            await take_hold(one.ledger, "early", [charge(limit=10)])
        assert caught.value.retry_after_s == 1.0
        await one.ledger.flush()
        assert await one.call("one more", [charge(limit=10)])
        assert not await one.call("too many", [charge(limit=10)])


async def test_a_new_day_is_a_new_window_and_late_calls_settle_in_theirs() -> None:
    store = MemoryLedger()
    async with worker(store) as one:
        long = await take_hold(one.ledger, "long", [charge(20)])
        one.book(long)
        assert await one.call("next day", [charge(20, window="2026-11-23")])
        one.settle(long, [3])
    assert figures(store) == {BUCKET: (3, 0, 0), "daily/acme/planner 2026-11-23": (20, 0, 0)}


def test_the_leased_ledger_is_a_ledger() -> None:
    ledger: Ledger = LeasedLedger(MemoryLedger(), FakeRecorder(), "0", 1, FakeClock())
    assert ledger


class CountingLedger(MemoryLedger):
    def __init__(self) -> None:
        super().__init__()
        self.leases_asked = 0

    def lease(self, slot: str, asks: Sequence[Ask], workers: int) -> Sequence[Grant]:
        self.leases_asked += 1
        return super().lease(slot, asks, workers)
