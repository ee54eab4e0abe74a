"""Webhooks and what waits for them in one SQLite file; implements `PushStore`."""

import json
from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import cast

from agent_gateway.stores.push_store import (
    MAX_DEAD,
    MAX_HOOKS_PER_OWNER,
    MAX_WAITING,
    MAX_WAITING_PER_OWNER,
    DeadLetter,
    Delivery,
    Hook,
    Share,
)
from agent_gateway.stores.sqlite_file import Connect, SqliteFile, connect, number
from agent_gateway.stores.task_store import Owner, Where

MIGRATIONS = (
    """
    CREATE TABLE hook (
        id TEXT PRIMARY KEY, tenant TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT NOT NULL, skill TEXT NOT NULL,
        task TEXT NOT NULL, config_id TEXT NOT NULL, sealed BLOB NOT NULL, created_at REAL NOT NULL);
    CREATE INDEX hook_of ON hook (tenant, owner, agent, task, created_at);
    CREATE TABLE delivery (
        id INTEGER PRIMARY KEY, hook TEXT NOT NULL, body BLOB NOT NULL, tries INTEGER NOT NULL, due REAL NOT NULL);
    CREATE INDEX delivery_due ON delivery (due);
    CREATE INDEX delivery_of ON delivery (hook);
    CREATE TABLE dead_letter (
        id INTEGER PRIMARY KEY, hook TEXT NOT NULL, body BLOB NOT NULL, why TEXT NOT NULL, at REAL NOT NULL);
    """,
    "ALTER TABLE hook ADD COLUMN has_ended INTEGER NOT NULL DEFAULT 0",
    """
    ALTER TABLE dead_letter ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
    ALTER TABLE dead_letter ADD COLUMN agent TEXT NOT NULL DEFAULT '';
    ALTER TABLE dead_letter ADD COLUMN task TEXT NOT NULL DEFAULT '';
    """,
)
_COLUMNS = "id, tenant, owner, agent, skill, task, config_id, sealed, created_at"
_WAITING_OF_OWNER = "SELECT COUNT(*) FROM hook h JOIN delivery d ON d.hook = h.id WHERE h.tenant = ? AND h.owner = ?"
# Bodies are read of what is taken alone: ranking must not carry them along.
_DUE = """
    SELECT id, hook, tenant, owner FROM (
        SELECT d.id, d.hook, h.tenant, h.owner,
            ROW_NUMBER() OVER (PARTITION BY h.tenant, h.owner ORDER BY d.id) AS place
        FROM delivery d JOIN hook h ON h.id = d.hook
        WHERE d.due <= ? AND NOT EXISTS (SELECT 1 FROM delivery o WHERE o.hook = d.hook AND o.id < d.id)
        AND NOT EXISTS (SELECT 1 FROM json_each(?) b
            WHERE json_extract(b.value, '$[0]') = h.tenant AND json_extract(b.value, '$[1]') = h.owner))
    WHERE place <= ? ORDER BY place, id LIMIT ?
"""
_Row = tuple[str, str, str, str, str, str, str, bytes, float]


