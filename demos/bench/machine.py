"""The machine: which core does what, what a process tree has used, and what a record must say of where it ran.

CPU time comes from the scheduler's own books (nanoseconds per thread) where Linux offers them, else from
`psutil` (often 10 ms steps). Threads and children that ended between two readings are not in the second one.
"""

import os
import platform
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

PROC = Path("/proc")
VERSIONS_OF = ("uvicorn", "httptools", "uvloop", "cedarpy", "msgspec", "orjson", "jsonschema-rs", "cryptography")


@dataclass(frozen=True, slots=True)
class Cores:
    """Where things run: the system under test alone on one core, load and stub on the other, if there are two.

    None: this platform cannot pin.
    """

    sut: int | None
    load: int | None

    @property
    def are_apart(self) -> bool:
        return self.sut is not None and self.sut != self.load


@dataclass(frozen=True, slots=True)
class CoreTimes:
    """A reading of one core: seconds busy and seconds in all since some start."""

    busy_s: float
    total_s: float


def cores() -> Cores:
    """Return the first two cores this process may use."""
    if sys.platform == "linux":
        allowed = sorted(os.sched_getaffinity(0))
        return Cores(allowed[0], allowed[1 % len(allowed)])
    return Cores(None, None)


@contextmanager
def started_on(core: int | None) -> Generator[None, None, None]:
    """Within this block, children start pinned to `core`, with every thread they will make."""
    if core is None or sys.platform != "linux":
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and all below it, parents first; empty when it is gone."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_ns(pid: int) -> int:
    """Return the CPU time that the threads alive in the process tree have used, in nanoseconds."""
    return sum(_process_cpu_ns(process) for process in tree(pid))


def rss_mb(pid: int) -> float:
    """Return the resident memory of the process tree in megabytes, shared pages counted once per process."""
    total = 0
    for process in tree(pid):
        try:
            total += int(process.memory_info().rss)
        except psutil.Error:
            continue
    return total / 1e6


def core_times(core: int | None) -> CoreTimes:
    """Return a reading of one core, or of all together when it is None."""
    times = psutil.cpu_times(percpu=False) if core is None else psutil.cpu_times(percpu=True)[core]
    idle = times.idle + getattr(times, "iowait", 0.0)
    return CoreTimes(busy_s=sum(times[:8]) - idle, total_s=sum(times[:8]))


def foreign_load(before: CoreTimes, after: CoreTimes, own_s: float) -> float:
    """Return which share of the time between two readings others used, 0..1, given that we used `own_s`."""
    total = after.total_s - before.total_s
    if total <= 0:
        return 0.0
    return min(1.0, max(0.0, (after.busy_s - before.busy_s - own_s) / total))


def wait_for_quiet(core: int | None, *, longest_s: float, threshold: float = 0.35, step_s: float = 0.1) -> None:
    """Return once `core` is below `threshold` busy for one step, or after `longest_s`."""
    deadline = time.monotonic() + longest_s
    while time.monotonic() < deadline:
        before = core_times(core)
        time.sleep(step_s)
        if foreign_load(before, core_times(core), 0.0) < threshold:
            return


def describe(programs: Sequence[str]) -> dict[str, object]:
    """Return what a reader of figures must know: machine, Python, versions of libraries and given programs."""
    versions: dict[str, str] = {}
    for name in VERSIONS_OF:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "kernel": platform.release(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
        "programs": sorted(programs),
    }


def _process_cpu_ns(process: psutil.Process) -> int:
    threads = PROC / str(process.pid) / "task"
    total = 0
    try:
        for thread in os.listdir(threads):
            total += _thread_cpu_ns(threads / thread / "schedstat")
        if total:
            return total
    except OSError:
        pass
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0
    return int((times.user + times.system) * 1e9)


def _thread_cpu_ns(schedstat: Path) -> int:
    try:
        return int(schedstat.read_text().split()[0])
    except (OSError, IndexError, ValueError):
        return 0  # the thread ended


def _cpu_model() -> str:
    try:
        lines = (PROC / "cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()
