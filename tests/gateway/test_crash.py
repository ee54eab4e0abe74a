"""kill -9 in the middle of work: what was acknowledged is on record, and no budget gives more than it has."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import anyio
import pytest

from support.processes import Died, Process, process
from support.raw_upstream import RawUpstream, echo, raw_upstream
from support.scenes import Records, world

LIMIT = 1000
BUDGET = f"budgets: [{{name: purse, scope: tenant, match: acme, unit: calls, limit: {LIMIT}, window: total}}]\n"
CALLERS = 4


async def hammer(gate: Process, numbers: Iterator[int], acknowledged: set[str], enough: int, done: anyio.Event) -> None:
    """Call as fast as it goes until the connection dies; remember every trace id that was answered."""
    wire = await gate.connect()
    try:
        while True:
            trace = f"{next(numbers):032x}"
            answer = await gate.call(wire, "raw__echo", trace=trace)
            if "result" in answer:
                acknowledged.add(trace)
            if len(acknowledged) >= enough:
                done.set()
    except Died:
        pass
    finally:
        wire.close()


async def burst_and_kill(gate: Process, numbers: Iterator[int], acknowledged: set[str], calls: int) -> None:
    """Load the gateway until `calls` more calls were answered, then kill it."""
    done = anyio.Event()
    async with anyio.create_task_group() as group:
        for _ in range(CALLERS):
            group.start_soon(hammer, gate, numbers, acknowledged, len(acknowledged) + calls, done)
        await done.wait()
        await gate.kill()


def traces(records: Records) -> set[str]:
    """Return the trace ids of every decision."""
    return {record["trace"].split("-")[1] for record in records if record["kind"] == "decision"}


def sent(upstream: RawUpstream) -> set[str]:
    """Return the trace ids that reached the upstream."""
    return {call.head[b"traceparent"].split(b"-")[1].decode() for call in upstream.calls}


@pytest.mark.requirement("audit.kill-9", "invariant.record-before-forward", "invariant.no-overspend-after-crash")
@pytest.mark.parametrize(("workers", "kills"), [(1, 20), (2, 3)])
async def test_no_acknowledged_call_lacks_its_decision_and_no_crash_gives_money_back(
    tmp_path: Path, workers: int, kills: int
) -> None:
    numbers, acknowledged = count(1), set[str]()
    with anyio.fail_after(240):  # starts are slow on a busy machine
        async with (
            raw_upstream({"echo": echo}) as up,
            process(tmp_path, world([up.entry()], BUDGET), workers) as gate,
        ):
            for kill in range(kills):
                await gate.start()
                report = gate.verify()
                assert report.is_ok, (kill, report)
                await burst_and_kill(gate, numbers, acknowledged, calls=10 + kill)
            await gate.start()
            assert gate.verify().is_ok
            await until_empty(gate, acknowledged, numbers)
            assert await gate.stop() == 0
            records = gate.records()
    assert acknowledged <= sent(up) <= traces(records)
    assert len(up.calls) == len(sent(up))
    [spent] = gate.spent().values()
    assert len(acknowledged) <= len(up.calls) <= spent <= LIMIT
    assert gate.verify().is_ok


async def until_empty(gate: Process, acknowledged: set[str], numbers: Iterator[int]) -> None:
    """Spend what is left of the budget, over many connections so that every worker takes part."""

    async def spend() -> None:
        wire = await gate.connect()
        while True:
            trace = f"{next(numbers):032x}"
            answer = await gate.call(wire, "raw__echo", trace=trace)
            if "error" in answer:
                assert answer["error"]["data"]["agent-gateway/refusal"]["code"] == "over_budget"
                break
            acknowledged.add(trace)
        wire.close()

    async with anyio.create_task_group() as group:
        for _ in range(CALLERS * 2):
            group.start_soon(spend)
