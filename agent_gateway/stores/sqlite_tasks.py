"""The owners of tasks and contexts in one SQLite file; implements `TaskStore`."""

from collections.abc import Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import cast

from agent_gateway.stores.sqlite_file import Connect, SqliteFile, connect, number
from agent_gateway.stores.task_store import (
    MAX_CONTEXTS_PER_OWNER,
    MAX_TASKS_PER_OWNER,
    Choice,
    Seen,
    Task,
    Where,
)

MIGRATIONS = (
    """
    CREATE TABLE task (
        agent TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL, owner TEXT NOT NULL, skill TEXT NOT NULL,
        context TEXT NOT NULL, state TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
        PRIMARY KEY (agent, id)) WITHOUT ROWID;
    CREATE INDEX task_of ON task (tenant, owner, agent, updated_at DESC, id DESC);
    CREATE INDEX task_age ON task (updated_at);
    CREATE TABLE context (
        agent TEXT NOT NULL, id TEXT NOT NULL, tenant TEXT NOT NULL, owner TEXT NOT NULL, updated_at REAL NOT NULL,
        PRIMARY KEY (agent, id)) WITHOUT ROWID;
    CREATE INDEX context_of ON context (tenant, owner, agent, updated_at);
    CREATE INDEX context_age ON context (updated_at);
    """,
)
_OWNED = "tenant = ? AND owner = ? AND agent = ?"
_OLDEST = """
    DELETE FROM {table} WHERE agent = ? AND id IN (
        SELECT id FROM {table} WHERE tenant = ? AND owner = ? AND agent = ? ORDER BY updated_at, id LIMIT ?)
"""


class SqliteTasks:
    """`TaskStore` in the file at `path`, made when it is missing."""

    def __init__(
        self, path: Path, connect: Connect = connect, max_tasks: int = MAX_TASKS_PER_OWNER,
        max_contexts: int = MAX_CONTEXTS_PER_OWNER,
    ) -> None:  # fmt: skip
        self._file = SqliteFile(path, MIGRATIONS, "the store of tasks", connect)
        self._limits = {"task": max_tasks, "context": max_contexts}

    def claim(self, where: Where, tasks: Sequence[Seen], contexts: Sequence[str], now: float) -> bool:
        contexts = list(dict.fromkeys([*contexts, *(task.context for task in tasks if task.context)]))
        with self._file.transaction() as db:
            if not all(_is_free(db, "task", where, task.id) for task in tasks) or not all(
                _is_free(db, "context", where, context) for context in contexts
            ):
                return False
            for task in tasks:
                _put_task(db, where, task, now)
            for context in contexts:
                db.execute(
                    "INSERT INTO context VALUES (?, ?, ?, ?, ?) "
                    "ON CONFLICT DO UPDATE SET updated_at = excluded.updated_at",
                    (where.agent, context, where.owner.tenant, where.owner.key, now),
                )
            for table in ("task", "context") if tasks or contexts else ():
                self._bound(db, table, where)
        return True

    def owns(self, where: Where, tasks: Sequence[str], contexts: Sequence[str]) -> bool:
        with self._file.transaction() as db:
            return all(_is_owned(db, "task", where, id_) for id_ in tasks) and all(
                _is_owned(db, "context", where, id_) for id_ in contexts
            )

    def mine(self, where: Where, tasks: Sequence[str]) -> frozenset[str]:
        with self._file.transaction() as db:
            return frozenset(id_ for id_ in tasks if _is_owned(db, "task", where, id_))

    def page(self, where: Where, choice: Choice, after: tuple[float, str] | None, limit: int) -> Sequence[Task]:
        condition, values = _chosen(where, choice)
        if after is not None:
            condition += " AND (updated_at, id) < (?, ?)"
            values += list(after)
        query = (
            f"SELECT id, context, state, created_at, updated_at FROM task WHERE {condition} "  # noqa: S608 - our own words
            "ORDER BY updated_at DESC, id DESC LIMIT ?"
        )
        with self._file.transaction() as db:
            rows = cast("list[tuple[str, str, str, float, float]]", db.execute(query, (*values, limit)).fetchall())
        return [Task(*row) for row in rows]

    def count(self, where: Where, choice: Choice) -> int:
        condition, values = _chosen(where, choice)
        with self._file.transaction() as db:
            return number(db, f"SELECT COUNT(*) FROM task WHERE {condition}", *values)  # noqa: S608 - our own words

    def prune(self, before: float) -> None:
        with self._file.transaction() as db:
            db.execute("DELETE FROM task WHERE updated_at < ?", (before,))
            db.execute("DELETE FROM context WHERE updated_at < ?", (before,))

    def close(self) -> None:
        self._file.close()

    def _bound(self, db: Connection, table: str, where: Where) -> None:
        owned = (where.owner.tenant, where.owner.key, where.agent)
        beyond = number(db, f"SELECT COUNT(*) FROM {table} WHERE {_OWNED}", *owned) - self._limits[table]  # noqa: S608
        if beyond > 0:
            db.execute(_OLDEST.format(table=table), (where.agent, *owned, beyond))


def _owner_of(db: Connection, table: str, where: Where, id_: str) -> tuple[str, str] | None:
    query = f"SELECT tenant, owner FROM {table} WHERE agent = ? AND id = ?"  # noqa: S608 - our own words
    return cast("tuple[str, str] | None", db.execute(query, (where.agent, id_)).fetchone())


def _is_free(db: Connection, table: str, where: Where, id_: str) -> bool:
    """Say whether an id is nobody's, or the owner's own."""
    return _owner_of(db, table, where, id_) in (None, (where.owner.tenant, where.owner.key))


def _is_owned(db: Connection, table: str, where: Where, id_: str) -> bool:
    if _owner_of(db, table, where, id_) != (where.owner.tenant, where.owner.key):
        return False
    if table != "task" or not where.skill:
        return True
    return bool(
        number(
            db,
            "SELECT EXISTS (SELECT 1 FROM task WHERE agent = ? AND id = ? AND skill = ?)",
            where.agent,
            id_,
            where.skill,
        )
    )


def _put_task(db: Connection, where: Where, task: Seen, now: float) -> None:
    db.execute(
        """INSERT INTO task VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
           context = CASE excluded.context WHEN '' THEN context ELSE excluded.context END,
           state = CASE excluded.state WHEN '' THEN state ELSE excluded.state END,
           updated_at = excluded.updated_at""",
        (
            where.agent, task.id, where.owner.tenant, where.owner.key, where.skill, task.context, task.state, now, now
        ),
    )  # fmt: skip


def _chosen(where: Where, choice: Choice) -> tuple[str, list[object]]:
    """Return an SQL condition of our own words, and its values."""
    condition, values = _OWNED, cast("list[object]", [where.owner.tenant, where.owner.key, where.agent])
    for column, value in (
        ("id", choice.id),
        ("skill", where.skill),
        ("context", choice.context),
        ("state", choice.state),
    ):
        if value:
            condition += f" AND {column} = ?"
            values.append(value)
    if choice.since:
        condition += " AND updated_at >= ?"
        values.append(choice.since)
    return condition, values
