"""Proposed APIs: what scans found, and what an operator said of each. One SQLite file.

A proposal that is found again as it was keeps what was said of it; one that changed waits again.
"""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast

from agent_gateway.stores.sqlite_file import BUSY_TIMEOUT_S, opened
from context_mesh.discovery.grading import graded
from context_mesh.discovery.proposal import Proposal
from gateway_policies.refusal import NotFound

MAX_PROPOSALS: Final = 5_000
MAX_DESCRIPTION_BYTES: Final = 8 * 1024 * 1024
State = Literal["pending", "approved", "rejected"]

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS proposals (
    key TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, told TEXT NOT NULL,
    description BLOB NOT NULL, scanned TEXT NOT NULL, first_seen_at REAL NOT NULL, seen_at REAL NOT NULL,
    state TEXT NOT NULL, by TEXT NOT NULL, judged_at REAL NOT NULL) WITHOUT ROWID;
"""
_ALL: Final = (
    "SELECT name, digest, told, description, scanned, first_seen_at, seen_at, state, by, judged_at"
    " FROM proposals ORDER BY name LIMIT ?"
)
_PUT: Final = (
    "INSERT INTO proposals"
    " (key, name, digest, told, description, scanned, first_seen_at, seen_at, state, by, judged_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'pending', '', 0)"
    " ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, told = excluded.told,"
    " description = excluded.description, scanned = excluded.scanned, seen_at = excluded.seen_at,"
    " state = 'pending', by = '', judged_at = 0"
)
_JUDGE: Final = (
    "UPDATE proposals SET state = ?, by = ?, judged_at = ? WHERE name = ? AND digest = ?"
    " RETURNING name, digest, told, description, scanned, first_seen_at, seen_at, state, by, judged_at"
)


@dataclass(frozen=True, slots=True)
class Stored:
    """One proposal as it is kept.

    name     distinct among all; what it would be called
    digest   of everything that was found: an approval names it
    risk     the highest grade of its operations, empty when nobody knows them
    scanned  the place that an operator named
    draft    a description that the source holds, such as one made from traffic; empty for none
    """

    name: str
    digest: str
    found_in: str
    spec: str
    url: str
    title: str
    owner: str
    lifecycle: str
    notes: tuple[str, ...]
    risk: str
    scanned: str
    first_seen_at: float
    seen_at: float
    state: State = "pending"
    by: str = ""
    judged_at: float = 0.0
    draft: bytes = field(default=b"", repr=False)


class ProposalStore:
    """The file `proposals.db`. Methods are synchronous and raise `Unavailable` when it cannot be used."""

    def __init__(self, path: Path, busy_timeout_s: float = BUSY_TIMEOUT_S, most: int = MAX_PROPOSALS) -> None:
        self._path = path
        self._most = most
        self._busy_timeout_s = busy_timeout_s

    def put(self, found: Sequence[Proposal], scanned: str, at: float) -> list[str]:
        """Keep what a scan found; return the names of those that are new, or not as they were."""
        fresh: list[str] = []
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            (count,) = db.execute("SELECT count(*) FROM proposals").fetchone()
            for one in found:
                key, told, draft = _key(one, scanned), _told(one), _draft(one)
                digest = "sha256:" + hashlib.sha256(f"{told}\n".encode() + draft).hexdigest()
                row = db.execute("SELECT name, digest FROM proposals WHERE key = ?", (key,)).fetchone()
                if row is not None and row[1] == digest:
                    db.execute("UPDATE proposals SET seen_at = ? WHERE key = ?", (at, key))
                    continue
                if row is None and count >= self._most:
                    continue
                name = str(row[0]) if row is not None else _free(db, one.name)
                count += row is None
                db.execute(_PUT, (key, name, digest, told, draft, scanned, at, at))
                fresh.append(name)
        return fresh

    def all(self) -> list[Stored]:
        """Return every proposal, by name."""
        with self._open() as db:
            rows = db.execute(_ALL, (self._most,))
            return [_stored(row) for row in rows.fetchall()]

    def judge(self, name: str, digest: str, verdict: State, by: str, at: float) -> Stored:
        """Note what an operator says of the proposal with exactly this digest; return it.

        Raises `NotFound` when there is no such: another one may have been found since it was looked at.
        """
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            row = db.execute(_JUDGE, (verdict, by, at, name, digest)).fetchone()
        if row is None:
            raise NotFound(
                f"no proposal `{name[:100]}` with this digest is kept", hint="look again: it may have changed since"
            )
        return _stored(row)

    def _open(self) -> AbstractContextManager[sqlite3.Connection]:
        return opened(self._path, _SCHEMA, "the proposals", self._busy_timeout_s)


def _key(one: Proposal, scanned: str) -> str:
    """Return what makes a proposal the same one again: where its description is, or what it is about."""
    place = (
        one.spec if "://" in one.spec else f"{scanned}#{one.spec}" if one.spec else f"{one.url or scanned}#{one.name}"
    )
    return f"{one.found_in} {place}"


def _told(one: Proposal) -> str:
    risk = graded(one.description) if one.risk is None else one.risk
    told = {
        "found_in": one.found_in, "spec": one.spec, "url": one.url, "title": one.title, "owner": one.owner,
        "lifecycle": one.lifecycle, "notes": list(one.notes), "risk": risk.name.lower() if risk is not None else "",
    }  # fmt: skip
    return json.dumps(told, sort_keys=True)


def _draft(one: Proposal) -> bytes:
    if one.description is None:
        return b""
    held = one.description if isinstance(one.description, str) else json.dumps(one.description, indent=1)
    body = held.encode("utf-8", "replace")
    return body if len(body) <= MAX_DESCRIPTION_BYTES else b""


def _free(db: sqlite3.Connection, wanted: str) -> str:
    name, number = wanted, 2
    while db.execute("SELECT 1 FROM proposals WHERE name = ?", (name,)).fetchone() is not None:
        name = f"{wanted[:27]}-{number}"
        number += 1
    return name


def _stored(row: Sequence[object]) -> Stored:
    name, digest, told, draft, scanned, first, seen, state, by, judged = row
    members = cast("dict[str, str]", json.loads(str(told)))
    notes = tuple(cast("list[str]", members.pop("notes")))
    return Stored(
        **members, name=str(name), digest=str(digest), notes=notes, scanned=str(scanned),
        first_seen_at=cast("float", first), seen_at=cast("float", seen), state=cast("State", state), by=str(by),
        judged_at=cast("float", judged), draft=cast("bytes", draft),
    )  # fmt: skip
