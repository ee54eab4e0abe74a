"""One SQLite file for the processes of one machine: opened, migrated, and written in whole transactions.

Several workers write, so the journal is a rollback journal (`journal_mode=DELETE`): the WAL-reset
corruption of SQLite before 3.51.3 needs a write-ahead log with two connections, and many
Pythons still link such a version. `synchronous=FULL` keeps the file whole.
"""

import os
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

from gateway_policies.refusal import Unavailable

BUSY_TIMEOUT_S = 5.0  # how long one transaction waits for another process's

Connect = Callable[[Path], sqlite3.Connection]


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, made readable by its owner only when it is new; no transaction is begun by itself."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


@contextmanager
def opened(
    path: Path, schema: str, what: str, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> Generator[sqlite3.Connection, None, None]:
    """Open a file for one piece of work and close it again: for what is rarely read and written.

    schema  statements that make what is missing; tables that are there stay as they are
    what    the store in the words of a refusal, in the plural: `the proposals`

    What the body writes is committed with its end. Any failure undoes it, SQLite's as `Unavailable`.
    """
    try:
        with closing(connect(path)) as db:
            db.execute(f"PRAGMA busy_timeout = {int(busy_timeout_s * 1000)}")
            db.execute("PRAGMA journal_mode = DELETE")
            db.execute("PRAGMA synchronous = FULL")
            db.executescript(schema)
            db.isolation_level = "DEFERRED"
            with db:
                yield db
    except (sqlite3.Error, OSError) as error:
        raise Unavailable(f"{what} cannot be read or written") from error


class SqliteFile:
    """The file at `path`, made when it is missing.

    migrations  scripts that bring the schema from each version to the next
    what        the store in the words of a refusal: `the budget store`

    After a failure the connection is thrown away and the next transaction opens a new one, so the
    store is back as soon as its disk is.
    """

    def __init__(self, path: Path, migrations: Sequence[str], what: str, connect: Connect = connect) -> None:
        self._path = path
        self._migrations = migrations
        self._what = what
        self._connect = connect
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection, None, None]:
        """Run the body in a write transaction; any failure undoes it and raises `Unavailable`."""
        try:
            if self._connection is None:
                self._connection = self._opened(self._connect(self._path))
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except (sqlite3.Error, OSError, OverflowError) as error:
            self._abandon()
            raise Unavailable(f"{self._what} does not answer", hint="try again shortly") from error
        except BaseException:
            self._abandon()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _abandon(self) -> None:
        """Drop the connection; closing it undoes what it had begun."""
        try:
            self.close()
        except sqlite3.Error:
            self._connection = None

    def _opened(self, db: sqlite3.Connection) -> sqlite3.Connection:
        """Return the connection with its durability set and the schema brought up to date."""
        try:
            mode = cast("tuple[str]", db.execute("PRAGMA journal_mode = DELETE").fetchone())[0]
            if mode != "delete":
                raise Unavailable(f"{self._what} cannot use a rollback journal")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA mmap_size = 0")
            if version(db) != len(self._migrations):
                self._migrate(db)
        except BaseException:
            db.close()
            raise
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        found = version(db)
        if found > len(self._migrations):
            raise Unavailable(f"{self._what} was written by a newer version", hint="use that version or a newer one")
        for script in self._migrations[found:]:
            for statement in script.split(";"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(self._migrations)}")
        db.execute("COMMIT")


def version(db: sqlite3.Connection) -> int:
    """Return which migration the file is at."""
    return number(db, "PRAGMA user_version")


def number(db: sqlite3.Connection, query: str, *values: object) -> int:
    """Return the one integer a query yields; 0 for no row."""
    row = cast("tuple[int] | None", db.execute(query, values).fetchone())
    return row[0] if row else 0
