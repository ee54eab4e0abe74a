"""The audit log of one worker: append now, know later that it is durable.

This is the event loop's side: it admits records, gives out their indices and
wakes those who wait. Committing them is the work of `writer`, what a record
says that of `records`.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal

import orjson

from agent_gateway.audit.checkpoint import Signer
from agent_gateway.audit.logfile import Connect, LogFile, connect_writer
from agent_gateway.audit.writer import Clock, Limits, Listener, Writer
from agent_gateway.ports import Told
from gateway_policies.refusal import Unavailable

State = Literal["new", "up", "down", "closed"]
DEFAULT_LIMITS = Limits()
JOIN_TIMEOUT_S = 1.0


class AuditLog:
    """Implements `ports.Recorder` on the file `path`, whose stem is the worker's slot.

    Use it as an async context manager, or `start` and `aclose` it, in one
    event loop. `signer.name` is `{origin}/{slot}`.

    state       "down": the disk refuses, new calls are refused, outcomes still wait for it
    reason      why it is down, for operators
    checkpoint  the last signed head, to be kept where this gateway cannot write
    """

    def __init__(
        self,
        path: Path,
        signer: Signer,
        clock: Clock,
        limits: Limits = DEFAULT_LIMITS,
        connect: Connect = connect_writer,
    ) -> None:
        self.path = path
        self.state: State = "new"
        self.reason = ""
        self.checkpoint = ""
        self.anchored_count = 0
        self._limits = limits
        self._size = 0  # records taken, durable or not
        self._durable = 0
        self._pending_bytes = 0
        self._waiters: list[tuple[int, Told]] = []
        self._is_up = asyncio.Event()
        self._opened: asyncio.Future[None]
        self._closed: asyncio.Future[None]
        listener = Listener(
            opened=self._on_opened,
            committed=self._on_committed,
            anchored=self._on_anchored,
            down=self._on_down,
            up=self._on_up,
            closed=self._on_closed,
        )
        self._writer = Writer(lambda: LogFile.open(path, signer, connect), path.stem, clock, limits, listener)

    async def start(self) -> None:
        """Open the file and go on where it ended; raises `Unavailable` when it cannot be trusted or written."""
        self._loop = asyncio.get_running_loop()
        self._opened, self._closed = self._loop.create_future(), self._loop.create_future()
        self._writer.start(self._loop)
        try:
            await self._opened
        except asyncio.CancelledError:
            self._writer.stop()
            raise

    async def aclose(self) -> None:
        """Make durable what waits, sign it and close the file; what cannot be written in time is refused."""
        if self.state in ("up", "down"):
            self.state = "closed"
            self._is_up.set()  # those who wait for it learn that it will not be
            self._writer.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.close_timeout_s):
                    await asyncio.shield(self._closed)
                self._writer.join(JOIN_TIMEOUT_S)
            self._refuse_waiters()

    async def __aenter__(self) -> "AuditLog":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def durable_count(self) -> int:
        """How many records, from the first, are durable."""
        return self._durable

    @property
    def fault(self) -> str:
        """Why new calls cannot be recorded now; empty while they can."""
        return "" if self.state == "up" else self.reason or f"the audit log is {self.state}"

    @property
    def size(self) -> int:
        """How many records were ever taken: the index of the next one."""
        return self._size

    def append(self, record: Mapping[str, object]) -> int:
        """Take one record and return its index in this log.

        It is encoded now, so `record` may change afterwards. Raises
        `Unavailable` when it is too large or no JSON, when too many wait, and
        when the log is down; then outcomes are still taken, because what began
        must be closed once the disk is back.
        """
        return self.append_line(encoded(record), record.get("kind"))

    def append_line(self, line: bytes, kind: object) -> int:
        """Take one record that is encoded already, as `encoded` does it; else like `append`.

        kind  its member `kind`
        """
        size_bytes = len(line)
        if self.state != "up" or not self._has_room(size_bytes, 1):
            self._admit(size_bytes, is_outcome=kind == "outcome")
        index = self._size
        self._size = index + 1
        self._pending_bytes += size_bytes
        self._writer.offer(line, may_wait=kind != "decision")
        return index

    async def durable(self, index: int) -> None:
        """Return once the record at `index` survives a power cut; raise `Unavailable` if it cannot for now.

        A record that was taken is kept and written when the disk is back, even
        if those who waited for it were refused. Raises `IndexError` for an
        index that was never given out.
        """
        if index < self._durable:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        self.when_durable(index, partial(_tell, waiter))
        await waiter

    def when_durable(self, index: int, told: Told) -> None:
        """Call `told` once, on the loop: with None when `durable` would return, else with what it would raise.

        At once when that is known already. `told` must not raise.
        """
        if index < self._durable:
            told(None)
            return
        if index >= self._size:
            raise IndexError(f"record {index} of {self._size}")
        if self.state != "up":
            told(self._refusal())
            return
        self._waiters.append((index, told))
        self._writer.hurry()

    async def recovered(self) -> None:
        """Return once the log can be written: at once while it is up. Raises `Unavailable` once it is closed."""
        await self._is_up.wait()
        if self.state != "up":
            raise self._refusal()

    def _admit(self, size_bytes: int, *, is_outcome: bool) -> None:
        limits = self._limits
        if self.state != "up" and not (is_outcome and self.state == "down"):
            raise self._refusal()
        if size_bytes > limits.max_record_bytes:
            raise Unavailable(
                f"this call cannot be recorded: its record is {size_bytes} bytes, {limits.max_record_bytes} are allowed"
            )
        if not self._has_room(size_bytes, limits.outcome_factor if is_outcome else 1):
            raise Unavailable(
                "too many records wait for the audit log's disk", hint="try again shortly", retry_after_s=1.0
            )

    def _has_room(self, size_bytes: int, factor: int) -> bool:
        limits = self._limits
        return (
            size_bytes <= limits.max_record_bytes
            and len(self._writer.pending) < limits.max_pending_records * factor
            and self._pending_bytes + size_bytes <= limits.max_pending_bytes * factor
        )

    def _refusal(self) -> Unavailable:
        if self.state == "down":
            return Unavailable(
                "the audit log cannot be written, and nothing may happen unrecorded",
                hint="the operator sees why in the gateway's health",
                retry_after_s=self._limits.reopen_max_s,
            )
        return Unavailable("the audit log is not open")

    def _wake_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for index, told in waiters:
            if index < self._durable:
                told(None)
            else:
                self._waiters.append((index, told))

    def _refuse_waiters(self) -> None:
        waiters, self._waiters = self._waiters, []
        for _, told in waiters:
            told(self._refusal())

    # What the writer tells.

    def _on_opened(self, size: int, anchored: int, note: str) -> None:
        self._size = self._durable = size
        self.anchored_count, self.checkpoint = anchored, note
        self.state = "up"
        self._is_up.set()
        if not self._opened.done():
            self._opened.set_result(None)

    def _on_committed(self, size: int, size_bytes: int) -> None:
        self._durable = size
        self._pending_bytes -= size_bytes
        waited = len(self._waiters)
        self._wake_waiters()
        if waited > len(self._waiters):
            self._writer.expect(waited - len(self._waiters))

    def _on_anchored(self, size: int, note: str) -> None:
        self.anchored_count, self.checkpoint = size, note

    def _on_down(self, reason: str) -> None:
        self.reason = reason
        if not self._opened.done():
            self.state = "closed"
            self._opened.set_exception(
                Unavailable(f"the audit log `{self.path.stem}` cannot be opened: {reason}", hint="run `audit verify`")
            )
        elif self.state == "up":
            self.state = "down"
            self._is_up.clear()
        self._refuse_waiters()

    def _on_up(self) -> None:
        if self.state == "down":
            self.state, self.reason = "up", ""
            self._is_up.set()

    def _on_closed(self) -> None:
        self.state = "closed"
        if not self._closed.done():
            self._closed.set_result(None)


def encoded(record: Mapping[str, object]) -> bytes:
    """Return a record as a line of the log: names sorted. Raises `Unavailable` for what JSON cannot hold."""
    try:
        return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise Unavailable("this call cannot be recorded: it holds text or numbers that JSON cannot") from error


def _tell(waiter: "asyncio.Future[None]", failure: Unavailable | None) -> None:
    if waiter.done():
        return
    if failure is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(failure)
