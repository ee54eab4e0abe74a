"""Replay: ids of assertions that were used, so that none is used twice.

`MemoryReplay` serves one process, `FileReplay` every worker that shares the data
directory. Both are bounded, and full means no: forgetting an id early would
let it be used again.
"""

import sqlite3
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Protocol

from agent_gateway.ports import Clock

MAX_IDS_PER_CLIENT = 10_000
MAX_IDS = 200_000
_BUSY_TIMEOUT_S = 5.0


class ReplayGuard(Protocol):
    """Where used ids are kept."""

    def claim(self, client: str, assertion_id: str, expires_at: float) -> bool:
        """Take an id for good; False when it was taken before or cannot be remembered until `expires_at`."""
        ...


class MemoryReplay:
    """Used ids of this process."""

    def __init__(self, *, clock: Clock, max_ids_per_client: int = MAX_IDS_PER_CLIENT) -> None:
        self._clock = clock
        self._max = max_ids_per_client
        self._lock = Lock()
        self._used: dict[str, dict[str, float]] = {}

    def claim(self, client: str, assertion_id: str, expires_at: float) -> bool:
        now = self._clock()
        with self._lock:
            used = self._used.setdefault(client, {})
            if len(used) >= self._max:
                used = self._used[client] = {key: until for key, until in used.items() if until >= now}
            if assertion_id in used or len(used) >= self._max:
                return False
            used[assertion_id] = expires_at
            return True


class FileReplay:
    """Used ids in `{directory}/used-assertions.db`, shared by workers.

    Blocks for milliseconds: call it in a thread. An id survives a restart.
    """

    def __init__(self, directory: Path, *, clock: Clock, max_ids: int = MAX_IDS) -> None:
        self._clock = clock
        self._max = max_ids
        self._lock = Lock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / "used-assertions.db"
        path.touch(mode=0o600)
        self._db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS used (client TEXT, id TEXT, expires_at REAL, PRIMARY KEY (client, id))"
        )

    def claim(self, client: str, assertion_id: str, expires_at: float) -> bool:
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                is_new = self._insert(client, assertion_id, expires_at)
                self._db.execute("COMMIT")
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._db.rollback()
                return False
        return is_new

    def close(self) -> None:
        self._db.close()

    def _insert(self, client: str, assertion_id: str, expires_at: float) -> bool:
        self._db.execute("DELETE FROM used WHERE expires_at < ?", (self._clock(),))
        (count,) = self._db.execute("SELECT count(*) FROM used").fetchone()
        if count >= self._max:
            return False
        sql = "INSERT INTO used VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        return self._db.execute(sql, (client, assertion_id, expires_at)).rowcount == 1
