"""The ledger's store of record in one SQLite file, for the processes of one machine.

A power cut may undo the last commit, since the directory is not synced; that loses nothing: leases die
with the machine, and what was spent is counted again from the audit log, whose mark is undone with it.

Every method is one `BEGIN IMMEDIATE` transaction of a millisecond or so, on the caller's thread: call it
from the ledger's thread, never from an event loop.
"""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import cast

from agent_gateway.stores.ledger_store import Ask, Delta, Entry, Grant, Key, Usage, fold, lease_size
from agent_gateway.stores.sqlite_file import BUSY_TIMEOUT_S, Connect, SqliteFile, connect, number, version
from gateway_policies.refusal import Unavailable
from gateway_policies.windows import resets_at

MIGRATIONS = (
    """
    CREATE TABLE bucket (
        bucket TEXT NOT NULL, window TEXT NOT NULL,
        "limit" INTEGER NOT NULL, spent INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (bucket, window)) WITHOUT ROWID;
    CREATE TABLE lease (
        bucket TEXT NOT NULL, window TEXT NOT NULL, slot TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (amount > 0),
        PRIMARY KEY (bucket, window, slot)) WITHOUT ROWID;
    CREATE TABLE open_call (
        slot TEXT NOT NULL, call TEXT NOT NULL, bucket TEXT NOT NULL, window TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (amount > 0),
        PRIMARY KEY (slot, call, bucket, window)) WITHOUT ROWID;
    CREATE TABLE mark (slot TEXT PRIMARY KEY, record_index INTEGER NOT NULL) WITHOUT ROWID;
    """,
)

_USAGE = """
    SELECT bucket, window, "limit", spent,
        (SELECT COALESCE(SUM(amount), 0) FROM open_call o WHERE o.bucket = b.bucket AND o.window = b.window),
        (SELECT COALESCE(SUM(amount), 0) FROM lease l WHERE l.bucket = b.bucket AND l.window = b.window)
    FROM bucket b ORDER BY bucket, window
"""


class SqliteLedger:
    """`LedgerStore` in the file at `path`, made when it is missing."""

    def __init__(self, path: Path, connect: Connect = connect) -> None:
        self._file = SqliteFile(path, MIGRATIONS, "the budget store", connect)

    def lease(self, slot: str, asks: Sequence[Ask], workers: int) -> Sequence[Grant]:
        with self._file.transaction() as db:
            return [_grant(db, slot, ask, workers) for ask in asks]

    def flush(self, slot: str, mark: int, entries: Sequence[Entry], leases: Mapping[Key, int]) -> None:
        with self._file.transaction() as db:
            known = _mark(db, slot)
            folded = fold(entries, known, lambda call: _is_open(db, slot, call))
            for (bucket, window), amount in folded.spent.items():
                _spend(db, bucket, window, amount)
            db.executemany(
                "DELETE FROM open_call WHERE slot = ? AND call = ?", [(slot, call) for call in folded.closed]
            )
            opened = [
                (slot, call, *delta) for call, deltas in folded.opened.items() for delta in deltas if delta[2] > 0
            ]
            db.executemany("INSERT OR REPLACE INTO open_call VALUES (?, ?, ?, ?, ?)", opened)
            for (bucket, window), amount in leases.items():
                _set_lease(db, slot, bucket, window, amount)
            if mark > known:
                db.execute("INSERT OR REPLACE INTO mark VALUES (?, ?)", (slot, mark))

    def mark(self, slot: str) -> int:
        with self._file.transaction() as db:
            return _mark(db, slot)

    def open_calls(self, slot: str) -> Mapping[str, Sequence[Delta]]:
        calls: dict[str, list[Delta]] = {}
        with self._file.transaction() as db:
            rows = db.execute("SELECT call, bucket, window, amount FROM open_call WHERE slot = ?", (slot,))
            for call, bucket, window, amount in cast("list[tuple[str, str, str, int]]", rows.fetchall()):
                calls.setdefault(call, []).append((bucket, window, amount))
        return calls

    def drop(self, slot: str) -> None:
        with self._file.transaction() as db:
            db.execute("DELETE FROM lease WHERE slot = ?", (slot,))
            db.execute("DELETE FROM open_call WHERE slot = ?", (slot,))

    def slots_in_use(self) -> Collection[str]:
        with self._file.transaction() as db:
            rows = db.execute("SELECT slot FROM lease UNION SELECT slot FROM open_call").fetchall()
        return {slot for (slot,) in cast("list[tuple[str]]", rows)}

    def usage(self) -> Sequence[Usage]:
        with self._file.transaction() as db:
            return _usage(db)

    def prune(self, before: str) -> None:
        with self._file.transaction() as db:
            db.execute(
                """DELETE FROM bucket WHERE window < ?
                   AND NOT EXISTS (SELECT 1 FROM lease l WHERE l.bucket = bucket.bucket AND l.window = bucket.window)
                   AND NOT EXISTS (
                       SELECT 1 FROM open_call o WHERE o.bucket = bucket.bucket AND o.window = bucket.window)""",
                (before,),
            )

    def close(self) -> None:
        self._file.close()


