"""One worker process for the race test: `python ledger_worker.py DIRECTORY LIMIT WORKERS`.

Takes a slot, says `ready`, waits for a line, then calls until the budget refuses. Its log is a file of
JSON lines in the slot's name: what has been written there survives a kill.
"""

import asyncio
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from agent_gateway.ports import Charge, Told
from agent_gateway.stores.leased_ledger import LeasedLedger
from agent_gateway.stores.slots import acquire_slot
from agent_gateway.stores.sqlite_ledger import SqliteLedger
from agent_gateway.stores.take_hold import take_hold
from gateway_policies.refusal import OverBudget, Unavailable
from gateway_policies.windows import window_at

PARALLEL = 8


class FileLog:
    """A `Recorder` over a file of JSON lines; a record is durable when its line is written."""

    fault = ""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = sum(1 for _ in self.records_after(-1))
        self._file = path.open("ab", buffering=0)

    def append(self, record: Mapping[str, object]) -> int:
        return self.append_line(json.dumps(record).encode(), record["kind"])

    def append_line(self, line: bytes, kind: object) -> int:
        self._file.write(line + b"\n")
        self._count += 1
        return self._count - 1

    def when_durable(self, index: int, told: Told) -> None:
        told(None)

    async def durable(self, index: int) -> None:
        return

    @property
    def durable_count(self) -> int:
        return self._count

    def records_after(self, index: int) -> Iterator[Mapping[str, object]]:
        return records_of(self._path, index)

    def close(self) -> None:
        self._file.close()


def records_of(path: Path, index: int = -1) -> Iterator[Mapping[str, object]]:
    """Yield the whole lines of a log after `index`; a line cut short by a kill is not there."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    for line in lines[index + 1 :]:
        yield json.loads(line)


def charges(limit: int) -> list[Charge]:
    window = window_at("total", time.time())
    return [
        Charge("money/acme", window, 7, limit * 7, "micros", "tenant"),
        Charge("calls/acme/planner", window, 1, limit),
    ]


async def call(ledger: LeasedLedger, log: FileLog, call_id: str, limit: int) -> bool:
    """One call; it costs all its calls and 5 of the 7 micros it held. False: refused for good."""
    try:
        hold = await take_hold(ledger, call_id, charges(limit))
    except OverBudget as refusal:
        if refusal.retry_after_s is None:
            return False
        await ledger.flush()
        await asyncio.sleep(0.01)
        return True
    except Unavailable:
        return True
    rows = [[c.bucket, c.window, c.amount] for c in hold.charges]
    ledger.book(hold, log.append({"kind": "decision", "call": call_id, "charges": rows}))
    await asyncio.sleep(0)
    actual = [5, 1]
    settled = [[c.bucket, c.window, used] for c, used in zip(hold.charges, actual, strict=True)]
    ledger.settle(hold, actual, log.append({"kind": "outcome", "call": call_id, "settled": settled}))
    return True


async def work(directory: Path, limit: int, workers: int) -> None:
    slot = acquire_slot(directory / "slots")
    log = FileLog(directory / f"{slot.name}.log")
    ledger = LeasedLedger(SqliteLedger(directory / "ledger.db"), log, slot.name, workers, time.time)
    await ledger.start(log.records_after)
    flushing = asyncio.create_task(ledger.run(lambda seconds: asyncio.sleep(seconds / 50)))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def lane(number: int) -> None:
        made = 0
        while await call(ledger, log, f"{slot.name}-{time.time_ns()}-{number}-{made}", limit):
            made += 1

    await asyncio.gather(*(lane(number) for number in range(PARALLEL)))
    flushing.cancel()
    await ledger.aclose()
    log.close()
    slot.close()


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
