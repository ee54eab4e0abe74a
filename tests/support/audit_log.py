"""Calls, records, keys and faulty disks for tests of the audit log."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent_gateway.audit import records
from agent_gateway.audit.checkpoint import Signer
from agent_gateway.audit.log import AuditLog
from agent_gateway.audit.writer import Limits
from agent_gateway.ports import Charge
from gateway_policies.call import Call, Capability
from gateway_policies.decision import Decision
from gateway_policies.principal import Hop, Principal

ORIGIN = Signer("gateway.acme.example", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
SIGNER = ORIGIN.for_log("w0")
VKEY = ORIGIN.verifier.vkey
SEAL = records.Seal(bytes(32))
CHARGE = Charge("acme-day/acme", "2026-11-23", 3, 1_000)
START = 1_790_000_000.0

# Signed at every commit, reopened without delay: what tests want unless they say otherwise.
EAGER = Limits(checkpoint_every_s=0.0, reopen_min_s=0.001, reopen_max_s=0.002)
# Signed at the end only.
LAZY = Limits(checkpoint_every_s=3_600.0, checkpoint_every_records=1_000_000, reopen_min_s=0.001, reopen_max_s=0.002)


def clock() -> float:
    return START


def make_call(call_id: str = "c1", *, tenant: str = "acme", agent: str = "planner", tool: str = "git__git_log") -> Call:
    principal = Principal(
        kind="agent",
        id=agent,
        tenant=tenant,
        teams=(f"{tenant}/research",),
        issuer="https://gateway.acme.example",
        client_id=agent,
        credential="client_secret",
        chain=(Hop("https://idp.acme.example", "ana", is_verified=True),),
    )
    upstream, _, native = tool.partition("__")
    capability = Capability(name=tool, native=native, upstream=upstream, pin="sha256:aa")
    return Call(call_id, principal, "call", capability, {"path": "."}, at=START, route="mcp", operation="tools/call")


PERMIT = Decision("permit", ("research-may-read",), "bundle-1")
FORBID = Decision("forbid", ("no-deletes",), "bundle-1", code="forbidden")


def decision(call_id: str = "c1", decided: Decision = PERMIT, **call: str) -> records.Record:
    made = make_call(call_id, **call)
    sealed = SEAL.of(made.principal.tenant, b'{"path":"."}')
    return records.decision(made, decided, [CHARGE] if decided.is_permit else [], sealed, "snapshot-1", "00-aa-bb-01")


def outcome(call_id: str = "c1", status: records.Status = "ok", **call: str) -> records.Record:
    traffic = records.Traffic(bytes_in=12, bytes_out=34, duration_us=5_600)
    return records.outcome(make_call(call_id, **call), START + 0.25, status, "", traffic, [(CHARGE, 2)])


def open_log(directory: Path, limits: Limits = EAGER, slot: str = "w0", **options: Any) -> AuditLog:
    """Return the log `slot` in `directory`, not started."""
    return AuditLog(directory / f"{slot}.db", ORIGIN.for_log(slot), options.pop("at", clock), limits, **options)


async def write_calls(directory: Path, count: int, limits: Limits = EAGER, slot: str = "w0") -> None:
    """Write `count` calls, decision and outcome, each pair in one group or two."""
    async with open_log(directory, limits, slot) as log:
        for number in range(count):
            log.append(decision(f"{slot}-call-{number}"))
            await log.durable(log.append(outcome(f"{slot}-call-{number}")))


class Disk:
    """A connection factory whose disk does as the test says.

    before  called in the writer's thread before each statement, with its first two words
    after   the same, once the statement took effect
    Either may raise what SQLite would raise, or block.
    """

    def __init__(self, connect: Callable[[Path], sqlite3.Connection]) -> None:
        self.before: Callable[[str], None] = _nothing
        self.after: Callable[[str], None] = _nothing
        self.opened = 0
        self._connect = connect

    def __call__(self, path: Path) -> sqlite3.Connection:
        self.opened += 1
        self._connect(path).close()
        disk = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
                words = " ".join(sql.split()[:3]).partition("(")[0]
                disk.before(words)
                cursor = super().execute(sql, *parameters)
                disk.after(words)
                return cursor

        connection = sqlite3.connect(path, timeout=0.01, isolation_level=None, factory=Connection)
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


class Gate:
    """Holds a writer's thread before its commits until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, words: str) -> None:
        if words == "INSERT INTO batch":
            self.reached.set()
            if not self._open.wait(timeout=10):
                raise sqlite3.OperationalError("the test left the gate closed")

    def open(self) -> None:
        self._open.set()


def _nothing(words: str) -> None:
    del words
