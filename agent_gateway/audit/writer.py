"""The record writer: one thread that turns pending records into durable ones.

It takes everything that waits, commits it in one statement, says so once, and
signs a checkpoint now and then. When the disk refuses, nothing it was given is
dropped: it reopens the file, with growing pauses, finds out what the failed
commit left there and goes on with the rest, so an index never changes hands.

Who may add records, and who waits for which, is the work of `log`.
"""

import os
import sqlite3
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from agent_gateway.audit.logfile import LogDamaged, LogFile
from agent_gateway.audit.merkle import Frontier, leaf_hash

Clock = Callable[[], float]  # unix seconds


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one worker's audit log."""

    max_pending_records: int = 10_000
    max_pending_bytes: int = 64 * 1024 * 1024
    outcome_factor: int = 2  # outcomes may fill the pending limits so many times: what began must be closed
    max_record_bytes: int = 256 * 1024
    max_batch_records: int = 1_000
    max_batch_bytes: int = 4 * 1024 * 1024
    checkpoint_every_s: float = 1.0
    checkpoint_every_records: int = 1_000
    linger_s: float = 0.02  # how long an outcome may wait for company
    gather_s: float = 0.002  # how long a decision may wait for as many others as the last batch had
    reopen_min_s: float = 0.1
    reopen_max_s: float = 30.0
    close_timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Listener:
    """What the writer tells, always on the event loop that `Writer.start` was given.

    opened     (size, anchored, note): the file is open, and how far it is durable and signed
    committed  (size, size_bytes): the first `size` records are durable, `size_bytes` of lines just now
    anchored   (size, note): a checkpoint over the first `size` records is durable
    down       (reason): nothing can be written for now; for operators
    up         (): writing works again, and all that waited is durable
    closed     (): the file is closed and the thread ends
    """

    opened: Callable[[int, int, str], None]
    committed: Callable[[int, int], None]
    anchored: Callable[[int, str], None]
    down: Callable[[str], None]
    up: Callable[[], None]
    closed: Callable[[], None]


