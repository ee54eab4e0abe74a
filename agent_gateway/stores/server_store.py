"""Published servers: one SQLite file for all workers. A version that was published does not change; its status may."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from agent_gateway.stores.sqlite_file import opened
from gateway_policies.refusal import BadRequest, Forbidden, NotFound, TooMuch, Unavailable
from mcp_registry.servers import Approval, ServerEntry, Status

MAX_ENTRIES = 20_000
MAX_ENTRIES_PER_OWNER = 500  # so that nobody fills the registry alone, nor the memory of whoever reads it

_SCHEMA = """
CREATE TABLE IF NOT EXISTS servers (
    name TEXT NOT NULL, version TEXT NOT NULL, document TEXT NOT NULL,
    owner TEXT NOT NULL, owner_key TEXT NOT NULL, approval TEXT NOT NULL,
    status TEXT NOT NULL, status_message TEXT NOT NULL, status_at REAL NOT NULL,
    published_at REAL NOT NULL, updated_at REAL NOT NULL,
    PRIMARY KEY (name, version)) WITHOUT ROWID;
"""
COLUMNS = "document, owner, owner_key, approval, status, status_message, status_at, published_at, updated_at"


def open_registry(path: Path, further: str = "") -> AbstractContextManager[sqlite3.Connection]:
    """Open `registry.db` for one transaction; raises `Unavailable` when that cannot be done.

    further  tables of others to make beside the servers
    """
    return opened(path, _SCHEMA + further, "the registry")


class ServerStore:
    """The file `registry.db`. Methods are synchronous and raise `Unavailable` when it cannot be used."""

    def __init__(self, path: Path, max_per_owner: int = MAX_ENTRIES_PER_OWNER) -> None:
        self.path = path
        self._max_per_owner = max_per_owner

    def entries(self) -> list[ServerEntry]:
        """Return every version of every server."""
        with open_registry(self.path) as db:
            rows = db.execute(f"SELECT {COLUMNS} FROM servers ORDER BY name, version")  # noqa: S608 - our own columns
            return [entry_of(row) for row in rows.fetchall()]

    def seen_by(self, owner_key: str, name: str = "") -> list[ServerEntry]:
        """Return approved versions and the owner's own, of one server or (empty) of all."""
        where = "(approval = 'approved' OR (? <> '' AND owner_key = ?)) AND (? = '' OR name = ?)"
        with open_registry(self.path) as db:
            rows = db.execute(
                f"SELECT {COLUMNS} FROM servers WHERE {where} ORDER BY name, version",  # noqa: S608 - our own words
                (owner_key, owner_key, name, name),
            )
            return [entry_of(row) for row in rows.fetchall()]

    def publish(self, entry: ServerEntry) -> None:
        """Keep a new version.

        Raises `BadRequest` (`version_exists`) for one that is there, `Forbidden` where the server is another's, and
        `TooMuch` for an owner who has too many.
        """
        with open_registry(self.path) as db:
            db.execute("BEGIN IMMEDIATE")
            rows = db.execute("SELECT version, owner_key FROM servers WHERE name = ?", (entry.name,)).fetchall()
            if any(owner != entry.owner_key for _, owner in rows):
                raise Forbidden(f"`{entry.name}` is another's to publish", hint="choose a name of your own")
            if any(version == entry.version for version, _ in rows):
                raise BadRequest(
                    f"version {entry.version} of `{entry.name}` is published", code="version_exists",
                    hint="a version does not change: publish the next one",
                )  # fmt: skip
            (own,) = db.execute("SELECT count(*) FROM servers WHERE owner_key = ?", (entry.owner_key,)).fetchone()
            if entry.owner_key and own >= self._max_per_owner:
                raise TooMuch(
                    f"one owner may publish {self._max_per_owner} versions", hint="an operator can import more"
                )
            (count,) = db.execute("SELECT count(*) FROM servers").fetchone()
            if count >= MAX_ENTRIES:
                raise Unavailable(f"the registry holds {MAX_ENTRIES} versions, and takes no more")
            db.execute(
                "INSERT INTO servers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    entry.name, entry.version, json.dumps(entry.document), entry.owner, entry.owner_key, entry.approval,
                    entry.status, entry.status_message, entry.status_at, entry.published_at, entry.updated_at,
                ),
            )  # fmt: skip

    def set_status(
        self, name: str, version: str, status: Status, message: str, owner_key: str | None, at: float
    ) -> list[ServerEntry]:
        """Set the status of one version, or of all (`version` empty); return them.

        owner_key  who asks; None: an operator. Raises `NotFound` for what is not there or not theirs.
        """
        with open_registry(self.path) as db:
            db.execute("BEGIN IMMEDIATE")
            where = "name = ? AND (? = '' OR version = ?) AND (? IS NULL OR owner_key = ?)"
            which = (name, version, version, owner_key, owner_key)
            db.execute(
                f"UPDATE servers SET status = ?, status_message = ?, status_at = ?, updated_at = ? WHERE {where}",  # noqa: S608
                (status, message, at, at, *which),
            )
            rows = db.execute(f"SELECT {COLUMNS} FROM servers WHERE {where}", which).fetchall()  # noqa: S608
            if not rows:
                raise NotFound("Server not found")
            return [entry_of(row) for row in rows]

    def approve(self, name: str, version: str, at: float) -> ServerEntry:
        """Let a version be seen by others than its owner; raises `NotFound`."""
        return self.set_approval(name, version, "approved", at)[1]

    def set_approval(self, name: str, version: str, to: Approval, at: float) -> tuple[ServerEntry, ServerEntry]:
        """Say whether a version is seen by others than its owner; return it before and after. Raises `NotFound`."""
        return self._changed(name, version, "approval = ?, updated_at = ?", (to, at))

    def set_one_status(
        self, name: str, version: str, to: Status, message: str, at: float
    ) -> tuple[ServerEntry, ServerEntry]:
        """Set the status of one version, as an operator; return it before and after. Raises `NotFound`."""
        assigned = "status = ?, status_message = ?, status_at = ?, updated_at = ?"
        return self._changed(name, version, assigned, (to, message, at, at))

    def _changed(
        self, name: str, version: str, assigned: str, values: tuple[object, ...]
    ) -> tuple[ServerEntry, ServerEntry]:
        one = f"SELECT {COLUMNS} FROM servers WHERE name = ? AND version = ?"  # noqa: S608 - our own columns
        with open_registry(self.path) as db:
            db.execute("BEGIN IMMEDIATE")
            before = db.execute(one, (name, version)).fetchone()
            if before is None:
                raise NotFound("Server not found")
            where = "WHERE name = ? AND version = ?"
            db.execute(f"UPDATE servers SET {assigned} {where}", (*values, name, version))  # noqa: S608 - our own words
            return entry_of(before), entry_of(db.execute(one, (name, version)).fetchone())


def entry_of(row: tuple[object, ...]) -> ServerEntry:
    document, owner, owner_key, approval, status, message, status_at, published_at, updated_at = row
    return ServerEntry(
        cast("Mapping[str, object]", json.loads(str(document))), str(owner), str(owner_key),
        cast("Approval", approval), cast("Status", status), str(message),
        cast("float", status_at), cast("float", published_at), cast("float", updated_at),
    )  # fmt: skip
