"""Races that other gateways shipped, as abuse tests. Numbers are LiteLLM issues."""

from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from agent_gateway.ports import Charge
from agent_gateway.stores.leased_ledger import LeasedLedger
from agent_gateway.stores.take_hold import take_hold
from gateway_policies.budgets import Budget, charges_for
from gateway_policies.call import Capability
from gateway_policies.principal import Principal
from gateway_policies.refusal import OverBudget, Unavailable
from support.fake_recorder import FakeRecorder
from support.ledgers import DAY, NOON, FakeClock, Worker, charge, figures, worker
from support.memory_ledger_store import MemoryLedger

BUCKET = f"daily/acme/planner {DAY}"
PLANNER = Principal(kind="agent", id="planner", tenant="acme")
PAID = Capability(name="search", native="search", upstream="web", price_micros=30)
MONEY = Budget(name="money", scope="tenant", match="*", unit="micros", limit=100, window="day")


async def slow_call(one: Worker, call_id: str, charges: list[Charge], running: anyio.Event) -> bool:
    """A call that is still running while all the others are checked."""
    try:
        hold = await take_hold(one.ledger, call_id, charges)
    except OverBudget:
        return False
    one.book(hold)
    try:
        await running.wait()
    finally:
        one.settle(hold)
    return True


async def test_checking_before_spending_lets_nobody_through_twice() -> None:
    """34732: all parallel calls read the same "not used up yet", and all go."""
    store, done, results = MemoryLedger(), anyio.Event(), list[bool]()
    async with worker(store) as one, anyio.create_task_group() as group:

        async def call(number: int) -> None:
            results.append(await slow_call(one, str(number), [charge(10, limit=100)], done))

        for number in range(50):
            group.start_soon(call, number)
        with anyio.fail_after(5):
            while len(results) < 40:
                await anyio.lowlevel.checkpoint()
        assert results == [False] * 40
        done.set()
    assert results.count(True) == 10
    assert figures(store)[BUCKET] == (100, 0, 0)


async def test_the_first_calls_of_somebody_unknown_are_held_like_any_other() -> None:
    """40095: with no row for the user yet, the first burst was not limited."""
    results: list[bool] = []
    store = MemoryLedger()
    async with worker(store, "0", 2) as one, worker(store, "1", 2) as two, anyio.create_task_group() as group:

        async def call(at: Worker, number: int) -> None:
            charges = charges_for([MONEY], replace(PLANNER, id=f"new-{number}"), PAID, NOON)
            results.append(await at.call(f"{at.ledger.slot}-{number}", charges))

        for number in range(10):
            group.start_soon(call, one, number)
            group.start_soon(call, two, number)
    assert results.count(True) <= 3
    assert figures(store)[f"money/acme {DAY}"] == (30 * results.count(True), 0, 0)


async def test_a_client_that_goes_away_leaks_no_hold() -> None:
    """27639: cancellation is no `Exception`, so the reservation was never given back."""
    store, never = MemoryLedger(), anyio.Event()
    async with worker(store) as one:
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(slow_call, one, str(number), [charge(2)], never)
            with anyio.fail_after(5):
                while len(one.recorder.records) < 10:
                    await anyio.lowlevel.checkpoint()
            await one.ledger.flush()
            assert figures(store)[BUCKET][1] == 20
            group.cancel_scope.cancel()
        await one.ledger.flush()
        assert figures(store)[BUCKET][:2] == (20, 0)


async def test_a_client_that_goes_away_while_it_waits_for_a_lease_leaks_nothing() -> None:
    store, never = MemoryLedger(), anyio.Event()
    async with worker(store) as one:
        async with anyio.create_task_group() as group:
            group.start_soon(slow_call, one, "gone", [charge(20)], never)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        await one.ledger.flush()
        assert await one.call("next", [charge(20)])
    assert figures(store)[BUCKET] == (20, 0, 0)


async def test_an_answer_that_breaks_off_is_charged_what_it_used_not_nothing() -> None:
    """35568: a stream that ended early was refunded in full."""
    store = MemoryLedger()
    async with worker(store) as one:
        hold = await take_hold(one.ledger, "stream", [charge(20)])
        one.book(hold)
        one.settle(hold, [13])
    assert figures(store)[BUCKET] == (13, 0, 0)


async def test_a_call_whose_end_nobody_saw_is_charged_in_full() -> None:
    store, recorder = MemoryLedger(), FakeRecorder()
    async with worker(store, recorder=recorder) as one:
        one.book(await take_hold(one.ledger, "lost", [charge(20)]))
    async with worker(store, recorder=recorder) as again:
        assert not await again.call("more", [charge(1)])
    assert figures(store)[BUCKET] == (20, 0, 0)


async def test_two_ends_of_one_call_are_counted_once() -> None:
    """36926, 40050: success and failure handlers both counted."""
    store = MemoryLedger()
    async with worker(store) as one:
        hold = await take_hold(one.ledger, "call", [charge(20)])
        one.book(hold)
        one.settle(hold, [5])
        one.settle(hold, [0])
        await one.ledger.flush()
        one.settle(hold, [0])
        assert not await one.call("more", [charge(16)])
    assert figures(store)[BUCKET] == (5, 0, 0)


async def test_a_price_nobody_can_tell_is_no_free_call() -> None:
    """35524: without an estimate the reservation was skipped."""
    with pytest.raises(Unavailable):
        charges_for([MONEY], PLANNER, replace(PAID, price_micros=-1), NOON)


async def test_a_store_that_is_away_at_the_start_lets_nobody_through() -> None:
    class Away(MemoryLedger):
        def mark(self, slot: str) -> int:
            raise Unavailable("the budget store does not answer")

    recorder = FakeRecorder()
    ledger = LeasedLedger(Away(), recorder, "0", 1, FakeClock())
    with pytest.raises(Unavailable):
        await ledger.start(recorder.records_after)
    with pytest.raises(Unavailable):
        ledger.hold("call", [charge()])
    await ledger.aclose()
