"""Approved definitions, and those that wait for approval: one SQLite file for all workers.

Whoever writes takes the file's lock first, so that of two workers which see an
upstream for the first time one approves, and both serve what it approved.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_gateway.stores.sqlite_file import BUSY_TIMEOUT_S, opened
from gateway_policies.refusal import NotFound

MAX_SHOWN = 10_000
State = Literal["pending", "rejected"]

_Row = tuple[str, str, str, str, bytes, float, str]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS approved (
    upstream TEXT NOT NULL, kind TEXT NOT NULL, native TEXT NOT NULL,
    pin TEXT NOT NULL, definition BLOB NOT NULL, at REAL NOT NULL, by TEXT NOT NULL,
    PRIMARY KEY (upstream, kind, native)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS waiting (
    upstream TEXT NOT NULL, kind TEXT NOT NULL, native TEXT NOT NULL,
    pin TEXT NOT NULL, definition BLOB NOT NULL, seen_at REAL NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (upstream, kind, native)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """What is pinned: one definition of one upstream, by its own name."""

    upstream: str
    kind: str
    native: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """A definition and its pin."""

    native: str
    pin: str
    definition: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """A definition that is withheld, and the approved one it would replace, if any."""

    place: Place
    pin: str
    definition: bytes
    seen_at: float
    state: State
    approved_pin: str = ""
    approved: bytes = b""


class PinStore:
    """The file `pins.db`. Methods are synchronous and raise `Unavailable` when it cannot be used."""

    def __init__(self, path: Path, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s

    def approved(self, upstream: str, kind: str) -> dict[str, str]:
        """Return the approved pin of every name of one list."""
        with self._open() as db:
            rows = db.execute("SELECT native, pin FROM approved WHERE upstream = ? AND kind = ?", (upstream, kind))
            return dict(rows.fetchall())

    def definition(self, place: Place) -> bytes:
        """Return the approved definition; raises `NotFound` when none was."""
        with self._open() as db:
            row = db.execute(
                "SELECT definition FROM approved WHERE upstream = ? AND kind = ? AND native = ?",
                (place.upstream, place.kind, place.native),
            ).fetchone()
        if row is None:
            raise NotFound(f"nothing of `{place.upstream}` was approved as `{place.native}`")
        return bytes(row[0])

    def trust(self, upstream: str, kind: str, first: Iterable[Pinned], at: float) -> dict[str, str]:
        """Approve definitions of names that have none; return the approved pins, other workers' too."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT OR IGNORE INTO approved VALUES (?, ?, ?, ?, ?, ?, 'trust_first')",
                [(upstream, kind, one.native, one.pin, one.definition, at) for one in first],
            )
            rows = db.execute("SELECT native, pin FROM approved WHERE upstream = ? AND kind = ?", (upstream, kind))
            return dict(rows.fetchall())

    def settle(self, upstream: str, kind: str, approved: Sequence[Pinned], at: float) -> None:
        """Say what is approved of a list that something else keeps; what is not among it is not."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            rows = [(upstream, kind, one.native, one.pin, one.definition, at, "folder") for one in approved]
            _keep(db, "approved", upstream, kind, rows)

    def wait(self, upstream: str, kind: str, held: Sequence[Pinned], at: float) -> None:
        """Remember what is withheld of one list now, and forget what no longer is; a rejection stays for its pin."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            rows = [(upstream, kind, one.native, one.pin, one.definition, at, "pending") for one in held]
            _keep(db, "waiting", upstream, kind, rows)

    def waiting(self) -> list[Waiting]:
        """Return all that is withheld, by upstream, kind and name."""
        with self._open() as db:
            rows = db.execute(
                "SELECT w.upstream, w.kind, w.native, w.pin, w.definition, w.seen_at, w.state,"
                " coalesce(a.pin, ''), coalesce(a.definition, x'') FROM waiting w LEFT JOIN approved a"
                " USING (upstream, kind, native) ORDER BY 1, 2, 3 LIMIT ?",
                (MAX_SHOWN,),
            )
            return [Waiting(Place(*row[:3]), *row[3:]) for row in rows.fetchall()]

    def approve(self, place: Place, pin: str, by: str, at: float) -> str:
        """Approve the withheld definition with exactly this pin; return the pin it replaces, empty for none.

        Raises `NotFound` when no such definition waits: another one may have come since it was looked at.
        """
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            definition = self._held(db, place, pin)
            key = (place.upstream, place.kind, place.native)
            row = db.execute("SELECT pin FROM approved WHERE upstream = ? AND kind = ? AND native = ?", key).fetchone()
            db.execute("INSERT OR REPLACE INTO approved VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, pin, definition, at, by))
            db.execute("DELETE FROM waiting WHERE upstream = ? AND kind = ? AND native = ?", key)
            return "" if row is None else str(row[0])

    def reject(self, place: Place, pin: str) -> None:
        """Reject the withheld definition with this pin: it stays withheld; raises `NotFound` like `approve`."""
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            self._held(db, place, pin)
            db.execute(
                "UPDATE waiting SET state = 'rejected' WHERE upstream = ? AND kind = ? AND native = ?",
                (place.upstream, place.kind, place.native),
            )

    def _held(self, db: sqlite3.Connection, place: Place, pin: str) -> bytes:
        row = db.execute(
            "SELECT definition FROM waiting WHERE upstream = ? AND kind = ? AND native = ? AND pin = ?",
            (place.upstream, place.kind, place.native, pin),
        ).fetchone()
        if row is None:
            raise NotFound(
                f"no definition of `{place.native}` with this pin waits at `{place.upstream}`",
                hint="look at what waits now: it may have changed again",
            )
        return bytes(row[0])

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self._path, _SCHEMA, "the approved definitions", self._busy_timeout_s)


def _keep(db: sqlite3.Connection, table: str, upstream: str, kind: str, rows: Sequence[_Row]) -> None:
    """Make a list's rows of a table the given ones; a row whose pin is the same stays as it is."""
    found = db.execute(f"SELECT native, pin FROM {table} WHERE upstream = ? AND kind = ?", (upstream, kind))  # noqa: S608
    before: Mapping[str, str] = dict(found.fetchall())
    now = {row[2] for row in rows}
    gone = [(upstream, kind, native) for native in before if native not in now]
    db.executemany(f"DELETE FROM {table} WHERE upstream = ? AND kind = ? AND native = ?", gone)  # noqa: S608
    changed = [row for row in rows if before.get(row[2]) != row[3]]
    db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?)", changed)  # noqa: S608