class SqlitePush:
    """`PushStore` in the file at `path`, made when it is missing."""

    def __init__(
        self, path: Path, connect: Connect = connect, max_hooks: int = MAX_HOOKS_PER_OWNER,
        max_waiting: int = MAX_WAITING_PER_OWNER,
    ) -> None:  # fmt: skip
        self._file = SqliteFile(path, MIGRATIONS, "the store of webhooks", connect)
        self._max_hooks = max_hooks
        self._max_waiting = max_waiting

    def put(self, hook: Hook) -> bool:
        where = hook.where
        owned = (where.owner.tenant, where.owner.key, where.agent)
        with self._file.transaction() as db:
            if hook.task:
                db.execute(
                    "DELETE FROM hook WHERE tenant = ? AND owner = ? AND agent = ? AND task = ? AND config_id = ?",
                    (*owned, hook.task, hook.config_id),
                )
            count = number(db, "SELECT COUNT(*) FROM hook WHERE tenant = ? AND owner = ? AND agent = ?", *owned)
            if count >= self._max_hooks:
                return False
            values = (hook.id, *owned, where.skill, hook.task, hook.config_id, hook.sealed, hook.created_at)
            db.execute(f"INSERT INTO hook ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
        return True

    def bind(self, hook_id: str, task: str) -> bool:
        with self._file.transaction() as db:
            db.execute("UPDATE hook SET task = ? WHERE id = ? AND task = ''", (task, hook_id))
            return bool(number(db, "SELECT EXISTS (SELECT 1 FROM hook WHERE id = ? AND task = ?)", hook_id, task))

    def get(self, hook_id: str) -> Hook | None:
        with self._file.transaction() as db:
            row = db.execute(f"SELECT {_COLUMNS} FROM hook WHERE id = ?", (hook_id,)).fetchone()  # noqa: S608
        return None if row is None else _hook(cast("_Row", row))

    def of_task(self, where: Where, task: str) -> Sequence[Hook]:
        query = (
            f"SELECT {_COLUMNS} FROM hook WHERE tenant = ? AND owner = ? AND agent = ? AND task = ? "  # noqa: S608
            "ORDER BY created_at, id"
        )
        with self._file.transaction() as db:
            rows = db.execute(query, (where.owner.tenant, where.owner.key, where.agent, task)).fetchall()
        return [_hook(row) for row in cast("list[_Row]", rows)]

    def drop(self, hook_id: str) -> None:
        with self._file.transaction() as db:
            db.execute("DELETE FROM hook WHERE id = ?", (hook_id,))
            db.execute("DELETE FROM delivery WHERE hook = ?", (hook_id,))

    def add(self, hook_id: str, body: bytes, now: float, *, is_last: bool = False) -> bool:
        with self._file.transaction() as db:
            row = db.execute("SELECT tenant, owner FROM hook WHERE id = ?", (hook_id,)).fetchone()
            owner = cast("tuple[str, str] | None", row)
            if owner is None or number(db, "SELECT COUNT(*) FROM delivery") >= MAX_WAITING:
                return False
            if number(db, _WAITING_OF_OWNER, *owner) >= self._max_waiting:
                return False
            db.execute("INSERT INTO delivery (hook, body, tries, due) VALUES (?, ?, 0, ?)", (hook_id, body, now))
            db.execute("UPDATE hook SET has_ended = MAX(has_ended, ?) WHERE id = ?", (is_last, hook_id))
        return True

    def take(self, now: float, lease_s: float, share: Share) -> Sequence[Delivery]:
        busy = json.dumps([[owner.tenant, owner.key] for owner in share.busy])
        with self._file.transaction() as db:
            values = (now, busy, share.per_owner, share.limit)
            found = cast("list[tuple[int, str, str, str]]", db.execute(_DUE, values).fetchall())
            db.executemany("UPDATE delivery SET due = ? WHERE id = ?", [(now + lease_s, row[0]) for row in found])
            return [Delivery(id_, hook, *_sent(db, id_), Owner(tenant, owner)) for id_, hook, tenant, owner in found]

    def done(self, delivery: int) -> None:
        with self._file.transaction() as db:
            _remove(db, delivery)

    def put_off(self, delivery: int, due: float) -> None:
        with self._file.transaction() as db:
            db.execute("UPDATE delivery SET tries = tries + 1, due = ? WHERE id = ?", (due, delivery))

    def bury(self, delivery: int, why: str, now: float) -> None:
        with self._file.transaction() as db:
            db.execute(
                "INSERT INTO dead_letter (hook, body, why, at, tenant, agent, task)"
                " SELECT d.hook, d.body, ?, ?, h.tenant, h.agent, h.task"
                " FROM delivery d JOIN hook h ON h.id = d.hook WHERE d.id = ?",
                (why, now, delivery),
            )
            _remove(db, delivery)
            db.execute(
                "DELETE FROM dead_letter WHERE id NOT IN (SELECT id FROM dead_letter ORDER BY id DESC LIMIT ?)",
                (MAX_DEAD,),
            )

    def dead(self) -> Sequence[DeadLetter]:
        query = "SELECT hook, why, at, tenant, agent, task, LENGTH(body) FROM dead_letter ORDER BY id DESC"
        with self._file.transaction() as db:
            return [DeadLetter(*row) for row in db.execute(query).fetchall()]

    def prune(self, before: float) -> None:
        with self._file.transaction() as db:
            db.execute("DELETE FROM hook WHERE created_at < ?", (before,))
            db.execute("DELETE FROM delivery WHERE hook NOT IN (SELECT id FROM hook)")

    def close(self) -> None:
        self._file.close()


def _sent(db: Connection, delivery: int) -> tuple[bytes, int]:
    """Return body and failed tries of an update."""
    row = db.execute("SELECT body, tries FROM delivery WHERE id = ?", (delivery,)).fetchone()
    return cast("tuple[bytes, int]", row)


def _remove(db: Connection, delivery: int) -> None:
    """Forget an update, and its hook too when it was the last of a task that has ended."""
    row = db.execute("SELECT hook FROM delivery WHERE id = ?", (delivery,)).fetchone()
    if row is not None:
        hook = cast("tuple[str]", row)[0]
        db.execute("DELETE FROM delivery WHERE id = ?", (delivery,))
        db.execute(
            "DELETE FROM hook WHERE id = ? AND has_ended AND NOT EXISTS (SELECT 1 FROM delivery WHERE hook = ?)",
            (hook, hook),
        )


def _hook(row: _Row) -> Hook:
    id_, tenant, owner, agent, skill, task, config_id, sealed, created_at = row
    return Hook(id_, Where(Owner(tenant, owner), agent, skill), task, config_id, sealed, created_at)
