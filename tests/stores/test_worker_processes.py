"""Several worker processes on one ledger: together they spend the limit, not more and not less."""

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from agent_gateway.stores.recovery import recover_slot
from agent_gateway.stores.slots import recoverable_slots
from agent_gateway.stores.sqlite_ledger import SqliteLedger, read_usage
from support import ledger_worker
from support.ledger_worker import records_of

WORKERS = 4
LIMIT = 3000
DEADLINE_S = 60


def start(directory: Path, limit: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ledger_worker.__file__, str(directory), str(limit), str(WORKERS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def go(processes: Sequence[subprocess.Popen[str]]) -> None:
    """Let all begin at once, when each has said that it is ready."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def finish(process: subprocess.Popen[str]) -> int:
    try:
        return process.wait(DEADLINE_S)
    finally:
        process.kill()
        process.communicate()


def logged(directory: Path) -> tuple[int, int]:
    """(calls that were decided, calls that ended), by the logs."""
    kinds = [record["kind"] for log in directory.glob("*.log") for record in records_of(log)]
    return kinds.count("decision"), kinds.count("outcome")


def test_four_processes_spend_the_limit_exactly(tmp_path: Path) -> None:
    processes = [start(tmp_path, LIMIT) for _ in range(WORKERS)]
    go(processes)
    assert [finish(process) for process in processes] == [0] * WORKERS
    assert logged(tmp_path) == (LIMIT, LIMIT)
    assert [(u.bucket, u.spent, u.held, u.leased) for u in read_usage(tmp_path / "ledger.db")] == [
        ("calls/acme/planner", LIMIT, 0, 0),
        ("money/acme", LIMIT * 5, 0, 0),
    ]


def test_a_killed_process_never_lets_more_be_spent_and_what_it_left_is_recovered(tmp_path: Path) -> None:
    processes = [start(tmp_path, LIMIT) for _ in range(WORKERS)]
    go(processes)
    killed = processes.pop(0)
    grown = 0
    while grown < 50:  # let it work a little: its log grows before it is killed
        grown = len(list(records_of(tmp_path / "0.log")))
        assert killed.poll() is None or grown >= 50
    killed.kill()
    finish(killed)
    store = SqliteLedger(tmp_path / "ledger.db")
    while not (dead := recoverable_slots(tmp_path / "slots", ["0", "1", "2", "3"])):
        assert killed.poll() is not None
    for slot in dead:
        recover_slot(store, slot.name, partial(records_of, tmp_path / f"{slot.name}.log"))
        slot.close()
    assert [finish(process) for process in processes] == [0] * (WORKERS - 1)
    last = start(tmp_path, LIMIT)
    go([last])
    assert finish(last) == 0

    decided, ended = logged(tmp_path)
    assert decided == LIMIT
    usage = {usage.bucket: usage for usage in store.usage()}
    store.close()
    calls, money = usage["calls/acme/planner"], usage["money/acme"]
    assert (calls.spent, calls.held, calls.leased) == (LIMIT, 0, 0)
    assert (money.spent, money.held, money.leased) == (ended * 5 + (decided - ended) * 7, 0, 0)