class Writer:
    """Owns the file and the thread; `offer` and `stop` are for the one thread that feeds it."""

    def __init__(
        self, open_file: Callable[[], LogFile], name: str, clock: Clock, limits: Limits, listener: Listener
    ) -> None:
        self._open_file, self._clock, self._limits, self._listener = open_file, clock, limits, listener
        self.pending: list[bytes] = []  # lines; the feeder appends, the thread deletes from the front
        self._wake = threading.Lock()
        self._wake.acquire()
        self._is_lingering = False
        self._is_gathering = False
        self._urgent = 0  # records that somebody waits for, since the thread was last woken
        self._company = 1  # how many of them a batch is worth waiting for
        self._is_stopping = threading.Event()
        self._file: LogFile | None = None
        self._known = Frontier()  # the tree of all records that were ever acknowledged, kept while down
        self._unanchored_at: float | None = None  # when the first record after the last checkpoint was committed
        self._pause_s = 0.0  # > 0 while down
        self._thread = threading.Thread(target=self._run, name=f"audit-{name}", daemon=True)

    def start(self, loop: AbstractEventLoop) -> None:
        """Open the file in the thread; the listener hears, on `loop`, `opened`, or `down` and `closed`."""
        self._loop = loop
        self._thread.start()

    def offer(self, line: bytes, *, may_wait: bool = False) -> None:
        """Queue one record. Cheap: no system call while the thread is busy.

        may_wait  nobody waits for it: it goes with the next one that matters, or after `linger_s`
        """
        self.pending.append(line)
        if may_wait:
            if not self._is_lingering:
                self._is_lingering = True
                self._loop.call_later(self._limits.linger_s, self._end_linger)
            return
        self._urgent += 1
        if self._urgent == self._company:
            self._loop.call_soon(self._end_gathering)  # what this step of the loop still brings comes along
        elif not self._is_gathering and self._urgent < self._company:
            self._is_gathering = True
            self._loop.call_later(self._limits.gather_s, self._end_gathering)

    def expect(self, company: int) -> None:
        """Take note of how many waited for the last batch, 1 or more: so many the next may wait for."""
        self._company = company
        if self._urgent >= self._company:
            self._loop.call_soon(self._end_gathering)

    def hurry(self) -> None:
        """Write what lingers now: somebody waits for it after all. What is gathered goes when its time has come."""
        if self.pending and not self._urgent:
            self._wake_up()

    def _end_gathering(self) -> None:
        self._is_gathering = False
        if self._urgent:
            self._urgent = 0
            self._wake_up()

    def _end_linger(self) -> None:
        self._is_lingering = False
        self.hurry()

    def _wake_up(self) -> None:
        if self._wake.locked():
            self._wake.release()

    def stop(self) -> None:
        """Have the thread write what waits (trying once when it is down), sign it, and end."""
        self._is_stopping.set()
        self._wake_up()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's last instruction, after `closed`."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        _let_others_finish()
        try:
            file = self._open_file()
        except (OSError, sqlite3.Error, LogDamaged) as error:
            self._tell(self._listener.down, _reason(error))
            self._tell(self._listener.closed)
            return
        self._file = file
        # what a killed process left unsigned is signed at once
        self._unanchored_at = None if file.anchored == file.size else float("-inf")
        self._tell(self._listener.opened, file.size, file.anchored, file.note)
        is_last = False
        while not is_last:
            is_last = self._await_work()
            try:
                self._advance(is_last)
            except Exception as error:  # noqa: BLE001 - the record writer's wall: every waiter must hear of it
                self._go_down(error)
        self._let_go()
        self._tell(self._listener.closed)

    def _await_work(self) -> bool:
        """Return when there is something to do; True when it is the last time."""
        if not self._is_stopping.is_set():
            if self._pause_s:
                self._is_stopping.wait(self._pause_s)
            elif self._unanchored_at is None:
                self._wake.acquire()
            else:
                left_s = self._limits.checkpoint_every_s - (self._clock() - self._unanchored_at)
                self._wake.acquire(timeout=min(max(left_s, 0.0), self._limits.checkpoint_every_s))
        return self._is_stopping.is_set()

    def _advance(self, is_last: bool) -> None:
        """Commit all that waits, sign when it is time; raises what the disk raises.

        What comes meanwhile is left: it is woken for when it is worth a sync of its own.
        """
        file = self._file or self._reopen()
        left = len(self.pending)
        while left > 0:
            batch = self._next_batch()
            file.write(batch, self._now_ms())
            self._acknowledge(file, batch)
            self._anchor_if_due(file)
            left = len(self.pending) if is_last else left - len(batch)
        self._anchor_if_due(file, is_last=is_last)
        if self._pause_s:
            self._pause_s = 0.0
            self._tell(self._listener.up)

    def _next_batch(self) -> list[bytes]:
        batch = self.pending[: self._limits.max_batch_records]
        size_bytes = 0
        for position, line in enumerate(batch):
            size_bytes += len(line)
            if size_bytes > self._limits.max_batch_bytes and position:
                return batch[:position]
        return batch

    def _acknowledge(self, file: LogFile, batch: list[bytes]) -> None:
        del self.pending[: len(batch)]
        if self._unanchored_at is None:
            self._unanchored_at = self._clock()
        self._tell(self._listener.committed, file.size, sum(map(len, batch)))

    def _anchor_if_due(self, file: LogFile, *, is_last: bool = False) -> None:
        if self._unanchored_at is None:
            return
        is_many = file.size - file.anchored >= self._limits.checkpoint_every_records
        # a clock that was set back must not put the next checkpoint off
        is_old = not 0 <= self._clock() - self._unanchored_at < self._limits.checkpoint_every_s
        if is_many or is_old or is_last:
            file.checkpoint(self._now_ms())
            self._unanchored_at = None
            self._tell(self._listener.anchored, file.anchored, file.note)

    def _go_down(self, error: Exception) -> None:
        self._let_go()
        self._pause_s = min(max(self._pause_s * 2, self._limits.reopen_min_s), self._limits.reopen_max_s)
        self._tell(self._listener.down, _reason(error))

    def _let_go(self) -> None:
        if self._file is not None:
            self._known = self._file.frontier
            self._file.close()
            self._file = None

    def _reopen(self) -> LogFile:
        """Return the file, opened again, once it is known to hold all that was acknowledged.

        A commit that failed may have reached the file all the same: then its
        records are acknowledged now. Raises `LogDamaged` when the file holds
        anything else than what this writer was given.
        """
        file = self._open_file()
        try:
            landed = self.pending[: max(file.size - self._known.size, 0)]
            if self._known.extend(map(leaf_hash, landed)) != file.frontier:
                raise LogDamaged(f"the file holds {file.size} records and not those that this process wrote")
            file.force()
        except BaseException:
            file.close()
            raise
        self._file = file
        if file.anchored == file.size:
            self._unanchored_at = None
        if landed:
            self._acknowledge(file, landed)
        return file

    def _tell(self, hear: Callable[..., None], *news: object) -> None:
        try:
            self._loop.call_soon_threadsafe(hear, *news)
        except RuntimeError:  # the loop is gone, and with it all who waited
            self._is_stopping.set()

    def _now_ms(self) -> int:
        return int(self._clock() * 1_000)


def _let_others_finish() -> None:
    """Have the scheduler wake this thread without taking the core from the one that woke it.

    That one holds the interpreter lock, without which this one could do nothing but wait again:
    on a busy core a tenth of a call's CPU went into that. Shares of the core stay as they were.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # where it is not allowed, it only costs more
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _reason(error: Exception) -> str:
    """Say for operators what went wrong, without a type or a path."""
    if isinstance(error, OSError):
        return error.strerror or "the file cannot be opened"
    if isinstance(error, (sqlite3.Error, LogDamaged)):
        return str(error)
    return "the record writer failed"
