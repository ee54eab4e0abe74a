"""What the audit log does when its disk, its file or its neighbours do wrong."""

import asyncio
import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent_gateway.audit import reader
from agent_gateway.audit.checkpoint import Signer
from agent_gateway.audit.log import AuditLog
from agent_gateway.audit.logfile import connect_writer
from agent_gateway.audit.verify import verify_directory
from gateway_policies.refusal import Unavailable
from support.audit_log import EAGER, LAZY, ORIGIN, VKEY, Disk, Gate, clock, decision, open_log, outcome, write_calls


def calls_in(directory: Path) -> list[tuple[int, object, object]]:
    return [(entry.index, entry.record["kind"], entry.record["call"]) for entry in reader.records(directory)]


class Fault:
    """Raises at statements that begin with `words`, until it is lifted."""

    def __init__(self, words: str = "INSERT INTO batch", error: type[Exception] = sqlite3.OperationalError) -> None:
        self.words, self.error, self.is_on = words, error, False
        self.hit = threading.Event()

    def __call__(self, words: str) -> None:
        if self.is_on and words.startswith(self.words):
            self.hit.set()
            raise self.error("the disk is on fire")


async def until_down(log: AuditLog) -> None:
    """Wait until the log says of itself that it is down, by asking for a record that cannot be durable."""
    with pytest.raises(Unavailable, match="cannot be written"):
        await log.durable(log.append(outcome("probe")))


async def test_a_failed_commit_refuses_its_waiters_and_new_calls_but_keeps_outcomes_for_later(tmp_path: Path) -> None:
    disk, fault = Disk(connect_writer), Fault()
    disk.before = fault
    async with open_log(tmp_path, connect=disk) as log:
        await log.durable(log.append(decision("c1")))
        fault.is_on = True
        with pytest.raises(Unavailable, match="the audit log cannot be written, and nothing may happen unrecorded"):
            await log.durable(log.append(decision("c2")))
        assert (log.state, log.reason, log.durable_count) == ("down", "the disk is on fire", 1)
        with pytest.raises(Unavailable):
            log.append(decision("c3"))
        assert (log.append(outcome("c2", "refused")), log.append(outcome("c1"))) == (2, 3)
        with pytest.raises(Unavailable):
            await log.durable(3)
        fault.is_on = False
        with anyio.fail_after(5):
            await log.recovered()
        assert (log.state, log.reason, log.durable_count) == ("up", "", 4)
        await log.durable(log.append(decision("c4")))
    assert calls_in(tmp_path) == [
        (0, "decision", "c1"),
        (1, "decision", "c2"),
        (2, "outcome", "c2"),
        (3, "outcome", "c1"),
        (4, "decision", "c4"),
    ]
    report = verify_directory(tmp_path, [VKEY])
    assert (report.is_ok, report.records, report.unanchored, report.open) == (True, 5, 0, ["c4"])


async def test_a_full_disk_takes_the_log_down_and_room_brings_it_back(tmp_path: Path) -> None:
    pages = [100_000]

    def connect(path: Path) -> sqlite3.Connection:
        connection = connect_writer(path)
        connection.execute(f"PRAGMA max_page_count = {pages[0]}")
        return connection

    async with open_log(tmp_path, connect=connect) as log:
        pages[0] = 1  # SQLite takes this for "not one page more"
    async with open_log(tmp_path, LAZY, connect=connect) as log:
        with pytest.raises(Unavailable):
            await log.durable(log.append(decision("c1") | {"filling": "x" * 50_000}))
        assert (log.state, log.reason) == ("down", "database or disk is full")
        pages[0] = 100_000
        with anyio.fail_after(5):
            await log.recovered()
        await log.durable(0)
    assert verify_directory(tmp_path, [VKEY]).records == 1


