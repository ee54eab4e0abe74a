"""CPU accounting: a process tree is charged for what it used, threads and children included, and for nothing else."""

import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from demos.bench import machine

BURN_S = 0.3
SLACK_S = 0.5  # an interpreter that starts uses CPU too

BURN = f"""
import sys, time
while time.process_time() < {BURN_S}: pass
print("burnt", flush=True)
sys.stdin.read()
"""
BURN_BELOW = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {BURN!r}], stdin=sys.stdin)
child.wait()
"""
BURN_IN_THREAD = f"""
import sys, threading, time
def burn():
    while time.thread_time() < {BURN_S}: pass
    print("burnt", flush=True)
    sys.stdin.read()
threading.Thread(target=burn).start()
"""


@contextmanager
def running(program: str) -> Generator[int, None, None]:
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"burnt\n"
        yield process.pid


@pytest.mark.parametrize("program", [BURN, BURN_BELOW, BURN_IN_THREAD], ids=["process", "child", "thread"])
def test_what_a_process_tree_used_is_counted(program: str) -> None:
    with running(program) as pid:
        used_s = machine.cpu_ns(pid) / 1e9

    assert BURN_S * 0.95 <= used_s < BURN_S + 2 * SLACK_S


def test_a_waiting_process_uses_next_to_nothing() -> None:
    with running(BURN) as waiting, running(BURN) as busy:
        before = machine.cpu_ns(waiting)
        assert machine.cpu_ns(busy) > 0
        after = machine.cpu_ns(waiting)

    assert 0 <= after - before < 20_000_000


def test_memory_of_a_process_is_seen() -> None:
    assert 1 < machine.rss_mb(os.getpid()) < 100_000


def test_a_process_that_is_gone_uses_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    assert machine.tree(process.pid) == []
    assert (machine.cpu_ns(process.pid), machine.rss_mb(process.pid)) == (0, 0.0)


def test_foreign_load_is_what_others_used_of_the_core() -> None:
    before, after = machine.CoreTimes(10.0, 100.0), machine.CoreTimes(18.0, 110.0)

    assert machine.foreign_load(before, after, own_s=5.0) == pytest.approx(0.3)
    assert machine.foreign_load(before, after, own_s=9.0) == 0.0
    assert machine.foreign_load(before, before, own_s=0.0) == 0.0


def test_a_core_has_been_busy_for_no_longer_than_it_has_been_there() -> None:
    for core in (None, machine.cores().sut):
        times = machine.core_times(core)

        assert 0 < times.busy_s <= times.total_s


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux pins processes to cores")
def test_a_child_starts_on_its_core_and_we_stay_where_we_were() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)

    with machine.started_on(core):
        child = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"],
            capture_output=True,
            text=True,
            check=True,
        )

    assert child.stdout.strip() == str({core})
    assert os.sched_getaffinity(0) == before


def test_a_record_says_where_it_was_measured() -> None:
    about = machine.describe(["nginx: 1.2.3"])

    assert about["programs"] == ["nginx: 1.2.3"]
    assert about["python"] == sys.version.split()[0]
