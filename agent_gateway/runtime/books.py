"""One worker's books: its slot, its audit log, its ledger, and those of workers that died.

The audit log is the ledger's journal, so they open and close together: slot,
log, recovery, ledger; and backwards.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_gateway.audit import keys, rotation
from agent_gateway.audit.checkpoint import Signer
from agent_gateway.audit.log import AuditLog
from agent_gateway.audit.reader import log_paths, records_after
from agent_gateway.audit.records import Seal
from agent_gateway.audit.writer import Limits as LogLimits
from agent_gateway.config.operations import Audit
from agent_gateway.ports import Clock
from agent_gateway.runtime.chores import Chores
from agent_gateway.stores.leased_ledger import LeasedLedger
from agent_gateway.stores.recover_dead import recover_dead
from agent_gateway.stores.recovery import RecordsAfter
from agent_gateway.stores.slots import acquire_slot, take_every_slot
from agent_gateway.stores.sqlite_ledger import SqliteLedger
from agent_gateway.telemetry.logs import log
from gateway_policies.refusal import Unavailable

_RECOVER_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class DataDir:
    """Where everything lasting is. Private to the operator: made with mode 0700."""

    root: Path

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def operator_keys(self) -> Path:
        """Where the local operator's signing keys are: whoever can read them is the operator."""
        return self.keys / "operator"

    @property
    def grants(self) -> Path:
        """Where what people granted at upstreams is kept."""
        return self.root / "grants"

    @property
    def slots(self) -> Path:
        return self.root / "slots"

    @property
    def registry(self) -> Path:
        return self.root / "registry.db"

    @property
    def pins(self) -> Path:
        return self.root / "pins.db"

    @property
    def proposals(self) -> Path:
        """APIs that scans found."""
        return self.root / "proposals.db"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.db"

    @property
    def tasks(self) -> Path:
        return self.root / "tasks.db"

    @property
    def ended_tasks(self) -> Path:
        return self.root / "ended-tasks.db"

    @property
    def push(self) -> Path:
        return self.root / "push.db"

    def make(self) -> None:
        """Make what is missing; raises `OSError`."""
        for path in (self.root, self.audit, self.keys, self.slots):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Books:
    """What the pipeline writes to."""

    slot: str
    log: AuditLog
    ledger: LeasedLedger
    seal: Seal
    signer: Signer


def signer_of(data: DataDir, origin: str) -> Signer:
    """Return the signer of this gateway's checkpoints; makes the key at first start."""
    return rotation.signer(data.keys, origin)


def rotate_audit_key(data: DataDir, origin: str, clock: Clock, operator: str) -> Signer:
    """Have every log of a gateway that does not run signed with a new key from now on; return its signer.

    Raises `Unavailable` when a worker runs, or a key or log cannot be used.
    """
    slots = take_every_slot(data.slots)
    try:
        return rotation.rotate(data.keys, origin, log_paths(data.audit), clock, operator)
    finally:
        for slot in slots:
            slot.close()


def journal(data: DataDir, slot: str) -> RecordsAfter:
    """Return how to read one slot's log from an index on."""

    def after(index: int) -> Iterator[Mapping[str, object]]:
        return (record for _, record in records_after(data.audit / f"{slot}.db", index))

    return after


@contextlib.asynccontextmanager
async def open_books(data: DataDir, settings: Audit, workers: int, clock: Clock) -> AsyncGenerator[Books]:
    """Open this worker's books and keep them; on leaving, what is pending is made durable and leases go back.

    Raises `Unavailable` when they cannot be trusted or written.
    """
    data.make()
    slot = acquire_slot(data.slots)
    try:
        signer = signer_of(data, settings.origin)
        limits = LogLimits(
            max_pending_records=settings.pending_records,
            max_pending_bytes=settings.pending_bytes,
            checkpoint_every_s=settings.checkpoint_every_s,
            checkpoint_every_records=settings.checkpoint_every_records,
        )
        audit = AuditLog(data.audit / f"{slot.name}.db", signer.for_log(slot.name), clock, limits)
        async with audit:
            ledger = LeasedLedger(SqliteLedger(data.ledger), audit, slot.name, workers, clock)
            await ledger.start(journal(data, slot.name))
            chores = Chores()
            chores.start("ledger", ledger.run)
            chores.start("recovery", lambda: _recover_others(data, ledger))
            try:
                yield Books(slot.name, audit, ledger, Seal(keys.sealing_secret(data.keys / "seal.key")), signer)
            finally:
                await chores.aclose()
                await audit.aclose()
                await _close(ledger)
    finally:
        slot.close()


async def _recover_others(data: DataDir, ledger: LeasedLedger) -> None:
    """Count what dead workers spent and free what they had leased: now, and whenever one dies."""
    while True:
        try:
            for slot, count in (await recover_dead(ledger, data.slots, lambda name: journal(data, name))).items():
                log(logging.INFO, "recovered the budget of a worker that died", slot=slot, records=count)
        except Unavailable as refusal:
            log(logging.WARNING, "dead workers' budgets cannot be recovered now", why=refusal.message)
        await asyncio.sleep(_RECOVER_EVERY_S)


async def _close(ledger: LeasedLedger) -> None:
    try:
        await ledger.aclose()
    except Unavailable as refusal:
        log(logging.WARNING, "the ledger could not be closed cleanly; the next start recovers it", why=refusal.message)