async def test_a_lock_that_somebody_else_holds_takes_the_log_down_until_it_is_let_go(tmp_path: Path) -> None:
    async with open_log(tmp_path, connect=Disk(connect_writer)) as log:
        other = sqlite3.connect(tmp_path / "w0.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await log.durable(log.append(decision("c1")))
        assert log.reason == "database is locked"
        other.execute("ROLLBACK")
        other.close()
        with anyio.fail_after(5):
            await log.recovered()
        assert log.durable_count == 1


async def test_a_commit_that_failed_but_landed_is_found_and_not_written_twice(tmp_path: Path) -> None:
    disk, fault = Disk(connect_writer), Fault()
    disk.after = fault
    async with open_log(tmp_path, connect=disk) as log:
        fault.is_on = True
        with pytest.raises(Unavailable):
            await log.durable(log.append(decision("c1")))
        fault.is_on = False
        with anyio.fail_after(5):
            await log.recovered()
        assert log.durable_count == 1
    assert calls_in(tmp_path) == [(0, "decision", "c1")]
    assert verify_directory(tmp_path, [VKEY]).is_ok


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_checkpoint_that_failed_is_there_once_the_disk_is_back(tmp_path: Path, moment: str) -> None:
    disk, fault = Disk(connect_writer), Fault("INSERT INTO checkpoint")
    setattr(disk, moment, fault)
    async with open_log(tmp_path, connect=disk) as log:
        fault.is_on = True
        await log.durable(log.append(decision("c1")))
        assert await anyio.to_thread.run_sync(fault.hit.wait, 5)
        fault.is_on = False
    assert [size for size, _ in reader.checkpoints(tmp_path / "w0.db")] == [1]
    report = verify_directory(tmp_path, [VKEY])
    assert (report.findings, report.unanchored) == ([], 0)


async def test_a_reader_in_the_way_of_the_sync_delays_the_recovery(tmp_path: Path) -> None:
    disk, fault = Disk(connect_writer), Fault()
    disk.before = fault
    async with open_log(tmp_path, connect=disk) as log:
        await log.durable(log.append(decision("c1")))
        stuck = sqlite3.connect(tmp_path / "w0.db", isolation_level=None)
        stuck.execute("BEGIN")
        stuck.execute("SELECT count(*) FROM batch").fetchone()
        await log.durable(log.append(outcome("c1")))
        fault.is_on = True
        await until_down(log)
        opened = disk.opened
        fault.is_on = False
        with anyio.move_on_after(0.2) as waited:
            await log.recovered()
        assert waited.cancelled_caught
        assert log.reason == "a reader keeps the log from being synced"
        assert disk.opened > opened
        stuck.close()
        with anyio.fail_after(5):
            await log.recovered()
        assert log.durable_count == 3


async def test_an_unforeseen_error_of_the_writer_refuses_everyone_and_names_no_type(tmp_path: Path) -> None:
    disk, fault = Disk(connect_writer), Fault(error=ZeroDivisionError)
    disk.before = fault
    async with open_log(tmp_path, connect=disk) as log:
        fault.is_on = True
        with pytest.raises(Unavailable):
            await log.durable(log.append(decision("c1")))
        assert log.reason == "the record writer failed"
        fault.is_on = False
        with anyio.fail_after(5):
            await log.recovered()


async def test_closing_while_down_tries_once_more_and_refuses_the_rest(tmp_path: Path) -> None:
    disk, fault = Disk(connect_writer), Fault()
    disk.before = fault
    log = open_log(tmp_path, replace(EAGER, reopen_min_s=60, reopen_max_s=60), connect=disk)
    await log.start()
    fault.is_on = True
    with pytest.raises(Unavailable):
        await log.durable(log.append(decision("c1")))
    with anyio.fail_after(5):
        await log.aclose()
    assert (log.state, log.durable_count) == ("closed", 0)
    async with open_log(tmp_path) as log:
        assert log.size == 0


async def test_closing_on_a_disk_that_hangs_ends_and_refuses_those_who_wait(tmp_path: Path) -> None:
    disk, gate = Disk(connect_writer), Gate()
    disk.before = gate
    log = open_log(tmp_path, replace(EAGER, close_timeout_s=0.05), connect=disk)
    await log.start()
    waiter = asyncio.create_task(log.durable(log.append(decision("c1"))))
    await anyio.to_thread.run_sync(gate.reached.wait, 5)
    closing = asyncio.create_task(log.aclose())
    with anyio.fail_after(5), pytest.raises(Unavailable, match="not open"):
        await waiter
    gate.open()
    await closing


async def test_a_second_writer_on_the_same_file_stops_the_first_instead_of_mixing(tmp_path: Path) -> None:
    async with open_log(tmp_path, LAZY) as log:
        await log.durable(log.append(decision("c1")))
        async with open_log(tmp_path, LAZY) as second:
            await second.durable(second.append(decision("c2")))
        with pytest.raises(Unavailable):
            await log.durable(log.append(decision("c3")))
        with anyio.move_on_after(0.1):
            await log.recovered()
        assert log.state == "down"
        assert log.reason == "the file holds 2 records and not those that this process wrote"
    assert verify_directory(tmp_path, [VKEY]).records == 2


async def test_a_file_that_loses_acknowledged_records_while_down_keeps_the_log_down(tmp_path: Path) -> None:
    disk, fault = Disk(connect_writer), Fault()
    disk.before = fault
    async with open_log(tmp_path, LAZY, connect=disk) as log:
        await log.durable(log.append(decision("c1")))
        await log.durable(log.append(decision("c2")))
        fault.words, fault.is_on = "", True  # it cannot even be opened
        await until_down(log)
        vandal = sqlite3.connect(tmp_path / "w0.db")
        vandal.execute("DELETE FROM batch WHERE first_index = 1")
        vandal.commit()
        vandal.close()
        fault.is_on = False
        with anyio.move_on_after(0.1):
            await log.recovered()
        assert (log.state, log.reason) == ("down", "the file holds 1 records and not those that this process wrote")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("UPDATE checkpoint SET note = replace(note, 'w0', 'w1')", "cannot be trusted: no known key has signed"),
        ("UPDATE checkpoint SET frontier = zeroblob(length(frontier))", "signs another tree"),
        ("UPDATE checkpoint SET frontier = x'00'", "cannot be trusted: a tree of 6 leaves has 2 perfect subtrees"),
        ("UPDATE checkpoint SET size = 5", "signs another tree"),
        (
            "DELETE FROM batch WHERE first_index = (SELECT max(first_index) FROM batch)",
            "a checkpoint was signed for 6 records",
        ),
        ("DELETE FROM batch", "the batches before it end at 0"),
        (
            "DELETE FROM checkpoint; UPDATE batch SET records = replace(records, 'w0-call-1', 'w0-call-9')",
            "the batch at",
        ),
        ("DELETE FROM checkpoint; DELETE FROM batch WHERE first_index = 0", "does not continue the log of 0 records"),
        ("DELETE FROM checkpoint; UPDATE batch SET count = count + 1", "does not continue the log"),
        ("PRAGMA user_version = 2", "the log has layout 2, this gateway writes layout 1"),
        ("DROP TABLE checkpoint", "no such table"),
    ],
)
async def test_a_log_that_is_not_what_was_left_does_not_open(tmp_path: Path, damage: str, why: str) -> None:
    await write_calls(tmp_path, 3, LAZY)
    vandal = sqlite3.connect(tmp_path / "w0.db")
    vandal.executescript(damage)
    vandal.close()
    log = open_log(tmp_path)
    with pytest.raises(Unavailable, match=r"the audit log `w0` cannot be opened") as refused:
        await log.start()
    assert why in refused.value.message
    assert (log.state, refused.value.hint) == ("closed", "run `audit verify`")


