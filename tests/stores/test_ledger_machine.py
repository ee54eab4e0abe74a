"""The ledger under any interleaving: workers, crashes, faults, windows and limits, against a simple model.

The model knows every call and what it may cost. Whatever happens:

- when a hold succeeds, everything held and spent of each bucket is within the limit of that moment;
- a crash loses holds that were never durable, charges calls without a durable outcome in full, and
  the others for what they used: once all is reported, the store says exactly the sum of these;
- a single worker, undisturbed, refuses only what does not fit.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeVar, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from agent_gateway.ports import Charge, Hold
from agent_gateway.stores.leased_ledger import LeasedLedger, LedgerLimits
from gateway_policies.refusal import OverBudget, Unavailable
from gateway_policies.windows import window_at
from support.fake_recorder import FakeRecorder
from support.ledgers import FakeClock, Worker
from support.memory_ledger_store import FlakyLedger, MemoryLedger

T = TypeVar("T")
NOTHING = cast("object", multiple())
WORKERS = 3
PATIENT = LedgerLimits(hold_ttl_s=1e12)  # holds that expire have their own test
AGENTS = ("daily/acme/planner", "daily/acme/coder")
TENANT = "monthly/acme"


@dataclass
class Life:
    """One call as the model sees it.

    charged  what the store must show for it once all is reported: nothing before it is booked,
             then all that was held, then what was used
    true     what it may really have cost
    """

    owner: int
    hold: Hold
    state: Literal["held", "booked", "settled", "over"] = "held"
    charged: list[int] = field(default_factory=list[int])
    true: list[int] = field(default_factory=list[int])
    decision: int = -1  # indices of its records
    outcome: int = -1


class LedgerMachine(RuleBasedStateMachine):
    workers = WORKERS
    is_exact = False
    held = Bundle("held")
    booked = Bundle("booked")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.store = FlakyLedger(MemoryLedger())
        self.limits = {TENANT: 60, AGENTS[0]: 25, AGENTS[1]: 45}
        self.highest = dict(self.limits)
        self.lives: list[Life] = []
        self.crew: list[Worker] = []
        for number in range(self.workers):
            recorder = FakeRecorder(is_instant=False)
            self.crew.append(self.start(number, recorder))

    def start(self, number: int, recorder: FakeRecorder) -> Worker:
        ledger = LeasedLedger(self.store, recorder, str(number), self.workers, self.clock, PATIENT)
        self.run_async(ledger.start(recorder.records_after))
        return Worker(ledger, recorder)

    def run_async(self, work: Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return self.runner.run(waited())

    def total(self, bucket: str, window: str) -> int:
        """What is truly held or spent: the amount of calls that run, the cost of those that ended."""
        return self.sum([life.true for life in self.lives], bucket, window)

    def sum(self, amounts: Sequence[Sequence[int]], bucket: str, window: str) -> int:
        pairs = [
            pair
            for life, row in zip(self.lives, amounts, strict=True)
            for pair in zip(life.hold.charges, row, strict=True)
        ]
        return sum(amount for charge, amount in pairs if (charge.bucket, charge.window) == (bucket, window))

    def charges(self, agent: str, amount: int) -> list[Charge]:
        now = self.clock()
        return [
            Charge(TENANT, window_at("month", now), amount, self.limits[TENANT], "micros", "tenant"),
            Charge(agent, window_at("day", now), amount, self.limits[agent], "micros", "agent"),
        ]

    @rule(target=held, number=st.integers(0, WORKERS - 1), agent=st.sampled_from(AGENTS), amount=st.integers(1, 12))
    def hold(self, number: int, agent: str, amount: int) -> object:
        number %= self.workers
        charges = self.charges(agent, amount)
        call = f"call-{len(self.lives)}"

        async def take() -> Hold:
            ledger = self.crew[number].ledger
            for _ in range(20):
                hold = ledger.hold(call, charges)
                if hold is not None:
                    return hold
                await ledger.lease(charges)
            raise AssertionError("a lease that was granted must fit")

        try:
            hold = self.run_async(take())
        except Unavailable:
            return NOTHING
        except OverBudget:
            if self.is_exact:
                assert any(self.total(c.bucket, c.window) + c.amount > c.limit for c in charges)
            return NOTHING
        life = Life(number, hold, charged=[0, 0], true=[amount, amount])
        self.lives.append(life)
        for charge in charges:
            assert self.total(charge.bucket, charge.window) <= charge.limit
        return life

    @rule(target=booked, life=consumes(held))
    def book(self, life: Life) -> object:
        if life.state != "held":
            return NOTHING
        owner = self.crew[life.owner]
        owner.book(life.hold)
        life.state, life.decision = "booked", len(owner.recorder.records) - 1
        life.charged = list(life.true)
        return life

    @rule(life=consumes(held))
    def release(self, life: Life) -> None:
        self.release_held(life)

    def release_held(self, life: Life) -> None:
        if life.state == "held":
            self.crew[life.owner].ledger.release(life.hold)
            life.state, life.true = "over", [0, 0]

    @rule(life=booked, part=st.sampled_from([0, 1, 3, 4]))
    def settle(self, life: Life, part: int) -> None:
        """Settling and releasing again are tried too: the bundle keeps its calls."""
        owner = self.crew[life.owner]
        if life.state != "booked":
            owner.ledger.settle(life.hold, [0, 0], 10**6)
            owner.ledger.release(life.hold)
            return
        actual = [charge.amount * part // 4 for charge in life.hold.charges]
        owner.settle(life.hold, actual)
        life.state, life.outcome = "settled", len(owner.recorder.records) - 1
        life.true, life.charged = actual, list(actual)

    @rule(number=st.integers(0, WORKERS - 1), back=st.integers(0, 3))
    def make_durable(self, number: int, back: int) -> None:
        recorder = self.crew[number % self.workers].recorder
        recorder.make_durable(max(0, len(recorder.records) - back))

    @rule(number=st.integers(0, WORKERS - 1))
    def flush(self, number: int) -> None:
        with suppress(Unavailable):
            self.run_async(self.crew[number % self.workers].ledger.flush())

    @rule(hours=st.integers(1, 30))
    def pass_time(self, hours: int) -> None:
        """Windows roll over, and calls go on in the old ones."""
        self.clock.now += hours * 3600

    @rule()
    def pass_a_second(self) -> None:
        self.clock.now += 1

    @invariant()
    def what_is_spent_and_leased_is_within_the_highest_limit(self) -> None:
        for usage in self.store.usage():
            assert usage.spent + usage.held + usage.leased <= self.highest[usage.bucket]

    def teardown(self) -> None:
        try:
            self.check_the_end()
        finally:
            for worker in self.crew:
                worker.ledger._thread.shutdown()  # pyright: ignore[reportPrivateUsage]
            self.runner.close()

    def check_the_end(self) -> None:
        """Let everything be reported: the store then says what the model says, and nobody keeps a lease."""
        self.store.fault = ""
        for life in self.lives:
            self.release_held(life)
        for worker in self.crew:
            worker.recorder.make_durable()
            self.run_async(worker.ledger.flush())
            self.run_async(worker.ledger.flush())
        charged = [life.charged for life in self.lives]
        for usage in self.store.usage():
            at = (usage.bucket, usage.window)
            assert usage.spent + usage.held == self.sum(charged, *at)
        for number in range(self.workers):
            self.crash(number)
        for usage in self.store.usage():
            at = (usage.bucket, usage.window)
            assert (usage.spent + usage.held, usage.leased) == (self.sum(charged, *at), 0)

    def crash(self, number: int) -> None:
        """End a worker without a word, lose what was not durable, and start it again."""
        worker = self.crew[number]
        worker.recorder.crash()
        durable = worker.recorder.durable_count
        for life in self.lives:
            if life.owner == number and life.state != "over":
                self.bury(life, durable)
        worker.ledger._thread.shutdown()  # pyright: ignore[reportPrivateUsage]
        self.crew[number] = self.start(number, worker.recorder)

    def bury(self, life: Life, durable: int) -> None:
        amounts = [charge.amount for charge in life.hold.charges]
        if not 0 <= life.decision < durable:
            life.true = life.charged = [0, 0]
        elif not 0 <= life.outcome < durable:
            life.charged = amounts
        life.state = "over"


class RoughMachine(LedgerMachine):
    """Several workers that crash, a store that fails, limits that change."""

    @rule(number=st.integers(0, WORKERS - 1))
    def crash_and_recover(self, number: int) -> None:
        self.store.fault = ""
        self.crash(number)

    @rule(fault=st.sampled_from(["before", "after"]))
    def break_the_store(self, fault: Literal["before", "after"]) -> None:
        self.store.fault = fault

    @rule(bucket=st.sampled_from([TENANT, *AGENTS]), limit=st.integers(0, 80))
    def change_limit(self, bucket: str, limit: int) -> None:
        self.limits[bucket] = limit
        self.highest[bucket] = max(self.highest[bucket], limit)


class ExactMachine(LedgerMachine):
    """One worker, nothing goes wrong: every refusal must be true."""

    workers = 1
    is_exact = True


TestRough = RoughMachine.TestCase
TestRough.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)
TestExact = ExactMachine.TestCase
TestExact.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)
