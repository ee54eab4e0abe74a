"""Pieces that the tests of the ledger are built from."""

import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agent_gateway.ports import Charge, Hold
from agent_gateway.stores.leased_ledger import LeasedLedger, LedgerLimits
from agent_gateway.stores.ledger_store import LedgerStore
from agent_gateway.stores.sqlite_ledger import SqliteLedger, connect
from gateway_policies.refusal import OverBudget
from support.fake_recorder import FakeRecorder

NOON = 1_795_348_800.0  # 2026-11-22T12:00:00Z
DAY = "2026-11-22"


class FakeClock:
    """Unix seconds that move when the test says so."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def charge(amount: int = 1, limit: int = 20, bucket: str = "daily/acme/planner", window: str = DAY) -> Charge:
    return Charge(bucket=bucket, window=window, amount=amount, limit=limit)


def rows_of(hold: Hold) -> list[list[object]]:
    """What a decision record says of a hold."""
    return [[c.bucket, c.window, c.amount] for c in hold.charges]


class Worker:
    """One worker as the pipeline is: it records, books and settles in step."""

    def __init__(self, ledger: LeasedLedger, recorder: FakeRecorder) -> None:
        self.ledger = ledger
        self.recorder = recorder

    def book(self, hold: Hold) -> None:
        index = self.recorder.append({"kind": "decision", "call": hold.id, "charges": rows_of(hold)})
        self.ledger.book(hold, index)

    def settle(self, hold: Hold, actual: Sequence[int] | None = None) -> None:
        used = [c.amount for c in hold.charges] if actual is None else actual
        settled = [[c.bucket, c.window, part] for c, part in zip(hold.charges, used, strict=True)]
        index = self.recorder.append({"kind": "outcome", "call": hold.id, "settled": settled})
        self.ledger.settle(hold, used, index)

    async def call(self, call_id: str, charges: Sequence[Charge], actual: Sequence[int] | None = None) -> bool:
        """One whole call; False when the budget refused it."""
        try:
            while (hold := self.ledger.hold(call_id, charges)) is None:
                await self.ledger.lease(charges)
        except OverBudget:
            return False
        self.book(hold)
        self.settle(hold, actual)
        return True


@asynccontextmanager
async def worker(
    store: LedgerStore,
    slot: str = "0",
    workers: int = 1,
    clock: Callable[[], float] | None = None,
    recorder: FakeRecorder | None = None,
    limits: LedgerLimits | None = None,
) -> AsyncGenerator[Worker]:
    """A started worker on `store`, closed at the end."""
    recorder = recorder or FakeRecorder()
    ledger = LeasedLedger(store, recorder, slot, workers, clock or FakeClock(), limits)
    await ledger.start(recorder.records_after)
    try:
        yield Worker(ledger, recorder)
    finally:
        await ledger.aclose()


def figures(store: LedgerStore) -> Mapping[str, tuple[int, int, int]]:
    """(spent, held, leased) of each bucket, by bucket and window."""
    usage = store.usage()
    store.close()
    return {f"{u.bucket} {u.window}": (u.spent, u.held, u.leased) for u in usage}


class FailingDisk:
    """Makes connections whose statements fail when the test says so.

    fail_next  the statement that contains this text fails once, with `error`
    after      it is carried out first, and the failure reported nevertheless
    """

    def __init__(self) -> None:
        self.fail_next = ""
        self.after = False
        self.error: sqlite3.Error = sqlite3.OperationalError("database or disk is full")
        self.is_down = False
        self.failures = 0

    def __call__(self, path: Path) -> sqlite3.Connection:
        if self.is_down:
            raise sqlite3.OperationalError("unable to open database file")
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
                is_hit = bool(disk.fail_next) and disk.fail_next in sql
                if disk.is_down or (is_hit and not disk.after):
                    disk.hit()
                    raise disk.error
                cursor = super().execute(sql, parameters)  # pyright: ignore[reportArgumentType]
                if is_hit:
                    disk.hit()
                    raise disk.error
                return cursor

        connect(path).close()
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Connection)

    def hit(self) -> None:
        self.fail_next = ""
        self.failures += 1


def sqlite_store(path: Path) -> SqliteLedger:
    return SqliteLedger(path / "ledger.db")