async def test_a_log_does_not_go_on_under_another_key(tmp_path: Path) -> None:
    await write_calls(tmp_path, 1)
    stranger = Signer(ORIGIN.name, Ed25519PrivateKey.generate()).for_log("w0")
    with pytest.raises(Unavailable, match="no known key has signed"):
        await AuditLog(tmp_path / "w0.db", stranger, clock).start()


async def test_a_directory_that_cannot_be_made_is_said_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = open_log(tmp_path / "file" / "audit")
    with pytest.raises(Unavailable) as refused:
        await log.start()
    assert refused.value.message == "the audit log `w0` cannot be opened: Not a directory"


async def test_a_file_that_is_no_database_does_not_open(tmp_path: Path) -> None:
    (tmp_path / "w0.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Unavailable, match="file is not a database"):
        await open_log(tmp_path).start()


def test_a_writer_whose_event_loop_is_gone_still_ends(tmp_path: Path) -> None:
    disk, gate = Disk(connect_writer), Gate()
    disk.before = gate

    async def abandon() -> None:
        log = open_log(tmp_path, LAZY, connect=disk)
        await log.start()
        log.append(decision("c1"))

    asyncio.run(abandon())
    gate.open()
    for thread in threading.enumerate():
        if thread.name == "audit-w0":
            thread.join(5)
    assert calls_in(tmp_path) == [(0, "decision", "c1")]


async def test_the_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async with open_log(tmp_path / "audit") as log:
        await log.durable(log.append(decision()))
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "audit").iterdir()}
    assert modes == {"w0.db": "0o600", "w0.db-wal": "0o600", "w0.db-shm": "0o600"}
    assert oct((tmp_path / "audit").stat().st_mode & 0o777) == "0o700"
