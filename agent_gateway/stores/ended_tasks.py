"""Tasks of toolsets that have ended, for a while: so that their callers can come back, to any worker.

Whose a task is says `task_store`; here is what it came to. And which message began which task: a
message that comes a second time begins nothing.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sqlite3 import Connection
from typing import Final, TypeVar, cast

from agent_gateway.ports import Clock
from agent_gateway.stores.sqlite_file import SqliteFile, number
from agent_gateway.stores.task_store import Where

KEEP_S: Final = 86_400.0
MAX_TASKS_PER_OWNER: Final = 1000  # at one toolset; the oldest go first
MAX_BYTES_PER_OWNER: Final = 64 * 1024 * 1024
MAX_TASK_BYTES: Final = 16 * 1024 * 1024

_T = TypeVar("_T")
_MIGRATIONS: Final = (
    """
    CREATE TABLE ended (
        tenant TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
        ended_at REAL NOT NULL, PRIMARY KEY (tenant, owner, agent, id)) WITHOUT ROWID;
    CREATE INDEX ended_age ON ended (ended_at);
    CREATE TABLE message (
        tenant TEXT NOT NULL, owner TEXT NOT NULL, agent TEXT NOT NULL, id TEXT NOT NULL, digest BLOB NOT NULL,
        task TEXT NOT NULL, sent_at REAL NOT NULL, PRIMARY KEY (tenant, owner, agent, id)) WITHOUT ROWID;
    CREATE INDEX message_age ON message (sent_at);
    """,
)
_OWNED: Final = "tenant = ? AND owner = ? AND agent = ?"
_OLDEST: Final = (
    f"DELETE FROM ended WHERE {_OWNED} AND id = ("  # noqa: S608 - our own words
    f"SELECT id FROM ended WHERE {_OWNED} ORDER BY ended_at, id LIMIT 1)"
)


class EndedTasks:
    """The store in the file at `path`; each method is one transaction in a thread, and raises `Unavailable`."""

    def __init__(self, path: Path, clock: Clock, max_tasks: int = MAX_TASKS_PER_OWNER) -> None:
        self._file = SqliteFile(path, _MIGRATIONS, "the store of ended tasks")
        self._clock = clock
        self._max_tasks = max_tasks
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ended-tasks")

    async def begin(self, where: Where, message: str, digest: bytes, task: str) -> tuple[bytes, str] | None:
        """Note that a message begins a task; return (digest, task) of the same id when it came before, else None."""
        return await self._run(lambda: self._begin(where, message, digest, task))

    async def came(self, where: Where, message: str, digest: bytes, task: str) -> bool:
        """Say whether this very message has come before, and to which task it belongs."""
        return await self._run(lambda: self._came(where, message)) == (digest, task)

    async def forget(self, where: Where, message: str) -> None:
        """Forget a message that began nothing."""
        await self._run(lambda: self._forget(where, message))

    async def keep(self, where: Where, task: str, body: bytes) -> bool:
        """Keep an ended task as it is to be answered; False when it is too large to be kept."""
        if len(body) > MAX_TASK_BYTES:
            return False
        await self._run(lambda: self._keep(where, task, body))
        return True

    async def find(self, where: Where, tasks: Sequence[str]) -> dict[str, bytes]:
        """Return those of the owner's tasks that are kept, by id."""
        return await self._run(lambda: self._find(where, tasks)) if tasks else {}

    async def prune(self) -> None:
        """Forget what is too old."""
        await self._run(self._prune)

    async def aclose(self) -> None:
        await self._run(self._file.close)
        self._thread.shutdown(wait=False)

    def _came(self, where: Where, message: str) -> tuple[bytes, str] | None:
        with self._file.transaction() as db:
            return self._sent(db, (*_key(where), message))

    def _sent(self, db: Connection, key: tuple[str, str, str, str]) -> tuple[bytes, str] | None:
        query = f"SELECT digest, task FROM message WHERE {_OWNED} AND id = ? AND sent_at >= ?"  # noqa: S608
        return cast("tuple[bytes, str] | None", db.execute(query, (*key, self._clock() - KEEP_S)).fetchone())

    def _begin(self, where: Where, message: str, digest: bytes, task: str) -> tuple[bytes, str] | None:
        now, key = self._clock(), (*_key(where), message)
        with self._file.transaction() as db:
            row = self._sent(db, key)
            if row is None:
                db.execute("INSERT OR REPLACE INTO message VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, digest, task, now))
            return row

    def _forget(self, where: Where, message: str) -> None:
        with self._file.transaction() as db:
            db.execute(f"DELETE FROM message WHERE {_OWNED} AND id = ?", (*_key(where), message))  # noqa: S608

    def _keep(self, where: Where, task: str, body: bytes) -> None:
        key = _key(where)
        with self._file.transaction() as db:
            db.execute("INSERT OR REPLACE INTO ended VALUES (?, ?, ?, ?, ?, ?)", (*key, task, body, self._clock()))
            count = f"SELECT COUNT(*) FROM ended WHERE {_OWNED}"  # noqa: S608 - our own words
            size = f"SELECT SUM(LENGTH(body)) FROM ended WHERE {_OWNED}"  # noqa: S608 - our own words
            while number(db, count, *key) > self._max_tasks or number(db, size, *key) > MAX_BYTES_PER_OWNER:
                db.execute(_OLDEST, (*key, *key))

    def _find(self, where: Where, tasks: Sequence[str]) -> dict[str, bytes]:
        since, query = self._clock() - KEEP_S, f"SELECT body FROM ended WHERE {_OWNED} AND id = ? AND ended_at >= ?"  # noqa: S608
        found: dict[str, bytes] = {}
        with self._file.transaction() as db:
            for task in tasks:
                row = cast("tuple[bytes] | None", db.execute(query, (*_key(where), task, since)).fetchone())
                if row is not None:
                    found[task] = row[0]
        return found

    def _prune(self) -> None:
        before = self._clock() - KEEP_S
        with self._file.transaction() as db:
            db.execute("DELETE FROM ended WHERE ended_at < ?", (before,))
            db.execute("DELETE FROM message WHERE sent_at < ?", (before,))

    async def _run(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


def _key(where: Where) -> tuple[str, str, str]:
    return where.owner.tenant, where.owner.key, where.agent
