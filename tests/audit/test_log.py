"""The audit log from the event loop's side: durable, gapless, and closed when in doubt."""

import asyncio
import os
import sqlite3
import sys
import threading
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from agent_gateway.audit import reader
from agent_gateway.audit.logfile import connect_writer
from agent_gateway.ports import Recorder
from gateway_policies.refusal import Unavailable
from support.audit_log import EAGER, LAZY, Disk, Gate, decision, open_log, outcome, write_calls


def records_in(directory: Path) -> list[str]:
    return [f"{entry.index} {entry.record['kind']} {entry.record['call']}" for entry in reader.records(directory)]


def batches_in(directory: Path) -> list[tuple[int, int]]:
    connection = sqlite3.connect(directory / "w0.db")
    rows = connection.execute("SELECT first_index, count FROM batch ORDER BY first_index").fetchall()
    connection.close()
    return rows


async def test_a_durable_record_is_in_the_file_and_the_next_process_goes_on_after_it(tmp_path: Path) -> None:
    async with open_log(tmp_path) as log:
        assert (log.append(decision("c1")), log.append(outcome("c1"))) == (0, 1)
        await log.durable(1)
        assert log.durable_count == 2
        assert records_in(tmp_path) == ["0 decision c1", "1 outcome c1"]
    async with open_log(tmp_path) as log:
        assert (log.size, log.durable_count, log.anchored_count) == (2, 2, 2)
        assert log.append(decision("c2")) == 2
    assert records_in(tmp_path) == ["0 decision c1", "1 outcome c1", "2 decision c2"]


async def test_it_is_the_pipelines_recorder(tmp_path: Path) -> None:
    async with open_log(tmp_path) as log:
        recorder: Recorder = log
        index = recorder.append(decision())
        await recorder.durable(index)
        assert recorder.durable_count == 1


async def test_nobody_is_told_durable_before_the_commit(tmp_path: Path) -> None:
    disk, gate = Disk(connect_writer), Gate()
    disk.before = gate
    async with open_log(tmp_path, connect=disk) as log:
        index = log.append(decision())
        waiter = asyncio.create_task(log.durable(index))
        await anyio.to_thread.run_sync(gate.reached.wait, 5)
        assert (log.durable_count, waiter.done()) == (0, False)
        gate.open()
        with anyio.fail_after(5):
            await waiter
        assert log.durable_count == 1


async def test_64_callers_who_wait_at_once_share_a_commit(tmp_path: Path) -> None:
    disk, gate = Disk(connect_writer), Gate()
    disk.before = gate
    async with open_log(tmp_path, LAZY, connect=disk) as log:
        first = log.append(decision("first"))
        await anyio.to_thread.run_sync(gate.reached.wait, 5)
        waiters = [asyncio.create_task(log.durable(log.append(decision(f"c{n}")))) for n in range(64)]
        gate.open()
        with anyio.fail_after(5):
            await asyncio.gather(log.durable(first), *waiters)
    assert batches_in(tmp_path) == [(0, 1), (1, 64)]


async def test_a_caller_who_gives_up_waiting_hurts_nobody(tmp_path: Path) -> None:
    disk, gate = Disk(connect_writer), Gate()
    disk.before = gate
    async with open_log(tmp_path, connect=disk) as log:
        gone = asyncio.create_task(log.durable(log.append(decision("c1"))))
        stays = asyncio.create_task(log.durable(log.append(decision("c2"))))
        await anyio.to_thread.run_sync(gate.reached.wait, 5)
        gone.cancel()
        gate.open()
        with anyio.fail_after(5):
            await stays
        assert gone.cancelled()
    assert records_in(tmp_path) == ["0 decision c1", "1 decision c2"]


async def test_closing_writes_and_signs_what_waits(tmp_path: Path) -> None:
    log = open_log(tmp_path, LAZY)
    await log.start()
    for number in range(2_500):
        log.append(decision(f"c{number}"))
    await log.aclose()
    await log.aclose()
    assert (log.state, log.durable_count, log.anchored_count) == ("closed", 2_500, 2_500)
    assert log.checkpoint.startswith("gateway.acme.example/w0\n2500\n")
    assert max(count for _, count in batches_in(tmp_path)) <= LAZY.max_batch_records


async def test_a_batch_keeps_to_its_size_in_bytes(tmp_path: Path) -> None:
    disk, gate = Disk(connect_writer), Gate()
    disk.before = gate
    async with open_log(tmp_path, replace(LAZY, max_batch_bytes=2_000), connect=disk) as log:
        log.append(decision("first"))
        await anyio.to_thread.run_sync(gate.reached.wait, 5)
        for number in range(6):
            log.append({"kind": "outcome", "call": str(number), "filling": "x" * (900 if number < 4 else 3_000)})
        gate.open()
    assert batches_in(tmp_path) == [(0, 1), (1, 2), (3, 2), (5, 1), (6, 1)]


async def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    async with open_log(tmp_path) as log:
        for bad in ({"kind": "decision", "call": "\ud800"}, {"big": 2**64}, {"what": object()}):
            with pytest.raises(Unavailable, match="this call cannot be recorded"):
                log.append(bad)
        assert log.size == 0