def read_usage(path: Path) -> Sequence[Usage]:
    """Return every bucket of the ledger at `path`, for the command line and the admin API.

    Safe while workers run. A file that is not there is a ledger in which nothing was spent. Raises `Unavailable`.
    """
    if not path.exists():
        return []
    try:
        # Not mode=ro: after a crash a reader must be allowed to undo the half-written transaction.
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as db:
            db.execute("PRAGMA query_only = ON")
            return _usage(db) if version(db) else []
    except sqlite3.Error as error:
        raise Unavailable("the budget store cannot be read", hint=f"is `{path.name}` a ledger?") from error


def _grant(db: sqlite3.Connection, slot: str, ask: Ask, workers: int) -> Grant:
    key = (ask.bucket, ask.window)
    row = cast(
        "tuple[int, int] | None",
        db.execute('SELECT "limit", spent FROM bucket WHERE bucket = ? AND window = ?', key).fetchone(),
    )
    elsewhere = number(
        db,
        "SELECT COALESCE(SUM(amount), 0) FROM lease WHERE bucket = ? AND window = ? AND slot != ?",
        *key,
        slot,
    )
    spent = row[1] if row else 0
    left = max(0, ask.limit - spent - elsewhere - ask.have)
    granted = lease_size(left, ask.need, ask.least, workers)
    if row is None or row[0] != ask.limit:
        db.execute(
            'INSERT INTO bucket VALUES (?, ?, ?, 0) ON CONFLICT DO UPDATE SET "limit" = excluded."limit"',
            (*key, ask.limit),
        )
    _set_lease(db, slot, *key, ask.have + granted)
    return Grant(granted, left - granted, spent, elsewhere)


def _set_lease(db: sqlite3.Connection, slot: str, bucket: str, window: str, amount: int) -> None:
    """Write the lease only when it differs: a refused ask should cost no disk write."""
    key = (bucket, window, slot)
    if amount == number(db, "SELECT amount FROM lease WHERE bucket = ? AND window = ? AND slot = ?", *key):
        return
    if amount:
        db.execute("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", (*key, amount))
    else:
        db.execute("DELETE FROM lease WHERE bucket = ? AND window = ? AND slot = ?", key)


def _spend(db: sqlite3.Connection, bucket: str, window: str, amount: int) -> None:
    """Add to what is spent; a bucket met only in an audit log has no limit to spend until someone leases."""
    db.execute(
        "INSERT INTO bucket VALUES (?, ?, 0, ?) ON CONFLICT DO UPDATE SET spent = spent + excluded.spent",
        (bucket, window, amount),
    )


def _mark(db: sqlite3.Connection, slot: str) -> int:
    row = cast("tuple[int] | None", db.execute("SELECT record_index FROM mark WHERE slot = ?", (slot,)).fetchone())
    return row[0] if row else -1


def _is_open(db: sqlite3.Connection, slot: str, call: str) -> bool:
    return bool(number(db, "SELECT EXISTS (SELECT 1 FROM open_call WHERE slot = ? AND call = ?)", slot, call))


def _usage(db: sqlite3.Connection) -> list[Usage]:
    rows = cast("list[tuple[str, str, int, int, int, int]]", db.execute(_USAGE).fetchall())
    return [
        Usage(bucket, window, limit, spent - held, held, leased, resets_at(window))
        for bucket, window, limit, spent, held, leased in rows
    ]
