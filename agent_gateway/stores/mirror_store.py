"""What came from other registries, beside the published servers: from which, whether it is still there, when to look.

A mirrored version's status follows its registry; its document does not change and its approval is ours.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent_gateway.stores.server_store import COLUMNS, MAX_ENTRIES, entry_of, open_registry
from mcp_registry.servers import ServerEntry

GONE: Final = "it is not in its registry any more"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS mirrored (
    name TEXT NOT NULL, version TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (name, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mirrors (source TEXT PRIMARY KEY, due_at REAL NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What one look at a registry changed here: `name version` each, and why the rest was left out."""

    taken: list[str] = field(default_factory=list[str])
    changed: list[str] = field(default_factory=list[str])
    gone: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])


class MirrorStore:
    """The mirrored part of `registry.db`. Methods are synchronous and raise `Unavailable` when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def claim(self, source: str, now: float, every_s: float) -> bool:
        """Say whether it is time to look at a registry, to one worker alone."""
        with open_registry(self._path, _SCHEMA) as db:
            db.execute("BEGIN IMMEDIATE")
            row = db.execute("SELECT due_at FROM mirrors WHERE source = ?", (source,)).fetchone()
            if row is not None and now < row[0] <= now + every_s:  # a clock that was set back makes it due, too
                return False
            db.execute("INSERT OR REPLACE INTO mirrors VALUES (?, ?)", (source, now + every_s))
            return True

    def due_in(self, source: str, now: float, seconds: float) -> None:
        """Look at a registry again after `seconds`: this time it did not work."""
        with open_registry(self._path, _SCHEMA) as db:
            db.execute("UPDATE mirrors SET due_at = ? WHERE source = ?", (now + seconds, source))

    def sources(self) -> dict[tuple[str, str], str]:
        """Return where each mirrored version (name, version) came from."""
        with open_registry(self._path, _SCHEMA) as db:
            return {(name, version): source for name, version, source in db.execute("SELECT * FROM mirrored")}

    def take(self, source: str, entries: Sequence[ServerEntry], now: float, *, is_whole: bool) -> Mirrored:
        """Bring what came from a registry up to what it says now; return what changed.

        is_whole  whether `entries` is all that it has: what came from it and is not among it is marked as deleted
        """
        found = Mirrored()
        with open_registry(self._path, _SCHEMA) as db:
            db.execute("BEGIN IMMEDIATE")
            rows = db.execute(f"SELECT {COLUMNS} FROM servers").fetchall()  # noqa: S608 - our own columns
            known = {(one.name, one.version): one for one in map(entry_of, rows)}
            owned = {one.name for one in known.values() if one.owner_key}
            sources = {(name, version): from_ for name, version, from_ in db.execute("SELECT * FROM mirrored")}
            seen: set[tuple[str, str]] = set()
            for entry in entries:
                key = (entry.name, entry.version)
                seen.add(key)
                here = known.get(key)
                came_from = sources.get(key, source if here is None else "")
                why = _reason(entry, here, source, came_from, is_owned=entry.name in owned)
                if why:
                    found.left.append(f"{entry.name} {entry.version}: {why}")
                elif here is None and len(known) >= MAX_ENTRIES:
                    found.left.append(f"{entry.name} {entry.version}: the registry is full")
                elif here is None:
                    db.execute(
                        "INSERT INTO servers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        (
                            *key, json.dumps(entry.document), entry.owner, "", "pending", entry.status,
                            entry.status_message, now, now, now,
                        ),
                    )  # fmt: skip
                    known[key] = entry
                    found.taken.append(" ".join(key))
                elif (here.status, here.status_message) != (entry.status, entry.status_message):
                    _set_status(db.execute, key, (entry.status, entry.status_message), now)
                    found.changed.append(" ".join(key))
                if not why and key in known:
                    db.execute("INSERT OR REPLACE INTO mirrored VALUES (?, ?, ?)", (*key, source))
            for key, from_ in sources.items() if is_whole else ():
                here = known.get(key)
                if from_ == source and key not in seen and here is not None and here.status_message != GONE:
                    _set_status(db.execute, key, ("deleted", GONE), now)
                    found.gone.append(" ".join(key))
        return found


def _reason(entry: ServerEntry, here: ServerEntry | None, source: str, came_from: str, *, is_owned: bool) -> str:
    """Return why an entry is left out, empty when it is not.

    came_from  the registry that the version came from; empty when it is here and came from none
    """
    if is_owned:
        return "it is published here by its owner"
    if not came_from:
        return "it is published here by an operator"
    if came_from != source:
        return "it came from another registry"
    if here is not None and here.document != entry.document:
        return "it changed there, and versions do not change"
    return ""


def _set_status(execute: object, key: tuple[str, str], to: tuple[str, str], now: float) -> None:
    assert callable(execute)
    execute(
        "UPDATE servers SET status = ?, status_message = ?, status_at = ?, updated_at = ?"
        " WHERE name = ? AND version = ?",
        (*to, now, now, *key),
    )