async def test_a_record_beyond_its_limit_is_refused(tmp_path: Path) -> None:
    async with open_log(tmp_path, replace(EAGER, max_record_bytes=100)) as log:
        with pytest.raises(Unavailable, match=r"its record is \d+ bytes, 100 are allowed"):
            log.append({"kind": "decision", "call": "x" * 100})
        assert log.append({"kind": "decision", "call": "x"}) == 0


@pytest.mark.parametrize("limit", [{"max_pending_records": 3}, {"max_pending_bytes": 130}])
async def test_when_too_much_waits_decisions_are_refused_before_outcomes(tmp_path: Path, limit: dict[str, int]) -> None:
    disk, gate = Disk(connect_writer), Gate()
    disk.before = gate
    async with open_log(tmp_path, replace(EAGER, **limit), connect=disk) as log:
        for number in range(3):
            log.append({"kind": "decision", "call": f"call-{number}"})  # 35 bytes
        with pytest.raises(Unavailable, match="too many records wait") as refused:
            log.append({"kind": "decision", "call": "call-3"})
        assert refused.value.retry_after_s == 1.0
        for number in range(3):
            log.append({"kind": "outcome", "call": f"call-{number}"})
        with pytest.raises(Unavailable, match="too many records wait"):
            log.append({"kind": "outcome", "call": "call-" + "x" * 40})
        gate.open()
        with anyio.fail_after(5):
            await log.durable(5)
        assert log.append({"kind": "decision", "call": "call-4"}) == 6


async def test_a_log_that_is_not_open_takes_nothing(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    with pytest.raises(Unavailable, match="the audit log is not open"):
        log.append(outcome())
    await log.start()
    index = log.append(decision())
    await log.aclose()
    with pytest.raises(Unavailable, match="the audit log is not open"):
        log.append(outcome())
    await log.durable(index)
    with pytest.raises(Unavailable, match="the audit log is not open"), anyio.fail_after(5):
        await log.recovered()
    with pytest.raises(IndexError):
        await log.durable(index + 1)


async def test_a_checkpoint_follows_so_many_records(tmp_path: Path) -> None:
    async with open_log(tmp_path, replace(LAZY, checkpoint_every_records=10)) as log:
        for number in range(25):
            await log.durable(log.append(decision(f"c{number}")))
    sizes = [size for size, _ in reader.checkpoints(tmp_path / "w0.db")]
    assert sizes == [10, 20, 25]


async def test_an_idle_log_signs_its_last_records_in_time(tmp_path: Path) -> None:
    disk, signed, times = Disk(connect_writer), threading.Event(), iter(range(1_000))
    disk.after = lambda words: signed.set() if words == "INSERT INTO checkpoint" else None
    limits = replace(LAZY, checkpoint_every_s=0.05)
    async with open_log(tmp_path, limits, at=lambda: float(next(times)), connect=disk) as log:
        await log.durable(log.append(decision()))
        assert await anyio.to_thread.run_sync(signed.wait, 5)


async def test_a_clock_that_is_set_back_does_not_put_the_checkpoint_off(tmp_path: Path) -> None:
    now = [1_000_000.0]
    async with open_log(tmp_path, LAZY, at=lambda: now[0]) as log:
        await log.durable(log.append(decision("c1")))
        now[0] = 5.0
        await log.durable(log.append(decision("c2")))
        with anyio.fail_after(5):
            while log.anchored_count < 1:
                await log.durable(log.append(decision()))


async def test_what_a_killed_process_left_unsigned_is_signed_at_the_start(tmp_path: Path) -> None:
    await write_calls(tmp_path, 3, LAZY)
    connection = sqlite3.connect(tmp_path / "w0.db")
    connection.execute("DELETE FROM checkpoint")
    connection.commit()
    connection.close()
    disk, signed = Disk(connect_writer), threading.Event()
    disk.after = lambda words: signed.set() if words == "INSERT INTO checkpoint" else None
    async with open_log(tmp_path, LAZY, connect=disk):
        assert await anyio.to_thread.run_sync(signed.wait, 5)
    assert [size for size, _ in reader.checkpoints(tmp_path / "w0.db")] == [6]


async def test_cancelling_the_start_lets_the_file_go(tmp_path: Path) -> None:
    reached, release = threading.Event(), threading.Event()

    def connect(path: Path) -> sqlite3.Connection:
        reached.set()
        release.wait(5)
        return connect_writer(path)

    log = open_log(tmp_path, connect=connect)
    starting = asyncio.create_task(log.start())
    await anyio.to_thread.run_sync(reached.wait, 5)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    release.set()
    with anyio.fail_after(5):
        await log.recovered()
    await log.aclose()
    await write_calls(tmp_path, 1)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux schedules by classes")
async def test_the_writer_does_not_take_the_core_from_the_loop_that_wakes_it(tmp_path: Path) -> None:
    async with open_log(tmp_path):
        writers = [thread.native_id for thread in threading.enumerate() if thread.name.startswith("audit-")]
        assert [os.sched_getscheduler(number or 0) for number in writers] == [os.SCHED_BATCH]
